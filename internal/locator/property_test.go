package locator

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/upstreamd/upstreamd/internal/ref"
)

var nameGen = rapid.StringMatching(`[a-z]([a-z0-9-]{0,12}[a-z0-9])?`)

// TestForwardAndReverseAreInverse: an object that goes down comes back as itself.
func TestForwardAndReverseAreInverse(t *testing.T) {
	resources := []ref.Resource{deployments, configMaps, secrets}
	rapid.Check(t, func(t *rapid.T) {
		style := rapid.SampledFrom(Styles()).Draw(t, "style")
		segments := 2
		if style == SyncAgent {
			segments = 0
		}
		workspace := nameGen.Draw(t, "workspace")
		for range rapid.IntRange(0, segments).Draw(t, "depth") {
			workspace += ":" + nameGen.Draw(t, "segment")
		}
		u := ref.Upstream{
			Workspace: ref.Workspace(workspace),
			Namespace: nameGen.Draw(t, "namespace"),
			Name:      rapid.OneOf(nameGen, rapid.SampledFrom([]string{"kube-root-ca.crt", "default-token-a"})).Draw(t, "name"),
		}
		target := Target{Name: ref.SyncTarget(nameGen.Draw(t, "target")), Cluster: "root:" + nameGen.Draw(t, "cluster"), UID: rapid.String().Draw(t, "uid"),
			Workspaces: []ref.Workspace{u.Workspace, ref.Workspace(nameGen.Draw(t, "another workspace"))}}
		r, err := New([]string{style}, target)
		if err != nil {
			return // a workspace that the style can't serve
		}
		resource := rapid.SampledFrom(resources).Draw(t, "resource")
		ns, err := r.DownNamespace(u.Workspace, u.Namespace)
		if err != nil {
			if style == NamespaceLocator {
				t.Fatal(err)
			}
			return // prefixes may meet
		}
		d, err := r.DownObject(resource, u)
		if err != nil {
			t.Fatal(err)
		}
		back, err := r.Object(r.Namespace(ns), resource, &ref.Object{Namespace: d.Namespace, Name: d.Name, Labels: d.Labels, Annotations: d.Annotations})
		if err != nil || back != u {
			t.Fatalf("%v went down as %v in %v and came back as %v, %v", u, d, ns, back, err)
		}
	})
}

// TestOneNamePerNamespace: a Namespace with any annotation counts as an upstream namespace only under that namespace's one name (one more
// for kcp v0.6). So the owner of other Namespaces cannot claim it.
func TestOneNamePerNamespace(t *testing.T) {
	r := resolver(t, usWest, NamespaceLocator)
	rapid.Check(t, func(t *rapid.T) {
		small := rapid.SampledFrom([]string{"root:org:ws", "us-west1", "syncTargetUID", "test", "", "root:other", "x"})
		members := map[string]any{"cluster": small.Draw(t, "cluster"), "namespace": small.Draw(t, "namespace"), "syncTarget": map[string]any{
			rapid.SampledFrom([]string{"cluster", "path", "Cluster"}).Draw(t, "key"): small.Draw(t, "target's cluster"), "name": small.Draw(t, "target"), "uid": small.Draw(t, "uid"),
		}}
		raw, err := json.Marshal(members) // sorted, as Go does: not as kcp writes it
		if err != nil {
			t.Fatal(err)
		}
		locator := string(raw)
		if rapid.Bool().Draw(t, "as kcp writes it") {
			var a annotation
			if err := json.Unmarshal(raw, &a); err != nil {
				t.Fatal(err)
			}
			locator = a.String()
		}
		name := rapid.SampledFrom([]string{namespaceName(locator), vectorNamespace, "test"}).Draw(t, "name")
		w, namespace, ok := r.Namespace(located(name, locator)).Upstream()
		if !ok {
			return
		}
		honest := r.annotationFor(w, namespace)
		old := honest
		old.SyncTarget.Path, old.SyncTarget.Cluster = old.SyncTarget.Cluster, ""
		if name != namespaceName(honest.String()) && name != namespaceName(old.String()) {
			t.Fatalf("%s with %s was taken for %s|%s", name, locator, w, namespace)
		}
	})
}

// TestForgeries: three tenants share a SyncTarget. One of them writes any marks on its own Namespaces and objects, and makes Namespaces of
// any name that is not taken. 10,000 attempts, none of which resolves to an object of a neighbour; as many honest objects all do to their own.
func TestForgeries(t *testing.T) {
	target := Target{Name: "us-east1", Cluster: "root:infra", UID: "9b1d", Workspaces: []ref.Workspace{"root:mallory", "root:ann", "root:bob", "root:bobby"}}
	for _, styles := range [][]string{{NamespaceLocator}, {Prefix}, {NamespaceLocator, Prefix}, {Prefix, NamespaceLocator}} {
		t.Run(fmt.Sprint(styles), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(1, 2))
			r := resolver(t, target, styles...)
			both := []*Resolver{resolver(t, target, NamespaceLocator), resolver(t, target, Prefix)}
			taken := map[string]ref.Upstream{} // by Namespace name
			var honest []Namespace
			for _, w := range target.Workspaces {
				for i := range 20 {
					for j, way := range both {
						ns, err := way.DownNamespace(w, fmt.Sprintf("ns-%d", i))
						if err != nil {
							t.Fatal(err)
						}
						taken[ns.Name] = ref.Upstream{Workspace: w, Namespace: fmt.Sprintf("ns-%d", i)}
						if len(styles) == 2 || both[j].styles[0] == styles[0] {
							honest = append(honest, ns)
						}
					}
				}
			}
			for n := range 10_000 {
				ns := honest[n%len(honest)]
				got, err := r.Object(r.Namespace(ns), deployments, &ref.Object{Namespace: ns.Name, Name: "web"})
				if want := taken[ns.Name]; err != nil || got.Workspace != want.Workspace || got.Namespace != want.Namespace {
					t.Fatalf("honest %v: %v, %v", ns, got, err)
				}
				forged, owner := forge(rnd, honest, taken)
				o := &ref.Object{Namespace: forged.Name, Name: "web", Labels: forged.Labels, Annotations: forged.Annotations}
				got, err = r.Object(r.Namespace(forged), deployments, o)
				if err != nil {
					continue
				}
				if victim := got; victim.Workspace != "root:mallory" && (owner == nil || victim.Workspace != owner.Workspace || victim.Namespace != owner.Namespace) && known(victim, taken) {
					t.Fatalf("forged %v was taken for %v", forged, got)
				}
			}
		})
	}
}

