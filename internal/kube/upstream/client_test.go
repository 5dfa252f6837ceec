package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/internal/kube/client"
	kt "github.com/upstreamd/upstreamd/internal/kube/kubetest"
	"github.com/upstreamd/upstreamd/internal/kube/lean"
	"github.com/upstreamd/upstreamd/internal/ref"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func connect(t *testing.T, cfg *rest.Config, opts Options) *Client {
	t.Helper()
	if opts.Backoff == (lean.Backoff{}) {
		opts.Backoff = lean.Backoff{Initial: time.Second, Max: 30 * time.Second}
	}
	c, err := New(cfg, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// routes answers by path; a path that is not there is 404.
type routes map[string]http.HandlerFunc

func (r routes) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if h, ok := r[req.URL.Path]; ok {
		h(w, req)
		return
	}
	kt.Status(404, "NotFound")(w, req)
}

const deployments = "/apis/apps/v1/deployments"

func TestWorkspaces(t *testing.T) {
	for name, tc := range map[string]struct {
		host       string
		workspaces []string
		expect     []ref.Workspace
		path       string // of a watch in the first workspace
		fails      bool
	}{
		"a plain hub":           {host: "https://hub:6443", expect: []ref.Workspace{""}, path: deployments},
		"a hub behind a path":   {host: "https://hub/k8s/c1", expect: []ref.Workspace{""}, path: "/k8s/c1" + deployments},
		"workspaces":            {host: "https://kcp:6443", workspaces: []string{"root:b", "root:a", "root:b"}, expect: []ref.Workspace{"root:a", "root:b"}, path: "/clusters/root:a" + deployments},
		"the URL's workspace":   {host: "https://kcp/clusters/root:a", expect: []ref.Workspace{"root:a"}, path: "/clusters/root:a" + deployments},
		"a suffix is replaced":  {host: "https://kcp/clusters/root/", workspaces: []string{"root:a"}, expect: []ref.Workspace{"root:a"}, path: "/clusters/root:a" + deployments},
		"a virtual workspace":   {host: "https://kcp/services/apiexport/p1/exp/clusters/*", expect: []ref.Workspace{"*"}, path: "/services/apiexport/p1/exp/clusters/*" + deployments},
		"a name that misleads":  {host: "https://kcp", workspaces: []string{"a/../b"}, fails: true},
		"a name that is empty":  {host: "https://kcp", workspaces: []string{""}, fails: true},
		"a URL that is no URL":  {host: "https://a b", fails: true},
		"a URL with a bad name": {host: "https://kcp/clusters/a/b", fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			var asked []string
			record := roundTripper(func(r *http.Request) (*http.Response, error) {
				asked = append(asked, r.URL.Path)
				<-r.Context().Done()
				return nil, r.Context().Err()
			})
			c, err := New(&rest.Config{Host: tc.host, Transport: record}, Options{Workspaces: tc.workspaces})
			if (err != nil) != tc.fails {
				t.Fatalf("error = %v", err)
			}
			if tc.fails {
				return
			}
			if diff := cmp.Diff(tc.expect, c.Workspaces()); diff != "" {
				t.Error(diff)
			}
			synctest.Test(t, func(t *testing.T) {
				kt.Run(t, func(ctx context.Context) {
					c.watch(ctx, kt.Deployments, c.Workspaces()[0], ref.Want{}, kt.NewRecorder().Emit)
				})
				synctest.Wait()
			})
			if len(asked) != 1 || asked[0] != tc.path {
				t.Errorf("asked %q, want %q", asked, tc.path)
			}
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestResolve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const endpoint = "/apis/core.kcp.io/v1alpha1/logicalclusters/cluster"
		named := func(name string) http.HandlerFunc {
			return kt.JSON(200, fmt.Sprintf(`{"metadata":{"name":"cluster","annotations":{"kcp.io/cluster":%q}}}`, name))
		}
		ill := true
		c := connect(t, kt.Memory(t, routes{
			"/clusters/root:a" + endpoint: func(w http.ResponseWriter, r *http.Request) {
				if ill {
					named("10r1v0sg7mfe0frx")(w, r)
				} else {
					kt.Status(404, "NotFound")(w, r) // it was deleted
				}
			},
			"/clusters/root:b" + endpoint: kt.Status(403, "Forbidden"),
			"/clusters/root:d" + endpoint: named("../evil"),
			"/clusters/root:e" + endpoint: kt.JSON(200, `{}`),
			"/clusters/root:f" + endpoint: func(w http.ResponseWriter, r *http.Request) {
				if ill {
					kt.Status(500, "InternalError")(w, r)
				} else {
					named("ffff")(w, r)
				}
			},
		}), Options{Workspaces: []string{"root:a", "root:b", "root:c", "root:d", "root:e", "root:f", "*"}})
		err := c.Resolve(t.Context())
		if !apierrors.IsInternalError(err) || !strings.Contains(err.Error(), "workspace root:f") {
			t.Errorf("error = %v, want that of root:f", err)
		}
		want := []ref.Workspace{"*", "10r1v0sg7mfe0frx", "root:b", "root:c", "root:d", "root:e", "root:f"}
		if diff := cmp.Diff(want, c.Workspaces()); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		ill = false
		if err := c.Resolve(t.Context()); err != nil {
			t.Error(err)
		}
		for configured, want := range map[string]ref.Workspace{"root:a": "10r1v0sg7mfe0frx", "root:f": "ffff", "root:c": "root:c", "new": "new"} {
			if got := c.Name(configured); got != want {
				t.Errorf("%s is %s, want %s", configured, got, want)
			}
		}
	})
}

// TestSameNameInThreeWorkspaces: neither streams of their own nor one stream for all may confuse objects of one name.
func TestSameNameInThreeWorkspaces(t *testing.T) {
	in := func(w string, version int) string {
		return strings.Replace(kt.Object("ns", "same", version), `"metadata":{`, fmt.Sprintf(`"metadata":{"annotations":{"kcp.io/cluster":%q,"other":"x"},`, w), 1)
	}
	t.Run("one stream for all", func(t *testing.T) {
		for name, script := range map[string]*kt.Script{
			"streaming list": kt.NewScript(kt.Watch(
				kt.Event("ADDED", in("c", 3)), kt.Event("ADDED", in("a", 1)), kt.Event("ADDED", in("b", 2)), kt.InitialEnd(9),
				kt.Event("MODIFIED", in("b", 10)), kt.Event("DELETED", in("c", 11)), kt.Event("ADDED", kt.Object("ns", "lost", 12)))),
			"pages": kt.NewScript(kt.NoStreamingLists, kt.List("9", "", in("c", 3), in("a", 1), in("b", 2)), kt.Watch(
				kt.Event("MODIFIED", in("b", 10)), kt.Event("DELETED", in("c", 11)), kt.Event("ADDED", kt.Object("ns", "lost", 12)))),
		} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := connect(t, kt.Memory(t, script), Options{Workspaces: []string{"*"}})
					r := kt.NewRecorder()
					kt.Run(t, func(ctx context.Context) { c.Watch(ctx, kt.Deployments, ref.Want{}, r.Emit) })
					r.Expect(t, `Scopes "*"`,
						"Listed in *: a|ns/same@1 b|ns/same@2 c|ns/same@3", "Changed in *: b|ns/same@10", "Deleted in *: c|ns/same@11",
						"Changed in *: ns/lost@12 (bad)")
				})
			})
		}
	})
	t.Run("a stream each", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := connect(t, kt.Memory(t, routes{
				"/clusters/a" + deployments: kt.Watch(kt.Event("ADDED", in("a", 1)), kt.InitialEnd(9), kt.Event("DELETED", in("a", 10))),
				// An object's own annotation does not count where the connection names the workspace.
				"/clusters/b" + deployments: kt.Watch(kt.Event("ADDED", in("a", 2)), kt.InitialEnd(9)),
				"/clusters/c" + deployments: kt.Watch(kt.Event("ADDED", in("c", 3)), kt.InitialEnd(9)),
			}), Options{Workspaces: []string{"a", "b", "c"}})
			r := kt.NewRecorder()
			kt.Run(t, func(ctx context.Context) { c.Watch(ctx, kt.Deployments, ref.Want{}, r.Emit) })
			synctest.Wait()
			got := slices.Sorted(slices.Values(r.All()))
			if diff := cmp.Diff([]string{
				"Deleted in a: a|ns/same@10",
				"Listed in a: a|ns/same@1", "Listed in b: b|ns/same@2", "Listed in c: c|ns/same@3",
				`Scopes "a" "b" "c"`,
			}, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	})
}

