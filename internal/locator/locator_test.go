package locator

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// The vectors that kcp's own tests hold, and api-syncagent's.
const (
	vectorLocator   = `{"syncTarget":{"cluster":"root:org:ws","name":"us-west1","uid":"syncTargetUID"},"cluster":"root:org:ws","namespace":"test"}`
	vectorKey       = "6ohB8yeXhwqTQVuBzJRgqcRJTpRjX7yTZu5g5g"
	vectorNamespace = "kcp-33jbiactwhg0"
	vectorTenant    = "9Fn3Q4y5UDPmCOrYCujwdgCbD9SwOcKdcefYE7"
)

var (
	usWest      = Target{Name: "us-west1", Cluster: "root:org:ws", UID: "syncTargetUID", Workspaces: []ref.Workspace{"root:org:ws"}}
	deployments = ref.Resource{Group: "apps", Version: "v1", Resource: "deployments"}
	configMaps  = ref.Resource{Version: "v1", Resource: "configmaps"}
	secrets     = ref.Resource{Version: "v1", Resource: "secrets"}
	namespaces  = ref.Resource{Version: "v1", Resource: "namespaces"}
	volumes     = ref.Resource{Version: "v1", Resource: "persistentvolumes"}
)

func resolver(t testing.TB, target Target, styles ...string) *Resolver {
	t.Helper()
	r, err := New(styles, target)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestGoldenVectors(t *testing.T) {
	if got := usWest.Key(); got != vectorKey {
		t.Errorf("key %s, want %s", got, vectorKey)
	}
	r := resolver(t, usWest, NamespaceLocator)
	got, err := r.DownNamespace("root:org:ws", "test")
	want := Namespace{
		Name:        vectorNamespace,
		Labels:      map[string]string{"internal.workload.kcp.io/cluster": vectorKey, "kcp.io/tenant-id": vectorTenant},
		Annotations: map[string]string{"kcp.io/namespace-locator": vectorLocator},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got, want := agentHash("my-test-thing"), "c346c8ceb5d104cc783d09b95e8ea7032c190948"; got != want {
		t.Errorf("api-syncagent's hash %s, want %s", got, want)
	}
}

func TestPlacement(t *testing.T) {
	labels := map[string]string{
		"state.workload.kcp.io/c": "Sync", "state.workload.kcp.io/pending": "", "state.workload.kcp.io/up": "Upsync",
		"state.workload.kcp.dev/a": "Sync", "state.workload.kcp.dev/c": "", "state.workload.kcp.dev/pending": "Sync", "app": "Sync",
	}
	if got, want := PlacedKeys(labels), []string{"a", "c"}; !slices.Equal(got, want) {
		t.Errorf("placed on %v, want %v", got, want)
	}
	for key, want := range map[string]bool{"a": true, "c": true, "pending": false, "up": false, "none": false} {
		if got := Placed(labels, key); got != want {
			t.Errorf("Placed(%q) = %v", key, got)
		}
	}
	if PlacedKeys(nil) != nil || PlacementLabel("k") != "state.workload.kcp.io/k" {
		t.Error("no labels place an object somewhere, or the label is another")
	}
	if !usWest.Bound("root:org:ws") || usWest.Bound("root:org") {
		t.Error("Bound")
	}
}

func TestNew(t *testing.T) {
	for _, c := range []struct {
		styles []string
		target Target
		want   string // in the error; empty: none
	}{
		{styles: Styles()},
		{styles: nil},
		{styles: []string{"Prefix", "prefix"}, want: `unknown locator style "prefix": use NamespaceLocator, Prefix, SyncAgent`},
		{styles: []string{"Prefix", "Prefix"}, want: "twice"},
		{styles: []string{"Prefix"}, target: Target{Workspaces: []ref.Workspace{"syncer"}}, want: "kcp's own"},
		{styles: []string{"Prefix"}, target: Target{Workspaces: []ref.Workspace{"syncer-a"}}, want: "kcp's own"},
		{styles: []string{"NamespaceLocator"}, target: Target{Workspaces: []ref.Workspace{"syncer"}}},
		{styles: []string{SyncAgent}, target: Target{Workspaces: []ref.Workspace{"a"}}},
		{styles: []string{SyncAgent}, target: Target{Workspaces: []ref.Workspace{"a", "b"}}, want: "SyncAgent={cluster}"},
		{styles: []string{NamespaceLocator, SyncAgent}, target: Target{Workspaces: []ref.Workspace{All}}, want: "several workspaces"},
		{styles: []string{SyncAgentIn("{cluster}")}, target: Target{Workspaces: []ref.Workspace{"a", "b"}}},
		{styles: []string{SyncAgentIn("x-{cluster}-{namespace}")}, target: Target{Workspaces: []ref.Workspace{All}}},
		{styles: []string{SyncAgentIn("{namespaceHash}{cluster}")}},
		{styles: []string{SyncAgentIn("{namespace}-{cluster}")}},
		{styles: []string{SyncAgentIn("all")}, want: "once"},
		{styles: []string{SyncAgentIn("")}, want: "once"},
		{styles: []string{SyncAgentIn("{cluster}-{cluster}")}, want: "once"},
		{styles: []string{SyncAgentIn("{cluster}{namespace}")}, want: "dash"},
		{styles: []string{SyncAgentIn("{cluster}x-{namespace}")}, want: "dash"},
		{styles: []string{SyncAgentIn("{namespace}-x{cluster}")}, want: "dash"},
		{styles: []string{SyncAgentIn("{cluster}-{namespace}-{namespace}")}, want: "at most once"},
		{styles: []string{SyncAgentIn("{cluster}-{name}")}, want: "unknown field"},
		{styles: []string{SyncAgentIn("{cluster}/x")}, want: "names of Namespaces"},
		{styles: []string{SyncAgent, SyncAgentIn("{cluster}")}, want: "twice"},
	} {
		_, err := New(c.styles, c.target)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.styles, err, c.want)
		}
	}
}

