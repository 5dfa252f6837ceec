// Package subject is what a bench measures: upstreamd, and small programs that do the same as others do it, all started in the same
// way over the same servers.
package subject

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/bench/baselines/bare"
	"github.com/upstreamd/upstreamd/bench/baselines/karmada"
	"github.com/upstreamd/upstreamd/bench/baselines/reconciler"
	"github.com/upstreamd/upstreamd/bench/baselines/sketch"
	"github.com/upstreamd/upstreamd/bench/baselines/world"
)

// The names of subjects.
const (
	Upstreamd  = "upstreamd"
	Bare       = "bare"
	Sketch     = "sketch"
	Karmada    = "karmada"
	Reconciler = "reconciler"
	Informers  = "informers"
)

// Titles say what the subjects are.
var Titles = map[string]string{
	Upstreamd:  "upstreamd",
	Bare:       "bare PATCH loop",
	Sketch:     "informer, workqueue and a merge patch per change",
	Karmada:    "a status object per cluster, then GET and the aggregate",
	Reconciler: "controller-runtime reconciler",
	Informers:  "informers alone, which nobody listens to",
}

var starters = map[string]func(context.Context, world.World) (world.Subject, error){
	Upstreamd:  startUpstreamd,
	Bare:       bare.Start,
	Sketch:     sketch.Start,
	Karmada:    karmada.Start,
	Reconciler: reconciler.Start,
	Informers:  sketch.StartInformers,
}

// Start starts a subject.
func Start(ctx context.Context, name string, w world.World) (world.Subject, error) {
	start := starters[name]
	if start == nil {
		return nil, fmt.Errorf("subject %q: must be one of %s", name, strings.Join(slices.Sorted(maps.Keys(starters)), ", "))
	}
	return start(ctx, w)
}

// Spec is a world in a form that another process can be told.
type Spec struct {
	world.World
	UpstreamURL string
	TargetURLs  []string
}

// Connect makes the clients' configurations.
func (s *Spec) Connect() {
	s.Upstream = &rest.Config{Host: s.UpstreamURL, QPS: -1}
	for _, u := range s.TargetURLs {
		s.SyncTargets = append(s.SyncTargets, &rest.Config{Host: u, QPS: -1})
	}
}