// TestOneEventAtATime has three workspaces that send at once, and a slow receiver.
func TestOneEventAtATime(t *testing.T) {
	c := connect(t, kt.Memory(t, kt.Watch(kt.InitialEnd(1))), Options{Workspaces: []string{"a", "b", "c"}})
	var listening atomic.Bool
	heard := make(chan ref.Workspace, 10)
	kt.Run(t, func(ctx context.Context) {
		c.Watch(ctx, kt.Deployments, ref.Want{}, func(e ref.Event) {
			if !listening.CompareAndSwap(false, true) {
				t.Error("two events at once")
			}
			time.Sleep(20 * time.Millisecond) // the others would come meanwhile
			listening.Store(false)
			heard <- e.Scope
		})
	})
	got := []ref.Workspace{<-heard, <-heard, <-heard, <-heard}
	slices.Sort(got)
	if !slices.Equal(got, []ref.Workspace{"", "a", "b", "c"}) { // Scopes has none
		t.Errorf("heard %q", got)
	}
}

// TestMissingWorkspace: a workspace that is not there, and one that is forbidden, are reported and retried; the third is served.
func TestMissingWorkspace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		served := routes{
			"/clusters/here" + deployments:   kt.Watch(kt.Event("ADDED", kt.Object("ns", "x", 1)), kt.InitialEnd(9)),
			"/clusters/denied" + deployments: kt.Status(403, "Forbidden"),
		}
		var mu sync.Mutex
		c := connect(t, kt.Memory(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			h, ok := served[r.URL.Path]
			mu.Unlock()
			if !ok {
				h = kt.Status(404, "NotFound")
			}
			h(w, r)
		})), Options{Workspaces: []string{"here", "gone", "denied"}})
		r := kt.NewRecorder()
		kt.Run(t, func(ctx context.Context) { c.Watch(ctx, kt.Deployments, ref.Want{}, r.Emit) })
		synctest.Wait()
		if diff := cmp.Diff([]string{"Failed in denied: told so", "Failed in gone: told so", "Listed in here: here|ns/x@1", `Scopes "denied" "gone" "here"`},
			slices.Sorted(slices.Values(r.All()))); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
		for _, e := range r.Events() {
			if e.Scope == "gone" && !apierrors.IsNotFound(e.Err) || e.Scope == "denied" && !apierrors.IsForbidden(e.Err) {
				t.Errorf("%s: error %v", e.Scope, e.Err)
			}
		}
		mu.Lock()
		served["/clusters/gone"+deployments] = kt.Watch(kt.Event("ADDED", kt.Object("ns", "y", 1)), kt.InitialEnd(9))
		mu.Unlock()
		time.Sleep(5 * time.Second)
		if !slices.Contains(r.All(), "Listed in gone: gone|ns/y@1") {
			t.Errorf("said %q", r.All())
		}
	})
}

