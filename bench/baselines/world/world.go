// Package world defines the inputs that every subject of a bench is started with.
package world

import (
	"context"
	"time"

	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/bench/fleet"
)

// World is where the servers are. Clients have no limits of their own (QPS -1).
type World struct {
	Shape       fleet.Shape
	Upstream    *rest.Config   `json:"-"` // a workspace is below /clusters/<name>
	SyncTargets []*rest.Config `json:"-"`
	Concurrency int            // calls to upstream in flight
	Quiet       time.Duration  // upstreamd's quiet window; 0: its default
	OnError     func(error)    `json:"-"`
}

// Fail reports an error of a call, if anybody wants to know.
func (w World) Fail(err error) {
	if w.OnError != nil && err != nil {
		w.OnError(err)
	}
}

// Subject is something that brings statuses up.
type Subject interface {
	Stop(context.Context) error
}

// Adaptive is a Subject that finds out by itself how many calls at a time are enough.
type Adaptive interface {
	Slots() int
}
