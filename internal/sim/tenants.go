package sim

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Tenants use names, labels and Namespaces up to the limits of an API server, on objects of the product and on foreign ones.

const (
	longestName      = 253 // of most kinds
	longestLabel     = 63  // of a label's value, and of names of Namespaces and Services
	crowd            = "Namespaces by the thousand"
	manyLabels       = "thousands of labels on one object"
	largeAnnotations = "annotations of 250 KiB on one object"
)

// drawNames makes names as long as they may be.
func (w *world) drawNames() {
	r := w.seed.generator(14)
	if r.IntN(4) > 0 {
		return
	}
	for _, o := range w.objects {
		if r.IntN(2) == 0 {
			longest := longestName
			if o.kind == services {
				longest = longestLabel
			}
			o.name += strings.Repeat("x", longest-len(o.name))
		}
		if r.IntN(2) == 0 {
			o.namespace += strings.Repeat("y", longestLabel-len(o.namespace))
		}
	}
}

// tenants schedules the acts of tenants until the end of the chaos.
func (w *world) tenants(p *plan) {
	r := w.seed.generator(15)
	within := func() time.Duration { return time.Duration(r.Int64N(int64(p.chaos))) }
	if r.IntN(8) == 0 {
		t := w.targets[r.IntN(len(w.targets))]
		for round := range 1 + r.IntN(3) {
			many, stays := 300+r.IntN(1700), time.Duration(r.Int64N(int64(60*time.Second)))
			w.after(within(), func() {
				p.count(crowd)
				w.crowd(t, round, many)
				w.after(stays, func() { w.disperse(t, round, many, r.IntN(2) == 0) })
			})
		}
	}
	if r.IntN(6) == 0 {
		o := w.objects[r.IntN(len(w.objects))]
		fault, labels, annotations := w.bulk(r)
		w.after(within(), func() {
			p.count(fault)
			w.decorate(o, labels, annotations)
			w.after(within(), func() { w.decorate(o, cleared(labels), cleared(annotations)) })
		})
	}
}

// bulk draws labels or annotations up to the limits of an API server. Placement labels that are not Sync place nothing.
func (w *world) bulk(r *rand.Rand) (fault string, labels, annotations map[string]any) {
	labels, annotations = map[string]any{}, map[string]any{}
	if r.IntN(3) == 0 {
		for i := range 25 {
			annotations["tenant.example.dev/a"+strconv.Itoa(i)] = strings.Repeat("z", 10_000)
		}
		return largeAnnotations, labels, annotations
	}
	many := 2_000
	if r.IntN(4) == 0 {
		many = 20_000
	}
	prefix, value := "tenant.example.dev/l", strings.Repeat("v", 20)
	if r.IntN(2) == 0 {
		prefix, value = "state.workload.kcp.io/zzzz", ""
	}
	for i := range many {
		labels[fmt.Sprintf("%s%05d", prefix, i)] = value
	}
	return manyLabels, labels, annotations
}

func cleared(m map[string]any) map[string]any {
	none := map[string]any{}
	for name := range m {
		none[name] = nil
	}
	return none
}

// decorate sets labels and annotations of an object upstream.
func (w *world) decorate(o *object, labels, annotations map[string]any) {
	_, err := w.upstream.Cluster(o.workspace).As("user").Patch(o.kind.resource, o.namespace, o.name, map[string]any{
		"metadata": map[string]any{"labels": labels, "annotations": annotations},
	})
	w.trace.note("%d labels, %d annotations of %s: %v", len(labels), len(annotations), o, err)
}

func crowdName(round, i int) string { return fmt.Sprintf("tenant-%d-%05d", round, i) }

// crowd makes Namespaces in a SyncTarget that belong to no workspace, some with objects of their own.
func (w *world) crowd(t *target, round, many int) {
	at := t.server.Cluster("").As("tenant")
	for i := range many {
		name := crowdName(round, i)
		_, _ = at.Create(namespaces, map[string]any{"metadata": map[string]any{"name": name, "labels": map[string]any{"tenant": "yes"}}})
		if i%10 == 0 {
			_, _ = at.Create(deployments.resource, map[string]any{
				"apiVersion": deployments.apiVersion, "kind": deployments.name, "spec": deployments.spec,
				"metadata": map[string]any{"name": "own", "namespace": name},
			})
		}
	}
	w.trace.note("%s: %d Namespaces of tenants", t.name, many)
}

// disperse deletes all of a crowd, or every other.
func (w *world) disperse(t *target, round, many int, all bool) {
	for i := range many {
		if all || i%2 == 0 {
			_ = t.server.Cluster("").Delete(namespaces, "", crowdName(round, i))
		}
	}
	w.trace.note("%s: Namespaces of tenants are deleted", t.name)
}