func located(name, annotation string) Namespace {
	return Namespace{Name: name, Annotations: map[string]string{locatorAnnotation: annotation}}
}

// reasonOf names an error of Object as the tables do.
func reasonOf(err error) string {
	if e := (*IdentityError)(nil); errors.As(err, &e) {
		return e.Reason
	}
	switch {
	case errors.Is(err, ErrForeign):
		return "foreign"
	case errors.Is(err, ErrUnknownNamespace):
		return "unknown"
	}
	return ""
}

func TestNamespaceLocator(t *testing.T) {
	old := strings.Replace(vectorLocator, `"cluster"`, `"path"`, 1)
	with := func(from, to string) Namespace {
		s := strings.ReplaceAll(vectorLocator, from, to)
		if s == vectorLocator {
			t.Fatalf("%q is not in the locator", from)
		}
		return located(namespaceName(s), s)
	}
	test := ref.Upstream{Workspace: "root:org:ws", Namespace: "test", Name: "web"}
	r := resolver(t, usWest, NamespaceLocator, Prefix)
	for name, c := range map[string]struct {
		ns     Namespace
		labels map[string]string
		want   ref.Upstream
		reason string
	}{
		"as kcp writes it":     {ns: located(vectorNamespace, vectorLocator), want: test},
		"as kcp v0.6 did":      {ns: located(namespaceName(old), old), want: test},
		"in another workspace": {ns: with(`"cluster":"root:org:ws","namespace"`, `"cluster":"10r1v0sg7mfe0frx","namespace"`), want: ref.Upstream{Workspace: "10r1v0sg7mfe0frx", Namespace: "test", Name: "web"}},
		"with its label":       {ns: located(vectorNamespace, vectorLocator), labels: map[string]string{clusterLabel: vectorKey}, want: test},

		"without a locator":               {ns: Namespace{Name: "team"}, reason: "foreign"},
		"kcp's name, without a locator":   {ns: Namespace{Name: vectorNamespace}, reason: "foreign"},
		"a syncer's Namespace":            {ns: Namespace{Name: "kcp-syncer-us-west1-1a2b3c"}, reason: "foreign"},
		"another name":                    {ns: located("kcp-33jbiactwhg1", vectorLocator), reason: NameMismatch},
		"no kcp name":                     {ns: located("test", vectorLocator), reason: NameMismatch},
		"the old name, the new locator":   {ns: located(namespaceName(old), vectorLocator), reason: NameMismatch},
		"another SyncTarget's name":       {ns: with("us-west1", "us-west2"), reason: OtherSyncTarget},
		"another SyncTarget's UID":        {ns: with("syncTargetUID", "other"), reason: OtherSyncTarget},
		"another SyncTarget's cluster":    {ns: with(`{"cluster":"root:org:ws"`, `{"cluster":"root:org"`), reason: OtherSyncTarget},
		"no SyncTarget cluster":           {ns: with(`{"cluster":"root:org:ws",`, `{`), reason: OtherSyncTarget},
		"both cluster and path":           {ns: with(`{"cluster"`, `{"path":"root:org:ws","cluster"`), reason: Malformed},
		"another object's label":          {ns: located(vectorNamespace, vectorLocator), labels: map[string]string{clusterLabel: "other"}, reason: OtherSyncTarget},
		"with a space":                    {ns: with(`,"namespace"`, `, "namespace"`), reason: Malformed},
		"with one member more":            {ns: with(`"namespace":"test"`, `"namespace":"test","x":1`), reason: Malformed},
		"with a member twice":             {ns: with(`"namespace":"test"`, `"namespace":"a","namespace":"test"`), reason: Malformed},
		"in another order":                {ns: with(`"cluster":"root:org:ws","namespace":"test"`, `"namespace":"test","cluster":"root:org:ws"`), reason: Malformed},
		"with an escape":                  {ns: with(`"test"`, `"\u0074est"`), reason: Malformed},
		"not JSON":                        {ns: located(namespaceName("{"), "{"), reason: Malformed},
		"empty":                           {ns: located(namespaceName(""), ""), reason: Malformed},
		"no workspace":                    {ns: with(`"cluster":"root:org:ws","namespace"`, `"cluster":"","namespace"`), reason: BadName},
		"all workspaces":                  {ns: with(`"cluster":"root:org:ws","namespace"`, `"cluster":"*","namespace"`), reason: BadName},
		"a workspace that is a way out":   {ns: with(`"cluster":"root:org:ws","namespace"`, `"cluster":"a/../b","namespace"`), reason: BadName},
		"a path that ends in a colon":     {ns: with(`"cluster":"root:org:ws","namespace"`, `"cluster":"root:","namespace"`), reason: BadName},
		"a namespace that is a way out":   {ns: with(`"test"`, `"../x"`), reason: BadName},
		"no namespace":                    {ns: with(`"test"`, `""`), reason: BadName},
		"a namespace in the prefix style": {ns: Namespace{Name: "kcp-root-org-ws-test"}, want: test},
	} {
		t.Run(name, func(t *testing.T) {
			l := r.Namespace(c.ns)
			got, err := r.Object(l, deployments, &ref.Object{Namespace: c.ns.Name, Name: "web", Labels: c.labels})
			if got != c.want || reasonOf(err) != c.reason {
				t.Errorf("%v, %v; want %v, %q", got, err, c.want, c.reason)
			}
			if foreign := r.Foreign(l); foreign != (c.reason == "foreign") {
				t.Errorf("Foreign: %v", foreign)
			}
			if !l.Equal(r.Namespace(c.ns)) || l.Equal(Location{}) {
				t.Error("a Location is not equal to itself, or to an unknown one")
			}
		})
	}
}

