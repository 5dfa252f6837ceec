package app

import (
	"slices"

	"github.com/upstreamd/upstreamd/internal/config"
	"github.com/upstreamd/upstreamd/internal/kube/upstream"
)

// upstreamOptions select the served workspaces. Those that SyncTargets are bound to are resolved too where the configuration does not list the served
// ones.
func (a *App) upstreamOptions() upstream.Options {
	u := a.config.Upstream
	o := upstream.Options{Workspaces: u.Workspaces, UserAgent: a.agent, Logger: a.component("upstream")}
	if u.Wildcard {
		o.Workspaces = []string{string(upstream.All)}
	}
	if e := u.APIExport; e != nil {
		o.Export = &upstream.Export{Workspace: e.Workspace, Name: e.Name, Direct: u.WriteVia == config.ViaDirect}
	}
	if u.Unlisted() {
		for _, t := range a.config.SyncTargets {
			o.Bound = append(o.Bound, t.Workspaces...)
		}
		if d := a.config.Discovery; d != nil {
			o.Bound = append(o.Bound, d.Workspaces...)
		}
		o.Bound = slices.DeleteFunc(o.Bound, func(w string) bool { return w == config.AllWorkspaces })
		slices.Sort(o.Bound)
		o.Bound = slices.Compact(o.Bound)
	}
	return o
}
