package transform

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/upstreamd/upstreamd/internal/ref"
)

const otherUID = "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0"

func ctx() Context {
	return Context{
		Downstream: ref.Downstream{Namespace: "kcp-33jbiactwhg0", Name: "web-down"},
		Upstream:   ref.Upstream{Workspace: "root:a", Namespace: "team", Name: "web"},
		UID:        "our-uid",
		Namespace: func(downstream string) (string, bool) {
			up, ok := map[string]string{"kcp-other0000000": "tools"}[downstream]
			return up, ok
		},
	}
}

func parse(t testing.TB, s string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(s), &m); err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return m
}

func TestStatus(t *testing.T) {
	known := ctx()
	known.UpstreamUID = "upstream-uid"
	alone := ctx()
	alone.Namespace = nil
	withholding := func(paths ...string) Context {
		c := ctx()
		for _, p := range paths {
			c.Withhold = append(c.Withhold, strings.Split(p, "."))
		}
		return c
	}
	for name, c := range map[string]struct {
		c        Context
		in, want string
	}{
		"nothing to do": {ctx(), `{"replicas":3,"conditions":[{"type":"Ready","status":"True"}],"list":[[1,"a"],null],"empty":{}}`,
			`{"replicas":3,"conditions":[{"type":"Ready","status":"True"}],"list":[[1,"a"],null],"empty":{}}`},

		"a reference to the object itself":      {ctx(), `{"targetRef":{"kind":"Deployment","name":"web-down","namespace":"kcp-33jbiactwhg0"}}`, `{"targetRef":{"kind":"Deployment","name":"web","namespace":"team"}}`},
		"without a namespace":                   {ctx(), `{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"web-down"}}`, `{"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"web"}}`},
		"to a neighbour":                        {ctx(), `{"active":[{"kind":"Job","name":"job-1","namespace":"kcp-33jbiactwhg0","uid":"` + otherUID + `","resourceVersion":"7"}]}`, `{"active":[{"kind":"Job","name":"job-1","namespace":"team"}]}`},
		"in another namespace of the workspace": {ctx(), `{"ref":{"name":"web-down","namespace":"kcp-other0000000"}}`, `{"ref":{"name":"web-down","namespace":"tools"}}`},
		"in a namespace of nobody":              {ctx(), `{"ref":{"kind":"ConfigMap","name":"kcp-root-ca.crt","namespace":"kube-system"}}`, `{"ref":{"kind":"ConfigMap","name":"kcp-root-ca.crt","namespace":"kube-system"}}`},
		"in an empty namespace":                 {ctx(), `{"ref":{"name":"disk","namespace":""}}`, `{"ref":{"name":"disk","namespace":""}}`},
		"no other namespace is known":           {alone, `{"a":{"name":"x","namespace":"kcp-other0000000"},"b":{"name":"x","namespace":"kcp-33jbiactwhg0"}}`, `{"a":{"name":"x","namespace":"kcp-other0000000"},"b":{"name":"x","namespace":"team"}}`},
		"deep within":                           {ctx(), `{"a":[[{"b":{"name":"x","namespace":"kcp-33jbiactwhg0"}}]]}`, `{"a":[[{"b":{"name":"x","namespace":"team"}}]]}`},
		"to a renamed ConfigMap":                {ctx(), `{"ref":{"kind":"ConfigMap","name":"kcp-root-ca.crt"}}`, `{"ref":{"kind":"ConfigMap","name":"kube-root-ca.crt"}}`},
		"to a renamed Secret":                   {ctx(), `{"ref":{"kind":"Secret","name":"kcp-default-token-x","namespace":"kcp-33jbiactwhg0"}}`, `{"ref":{"kind":"Secret","name":"default-token-x","namespace":"team"}}`},
		"an entry with a name is none":          {ctx(), `{"containerStatuses":[{"name":"web-down","ready":true}]}`, `{"containerStatuses":[{"name":"web-down","ready":true}]}`},
		"a namespace without a name is none":    {ctx(), `{"scope":{"namespace":"kcp-33jbiactwhg0"}}`, `{"scope":{"namespace":"kcp-33jbiactwhg0"}}`},

		"the own UID, upstream's not known":   {ctx(), `{"ref":{"name":"web-down","uid":"our-uid"}}`, `{"ref":{"name":"web"}}`},
		"the own UID":                         {known, `{"ref":{"name":"web-down","uid":"our-uid"}}`, `{"ref":{"name":"web","uid":"upstream-uid"}}`},
		"another's UID":                       {known, `{"ref":{"name":"x","uid":"` + otherUID + `"}}`, `{"ref":{"name":"x"}}`},
		"another's UID in another form":       {known, `{"ref":{"kind":"Pod","name":"x","uid":"0123456789abcdef0123456789abcdef"}}`, `{"ref":{"kind":"Pod","name":"x"}}`},
		"another's UID beside a namespace":    {known, `{"ref":{"name":"x","namespace":"kube-system","uid":"static"}}`, `{"ref":{"name":"x","namespace":"kube-system"}}`},
		"a user's number, and a user's text":  {known, `{"user":{"linux":{"uid":1000,"gid":1000}},"account":{"name":"ann","uid":"1000"}}`, `{"user":{"linux":{"uid":1000,"gid":1000}},"account":{"name":"ann","uid":"1000"}}`},
		"a resourceVersion that is no string": {ctx(), `{"ref":{"kind":"A","name":"x","resourceVersion":7}}`, `{"ref":{"kind":"A","name":"x","resourceVersion":7}}`},

		"labels and annotations": {ctx(), `{"template":{"labels":{"app":"web","internal.workload.kcp.io/cluster":"k","state.workload.kcp.dev/k":"Sync","syncagent.kcp.io/agent-name":"a","example.com/kcp.io":"mine"},
			"annotations":{"kcp.io/cluster":"a","kcp.io/namespace-locator":"{}","kubectl.kubernetes.io/last-applied-configuration":"{}","upstreamd.dev/upstream-generation":"3","note":"kcp"}}}`,
			`{"template":{"labels":{"app":"web","example.com/kcp.io":"mine"},"annotations":{"note":"kcp"}}}`},
		"nothing but bookkeeping":      {ctx(), `{"labels":{"kcp.io/tenant-id":"t"},"selector":{"internal.workload.kcp.io/cluster":"k"},"kept":{"labels":{"claimed.internal.apis.kcp.io/x":"y"},"a":1}}`, `{"kept":{"a":1}}`},
		"labels that look like more":   {ctx(), `{"labels":{"name":"web-down","namespace":"kcp-33jbiactwhg0","kind":"Pod","createdAt":"2026-01-01T02:00:00+02:00"},"nodeSelector":{"name":"web-down","kind":"x"}}`, `{"labels":{"name":"web-down","namespace":"kcp-33jbiactwhg0","kind":"Pod","createdAt":"2026-01-01T02:00:00+02:00"},"nodeSelector":{"name":"web-down","kind":"x"}}`},
		"a selector as text":           {ctx(), `{"selector":"app=web,internal.workload.kcp.io/cluster=k,tier in (a,b)","labelSelector":"app=kcp.x"}`, `{"selector":"app=web,tier in (a,b)","labelSelector":"app=kcp.x"}`},
		"a selector that is none":      {ctx(), `{"selector":"kcp.io/( nonsense","message":"see internal.workload.kcp.io/cluster=k"}`, `{"selector":"kcp.io/( nonsense","message":"see internal.workload.kcp.io/cluster=k"}`},
		"a selector with an object":    {ctx(), `{"selector":{"matchLabels":{"app":"web","kcp.io/tenant-id":"t"},"matchExpressions":[{"key":"a","operator":"Exists"}]}}`, `{"selector":{"matchLabels":{"app":"web"},"matchExpressions":[{"key":"a","operator":"Exists"}]}}`},
		"an object's metadata":         {ctx(), `{"claims":[{"metadata":{"name":"x","namespace":"kcp-33jbiactwhg0","uid":"u","resourceVersion":"1","selfLink":"/x","managedFields":[{}],"finalizers":["mine","workload.kcp.io/syncer-k"],"labels":{"kcp.io/cluster":"a"}}}]}`, `{"claims":[{"metadata":{"name":"x","namespace":"team","finalizers":["mine"]}}]}`},
		"metadata without a name":      {ctx(), `{"metadata":{"uid":"u"},"a":1}`, `{"a":1}`},
		"metadata that is no metadata": {ctx(), `{"metadata":"x","finalizers":["workload.kcp.io/syncer-k"]}`, `{"metadata":"x","finalizers":["workload.kcp.io/syncer-k"]}`},

		"texts that look like times": {ctx(), `{"startTime":"2026-01-01T02:00:00+02:00","lastHandledReconcileAt":"2026-01-01T00:00:00.123456789Z","deletionTimestamp":"yesterday"}`,
			`{"startTime":"2026-01-01T02:00:00+02:00","lastHandledReconcileAt":"2026-01-01T00:00:00.123456789Z","deletionTimestamp":"yesterday"}`},

		"withheld": {withholding("hostIP", "hostIPs.*", "containerStatuses.*.containerID", "nodes.*.name", "none.x", "a.b", "deep.*.*.c"),
			`{"hostIP":"10.0.0.1","hostIPs":[{"ip":"10.0.0.1"}],"podIP":"10.1.0.1","containerStatuses":[{"name":"c","containerID":"x"}],"nodes":{"n1":{"name":"x","k":1}},"a":[{"b":1}],"deep":[[{"c":1,"d":2}],{"e":{"c":1}}]}`,
			`{"hostIPs":[],"podIP":"10.1.0.1","containerStatuses":[{"name":"c"}],"nodes":{"n1":{"k":1}},"a":[{"b":1}],"deep":[[{"d":2}],{"e":{}}]}`},
		"all members withheld": {withholding("nodes.*"), `{"nodes":{"n1":1,"n2":{}},"a":1}`, `{"nodes":{},"a":1}`},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(parse(t, c.want), Status(parse(t, c.in), c.c)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if Status(nil, ctx()) != nil {
		t.Error("no status became one")
	}
}

// The way down, as far as references go: each upstream namespace has one downstream name, and names of the default objects change.
var down = map[string]string{"team": "kcp-33jbiactwhg0", "tools": "kcp-other0000000", "web": "web-down", "kube-root-ca.crt": "kcp-root-ca.crt"}

func forward(v any) any {
	switch v := v.(type) {
	case []any:
		l := make([]any, len(v))
		for i := range v {
			l[i] = forward(v[i])
		}
		return l
	case map[string]any:
		m := map[string]any{}
		for k, c := range v {
			m[k] = forward(c)
		}
		namespace, namespaced := v["namespace"].(string)
		if !namespaced {
			return m
		}
		m["namespace"] = down[namespace]
		if v["name"] == "web" && namespace == "team" || v["kind"] == "ConfigMap" && v["name"] == "kube-root-ca.crt" {
			m["name"] = down[v["name"].(string)]
		}
		m["uid"], m["resourceVersion"] = otherUID, "1"
		return m
	}
	return v
}

func valueGen(depth int) *rapid.Generator[any] {
	scalar := rapid.SampledFrom([]any{nil, int64(1), true, "text", "2026-01-01T00:00:00Z", "kcp-33jbiactwhg0"})
	if depth == 0 {
		return scalar
	}
	reference := rapid.Custom(func(t *rapid.T) any {
		return map[string]any{
			"kind":      rapid.SampledFrom([]any{"ConfigMap", "Pod"}).Draw(t, "kind"),
			"name":      rapid.SampledFrom([]any{"web", "db", "kube-root-ca.crt"}).Draw(t, "name"),
			"namespace": rapid.SampledFrom([]any{"team", "tools"}).Draw(t, "namespace"),
			"status":    valueGen(depth-1).Draw(t, "more"),
		}
	})
	return rapid.OneOf(scalar, reference, rapid.SliceOfN(valueGen(depth-1), 0, 4).AsAny(),
		rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "startTime", "message"}), valueGen(depth-1), 0, 4).AsAny())
}