func TestUIDIsCheckedOnlyIfKnown(t *testing.T) {
	unknown := usWest
	unknown.UID = ""
	l := resolver(t, unknown, NamespaceLocator).Namespace(located(vectorNamespace, vectorLocator))
	if w, ns, ok := l.Upstream(); !ok || w != "root:org:ws" || ns != "test" {
		t.Errorf("%q %q %v", w, ns, ok)
	}
}

func TestUnknownNamespace(t *testing.T) {
	r := resolver(t, usWest, NamespaceLocator, SyncAgent)
	if _, err := r.Object(Location{}, deployments, &ref.Object{Namespace: "a", Name: "b"}); !errors.Is(err, ErrUnknownNamespace) {
		t.Errorf("%v", err)
	}
	if r.Foreign(Location{}) || r.Foreign(r.Namespace(Namespace{Name: "a"})) {
		t.Error("an unknown Namespace, or one whose objects may have api-syncagent's labels, is foreign")
	}
}

func TestClusterScoped(t *testing.T) {
	ours := strings.Replace(vectorLocator, `"test"`, `""`, 1)
	others := strings.Replace(ours, "us-west1", "us-west2", 1)
	r := resolver(t, usWest, Prefix, NamespaceLocator)
	for name, c := range map[string]struct {
		resource    ref.Resource
		name        string
		annotations map[string]string
		want        ref.Upstream
		reason      string
	}{
		"with a locator":             {resource: volumes, name: "disk", annotations: map[string]string{locatorAnnotation: ours}, want: ref.Upstream{Workspace: "root:org:ws", Name: "disk"}},
		"another SyncTarget's":       {resource: volumes, name: "disk", annotations: map[string]string{locatorAnnotation: others}, reason: OtherSyncTarget},
		"a Namespace's locator":      {resource: volumes, name: vectorNamespace, annotations: map[string]string{locatorAnnotation: vectorLocator}, reason: NameMismatch},
		"none":                       {resource: volumes, name: "disk", reason: "foreign"},
		"a Namespace":                {resource: namespaces, name: vectorNamespace, annotations: map[string]string{locatorAnnotation: vectorLocator}, want: ref.Upstream{Workspace: "root:org:ws", Name: "test"}},
		"a Namespace of another":     {resource: namespaces, name: "kcp-33jbiactwhg1", annotations: map[string]string{locatorAnnotation: vectorLocator}, reason: NameMismatch},
		"a Namespace with a prefix":  {resource: namespaces, name: "kcp-root-org-ws-a", want: ref.Upstream{Workspace: "root:org:ws", Name: "a"}},
		"a Namespace of the cluster": {resource: namespaces, name: "default", reason: "foreign"},
	} {
		o := &ref.Object{Name: c.name, Annotations: c.annotations}
		got, err := r.Object(r.ClusterScoped(o), c.resource, o)
		if got != c.want || reasonOf(err) != c.reason {
			t.Errorf("%s: %v, %v; want %v, %q", name, got, err, c.want, c.reason)
		}
	}
}

