package supervisor_test

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/supervisor"
)

// A program with its own watches hands over the objects that they bring, and subscribes to published statuses. Upstream is a port: here a map, in a
// real program the workspaces of a kcp.
func Example() {
	upstream := newWorkspaces()
	upstream.put(actors.UpstreamRef{Workspace: "team-a", Namespace: "default", Name: "web"}, 1, nil)

	system, err := supervisor.New(supervisor.Options{Upstream: upstream})
	if err != nil {
		panic(err)
	}
	deployments := actors.Resource{Group: "apps", Version: "v1", Resource: "deployments"}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	must(system.AddResource(deployments))
	must(system.Start(ctx))

	published := make(chan supervisor.Published, 10)
	defer system.Subscribe(func(e supervisor.Event) {
		if p, ok := e.(supervisor.Published); ok {
			published <- p
		}
	})()

	ready := map[actors.SyncTarget]int64{"us-east1": 2, "eu-west1": 3}
	for name := range ready { // all of them first: one that is not known is not waited for
		must(system.AddPushTarget(supervisor.Target{Name: name, Workspaces: []actors.Workspace{"team-a"}}))
	}
	for name, ready := range ready {
		must(system.SyncStatus(ctx, name, deployments, &unstructured.Unstructured{Object: map[string]any{
			"metadata": map[string]any{"namespace": "kcp-team-a-default", "name": "web"},
			"status":   map[string]any{"readyReplicas": ready},
		}}))
		must(system.Synced(ctx, name, deployments)) // nothing is published before every SyncTarget has listed
	}

	fmt.Println((<-published).Upstream, upstream.status(web)["readyReplicas"])
	must(system.Stop(ctx))
	// Output: team-a|default/web 5
}

// A resource with its status elsewhere brings its own extractor.
func ExampleSystem_RegisterExtractor() {
	system, err := supervisor.New(supervisor.Options{Upstream: newWorkspaces()})
	if err != nil {
		panic(err)
	}
	configMaps := actors.Resource{Version: "v1", Resource: "configmaps"}
	err = system.RegisterExtractor(configMaps, actors.ExtractorFunc(func(o *actors.Object) (map[string]any, error) {
		return map[string]any{"bytes": int64(len(o.Raw))}, nil
	}))
	fmt.Println(err)
	// Output: <nil>
}
