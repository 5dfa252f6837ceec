package sim

import (
	"slices"
	"time"
)

// act is something that people or programs do to an object.
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
			w.trace.say("target %d: the copy of %s is deleted", i, o)
			w.spread(o)
		})
	}},
	{3, "delete a namespace", func(w *world, o *object) {
		w.oneCopy(o, func(i int) {
			_ = w.targets[i].server.Cluster("").Delete(namespaces, "", w.downNamespace(o, i))
			w.trace.say("target %d: namespace of %s is deleted", i, o.workspace)
			if w.rand.IntN(2) == 0 { // it says later what it is
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

// plan draws what everybody does until the end of the chaos.
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
					w.trace.say("act: %s, %s", a.name, o)
					a.do(w, o)
				})
				break
			}
		}
	}
}