func TestPrefix(t *testing.T) {
	one := []ref.Workspace{"a"}
	two := []ref.Workspace{"a", "a-b", "root:x", "root-y"}
	for _, c := range []struct {
		workspaces []ref.Workspace
		namespace  string
		want       string // workspace|namespace, or the reason
	}{
		{two, "kcp-a-web", "a|web"},
		{two, "kcp-a-b-web", Ambiguous},
		{two, "kcp-a-b", "a|b"},
		{two, "kcp-root-x-web", "root:x|web"},
		{two, "kcp-root-web", "foreign"},
		{two, "kcp-c-web", "foreign"},
		{two, "kcp-a-", "foreign"},
		{two, "kcp-a", "foreign"},
		{two, "web", "foreign"},
		{two, "kcp-syncer-a-1", "foreign"},
		{[]ref.Workspace{"root:x", "root-x"}, "kcp-root-x-web", Ambiguous},
		{[]ref.Workspace{"root:x", "root-x", "root:x-web"}, "kcp-root-x-web-1", Ambiguous},
		{[]ref.Workspace{"a-b", "a"}, "kcp-a-b-c", Ambiguous},
		{[]ref.Workspace{"a-b", "a", "a-b"}, "kcp-a-c", "a|c"},
		{[]ref.Workspace{"a", "ab"}, "kcp-ab-c", "ab|c"},
		{one, "web", "a|web"},
		{one, "default", "a|default"},
		{one, "kcp-a-web", "a|web"},
		{one, "kcp-b-web", "foreign"},
		{one, "kcp-33jbiactwhg0", "foreign"},
		{one, "kcp-syncer-a-1", "foreign"},
		{one, "kube-system", "foreign"},
		{one, "kube-public", "foreign"},
		{one, "kube-node-lease", "foreign"},
		{[]ref.Workspace{""}, "web", "web"},
		{[]ref.Workspace{""}, "kcp--web", "foreign"},
		{nil, "web", "foreign"},
	} {
		r := resolver(t, Target{Name: "t", Workspaces: c.workspaces}, Prefix)
		u, err := r.Object(r.Namespace(Namespace{Name: c.namespace}), deployments, &ref.Object{Namespace: c.namespace, Name: "n"})
		got := reasonOf(err)
		if err == nil {
			got = strings.TrimSuffix(strings.Replace(u.String(), "/n", "", 1), "/n")
		}
		if got != c.want {
			t.Errorf("%s of %v: %s, want %s", c.namespace, c.workspaces, got, c.want)
		}
	}
}

