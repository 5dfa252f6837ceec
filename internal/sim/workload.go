package sim

import (
	"slices"
	"strconv"
	"time"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// act is an action of a user or program on an object.
type act struct {
	weight int
	name   string
	do     func(*world, *object)
}

var acts = []act{
	{30, "report", func(w *world, o *object) { w.eachCopy(o, func(i int) { w.report(o, i, 0) }) }},
	{10, "burst", func(w *world, o *object) {
		w.eachCopy(o, func(i int) {
			for range 6 {
				w.within(400*time.Millisecond, func() { w.report(o, i, 0) })
			}
		})
	}},
	{15, "there and back", func(w *world, o *object) {
		w.eachCopy(o, func(i int) {
			w.report(o, i, 3)
			w.after(4*time.Second, func() {
				w.report(o, i, 7)
				w.within(1500*time.Millisecond, func() { w.report(o, i, 3) })
			})
		})
	}},
	{10, "edit", func(w *world, o *object) {
		if o.exists {
			w.edit(o)
			w.spread(o)
		}
	}},
	{10, "place", func(w *world, o *object) {
		o.assigned = w.someTargets(o)
		if o.exists {
			w.place(o)
			w.spread(o)
		}
	}},
	{6, "delete", func(w *world, o *object) {
		w.remove(o)
		w.spread(o)
		w.within(20*time.Second, func() {
			w.create(o)
			w.spread(o)
		})
	}},
	{6, "replace at once", func(w *world, o *object) {
		w.remove(o)
		w.create(o)
		w.spread(o)
	}},
	{8, "replace a copy at once", func(w *world, o *object) {
		w.oneCopy(o, func(i int) {
			if w.targets[i].server.Cluster("").Delete(o.kind.resource, w.downNamespace(o, i), o.name) == nil {
				w.sync(o, i)
				w.within(time.Second, func() { w.report(o, i, 0) })
			}
		})
	}},
	{6, "delete a copy", func(w *world, o *object) {
		w.oneCopy(o, func(i int) {
			_ = w.targets[i].server.Cluster("").Delete(o.kind.resource, w.downNamespace(o, i), o.name)
			w.trace.note("target %d: the copy of %s is deleted", i, o)
			w.spread(o)
		})
	}},
	{2, "delete a workspace", func(w *world, o *object) { w.dissolve(o.workspace) }},
	{3, "delete a namespace", func(w *world, o *object) {
		w.oneCopy(o, func(i int) {
			_ = w.targets[i].server.Cluster("").Delete(namespaces, "", w.downNamespace(o, i))
			w.trace.note("target %d: namespace of %s is deleted", i, o.workspace)
			if w.rand.IntN(2) == 0 { // its locator comes later
				w.ensureNamespace(o, i, false)
				w.within(10*time.Second, func() { w.ensureNamespace(o, i, true) })
			}
			for _, other := range w.objects {
				if other.workspace == o.workspace {
					w.spread(other)
				}
			}
		})
	}},
	{6, "forget the past", func(w *world, _ *object) {
		// Watches that were cut off have to list again.
		for _, t := range w.targets {
			if w.rand.IntN(2) == 0 {
				t.server.Compact()
			}
		}
		if w.rand.IntN(2) == 0 {
			w.upstream.Compact()
		}
	}},
	{5, "forged copy", func(w *world, o *object) { w.forge(o) }},
	{8, "hostile writer", func(w *world, o *object) {
		for range 1 + w.rand.IntN(4) {
			w.within(30*time.Second, func() { w.hostile(o) })
		}
	}},
}

// eachCopy and oneCopy are about the targets that hold a copy, or ought to.
func (w *world) eachCopy(o *object, do func(target int)) {
	for _, i := range slices.Clone(o.assigned) {
		if w.rand.IntN(3) > 0 {
			do(i)
		}
	}
}

func (w *world) oneCopy(o *object, do func(target int)) {
	if len(o.assigned) > 0 {
		do(o.assigned[w.rand.IntN(len(o.assigned))])
	}
}

// plan schedules the acts of users and programs until the end of the chaos.
func (w *world) plan(chaos time.Duration) {
	for _, o := range w.objects {
		w.within(20*time.Second, func() {
			w.create(o)
			w.spread(o)
		})
	}
	sum := 0
	for _, a := range acts {
		sum += a.weight
	}
	for range 40 + w.rand.IntN(60) {
		o := w.objects[w.rand.IntN(len(w.objects))]
		pick := w.rand.IntN(sum)
		for _, a := range acts {
			if pick -= a.weight; pick < 0 {
				w.within(chaos, func() {
					w.trace.note("act: %s, %s", a.name, o)
					a.do(w, o)
				})
				break
			}
		}
	}
}

// forge has a tenant of a SyncTarget claim an object: one that is not placed there, below the Namespace that it would have there; or one
// that is, below a Namespace with another name.
func (w *world) forge(o *object) {
	i := w.rand.IntN(len(w.targets))
	ns, err := w.targets[i].resolver.DownNamespace(ref.Workspace(o.workspace), o.namespace)
	if err != nil {
		panic(err) // our own names
	}
	if slices.Contains(o.assigned, i) || !o.labelled {
		ns.Name = "kcp-aaaabbbb" + strconv.Itoa(1000+w.rand.IntN(9000))
	}
	at := w.targets[i].server.Cluster("").As("tenant")
	_, _ = at.Create(namespaces, map[string]any{"metadata": map[string]any{"name": ns.Name, "labels": ns.Labels, "annotations": ns.Annotations}})
	_, err = at.Create(o.kind.resource, map[string]any{
		"apiVersion": o.kind.apiVersion, "kind": o.kind.name, "spec": o.kind.spec,
		"metadata": map[string]any{"name": o.name, "namespace": ns.Name, "labels": ns.Labels},
	})
	if err == nil {
		_, err = at.UpdateStatus(o.kind.resource, ns.Name, o.name, o.kind.report(i, 9, 1, false))
	}
	w.trace.note("target %d: forged copy of %s in %s: %v", i, o, ns.Name, err)
}

// dissolve deletes a workspace, and makes it anew after a while.
func (w *world) dissolve(workspace string) {
	w.upstream.RemoveWorkspace(workspace)
	w.trace.note("workspace %s is deleted", workspace)
	of := func(do func(*object)) {
		for _, o := range w.objects {
			if o.workspace == workspace {
				do(o)
			}
		}
	}
	of(func(o *object) {
		o.exists = false
		w.spread(o)
	})
	w.within(30*time.Second, func() {
		w.restore(workspace)
		of(func(o *object) {
			w.create(o)
			w.spread(o)
		})
	})
}

// restore makes a workspace, if there is none.
func (w *world) restore(workspace string) {
	if _, err := w.upstream.Cluster(workspace).Get(namespaces, "", namespace); err == nil {
		return
	}
	w.upstream.AddWorkspace(workspace, "root:"+workspace)
	w.trace.note("workspace %s is made", workspace)
}
