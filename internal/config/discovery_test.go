package config_test

import (
	"strings"
	"testing"

	"github.com/upstreamd/upstreamd/internal/config"
)

func TestDiscoveryAndWildcards(t *testing.T) {
	const (
		kcp  = "apiVersion: config.upstreamd.dev/v1alpha1\nkind: UpstreamdConfiguration\nupstream: {kubeconfig: k, workspaces: [\"root:team-a\"]}\n"
		hub  = "apiVersion: config.upstreamd.dev/v1alpha1\nkind: UpstreamdConfiguration\nupstream: {kubeconfig: k}\n"
		all  = "apiVersion: config.upstreamd.dev/v1alpha1\nkind: UpstreamdConfiguration\nupstream: {kubeconfig: k, wildcard: true}\nlocators: [NamespaceLocator]\n"
		find = "syncTargetDiscovery: {workspace: \"root:infra\", secretNamespace: keys}\n"
		some = "resources: [{group: apps, version: v1, resource: deployments}]\n"
	)
	for name, c := range map[string]struct{ file, want string }{
		"objects instead of a list":        {kcp + find + some, ""},
		"a plain hub":                      {hub + "syncTargetDiscovery: {secretNamespace: keys}\n" + some, ""},
		"bound to all":                     {all + "syncTargetDiscovery: {workspace: \"root:infra\", secretNamespace: keys, workspaces: [\"*\"]}\n" + some, ""},
		"neither":                          {kcp + some, "syncTargets: Required"},
		"no workspace":                     {kcp + "syncTargetDiscovery: {secretNamespace: keys}\n" + some, "syncTargetDiscovery.workspace: Required"},
		"a workspace that is none":         {kcp + "syncTargetDiscovery: {workspace: \"Root:\", secretNamespace: keys}\n" + some, "syncTargetDiscovery.workspace: Invalid"},
		"no namespace":                     {kcp + "syncTargetDiscovery: {workspace: \"root:infra\"}\n" + some, "syncTargetDiscovery.secretNamespace: Required"},
		"a namespace that is none":         {kcp + "syncTargetDiscovery: {workspace: \"root:infra\", secretNamespace: a/b}\n" + some, "syncTargetDiscovery.secretNamespace: Invalid"},
		"a binding that nobody serves":     {kcp + "syncTargetDiscovery: {workspace: \"root:infra\", secretNamespace: keys, workspaces: [\"root:x\"]}\n" + some, "syncTargetDiscovery.workspaces[0]: Invalid"},
		"every kind":                       {kcp + find + `resources: [{group: "*", version: "*", resource: "*", exclude: [{group: batch, resource: "*"}, {resource: pods}]}]`, ""},
		"every kind of a group":            {kcp + find + `resources: [{group: apps, version: "*", resource: "*"}]`, ""},
		"every kind in one version":        {kcp + find + `resources: [{group: "*", version: v1, resource: "*"}]`, "resources[0].version: Invalid"},
		"one kind of any group":            {kcp + find + `resources: [{group: "*", version: "*", resource: pods}]`, "resources[0].resource: Invalid"},
		"every kind but all":               {kcp + find + `resources: [{group: "*", version: "*", resource: "*", exclude: [{group: "*", resource: "*"}]}]`, "resources[0].exclude[0]: Invalid"},
		"an exclusion without a kind":      {kcp + find + `resources: [{group: "*", version: "*", resource: "*", exclude: [{group: batch}]}]`, "resources[0].exclude[0].resource: Required"},
		"an exclusion twice":               {kcp + find + `resources: [{group: "*", version: "*", resource: "*", exclude: [{resource: pods}, {resource: pods}]}]`, "resources[0].exclude[1]: Duplicate"},
		"an exclusion from one kind":       {kcp + find + `resources: [{group: apps, version: v1, resource: deployments, exclude: [{resource: pods}]}]`, "resources[0].exclude: Forbidden"},
		"a group that is none, every kind": {kcp + find + `resources: [{group: A_b, version: "*", resource: "*"}]`, "resources[0].group: Invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse("c.yaml", []byte(c.file), "/")
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
}
