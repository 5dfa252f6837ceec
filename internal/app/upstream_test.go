package app

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/internal/config"
	"github.com/upstreamd/upstreamd/internal/kube/upstream"
	"github.com/upstreamd/upstreamd/internal/ref"
)

func TestWhichWorkspacesUpstreamServes(t *testing.T) {
	export := &config.APIExport{Workspace: "root:provider", Name: "compute"}
	for name, tt := range map[string]struct {
		upstream config.Upstream
		bound    [][]string // by SyncTarget
		want     upstream.Options
	}{
		"a hub":           {config.Upstream{}, [][]string{nil}, upstream.Options{}},
		"listed":          {config.Upstream{Workspaces: []string{"root:a", "b"}}, [][]string{{"b"}}, upstream.Options{Workspaces: []string{"root:a", "b"}}},
		"all of a server": {config.Upstream{Wildcard: true}, [][]string{{"root:b", "root:a"}, {"root:a"}}, upstream.Options{Workspaces: []string{"*"}, Bound: []string{"root:a", "root:b"}}},
		"an APIExport":    {config.Upstream{APIExport: export}, [][]string{{"*"}}, upstream.Options{Export: &upstream.Export{Workspace: "root:provider", Name: "compute"}, Bound: []string{}}},
		"an APIExport, direct": {
			config.Upstream{APIExport: export, WriteVia: config.ViaDirect}, [][]string{{"*"}, {"c"}},
			upstream.Options{Export: &upstream.Export{Workspace: "root:provider", Name: "compute", Direct: true}, Bound: []string{"c"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := &App{config: &config.Configuration{Upstream: tt.upstream}, agent: "test"}
			for _, w := range tt.bound {
				a.config.SyncTargets = append(a.config.SyncTargets, config.SyncTarget{Workspaces: w})
			}
			tt.want.UserAgent = "test"
			got := a.upstreamOptions()
			got.Logger = zerolog.Logger{}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(zerolog.Logger{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestBoundToAllStaysSo(t *testing.T) {
	_, address := serveOn(t, "127.0.0.1:0", map[string]string{"root:team-a": "abc"})
	c := configure(t, address, address)
	c.Upstream.Workspaces, c.Upstream.Wildcard, c.Locators = nil, true, []string{config.NamespaceLocator}
	c.SyncTargets[0].Workspaces = []string{config.AllWorkspaces}
	if errs := c.Validate(); len(errs) > 0 {
		t.Fatal(errs)
	}
	a, err := New(c, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]ref.Workspace{"*"}, a.target(c.SyncTargets[0]).Workspaces); diff != "" {
		t.Error(diff)
	}
}
