package config_test

import (
	"strings"
	"testing"

	"github.com/upstreamd/upstreamd/internal/config"
)

// shared is a configuration of one SyncTarget that is bound to two workspaces.
func shared(locators, workspaces, more string) string {
	return `apiVersion: config.upstreamd.dev/v1alpha1
kind: UpstreamdConfiguration
upstream: {kubeconfig: kcp.kubeconfig, workspaces: [` + workspaces + `]}
syncTargets: [{name: us-east1, cluster: "root:infra", kubeconfig: us-east1.kubeconfig, workspaces: [` + workspaces + `]}]
resources: [{group: apps, version: v1, resource: deployments}]
locators: [` + locators + "]\n" + more
}

func TestLocatorsOfSharedClusters(t *testing.T) {
	discovery := `syncTargetDiscovery: {workspace: "root:infra", secretNamespace: keys, workspaces: [a, b]}` + "\n"
	for name, tc := range map[string]struct {
		file string
		want string // in the error; empty: there is none
	}{
		"SyncAgent, two workspaces":        {shared("SyncAgent", "a, b", ""), `syncTargets[0].workspaces: Invalid value: "a, b": with the locator SyncAgent, any Namespace of a cluster could claim any of several workspaces: set syncAgent.namespace`},
		"SyncAgent beside another":         {shared("NamespaceLocator, SyncAgent", "a, b", ""), `set syncAgent.namespace`},
		"SyncAgent, one workspace":         {shared("SyncAgent", "a", ""), ""},
		"SyncAgent with a template":        {shared("SyncAgent", "a, b", `syncAgent: {namespace: "{cluster}"}`), ""},
		"SyncAgent, objects of two":        {shared("SyncAgent", "a, b", discovery), `syncTargetDiscovery.workspaces: Invalid value: "a, b": with the locator SyncAgent`},
		"a template without a text":        {shared("SyncAgent", "a", `syncAgent: {}`), "syncAgent.namespace: Required value"},
		"a template without the locator":   {shared("Prefix", "a", `syncAgent: {namespace: "{cluster}"}`), "syncAgent: Forbidden: does nothing without the locator SyncAgent"},
		"prefixes that meet":               {shared("Prefix", "a, a-b", ""), `syncTargets[0].workspaces[1]: Invalid value: "a-b": its Namespaces kcp-a-b-* could also be those of a: bind the two to different SyncTargets, or use the locator NamespaceLocator`},
		"prefixes that meet by a path":     {shared("Prefix", `"root:a-b", "root:a"`, ""), `syncTargets[0].workspaces[0]: Invalid value: "root:a-b"`},
		"prefixes that are one":            {shared("Prefix", `"root:a", "root-a"`, ""), `syncTargets[0].workspaces[0]: Invalid value: "root:a"`},
		"prefixes that do not meet":        {shared("Prefix", "a, ab", ""), ""},
		"prefixes beside kcp's own marks":  {shared("NamespaceLocator, Prefix", "a, a-b", ""), ""},
		"SyncAgent, all workspaces, again": {strings.Replace(shared("SyncAgent", `"*"`, ""), `workspaces: ["*"]}`+"\nsyncTargets", "wildcard: true}\nsyncTargets", 1), `syncTargets[0].workspaces: Invalid value: "*": with the locator SyncAgent`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse("c.yaml", []byte(tc.file), "/")
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v; want %q", err, tc.want)
			}
		})
	}
}