var web = ref.Upstream{Workspace: "root:a", Namespace: "ns", Name: "web"}

func TestPatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got *http.Request
		var body []byte
		c := connect(t, kt.Memory(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = r
			body, _ = io.ReadAll(r.Body)
			kt.JSON(200, kt.Object("ns", "web", 8))(w, r)
		})), Options{Workspaces: []string{"root:a"}, UserAgent: "upstreamd/1.2.3"})
		o, err := c.Patch(t.Context(), ref.Patch{Resource: kt.Deployments, Upstream: web, Body: []byte(`{"status":{"n":8}}`)}, ref.Want{})
		if err != nil {
			t.Fatal(err)
		}
		if o.ResourceVersion != "8" || o.Workspace != "root:a" || string(o.Status) != `{"n":8}` || o.Err != nil {
			t.Errorf("got %+v", o)
		}
		request := strings.Join([]string{got.Method, got.RequestURI, got.Header.Get("Content-Type"), got.UserAgent(), string(body)}, "\n")
		want := "PATCH\n/clusters/root:a/apis/apps/v1/namespaces/ns/deployments/web/status?fieldManager=upstreamd\n" +
			"application/merge-patch+json\nupstreamd/1.2.3\n" + `{"status":{"n":8}}`
		if diff := cmp.Diff(want, request); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if host := c.Host(web); host != "memory" {
			t.Errorf("host %q", host)
		}
	})
}