func known(u ref.Upstream, taken map[string]ref.Upstream) bool {
	u.Name = ""
	for _, t := range taken {
		if t == u {
			return true
		}
	}
	return false
}

// forge makes a Namespace with a forged mark. It has a name of mallory's or a free one; owner is the owner of the name.
func forge(rnd *rand.Rand, honest []Namespace, taken map[string]ref.Upstream) (Namespace, *ref.Upstream) {
	victim := honest[rnd.IntN(len(honest))]
	forged := Namespace{Name: victim.Name, Labels: maps.Clone(victim.Labels), Annotations: maps.Clone(victim.Annotations)}
	var a annotation
	if json.Unmarshal([]byte(victim.Annotations[locatorAnnotation]), &a) == nil {
		some := []string{"root:ann", "root:bob", "root:mallory", "ns-1", "ns-2", "us-east1", "us-west1", "root:infra", "9b1d", "", "*"}
		for _, member := range []*string{&a.Cluster, &a.Namespace, &a.SyncTarget.Cluster, &a.SyncTarget.Name, &a.SyncTarget.UID} {
			if rnd.IntN(4) == 0 {
				*member = some[rnd.IntN(len(some))]
			}
		}
		forged.Annotations[locatorAnnotation] = a.String()
		if rnd.IntN(3) == 0 {
			forged.Annotations[locatorAnnotation] = " " + a.String()
		}
		forged.Name = namespaceName(forged.Annotations[locatorAnnotation])
	} else {
		forged.Annotations = map[string]string{locatorAnnotation: honest[rnd.IntN(len(honest))].Annotations[locatorAnnotation]}
		if forged.Annotations[locatorAnnotation] == "" {
			forged.Annotations = nil
		}
	}
	switch rnd.IntN(3) {
	case 0:
		forged.Name = []string{"kcp-root-mallory-ns-1", "kcp-root-mallory-x", "ns-1", "kcp-root-annns-1", "kcp-ann-ns-1", "default"}[rnd.IntN(6)]
	case 1:
		forged.Name += "x"
	}
	if owner, ok := taken[forged.Name]; ok { // the name is taken: that Namespace is its owner's, which may claim its own
		return forged, &owner
	}
	return forged, nil
}

// FuzzNamespace: no locator breaks the parser, and an accepted one leads down to the name that it came from.
func FuzzNamespace(f *testing.F) {
	f.Add(vectorNamespace, vectorLocator)
	f.Add("kcp-root-org-ws-test", "")
	f.Add("kcp-syncer-x", `{"syncTarget":{"path":"root:org:ws"}}`)
	f.Fuzz(func(t *testing.T, name, locator string) {
		for _, hash := range []bool{false, true} {
			if hash {
				name = namespaceName(locator)
			}
			r := resolver(t, usWest, NamespaceLocator, Prefix)
			ns := located(name, locator)
			if locator == "" {
				ns.Annotations = nil
			}
			l := r.Namespace(ns)
			u, err := r.Object(l, deployments, &ref.Object{Namespace: name, Name: "web"})
			w, namespace, ok := l.Upstream()
			if ok != (err == nil) || ok && (u.Workspace != w || u.Namespace != namespace || !validWorkspace(string(w)) || !validNamespace(namespace)) {
				t.Fatalf("%v, %v; %q %q %v", u, err, w, namespace, ok)
			}
			if !ok {
				continue
			}
			style := NamespaceLocator
			if locator == "" {
				style = Prefix
			}
			down, err := resolver(t, usWest, style).DownNamespace(w, namespace)
			if err != nil || down.Name != name && !legacy(locator) {
				t.Fatalf("taken for %q in %q, which goes down as %q, %v", namespace, w, down.Name, err)
			}
		}
	})
}

func legacy(locator string) bool {
	var a annotation
	return json.Unmarshal([]byte(locator), &a) == nil && a.SyncTarget.Path != ""
}

func BenchmarkObject(b *testing.B) {
	r := resolver(b, usWest, NamespaceLocator, Prefix)
	l := r.Namespace(located(vectorNamespace, vectorLocator))
	o := &ref.Object{Namespace: vectorNamespace, Name: "web", Labels: map[string]string{clusterLabel: vectorKey}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Object(l, deployments, o); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNamespace(b *testing.B) {
	r := resolver(b, usWest, NamespaceLocator, Prefix)
	ns := located(vectorNamespace, vectorLocator)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, ok := r.Namespace(ns).Upstream(); !ok {
			b.Fatal("refused")
		}
	}
}
