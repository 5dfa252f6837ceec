package sim

import (
	"encoding/json"
	"time"

	"github.com/upstreamd/upstreamd/internal/memapi"
)

// vanishing is a time in which an API server does not serve a kind, and its discovery says so: an APIService is recreated, the version of a
// CustomResourceDefinition is not served. The objects stay, and change meanwhile.
type vanishing struct {
	window
	server  string
	kind    *kind
	forgets bool // resourceVersions from before are too old afterwards
}

const vanished = "kind not served (404), discovery lacks it"

// hanging is the fault of a server that accepts requests for discovery and never answers them.
var hanging = fault{"discovery hangs", anywhere, 1, discovers, func(draw) harm { return harm{silent: true} }}

// drawVanishings adds times in which kinds are not served, some of them with a discovery that hangs besides.
func (p *plan) drawVanishings(targets []string) {
	r := p.seed.generator(11)
	if r.IntN(3) > 0 {
		return
	}
	servers := append([]string{"upstream"}, targets...)
	r.Shuffle(len(servers), func(i, j int) { servers[i], servers[j] = servers[j], servers[i] })
	for _, server := range servers[:1+r.IntN(2)] {
		from := time.Duration(r.Int64N(int64(p.chaos)))
		lasts := 2*time.Second + time.Duration(r.Int64N(int64(90*time.Second)))
		v := vanishing{window{from, min(from+lasts, p.chaos)}, server, kinds[r.IntN(len(kinds))], r.IntN(3) == 0}
		p.vanishings = append(p.vanishings, v)
		if r.IntN(3) == 0 {
			p.episodes = append(p.episodes, episode{window: v.window, name: hanging.name + "/" + server, fault: &hanging, server: server})
		}
	}
}

// vanish has kinds come and go as it is planned.
func (w *world) vanish(p *plan) {
	for _, v := range p.vanishings {
		w.after(v.from, func() {
			p.count(vanished)
			w.trace.note("%s: %s of %s", vanished, v.kind.resource.Resource, v.server)
			w.server(v.server).Withhold(v.kind.resource, true)
		})
		w.after(v.to, func() {
			w.trace.note("%s of %s are served again", v.kind.resource.Resource, v.server)
			if v.forgets {
				w.server(v.server).Compact()
			}
			w.server(v.server).Withhold(v.kind.resource, false)
		})
	}
}

// serveAll serves all kinds again.
func (w *world) serveAll(p *plan) {
	for _, v := range p.vanishings {
		w.server(v.server).Withhold(v.kind.resource, false)
	}
}

// server is the API server of a name.
func (w *world) server(name string) *memapi.Server {
	for _, t := range w.targets {
		if t.name == name {
			return t.server
		}
	}
	return w.upstream
}

// discovered takes a discovery document: a kind that it lacks has no objects.
func (s *observations) discovered(body []byte) {
	var list struct {
		Kind, GroupVersion string
		Resources          []struct{ Name string }
	}
	if json.Unmarshal(body, &list) != nil || list.Kind != "APIResourceList" {
		return
	}
	served := map[string]bool{}
	for _, r := range list.Resources {
		served[r.Name] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range kinds {
		if k.resource.GroupVersion().String() == list.GroupVersion && !served[k.resource.Resource] {
			s.list(k.resource.Resource, nil)
		}
	}
}