// TestPatchAnswers: one call for each answer of the server; errors as they are defined.
func TestPatchAnswers(t *testing.T) {
	status := func(check func(error) bool) func(error) bool {
		return func(err error) bool {
			var s *apierrors.StatusError
			return errors.As(err, &s) && check(err)
		}
	}
	delay := func(want int) func(error) bool {
		return status(func(err error) bool {
			seconds, ok := apierrors.SuggestsClientDelay(err)
			return ok && seconds == want && apierrors.IsTooManyRequests(err)
		})
	}
	after := func(value string, h http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", value)
			h(w, r)
		}
	}
	transport := func(err error) bool { return apierrors.ReasonForError(err) == "" }
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		is     func(error) bool
	}{
		"conflict":               {kt.Status(409, "Conflict"), status(apierrors.IsConflict)},
		"not found":              {kt.Status(404, "NotFound"), status(apierrors.IsNotFound)},
		"not found, text":        {kt.JSON(404, "404 page not found"), status(apierrors.IsNotFound)},
		"forbidden":              {kt.Status(403, "Forbidden"), status(apierrors.IsForbidden)},
		"unauthorized":           {kt.Status(401, "Unauthorized"), status(apierrors.IsUnauthorized)},
		"too large":              {kt.JSON(413, ""), status(apierrors.IsRequestEntityTooLargeError)},
		"invalid":                {kt.Status(422, "Invalid"), status(apierrors.IsInvalid)},
		"busy, Status":           {after("7", kt.Status(429, "TooManyRequests")), delay(7)},
		"busy, text":             {after("7", kt.JSON(429, "slow down")), delay(7)},
		"busy, details":          {kt.JSON(429, `{"kind":"Status","status":"Failure","reason":"TooManyRequests","code":429,"details":{"retryAfterSeconds":3}}`), delay(3)},
		"busy, date":             {after(time.Date(2000, 1, 1, 0, 0, 9, 0, time.UTC).Format(http.TimeFormat), kt.JSON(429, "")), delay(9)},
		"unavailable":            {kt.JSON(503, "<html>down</html>"), status(apierrors.IsServiceUnavailable)},
		"internal":               {kt.JSON(500, "boom"), status(apierrors.IsInternalError)},
		"without code or reason": {kt.JSON(409, `{"kind":"Status","status":"Failure","message":"m"}`), status(apierrors.IsConflict)},
		"a success that is none": {kt.JSON(409, `{"kind":"Status","status":"Success","code":200}`), status(apierrors.IsConflict)},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, func(err error) bool { return errors.Is(err, client.ErrRedirected) }},
		"redirect to nowhere": {kt.JSON(307, ""), status(func(error) bool { return true })},
		"compressed": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Encoding", "gzip") },
			func(err error) bool { return errors.Is(err, client.ErrCompressed) }},
		"reset":          {kt.Reset(), transport},
		"reset half way": {kt.Reset(`{"metadata":{"name":"web"`), func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		"no answer": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
		"half an answer": {func(w http.ResponseWriter, r *http.Request) {
			kt.Watch(`{"metadata":{"name":"web"`)(w, r)
		}, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				script := kt.NewScript(tc.answer)
				c := connect(t, kt.Memory(t, script), Options{Workspaces: []string{"root:a"}})
				start := time.Now()
				o, err := c.Patch(t.Context(), ref.Patch{Resource: kt.Deployments, Upstream: web, Body: []byte(`{}`)}, ref.Want{})
				if err == nil || o != nil || !tc.is(err) {
					t.Errorf("got %+v, error %#v", o, err)
				}
				if asked := script.Asked(); len(asked) != 1 {
					t.Errorf("called %d times: %q", len(asked), asked)
				}
				if took := time.Since(start); took > 10*time.Second {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

func TestPatchAnswersThatCannotBeRead(t *testing.T) {
	for name, answer := range map[string]string{
		"not JSON":  `{"metadata":{"name":"web","resourceVersion":"8"},"status":?}`,
		"too large": `{"metadata":{"name":"web","resourceVersion":"8"},"status":"` + strings.Repeat("x", 2000) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := connect(t, kt.Memory(t, kt.JSON(200, answer)), Options{Workspaces: []string{"root:a"}, BodyLimit: 1000})
				o, err := c.Patch(t.Context(), ref.Patch{Resource: kt.Deployments, Upstream: web, Body: []byte(`{}`)}, ref.Want{})
				if err != nil || o.Err == nil || o.ResourceVersion != "8" || o.Status != nil {
					t.Errorf("the write took place, the answer is bad: got %+v, error %v", o, err)
				}
			})
		})
	}
}

