package discovery

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/upstreamd/upstreamd/internal/kube/client"
	kt "github.com/upstreamd/upstreamd/internal/kube/kubetest"
	"github.com/upstreamd/upstreamd/internal/ref"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// documents answers paths with bodies; other paths are 404 in plain text, as from a kube-apiserver.
type documents map[string]string

// forbidden is the body of a 403.
const forbidden = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}`

func (d documents) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if accept := r.Header.Get("Accept"); accept != "application/json" {
		if _, ok := d["aggregated "+path]; ok {
			path = "aggregated " + path
		}
	}
	if body, ok := d[path]; ok {
		code := http.StatusOK
		if body == forbidden {
			code = http.StatusForbidden
		}
		kt.JSON(code, body)(w, r)
		return
	}
	http.NotFound(w, r)
}

func server(t *testing.T, h http.Handler, prefix string) Server {
	t.Helper()
	conn, err := client.New(kt.Memory(t, h), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return Server{Conn: conn, Prefix: prefix}
}

const (
	groups = `{"kind":"APIGroupList","groups":[
		{"name":"apps","versions":[{"version":"v1"}],"preferredVersion":{"version":"v1"}},
		{"name":"example.com","versions":[{"version":"v1"},{"version":"v2"}],"preferredVersion":{"version":"v2"}}]}`
	apps = `{"kind":"APIResourceList","groupVersion":"apps/v1","resources":[
		{"name":"deployments","verbs":["get","list","watch"]},{"name":"deployments/status","verbs":["get","patch"]},{"name":"deployments/scale","verbs":["get","patch"]},
		{"name":"notes","verbs":["list","watch"]},{"name":"reviews","verbs":["create"]}]}`
	widgets = `{"kind":"APIResourceList","resources":[{"name":"widgets","verbs":["list","watch"]},{"name":"widgets/status","verbs":["get"]}]}`
	pods    = `{"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"pods","verbs":["list","watch"]},{"name":"pods/status","verbs":["patch"]}]}`
)

var plain = documents{
	"/api": `{"kind":"APIVersions","versions":["v1"]}`, "/apis": groups, "/api/v1": pods, "/apis/apps/v1": apps,
	"/apis/example.com/v1": widgets, "/apis/example.com/v2": widgets,
}

var all = []Kind{
	{Resource: ref.Resource{Version: "v1", Resource: "pods"}, Watched: true, Status: true},
	{Resource: ref.Resource{Group: "apps", Version: "v1", Resource: "deployments"}, Watched: true, Status: true},
	{Resource: ref.Resource{Group: "apps", Version: "v1", Resource: "notes"}, Watched: true},
	{Resource: ref.Resource{Group: "apps", Version: "v1", Resource: "reviews"}},
	{Resource: ref.Resource{Group: "example.com", Version: "v2", Resource: "widgets"}, Watched: true},
	{Resource: ref.Resource{Group: "example.com", Version: "v1", Resource: "widgets"}, Watched: true},
}

func TestKinds(t *testing.T) {
	got, err := server(t, plain, "").Kinds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(all, got); diff != "" {
		t.Error(diff)
	}
}

func TestKindsInOneDocument(t *testing.T) {
	got, err := server(t, documents{
		"aggregated /clusters/a/api": `{"kind":"APIGroupDiscoveryList","items":[{"versions":[{"version":"v1","resources":[
			{"resource":"pods","verbs":["list","watch"],"subresources":[{"subresource":"log","verbs":["get"]},{"subresource":"status","verbs":["patch"]}]}]}]}]}`,
		"aggregated /clusters/a/apis": `{"kind":"APIGroupDiscoveryList","items":[
			{"metadata":{"name":"apps"},"versions":[{"version":"v1","resources":[
				{"resource":"deployments","verbs":["list","watch"],"subresources":[{"subresource":"status","verbs":["get","patch"]}]},
				{"resource":"notes","verbs":["list","watch"]},{"resource":"reviews","verbs":["create"]}]}]},
			{"metadata":{"name":"example.com"},"versions":[
				{"version":"v2","resources":[{"resource":"widgets","verbs":["list","watch"],"subresources":[{"subresource":"status","verbs":["get"]}]}]},
				{"version":"v1","freshness":"Stale","resources":[{"resource":"widgets","verbs":["list","watch"]}]}]}]}`,
	}, "/clusters/a").Kinds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(all, got); diff != "" {
		t.Error(diff)
	}
}

// Half an answer is none: a kind that is missing in it is not gone.
func TestKindsAreAllOrNothing(t *testing.T) {
	for _, missing := range []string{"/apis", "/api/v1", "/apis/apps/v1"} {
		some := documents{}
		for path, body := range plain {
			if path != missing {
				some[path] = body
			}
		}
		if got, err := server(t, some, "").Kinds(t.Context()); err == nil {
			t.Errorf("without %s: %v", missing, got)
		}
	}
	for _, strange := range []string{`{"kind":"Pod"}`, `[]`, `{`} {
		some := documents{"/api": plain["/api"], "/apis": plain["/apis"], "/api/v1": strange}
		if got, err := server(t, some, "").Kinds(t.Context()); err == nil {
			t.Errorf("%s: %v", strange, got)
		}
	}
}

