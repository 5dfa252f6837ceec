package config_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/upstreamd/upstreamd/internal/config"
)

const (
	onAHub = `apiVersion: config.upstreamd.dev/v1alpha1
kind: UpstreamdConfiguration
upstream: {kubeconfig: hub}
syncTargets: [{name: a, cluster: "root:infra", kubeconfig: a}]
resources: [{version: v1, resource: pods}]
`
	onAnExport = `apiVersion: config.upstreamd.dev/v1alpha1
kind: UpstreamdConfiguration
upstream: {kubeconfig: kcp, apiExport: {workspace: "root:provider", name: compute}}
syncTargets: [{name: a, cluster: "root:infra", kubeconfig: a, workspaces: [w]}]
resources: [{version: v1, resource: pods}]
`
)

func TestLeaderElection(t *testing.T) {
	for _, tc := range []struct {
		name, on, leaderElection string
		want                     []string // errors; none: it is valid
	}{
		{name: "on a hub, the hub", on: onAHub, leaderElection: `{enabled: true, namespace: ns}`},
		{name: "in the cluster", on: least, leaderElection: `{enabled: true, inCluster: true, namespace: ns}`},
		{name: "elsewhere", on: onAnExport, leaderElection: `{enabled: true, kubeconfig: k, context: c, namespace: ns, name: other.name}`},
		{name: "at its fastest", on: onAHub, leaderElection: `{enabled: true, namespace: ns, leaseDuration: 2s, renewDeadline: 1s, retryPeriod: 500ms}`},
		{name: "off, whatever it says", on: least, leaderElection: `{leaseDuration: 1ms, name: ""}`},

		{
			name: "in a tenant's workspace", on: least, leaderElection: `{enabled: true, namespace: ns}`,
			want: []string{`leaderElection.kubeconfig: Required value: name the kubeconfig of the API server that holds the Lease, best the cluster that the daemon runs in, or set inCluster`},
		},
		{name: "in a virtual workspace", on: onAnExport, leaderElection: `{enabled: true, namespace: ns}`, want: []string{`leaderElection.kubeconfig: Required value`}},
		{name: "in two places", on: onAHub, leaderElection: `{enabled: true, inCluster: true, kubeconfig: k, namespace: ns}`, want: []string{`leaderElection.kubeconfig: Forbidden: inCluster and kubeconfig both name`}},
		{name: "context of nothing", on: onAHub, leaderElection: `{enabled: true, context: c, namespace: ns}`, want: []string{`leaderElection.context: Forbidden: does nothing without kubeconfig`}},
		{name: "no names", on: onAHub, leaderElection: `{enabled: true, name: ""}`, want: []string{`leaderElection.namespace: Required value`, `leaderElection.name: Required value`}},
		{
			name: "bad names", on: onAHub, leaderElection: `{enabled: true, namespace: A-b, name: "a b"}`,
			want: []string{`leaderElection.namespace: Invalid value: "A-b"`, `leaderElection.name: Invalid value: "a b"`},
		},
		{
			name: "out of bounds", on: onAHub, leaderElection: `{enabled: true, namespace: ns, leaseDuration: 1s, renewDeadline: 0s, retryPeriod: 1ms}`,
			want: []string{`leaderElection.leaseDuration: Invalid value: "1s"`, `leaderElection.renewDeadline: Invalid value: "0s"`, `leaderElection.retryPeriod: Invalid value: "1ms"`},
		},
		{
			name: "no room", on: onAHub, leaderElection: `{enabled: true, namespace: ns, leaseDuration: 10500ms, renewDeadline: 11s, retryPeriod: 6s}`,
			want: []string{
				`leaderElection.leaseDuration: Invalid value: "10.5s": must be whole seconds`, `leaderElection.renewDeadline: Invalid value: "11s": must be less than leaseDuration, 10.5s`,
				`leaderElection.retryPeriod: Invalid value: "6s": must be at most half of renewDeadline, 11s`,
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := config.Parse("c.yaml", []byte(tc.on+"leaderElection: "+tc.leaderElection), "/etc")
			if len(tc.want) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				if k := got.LeaderElection.Kubeconfig; k != "" && k != "/etc/k" {
					t.Errorf("kubeconfig %s: it is relative to the file", k)
				}
				return
			}
			var invalid *config.InvalidError
			if !errors.As(err, &invalid) {
				t.Fatalf("got %v", err)
			}
			for _, want := range tc.want {
				if !slices.ContainsFunc(invalid.Errors, func(e *field.Error) bool { return strings.HasPrefix(e.Error(), want) }) {
					t.Errorf("missing: %s", want)
				}
			}
			if len(invalid.Errors) != len(tc.want) {
				t.Errorf("%d errors, want %d: %v", len(invalid.Errors), len(tc.want), err)
			}
		})
	}
}