// TestForeign: nothing is sent to a workspace that is not configured, nor for a name that would change the path.
func TestForeign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := kt.NewScript(kt.JSON(200, kt.Object("ns", "web", 8)))
		some := connect(t, kt.Memory(t, script), Options{Workspaces: []string{"root:a"}})
		all := connect(t, kt.Memory(t, script), Options{Workspaces: []string{"*"}})
		hub := connect(t, kt.Memory(t, script), Options{})
		for _, tc := range []struct {
			c *Client
			u ref.Upstream
		}{
			{some, ref.Upstream{Workspace: "root:b", Name: "web"}},
			{some, ref.Upstream{Workspace: "", Name: "web"}},
			{some, ref.Upstream{Workspace: "*", Name: "web"}},
			{some, ref.Upstream{Workspace: "root:a"}},
			{some, ref.Upstream{Workspace: "root:a", Namespace: "..", Name: "web"}},
			{some, ref.Upstream{Workspace: "root:a", Name: "a/b"}},
			{some, ref.Upstream{Workspace: "root:a", Name: "a%2fb"}},
			{all, ref.Upstream{Workspace: "*", Name: "web"}},
			{all, ref.Upstream{Workspace: "", Name: "web"}},
			{all, ref.Upstream{Workspace: "a/../b", Name: "web"}},
			{hub, ref.Upstream{Workspace: "root:a", Name: "web"}},
		} {
			if _, err := tc.c.Patch(t.Context(), ref.Patch{Resource: kt.Deployments, Upstream: tc.u, Body: []byte(`{}`)}, ref.Want{}); err == nil {
				t.Errorf("patched %+v", tc.u)
			}
			if _, err := tc.c.Get(t.Context(), kt.Deployments, tc.u, ref.Want{}); err == nil {
				t.Errorf("read %+v", tc.u)
			}
		}
		if asked := script.Asked(); len(asked) != 0 {
			t.Errorf("asked %q", asked)
		}
		for c, u := range map[*Client]ref.Upstream{some: web, all: web, hub: {Namespace: "ns", Name: "web"}} {
			if o, err := c.Get(t.Context(), kt.Deployments, u, ref.Want{}); err != nil || o.Workspace != u.Workspace {
				t.Errorf("%v: %+v, %v", u, o, err)
			}
		}
	})
}

func TestGetOfNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, kt.Memory(t, routes{}), Options{Workspaces: []string{"root:a"}})
		if _, err := c.Get(t.Context(), kt.Deployments, web, ref.Want{}); !apierrors.IsNotFound(err) {
			t.Errorf("error = %v", err)
		}
	})
}

func TestDiscovery(t *testing.T) {
	const (
		apps    = `{"kind":"APIResourceList","groupVersion":"apps/v1","resources":[{"name":"deployments","kind":"Deployment","verbs":["get"]},{"name":"deployments/status","kind":"Deployment","verbs":["get","patch"]},{"name":"controllerrevisions","kind":"ControllerRevision","verbs":["get"]},{"name":"inventions","kind":"Invention","verbs":["get"]}]}`
		core    = `{"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"pods","kind":"Pod"},{"name":"pods/status","kind":"Pod","verbs":["get"]}]}`
		own     = `{"kind":"APIResourceList","groupVersion":"example.com/v1","resources":[{"name":"things","kind":"Thing"}]}`
		groups  = `{"kind":"APIGroupList","groups":[{"name":"apps"},{"name":"example.com"}]}`
		inKCP   = `{"kind":"APIGroupList","groups":[{"name":"apis.kcp.io"},{"name":"apps"}]}`
		openapi = `{"paths":{"apis/apps/v1":{"serverRelativeURL":"/openapi/v3/apis/apps/v1?hash=A"}}}`
		schemas = `{"components":{"schemas":{"D":{"x-kubernetes-group-version-kind":[{"group":"apps","version":"v1","kind":"Deployment"}],"properties":{"status":{"properties":{"conditions":{"x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["type"],"items":{}}}}}}}}}`
		crds    = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"
	)
	served := routes{
		"/clusters/kube/apis": kt.JSON(200, groups), "/clusters/kube/apis/apps/v1": kt.JSON(200, apps),
		"/clusters/kube/api/v1": kt.JSON(200, core), "/clusters/kube/apis/example.com/v1": kt.JSON(200, own),
		"/clusters/kcp/apis": kt.JSON(200, inKCP), "/clusters/kcp/apis/apps/v1": kt.JSON(200, apps),
		"/clusters/custom/apis": kt.JSON(200, groups), "/clusters/custom/apis/apps/v1": kt.JSON(200, apps),
		"/clusters/custom" + crds + "deployments.apps": kt.JSON(200, `{"metadata":{"name":"deployments.apps"}}`),
		"/clusters/shy/apis":                           kt.JSON(200, groups), "/clusters/shy/apis/apps/v1": kt.JSON(200, apps),
		"/clusters/shy" + crds + "deployments.apps": kt.Status(403, "Forbidden"),
		"/clusters/ill/apis/apps/v1":                kt.Status(500, "InternalError"),
		"/clusters/odd/apis/apps/v1":                kt.JSON(200, `ok`),
		"/clusters/halfill/apis":                    kt.JSON(503, ""), "/clusters/halfill/apis/apps/v1": kt.JSON(200, apps),
		"/clusters/crdill/apis": kt.JSON(200, groups), "/clusters/crdill/apis/apps/v1": kt.JSON(200, apps),
		"/clusters/crdill" + crds + "deployments.apps": kt.JSON(500, ""),
		"/clusters/kube/openapi/v3":                    kt.JSON(200, openapi), "/clusters/kube/openapi/v3/apis/apps/v1": kt.JSON(200, schemas),
		"/clusters/openapiill/apis": kt.JSON(200, inKCP), "/clusters/openapiill/apis/apps/v1": kt.JSON(200, apps), "/clusters/openapiill/openapi/v3": kt.JSON(500, ""),
		"/clusters/openapiodd/apis": kt.JSON(200, inKCP), "/clusters/openapiodd/apis/apps/v1": kt.JSON(200, apps),
		"/clusters/openapiodd/openapi/v3": kt.JSON(200, openapi), "/clusters/openapiodd/openapi/v3/apis/apps/v1": kt.JSON(200, "{"),
	}
	gvr := func(group, version, resource string) ref.Resource {
		return ref.Resource{Group: group, Version: version, Resource: resource}
	}
	for _, tc := range []struct {
		w             ref.Workspace
		r             ref.Resource
		typed, status bool
		unknown, fail bool
		keys          []string // of the status's conditions, by the schema
	}{
		{w: "kube", r: kt.Deployments, typed: true, status: true, keys: []string{"type"}},
		{w: "kube", r: gvr("", "v1", "pods"), typed: true}, // a status that may not be patched
		{w: "kube", r: gvr("apps", "v1", "controllerrevisions"), typed: true},
		{w: "kube", r: gvr("apps", "v1", "inventions")},
		{w: "kube", r: gvr("example.com", "v1", "things")},
		{w: "kube", r: gvr("apps", "v1", "nonsense"), unknown: true},
		{w: "kube", r: gvr("batch", "v1", "jobs"), unknown: true},
		{w: "kube", r: gvr("apps", "v1", "a/b"), fail: true},
		{w: "kcp", r: kt.Deployments, status: true},
		{w: "custom", r: kt.Deployments, status: true},
		{w: "shy", r: kt.Deployments, typed: true, status: true},
		{w: "ill", r: kt.Deployments, fail: true},
		{w: "odd", r: kt.Deployments, fail: true},
		{w: "halfill", r: kt.Deployments, fail: true},
		{w: "crdill", r: kt.Deployments, fail: true},
		{w: "openapiill", r: kt.Deployments, fail: true},
		{w: "openapiodd", r: kt.Deployments, fail: true},
		{w: "foreign", r: kt.Deployments, fail: true},
	} {
		t.Run(fmt.Sprintf("%s %s", tc.w, ref.ResourceString(tc.r)), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := connect(t, kt.Memory(t, served), Options{Workspaces: []string{"kube", "kcp", "custom", "shy", "ill", "odd", "halfill", "crdill", "openapiill", "openapiodd"}})
				for range 2 { // the second time from the cache
					got, err := c.Describe(t.Context(), tc.r, tc.w, "")
					if (err != nil) != (tc.unknown || tc.fail) || errors.Is(err, ErrUnknownResource) != tc.unknown {
						t.Fatalf("error = %v", err)
					}
					if err == nil && (got.Typed != tc.typed || got.HasStatus != tc.status || !slices.Equal(got.Schema.List([]string{"conditions"}).Keys, tc.keys)) {
						t.Errorf("described as %+v", got)
					}
				}
			})
		})
	}
}

