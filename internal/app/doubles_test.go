package app

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/internal/config"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// TestOneClusterCountsOnce: of SyncTargets that lead to one cluster as one user, the first stays.
func TestOneClusterCountsOnce(t *testing.T) {
	at := func(host, token string, object bool) wanted {
		return wanted{config: &rest.Config{Host: "https://" + host, BearerToken: token}, content: []byte(host), object: object}
	}
	broken := at("east", "x", true)
	broken.err = errors.New("no Secret")
	for name, tc := range map[string]struct {
		all   map[ref.SyncTarget]wanted
		inUse []ref.SyncTarget
		want  map[ref.SyncTarget]ref.SyncTarget // refused, and for which other
		left  string
	}{
		"different clusters":         {all: map[ref.SyncTarget]wanted{"a": at("east", "x", true), "b": at("west", "x", true)}, left: "a b"},
		"different users":            {all: map[ref.SyncTarget]wanted{"a": at("east", "x", true), "b": at("east", "y", true)}, left: "a b"},
		"two objects":                {all: map[ref.SyncTarget]wanted{"a": at("east", "x", true), "b": at("east", "x", true)}, want: map[ref.SyncTarget]ref.SyncTarget{"b": "a"}, left: "a"},
		"the later one is in use":    {all: map[ref.SyncTarget]wanted{"a": at("east", "x", true), "b": at("east", "x", true)}, inUse: []ref.SyncTarget{"b"}, want: map[ref.SyncTarget]ref.SyncTarget{"a": "b"}, left: "b"},
		"both are in use":            {all: map[ref.SyncTarget]wanted{"a": at("east", "x", true), "b": at("east", "x", true)}, inUse: []ref.SyncTarget{"a", "b"}, want: map[ref.SyncTarget]ref.SyncTarget{"b": "a"}, left: "a b!"},
		"the configuration is first": {all: map[ref.SyncTarget]wanted{"a": at("east", "x", true), "b": at("east", "x", false)}, inUse: []ref.SyncTarget{"a"}, want: map[ref.SyncTarget]ref.SyncTarget{"a": "b"}, left: "a! b"},
		"one that cannot be reached": {all: map[ref.SyncTarget]wanted{"a": broken, "b": at("east", "x", true)}, left: "a! b"},
		"three":                      {all: map[ref.SyncTarget]wanted{"a": at("east", "x", true), "b": at("east", "x", true), "c": at("east", "x", true)}, want: map[ref.SyncTarget]ref.SyncTarget{"b": "a", "c": "a"}, left: "a"},
	} {
		t.Run(name, func(t *testing.T) {
			refused := refuseDoubles(tc.all, func(n ref.SyncTarget) bool { return slices.Contains(tc.inUse, n) })
			if !maps.Equal(refused, tc.want) {
				t.Errorf("refused %v, want %v", refused, tc.want)
			}
			var left []string
			for _, n := range slices.Sorted(maps.Keys(tc.all)) {
				mark := ""
				if tc.all[n].err != nil {
					mark = "!"
				}
				left = append(left, string(n)+mark)
			}
			if got := strings.Join(left, " "); got != tc.left {
				t.Errorf("left %q, want %q", got, tc.left)
			}
		})
	}
}

// TestConfiguredDoublesAreErrors: in the configuration, the second one is an error with its field.
func TestConfiguredDoublesAreErrors(t *testing.T) {
	address := unreachable(t)
	_, err := New(configure(t, unreachable(t), address, unreachable(t), address), zerolog.Nop())
	if err == nil || !strings.Contains(err.Error(), "syncTargets[2].kubeconfig: its kubeconfig leads to the cluster of the SyncTarget a, as the same user") {
		t.Errorf("%v", err)
	}
}

// TestTheTemplateOfNamespacesIsChecked: a template that proves nothing stops the start.
func TestTheTemplateOfNamespacesIsChecked(t *testing.T) {
	c := configure(t, unreachable(t), unreachable(t))
	c.Locators, c.Agent = []string{"SyncAgent"}, &config.Agent{Namespace: "all"}
	if _, err := New(c, zerolog.Nop()); err == nil || !strings.Contains(err.Error(), "syncAgent.namespace: locator style SyncAgent:") {
		t.Errorf("a template that proves nothing: %v", err)
	}
	c.Agent.Namespace = "{cluster}"
	if a, err := New(c, zerolog.Nop()); err != nil || a.locators[0] != "SyncAgent={cluster}" {
		t.Errorf("a template: %v", err)
	}
}

// TestRulesForServersAreChecked: a rule that is none stops the start, with its place.
func TestRulesForServersAreChecked(t *testing.T) {
	c := configure(t, unreachable(t), unreachable(t))
	c.Discovery = &config.Discovery{Workspace: "root:infra", SecretNamespace: "keys", AllowedServers: []string{"east.example", "https://west"}}
	if _, err := New(c, zerolog.Nop()); err == nil || !strings.Contains(err.Error(), `syncTargetDiscovery.allowedServers[1]: "https://west": want a host`) {
		t.Errorf("%v", err)
	}
}

// TestHubsAreWarnedOfLoadBalancers: only where nodes may route traffic for the addresses that untrusted SyncTargets publish.
func TestHubsAreWarnedOfLoadBalancers(t *testing.T) {
	services, pods := config.Resource{Version: "v1", Resource: "services"}, config.Resource{Version: "v1", Resource: "pods"}
	all := config.Resource{Group: "*", Version: "*", Resource: "*"}
	without := all
	without.Exclude = []config.Exclusion{{Resource: "services"}}
	for name, tc := range map[string]struct {
		workspaces []string
		discovery  *config.Discovery
		resource   config.Resource
		want       bool
	}{
		"a hub and SyncTarget objects": {discovery: &config.Discovery{}, resource: services, want: true},
		"all kinds":                    {discovery: &config.Discovery{}, resource: all, want: true},
		"all but Services":             {discovery: &config.Discovery{}, resource: without},
		"other kinds":                  {discovery: &config.Discovery{}, resource: pods},
		"the operator's SyncTargets":   {resource: services},
		"a kcp, which has no nodes":    {workspaces: []string{"root:a"}, discovery: &config.Discovery{}, resource: services},
	} {
		var log strings.Builder
		c := config.Defaults()
		c.Upstream.Workspaces, c.Discovery, c.Resources = tc.workspaces, tc.discovery, []config.Resource{tc.resource}
		(&App{config: c, log: zerolog.New(&log)}).warnOfLoadBalancers()
		if got := log.Len() > 0; got != tc.want {
			t.Errorf("%s: %q", name, log.String())
		}
	}
}