func TestPassThrough(t *testing.T) {
	hub := Target{Name: "t", Workspaces: []ref.Workspace{""}}
	one := Target{Name: "t", Cluster: "root", Workspaces: []ref.Workspace{"a"}}
	two := Target{Name: "t", Workspaces: []ref.Workspace{"a", "b"}}
	for name, c := range map[string]struct {
		target   Target
		styles   []string
		resource ref.Resource
		object   ref.Object
		want     bool
	}{
		"one workspace":                      {one, []string{Prefix}, deployments, ref.Object{Namespace: "web", Name: "n"}, true},
		"one workspace, beside locators":     {one, []string{NamespaceLocator, Prefix}, deployments, ref.Object{Namespace: "web", Name: "n"}, false},
		"two workspaces":                     {two, []string{Prefix}, deployments, ref.Object{Namespace: "web", Name: "n"}, false},
		"a plain hub, beside locators":       {hub, []string{NamespaceLocator, Prefix}, deployments, ref.Object{Namespace: "web", Name: "n"}, true},
		"a plain hub, without the style":     {hub, []string{NamespaceLocator}, deployments, ref.Object{Namespace: "web", Name: "n"}, false},
		"cluster-scoped":                     {one, []string{Prefix}, volumes, ref.Object{Name: "disk"}, true},
		"cluster-scoped, two workspaces":     {two, []string{Prefix}, volumes, ref.Object{Name: "disk"}, false},
		"cluster-scoped, the cluster's own":  {one, []string{Prefix}, volumes, ref.Object{Name: "system:x"}, false},
		"cluster-scoped, Kubernetes' own":    {one, []string{Prefix}, namespaces, ref.Object{Name: "kube-system"}, false},
		"a Namespace":                        {one, []string{Prefix}, namespaces, ref.Object{Name: "default"}, true},
		"the cluster's own Service":          {one, []string{Prefix}, ref.Resource{Version: "v1", Resource: "services"}, ref.Object{Namespace: "default", Name: "kubernetes"}, false},
		"a Service of that name elsewhere":   {one, []string{Prefix}, ref.Resource{Version: "v1", Resource: "services"}, ref.Object{Namespace: "web", Name: "kubernetes"}, true},
		"the cluster's own root certificate": {one, []string{Prefix}, configMaps, ref.Object{Namespace: "web", Name: "kube-root-ca.crt"}, false},
	} {
		r := resolver(t, c.target, c.styles...)
		l := r.ClusterScoped(&c.object)
		if c.object.Namespace != "" {
			l = r.Namespace(Namespace{Name: c.object.Namespace})
		}
		got, err := r.Object(l, c.resource, &c.object)
		want := ref.Upstream{Workspace: c.target.Workspaces[0], Namespace: c.object.Namespace, Name: c.object.Name}
		if (err == nil) != c.want || err == nil && got != want || err != nil && !errors.Is(err, ErrForeign) {
			t.Errorf("%s: %v, %v; want %v, %v", name, got, err, want, c.want)
		}
	}
}

