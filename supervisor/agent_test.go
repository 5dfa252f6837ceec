package supervisor_test

import (
	"testing"
	"testing/synctest"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/locator"
	"github.com/upstreamd/upstreamd/internal/ref"
	"github.com/upstreamd/upstreamd/supervisor"
)

// api-syncagent names copies by templates: labels and annotations on the copies name their upstream objects.
func TestCopiesOfTheSyncAgentArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flow{t: t, upstream: newWorkspaces()}
		system, err := supervisor.New(supervisor.Options{Upstream: f.upstream, Locators: []string{locator.SyncAgent}})
		f.must(err)
		f.system = system
		f.must(system.AddResource(deployments))
		f.must(system.Start(t.Context()))
		east := newCluster()
		f.must(system.AddTarget(supervisor.Target{Name: "east", Workspaces: []actors.Workspace{"team-a"}}, east))

		resolver, err := locator.New([]string{locator.SyncAgent}, locator.Target{Name: "east", Workspaces: []ref.Workspace{"team-a"}})
		f.must(err)
		place := func(u ref.Upstream, name string, ready int) {
			down, err := resolver.DownObject(deployments, u)
			f.must(err)
			o := deployment("agent", name, ready)
			o.Labels = down.Labels
			for key, value := range down.Annotations {
				o.Annotations[key] = value
			}
			east.put(deployments, o)
		}
		f.upstream.put(web, 1, nil)
		place(web, "web-7f3a", 2)
		foreign := ref.Upstream{Workspace: "team-b", Namespace: "default", Name: "web"}
		f.upstream.put(foreign, 1, nil)
		place(foreign, "web-19c0", 3)
		east.put(namespaces, ref.Object{Name: "agent"})
		f.settle()
		f.wantReady(2)
		if got := f.upstream.status(foreign); got != nil {
			t.Errorf("a workspace that the SyncTarget is not bound to got %v", got)
		}
		f.stop()
	})
}
