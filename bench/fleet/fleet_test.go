package fleet_test

import (
	"encoding/json"
	"testing"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/upstreamd/upstreamd/bench/fleet"
)

func TestBodiesAreDeploymentsOfTheSizeThatIsMetInProduction(t *testing.T) {
	shape := fleet.Shape{Objects: 30, Copies: 2, SyncTargets: 3, Workspaces: 4, Namespaces: 2}
	status := shape.AppendStatus(nil, 5)
	body := fleet.Body{Name: shape.Downstream(17), UID: 17, Version: 99, Managers: fleet.Controller, Status: status}.Append(nil)
	if len(body) < 6000 || len(body) > 8000 {
		t.Errorf("a Deployment has %d bytes", len(body))
	}
	var d appsv1.Deployment
	if err := json.Unmarshal(body, &d); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	if d.Name != "app0000017" || d.Namespace != "kcp-team001-bench00" || d.ResourceVersion != "99" || d.Status.Replicas != 6 ||
		len(d.ManagedFields) != 2 || d.Annotations["example.com/owner"] != "team-storefront@example.com" {
		t.Errorf("got %+v", d.ObjectMeta)
	}
}

func TestStatusGrowsAsAskedFor(t *testing.T) {
	for _, size := range []int{0, 10 << 10, 100 << 10} {
		status := fleet.Shape{StatusBytes: size}.AppendStatus(nil, 3)
		if !json.Valid(status) || len(status) < size*9/10 || len(status) > max(1000, size*11/10) {
			t.Errorf("a status of %d bytes for %d, valid: %v", len(status), size, json.Valid(status))
		}
	}
}

func TestEveryCopyHasItsPlace(t *testing.T) {
	shape := fleet.Shape{Objects: 100, Copies: 3, SyncTargets: 7, Workspaces: 6, Namespaces: 2}
	seen := 0
	for target := range shape.SyncTargets {
		objects := map[int]bool{}
		for _, number := range shape.On(target) {
			seen++
			if objects[shape.Object(number)] {
				t.Errorf("two copies of object %d on SyncTarget %d", shape.Object(number), target)
			}
			objects[shape.Object(number)] = true
		}
	}
	if seen != shape.Total() {
		t.Errorf("%d copies are on SyncTargets, want %d", seen, shape.Total())
	}
	for i := range shape.Objects {
		up, down := shape.Upstream(i), shape.Downstream(i)
		if w, n := fleet.UpstreamOf(down.Namespace); w != up.Workspace || n != up.Namespace {
			t.Errorf("%v came down as %v and back as %s %s", up, down, w, n)
		}
		if found, ok := shape.Find(up.Name); !ok || found != i {
			t.Errorf("%s is found as %d", up.Name, found)
		}
	}
	if _, ok := shape.Find("app0000100"); ok {
		t.Error("an object that is not there was found")
	}
}

func TestWhatIsExpectedIsWhatTheCopiesAddUpTo(t *testing.T) {
	got := fleet.Expected([]int{0, 6, 2})
	want := fleet.Published{Replicas: 11, ReadyReplicas: 11, ObservedGeneration: 1, Available: "False"}
	if got != want {
		t.Errorf("expected %+v, want %+v", got, want)
	}
	read, err := fleet.ReadPublished(fleet.Shape{}.AppendStatus(nil, 6))
	if err != nil || read != fleet.Expected([]int{6}) {
		t.Errorf("read %+v, %v", read, err)
	}
}