func TestSyncAgent(t *testing.T) {
	labels := map[string]string{agentClusterLabel: "10r1v0sg7mfe0frx", agentNamespaceHashLabel: agentHash("team"), agentNameHashLabel: agentHash("web")}
	annotations := map[string]string{agentNamespaceAnnotation: "team", agentNameAnnotation: "web"}
	target := usWest
	target.Workspaces = []ref.Workspace{"10r1v0sg7mfe0frx"}
	change := func(m map[string]string, key, value string) map[string]string {
		changed := map[string]string{}
		for k, v := range m {
			changed[k] = v
		}
		if value == "" {
			delete(changed, key)
		} else {
			changed[key] = value
		}
		return changed
	}
	without := func(m map[string]string, key string) map[string]string { return change(m, key, "") }
	for name, c := range map[string]struct {
		labels, annotations map[string]string
		want                ref.Upstream
		reason              string
	}{
		"namespaced":               {labels: labels, annotations: annotations, want: ref.Upstream{Workspace: "10r1v0sg7mfe0frx", Namespace: "team", Name: "web"}},
		"cluster-scoped":           {labels: without(labels, agentNamespaceHashLabel), annotations: without(annotations, agentNamespaceAnnotation), want: ref.Upstream{Workspace: "10r1v0sg7mfe0frx", Name: "web"}},
		"another's":                {reason: "foreign"},
		"another name":             {labels: labels, annotations: change(annotations, agentNameAnnotation, "db"), reason: NameMismatch},
		"another namespace":        {labels: labels, annotations: change(annotations, agentNamespaceAnnotation, "other"), reason: NameMismatch},
		"a namespace less":         {labels: labels, annotations: without(annotations, agentNamespaceAnnotation), reason: NameMismatch},
		"a namespace more":         {labels: without(labels, agentNamespaceHashLabel), annotations: annotations, reason: NameMismatch},
		"no name":                  {labels: labels, annotations: without(annotations, agentNameAnnotation), reason: BadName},
		"a name that is a way out": {labels: change(labels, agentNameHashLabel, agentHash("../x")), annotations: change(annotations, agentNameAnnotation, "../x"), reason: BadName},
		"a name too long": {labels: change(labels, agentNameHashLabel, agentHash(strings.Repeat("x", 254))),
			annotations: change(annotations, agentNameAnnotation, strings.Repeat("x", 254)), reason: BadName},
		"all workspaces": {labels: change(labels, agentClusterLabel, "*"), annotations: annotations, reason: BadName},
	} {
		for _, styles := range [][]string{{SyncAgent}, {NamespaceLocator, SyncAgent}, {SyncAgent, NamespaceLocator}} {
			r := resolver(t, target, styles...)
			o := &ref.Object{Namespace: "anything", Name: "by-template", Labels: c.labels, Annotations: c.annotations}
			got, err := r.Object(r.Namespace(Namespace{Name: "anything"}), deployments, o)
			if got != c.want || reasonOf(err) != c.reason {
				t.Errorf("%s, %v: %v, %v; want %v, %q", name, styles, got, err, c.want, c.reason)
			}
		}
	}
	// In a Namespace with a locator, the first style with evidence decides.
	o := &ref.Object{Namespace: vectorNamespace, Name: "n", Labels: labels, Annotations: annotations}
	for want, styles := range map[string][]string{"root:org:ws|test/n": {NamespaceLocator, SyncAgent}, "10r1v0sg7mfe0frx|team/web": {SyncAgent, NamespaceLocator}} {
		r := resolver(t, target, styles...)
		if got, err := r.Object(r.Namespace(located(vectorNamespace, vectorLocator)), deployments, o); err != nil || got.String() != want {
			t.Errorf("%v: %v, %v; want %s", styles, got, err, want)
		}
	}
}