// A server may list any number of kinds, in any document and nested in any way: memory is bounded, and the error names the bound.
func TestDocumentsAreBounded(t *testing.T) {
	many := func(n int, element string) string { return strings.TrimSuffix(strings.Repeat(element+",", n), ",") }
	const most = maxElements
	nest := func(groups, each int) string {
		return many(groups, fmt.Sprintf(`{"versions":[{"resources":[%s]}]}`, many(each, `{"resource":"r"}`)))
	}
	for name, c := range map[string]struct {
		documents documents
		says      string // in the error; empty: there is none
	}{
		"as many kinds as may be": {documents: documents{"/api/v1": `{"kind":"APIResourceList","resources":[` + many(most, "{}") + `]}`}},
		"kinds":                   {documents{"/api/v1": `{"kind":"APIResourceList","resources":[` + many(most+1, "{}") + `]}`}, "discover v1: more than 20000 kinds"},
		"core versions":           {documents{"/api": `{"kind":"APIVersions","versions":[` + many(most+1, `""`) + `]}`}, "discover /api: more than 20000 kinds"},
		"groups":                  {documents{"/apis": `{"kind":"APIGroupList","groups":[` + many(most+1, "null") + `]}`}, "discover /apis: more than 20000 kinds"},
		"versions of groups":      {documents{"/apis": `{"kind":"APIGroupList","groups":[` + many(101, `{"versions":[`+many(200, "{}")+`]}`) + `]}`}, "discover /apis: more than 20000 kinds"},
		"kinds of versions": {documents{
			"/api":    `{"kind":"APIVersions","versions":["v1","v2","v3"]}`,
			"/api/v1": `{"kind":"APIResourceList","resources":[` + many(most/2, "{}") + `]}`,
			"/api/v2": `{"kind":"APIResourceList","resources":[` + many(most/2, "{}") + `]}`,
			"/api/v3": `{"kind":"APIResourceList","resources":[{}]}`,
		}, "discover /api: more than 20000 kinds"},
		"in one document, as many as may be": {documents: documents{"aggregated /apis": `{"kind":"APIGroupDiscoveryList","items":[` + nest(10, most/10-2) + `]}`}},
		"in one document":                    {documents{"aggregated /apis": `{"kind":"APIGroupDiscoveryList","items":[` + nest(10, most/10-1) + `]}`}, "discover /apis: more than 20000 kinds"},
		"subresources": {documents{"aggregated /apis": `{"kind":"APIGroupDiscoveryList","items":[{"versions":[{"resources":[` +
			many(2, `{"subresources":[`+many(most/2, "{}")+`]}`) + `]}]}]}`}, "discover /apis: more than 20000 kinds"},
		"verbs":   {documents: documents{"/api/v1": `{"kind":"APIResourceList","resources":[{"verbs":[` + many(10*most, `""`) + `]}]}`}},
		"bytes":   {documents{"/apis": `{"kind":"APIGroupList","x":"` + strings.Repeat("x", maxDocument) + `"}`}, "discover /apis: a discovery document of more than 8388608 bytes"},
		"no list": {documents{"/api/v1": `{"kind":"APIResourceList","resources":{}}`}, "not a discovery document"},
	} {
		t.Run(name, func(t *testing.T) {
			all := maps.Clone(plain)
			maps.Copy(all, c.documents)
			_, err := server(t, all, "").Kinds(t.Context())
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}

func TestServes(t *testing.T) {
	const unknown = "unknown"
	for name, c := range map[string]struct {
		server documents
		r      ref.Resource
		want   any
	}{
		"a built-in kind":                           {plain, kt.Deployments, true},
		"a core kind":                               {plain, ref.Resource{Version: "v1", Resource: "pods"}, true},
		"no such kind in the group":                 {plain, ref.Resource{Group: "apps", Version: "v1", Resource: "gadgets"}, false},
		"no such core kind":                         {plain, ref.Resource{Version: "v1", Resource: "gadgets"}, false},
		"no such group":                             {plain, ref.Resource{Group: "gadgets.io", Version: "v1", Resource: "gadgets"}, false},
		"no such version":                           {plain, ref.Resource{Group: "apps", Version: "v2", Resource: "deployments"}, false},
		"an ingress without a backend":              {documents{}, kt.Deployments, unknown},
		"a group that is named and does not answer": {documents{"/apis": groups}, kt.Deployments, unknown},
		"a group that is forbidden and not named":   {documents{"/apis": groups, "/apis/gadgets.io/v1": forbidden}, ref.Resource{Group: "gadgets.io", Version: "v1", Resource: "gadgets"}, false},
		"a group that is forbidden and named":       {documents{"/apis": groups, "/apis/apps/v1": forbidden}, kt.Deployments, unknown},
		"a group that is forbidden, as all is":      {documents{"/apis": forbidden, "/apis/gadgets.io/v1": forbidden}, ref.Resource{Group: "gadgets.io", Version: "v1", Resource: "gadgets"}, unknown},
		"a web page":                                {documents{"/apis": `{"hello":"world"}`}, kt.Deployments, unknown},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := server(t, c.server, "").Serves(t.Context(), c.r)
			switch {
			case c.want == unknown && err == nil:
				t.Errorf("got %v, want an error", got)
			case c.want != unknown && (err != nil || got != c.want):
				t.Errorf("got %v, %v; want %v", got, err, c.want)
			}
		})
	}
}
