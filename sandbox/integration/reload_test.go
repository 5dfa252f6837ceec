package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/upstreamd/upstreamd/sandbox"
)

// largest publishes the largest cluster's replicas in place of their sum.
const largest = `apiVersion: upstreamd.dev/v1alpha1
kind: StatusPolicy
metadata: {name: largest}
spec:
  resources: [{group: apps, resource: deployments}]
  strategy: Merge
  fields: {replicas: Max, readyReplicas: Max, conditions: Conditions, observedGeneration: Generation}
`

// Policies change at run time: every object is decided again. An invalid policy is logged, and changes nothing.
func TestPoliciesAreReloaded(t *testing.T) {
	w := newWorld(t, sandbox.Options{Workspaces: []string{teamA}, SyncTargets: []string{"us-east1", "eu-west1"}}, deployments)
	w.config.Policies.Directory = filepath.Join(w.Dir(), "policies")
	w.must(os.Mkdir(w.config.Policies.Directory, 0o700))
	file := filepath.Join(w.config.Policies.Directory, "largest.yaml")
	names := []string{"one", "two", "three"}
	w.place(teamA, names...)
	w.start()
	for _, name := range names {
		w.report("us-east1", teamA, name, 1)
		w.report("eu-west1", teamA, name, 2)
	}
	all := func(ready int32) {
		t.Helper()
		for _, name := range names {
			w.wantReady(teamA, name, ready)
		}
	}
	reloads := func(ok, failed float64) {
		t.Helper()
		w.eventually(func() error {
			m := w.metrics()
			gotOK, gotFailed := m.Sum("upstreamd_policy_reloads_total", "result=ok"), m.Sum("upstreamd_policy_reloads_total", "result=error")
			if gotOK != ok || gotFailed != failed {
				return fmt.Errorf("%v reloads and %v failures, want %v and %v", gotOK, gotFailed, ok, failed)
			}
			return nil
		})
	}
	all(3)
	w.must(os.WriteFile(file, []byte(largest), 0o600))
	reloads(1, 0)
	all(2)
	if got := w.published(teamA, "one"); got.UpdatedReplicas != 0 || got.AvailableReplicas != 0 {
		t.Errorf("fields that the new policy drops are still published: %+v", got)
	}

	w.must(os.WriteFile(file, []byte(strings.Replace(largest, "readyReplicas: Max", "readyReplicas: Most", 1)), 0o600))
	reloads(1, 1)
	w.report("us-east1", teamA, "one", 3)
	w.wantReady(teamA, "one", 3) // of 3 and 2: the last good policy is in force
	w.report("us-east1", teamA, "one", 1)
	all(2)
	lines, err := w.daemon.Lines()
	w.must(err)
	logged := 0
	for _, line := range lines {
		if text := fmt.Sprint(line["error"]); strings.Contains(text, "Most") && strings.Contains(text, file) {
			logged++
		}
	}
	if logged != 1 {
		t.Errorf("the invalid policy was logged %d times", logged)
	}

	w.quiet()
	before := w.metrics().Sum("upstreamd_decisions_total")
	w.must(os.Remove(file))
	reloads(2, 1)
	all(3)
	if got := w.metrics().Sum("upstreamd_decisions_total") - before; got < float64(len(names)) {
		t.Errorf("%v decisions after the policies changed, with %d objects", got, len(names))
	}
	w.quiet()
	calls := w.Calls()
	w.stop()
	w.start()
	all(3)
	if n := w.patches(calls); n != 0 {
		t.Errorf("%d PATCH calls after a restart under the same policies", n)
	}
}