// TestSyncAgentClaimsAreProved: an object speaks for a workspace only from the Namespace that follows from its claim.
func TestSyncAgentClaimsAreProved(t *testing.T) {
	claim := func(w, namespace, in string) *ref.Object {
		o := &ref.Object{Namespace: in, Name: "n", Labels: map[string]string{agentClusterLabel: w, agentNameHashLabel: agentHash("web")},
			Annotations: map[string]string{agentNameAnnotation: "web"}}
		if namespace != "" {
			o.Labels[agentNamespaceHashLabel], o.Annotations[agentNamespaceAnnotation] = agentHash(namespace), namespace
		}
		return o
	}
	both := []ref.Workspace{"mallory", "ann", "a", "a-b"}
	for name, c := range map[string]struct {
		style      string
		workspaces []ref.Workspace
		o          *ref.Object
		reason     string
	}{
		"by the template":                    {SyncAgentIn("{cluster}"), both, claim("ann", "team", "ann"), ""},
		"from another Namespace":             {SyncAgentIn("{cluster}"), both, claim("ann", "team", "mallory"), NameMismatch},
		"from a Namespace of no workspace":   {SyncAgentIn("{cluster}"), both, claim("ann", "team", "default"), NameMismatch},
		"with the namespace":                 {SyncAgentIn("{cluster}-{namespace}"), both, claim("ann", "team", "ann-team"), ""},
		"with another namespace":             {SyncAgentIn("{cluster}-{namespace}"), both, claim("ann", "other", "ann-team"), NameMismatch},
		"a name that two could share":        {SyncAgentIn("{cluster}-{namespace}"), both, claim("a-b", "c", "a-b-c"), NameMismatch},
		"the other of the two":               {SyncAgentIn("{cluster}-{namespace}"), both, claim("a", "b-c", "a-b-c"), ""},
		"without a namespace":                {SyncAgentIn("{cluster}-{namespace}"), both, claim("ann", "", "ann-"), NameMismatch},
		"with the hash":                      {SyncAgentIn("{cluster}-{namespaceHash}"), both, claim("a-b", "c", "a-b-"+agentHash("c")), ""},
		"cluster-scoped, several workspaces": {SyncAgentIn("{cluster}"), both, claim("ann", "", ""), NameMismatch},
		"cluster-scoped, one workspace":      {SyncAgentIn("{cluster}"), both[1:2], claim("ann", "", ""), ""},
		"no template, the one workspace":     {SyncAgent, both[1:2], claim("ann", "team", "any"), ""},
		"no template, another workspace":     {SyncAgent, both[1:2], claim("mallory", "team", "any"), NameMismatch},
		"no workspace: the default naming":   {SyncAgent, nil, claim("ann", "team", "ann"), ""},
		"no workspace: another Namespace":    {SyncAgent, nil, claim("ann", "team", "any"), NameMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			r := resolver(t, Target{Name: "t", Workspaces: c.workspaces}, c.style)
			if got, err := r.Object(r.Namespace(Namespace{Name: c.o.Namespace}), deployments, c.o); reasonOf(err) != c.reason {
				t.Errorf("%v, %v; want %q", got, err, c.reason)
			}
		})
	}
}

func TestRenamedObjects(t *testing.T) {
	r := resolver(t, usWest, NamespaceLocator)
	for _, c := range []struct {
		resource ref.Resource
		up, down string
	}{
		{configMaps, "kube-root-ca.crt", "kcp-root-ca.crt"},
		{secrets, "default-token-x1", "kcp-default-token-x1"},
		{configMaps, "settings", "settings"},
		{secrets, "kube-root-ca.crt", "kube-root-ca.crt"},
		{deployments, "kcp-root-ca.crt", "kcp-root-ca.crt"},
	} {
		d, err := r.DownObject(c.resource, ref.Upstream{Workspace: "root:org:ws", Namespace: "test", Name: c.up})
		if err != nil || d.Name != c.down || NameUp(c.resource, c.down) != c.up {
			t.Errorf("%s: downstream %s, %v; and back %s", c.up, d.Name, err, NameUp(c.resource, c.down))
		}
	}
	l := r.Namespace(located(vectorNamespace, vectorLocator))
	for _, o := range []struct {
		resource ref.Resource
		name     string
	}{{configMaps, "kube-root-ca.crt"}, {secrets, "default-token-x1"}} {
		if u, err := r.Object(l, o.resource, &ref.Object{Namespace: vectorNamespace, Name: o.name}); !errors.Is(err, ErrForeign) {
			t.Errorf("%s is the cluster's own, but was taken for %v, %v", o.name, u, err)
		}
		if NameUp(o.resource, o.name) != o.name {
			t.Errorf("%s was renamed", o.name)
		}
	}
}

