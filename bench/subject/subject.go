// Package subject starts the programs that a bench measures: upstreamd, and small programs that do the same in other ways, all started in the same
// way over the same servers.
package subject

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

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

// Titles describe the subjects.
var Titles = map[string]string{
	Upstreamd:  "upstreamd",
	Bare:       "bare PATCH loop",
	Sketch:     "informer, workqueue and a merge patch per change",
	Karmada:    "a status object per cluster, then GET and the aggregate",
	Reconciler: "controller-runtime reconciler",
	Informers:  "informers alone, without handlers",
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
	UpstreamServer Server
	TargetURLs     []string
}

// Server is the address and credentials of an API server: a kubeconfig, or the other fields.
type Server struct {
	Kubeconfig string
	URL        string
	Token      string
	CA         []byte
}

// Config is a client's configuration without limits of its own.
func (s Server) Config() (*rest.Config, error) {
	if s.Kubeconfig == "" {
		return &rest.Config{Host: s.URL, BearerToken: s.Token, TLSClientConfig: rest.TLSClientConfig{CAData: s.CA}, QPS: -1}, nil
	}
	config, err := clientcmd.BuildConfigFromFlags("", s.Kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	config.QPS = -1
	return config, nil
}

// Connect makes the clients' configurations.
func (s *Spec) Connect() error {
	var err error
	if s.Upstream, err = s.UpstreamServer.Config(); err != nil {
		return err
	}
	for _, u := range s.TargetURLs {
		s.SyncTargets = append(s.SyncTargets, &rest.Config{Host: u, QPS: -1})
	}
	return nil
}