// BenchmarkPatch is one PATCH over loopback, to a server that does nothing.
func BenchmarkPatch(b *testing.B) {
	answer := []byte(kt.Object("ns", "web", 8))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
	}))
	defer s.Close()
	c, err := New(&rest.Config{Host: s.URL}, Options{Workspaces: []string{"root:a"}})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	body := []byte(`{"metadata":{"resourceVersion":"7"},"status":{"readyReplicas":3,"replicas":4}}`)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := c.Patch(context.Background(), ref.Patch{Resource: kt.Deployments, Upstream: web, Body: body}, ref.Want{}); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkPatchClient is the client's share of a PATCH alone: the answer comes from memory.
func BenchmarkPatchClient(b *testing.B) {
	answer := kt.Object("ns", "web", 8)
	header := http.Header{"Content-Type": {"application/json"}}
	memory := roundTripper(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: header, Body: io.NopCloser(strings.NewReader(answer)), Request: r}, nil
	})
	c, err := New(&rest.Config{Host: "http://memory", Transport: memory, BearerToken: "t"}, Options{Workspaces: []string{"root:a"}})
	if err != nil {
		b.Fatal(err)
	}
	patch := ref.Patch{Resource: kt.Deployments, Upstream: web, Body: []byte(`{"metadata":{"resourceVersion":"7"},"status":{"readyReplicas":3}}`)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Patch(b.Context(), patch, ref.Want{}); err != nil {
			b.Fatal(err)
		}
	}
}