func TestWant(t *testing.T) {
	for name, c := range map[string]struct {
		styles             []string
		objects, namespace ref.Want
	}{
		"kcp": {[]string{NamespaceLocator}, ref.Want{Selector: "internal.workload.kcp.io/cluster=" + vectorKey,
			Labels: []string{clusterLabel}, Annotations: []string{locatorAnnotation}}, ref.Want{Annotations: []string{locatorAnnotation}}},
		"prefix": {[]string{Prefix}, ref.Want{}, ref.Want{}},
		"agent": {[]string{SyncAgent}, ref.Want{Selector: "syncagent.kcp.io/remote-object-cluster", Labels: []string{agentClusterLabel, agentNamespaceHashLabel, agentNameHashLabel},
			Annotations: []string{agentNamespaceAnnotation, agentNameAnnotation}}, ref.Want{}},
		"two": {[]string{Prefix, NamespaceLocator}, ref.Want{Labels: []string{clusterLabel}, Annotations: []string{locatorAnnotation}},
			ref.Want{Annotations: []string{locatorAnnotation}}},
	} {
		r := resolver(t, usWest, c.styles...)
		if diff := cmp.Diff(c.objects, r.Want()) + cmp.Diff(c.namespace, r.NamespaceWant()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestDownRefuses(t *testing.T) {
	workspaces := []ref.Workspace{"a", "a-b"}
	for name, c := range map[string]struct {
		styles []string
		target Target
		u      ref.Upstream
	}{
		"no style":                        {nil, usWest, ref.Upstream{Workspace: "a", Namespace: "b", Name: "n"}},
		"no style, cluster-scoped":        {nil, usWest, ref.Upstream{Workspace: "a", Name: "n"}},
		"a name that is another's":        {[]string{Prefix}, Target{Workspaces: workspaces}, ref.Upstream{Workspace: "a", Namespace: "b-c", Name: "n"}},
		"a workspace that is not bound":   {[]string{Prefix}, Target{Workspaces: workspaces}, ref.Upstream{Workspace: "c", Namespace: "d", Name: "n"}},
		"a name too long":                 {[]string{Prefix}, Target{Workspaces: workspaces}, ref.Upstream{Workspace: "a", Namespace: strings.Repeat("x", 60), Name: "n"}},
		"cluster-scoped, two workspaces":  {[]string{Prefix}, Target{Workspaces: workspaces}, ref.Upstream{Workspace: "a", Name: "n"}},
		"a name that may be another's":    {[]string{Prefix}, Target{Workspaces: workspaces}, ref.Upstream{Workspace: "a-b", Namespace: "c", Name: "n"}},
		"a path, by api-syncagent":        {[]string{SyncAgent}, usWest, ref.Upstream{Workspace: "root:a", Namespace: "b", Name: "n"}},
		"a bad namespace, to the agent":   {[]string{SyncAgent}, usWest, ref.Upstream{Workspace: "a", Namespace: "B", Name: "n"}},
		"a bad namespace":                 {[]string{NamespaceLocator}, usWest, ref.Upstream{Workspace: "a", Namespace: "../b", Name: "n"}},
		"a bad workspace, cluster-scoped": {[]string{NamespaceLocator}, usWest, ref.Upstream{Workspace: "*", Name: "n"}},
		"the name of a renamed one":       {[]string{Prefix}, Target{Workspaces: workspaces}, ref.Upstream{Workspace: "a", Namespace: "b", Name: "kcp-root-ca.crt"}},
	} {
		if d, err := resolver(t, c.target, c.styles...).DownObject(configMaps, c.u); err == nil {
			t.Errorf("%s: went down as %v", name, d)
		}
	}
}