// TestForwardAndReverseAreInverse: references that went down come back as they were, and nothing else changes.
func TestForwardAndReverseAreInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		status := map[string]any{"x": valueGen(4).Draw(t, "status")}
		back := Status(forward(status).(map[string]any), ctx())
		if diff := cmp.Diff(status, back); diff != "" {
			t.Fatalf("(-before +after):\n%s", diff)
		}
	})
}

// TestWithheldIsGone: no path that is withheld leaves its value anywhere it stood.
func TestWithheldIsGone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		status := map[string]any{"x": valueGen(4).Draw(t, "status")}
		c := ctx()
		path := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "*", "name"}), 1, 4).Draw(t, "path")
		c.Withhold = [][]string{append([]string{"x"}, path...)}
		got := Status(status, c)
		if found := at(got, c.Withhold[0]); found {
			t.Fatalf("%v is still in %v", c.Withhold[0], got)
		}
	})
}

func at(v any, path []string) bool {
	if len(path) == 0 {
		return true
	}
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if (path[0] == "*" || path[0] == name) && at(member, path[1:]) {
				return true
			}
		}
	case []any:
		for _, item := range v {
			if path[0] == "*" && at(item, path[1:]) {
				return true
			}
		}
	}
	return false
}

func BenchmarkStatus(b *testing.B) {
	raw := `{"replicas":3,"conditions":[{"type":"Available","status":"True","lastTransitionTime":"2026-08-03T09:14:27Z","message":"m"},{"type":"Progressing","status":"True","lastTransitionTime":"2026-08-03T09:14:27Z","message":"m"}]}`
	s, c := parse(b, raw), ctx()
	b.ReportAllocs()
	for b.Loop() {
		Status(s, c)
	}
}
