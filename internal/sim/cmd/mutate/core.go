package main

// core are breaks of the state machine.
var core = []mutation{
	{
		"a list overtakes the reports: a copy that has not reported yet counts as absent", "internal/reconcile/upstream.go",
		"		case copies[0].awaited:\n", "		case copies[0].awaited:\n			source.State = aggregate.Absent\n",
		scripts,
	},
	{
		"the last contribution of an absent SyncTarget is forgotten at a restart", "internal/reconcile/upstream.go",
		"State: aggregate.Unknown, Stale: true,", "State: aggregate.Absent, Stale: true,",
		seeds(20),
	},
	{
		"an unlisted SyncTarget counts as absent", "internal/reconcile/upstream.go",
		"		case t == nil || !t.listed: // its reports", "		case t == nil: // its reports",
		scripts,
	},
	{
		"ownership is forgotten: no field is removed", "internal/reconcile/upstream.go",
		"	owned, ok := s.owned(o, latest)\n	if !ok {", "	owned, ok := s.owned(o, latest)\n	if owned = nil; !ok {",
		seeds(20),
	},
	{
		"each SyncTarget's change is a leading edge", "internal/reconcile/decide.go",
		"	o.notBefore = s.at + int64(s.Quiet)\n", "",
		scripts,
	},
	{
		"the quiet window does not count", "internal/reconcile/decide.go",
		"	if o.notBefore > s.at && !s.flush {", "	if false && o.notBefore > s.at {",
		scripts,
	},
	{
		"a withdrawal is forgotten", "internal/reconcile/object.go",
		"	s.withdraw(o.copies[i])\n	s.cause", "	s.cause",
		seeds(20),
	},
	{
		"the contributions of a stale SyncTarget are withdrawn", "internal/reconcile/target.go",
		"	t.stale, t.since, t.over = e.Stale, e.Since, e.Over\n",
		`	t.stale, t.since, t.over = e.Stale, e.Since, e.Over
	s.each(t, func(o *object) {
		for _, c := range slices.Clone(o.from(t)) {
			s.withdraw(c)
		}
		s.consider(o)
	})
`,
		seeds(20),
	},
	{
		"a decision that is no longer due is written all the same", "internal/reconcile/decide.go",
		"	o.pending = nil\n	s.emit(Cancel{o.name})\n", "",
		scripts,
	},
	{
		"labels do not place", "internal/reconcile/upstream.go",
		"	if len(o.view.placements) > 0 {\n		for", "	if false {\n		for",
		scripts,
	},
	{
		"bindings do not matter", "internal/reconcile/upstream.go",
		"!t.gone && t.bound(o.name.Workspace) && (i == 0", "!t.gone && (i == 0",
		seeds(20),
	},
	{
		"a copy that a list lacks is not withdrawn", "internal/reconcile/target.go",
		"			if c.listed < e.Epoch {\n				s.withdraw(c)", "			if false {\n				s.withdraw(c)",
		scripts,
	},
	{
		"a list withdraws copies without a confirmation", "internal/reconcile/target.go",
		"		s.emit(Tallied{Target: e.Target, Epoch: e.Epoch, Vanished: len(t.copies) - t.marked, Known: len(t.copies)})\n",
		`		s.emit(Tallied{Target: e.Target, Epoch: e.Epoch, Vanished: len(t.copies) - t.marked, Known: len(t.copies)})
		s.listConfirmed(ListConfirmed{e.Target, e.Epoch})
`,
		scripts,
	},
	{
		"copies are not counted as they are listed", "internal/reconcile/target.go",
		"			t.marked++\n", "",
		scripts,
	},
	{
		"a late report brings back a copy that a newer list lacks", "internal/reconcile/object.go",
		"!known && e.At.Epoch < t.epoch", "!known && false",
		scripts,
	},
	{
		"reports of a superseded SyncTarget count", "internal/reconcile/object.go",
		"	if t == nil || e.At.Epoch < t.fromEpoch {", "	if t == nil {",
		scripts,
	},
	{
		"one of two claimants wins", "internal/reconcile/upstream.go",
		"		case len(copies) > 1:\n", "		case len(copies) > 9:\n",
		scripts,
	},
	{
		"the answer to a write carries no placement", "internal/reconcile/decide.go",
		"		Want:     s.want,\n		Token:", "		Want:     &ref.Want{Managers: true},\n		Token:",
		seeds(40),
	},
	{
		"a deletion that is reported late ends the object's successor", "internal/reconcile/upstream.go",
		"ref.Newer(o.view.version, e.Object.ResourceVersion)", "o.view.uid == e.Object.UID && ref.Newer(o.view.version, e.Object.ResourceVersion)",
		scripts,
	},
	{
		"a write does not name the SyncTarget that caused it", "internal/reconcile/decide.go",
		"		Cause:    s.cause,\n", "",
		scripts,
	},
	{
		"the answer to a dead State's write counts", "internal/reconcile/answer.go",
		"	if o == nil || e.Token.incarnation != s.Incarnation {\n		return // the watch", "	if o == nil {\n		return // the watch",
		scripts,
	},
	{
		"the refusal of a dead State's write counts", "internal/reconcile/answer.go",
		"	if o == nil || e.Token.incarnation != s.Incarnation {\n		return\n", "	if o == nil {\n		return\n",
		scripts,
	},
	{
		"the answer to a dead State's read counts", "internal/reconcile/answer.go",
		"	if e.Token.incarnation != s.Incarnation {\n		return\n", "	if false {\n		return\n",
		scripts,
	},
	{
		"a version that a conflict refused is written again", "internal/reconcile/decide.go",
		"	if t.outdated == o.view.version {", "	if false {",
		scripts,
	},
	{
		"a write that changed nothing is repeated", "internal/reconcile/decide.go",
		"	if t.noopPatch == hash && t.noopVersion == o.view.version {", "	if false {",
		scripts,
	},
	{
		"a read of a server that was set back is not taken", "internal/reconcile/answer.go",
		"				o.place.scope.life++ // the server", "				_ = unchanged // the server",
		scripts,
	},
	{
		"a list of a server that was set back is not taken", "internal/reconcile/upstream.go",
		"			c.life++\n", "",
		scripts,
	},
	{
		"reads are not limited", "internal/reconcile/answer.go",
		"	if r.active >= maxReads {", "	if false {",
		scripts,
	},
	{
		"a lesson of one object is shared at once", "internal/reconcile/answer.go",
		"		p.lessons[key] = lesson{first: o.name}\n", "		p.lessons[key] = lesson{first: o.name, shared: true}\n",
		scripts,
	},
	{
		"lessons are never forgotten", "internal/reconcile/answer.go",
		"	p.lessons, p.unlearnAt = nil, 0\n", "	p.unlearnAt = 0\n",
		scripts,
	},
	{
		"repairs of a contested status do not back off", "internal/reconcile/decide.go",
		"	if len(c.overwrites) < contestAfter && c.pause == 0 {", "	if true {",
		scripts,
	},
	{
		"a success does not end a park", "internal/reconcile/answer.go",
		"	s.unparkPlace(o)\n	s.learnFrom(", "	s.learnFrom(",
		scripts,
	},
	{
		"one object that is forbidden parks its workspace", "internal/reconcile/park.go",
		"	if second || p.park != nil || len(p.objects) == 1 {", "	if _ = second; true {",
		scripts,
	},
	{
		"a workspace in which all is forbidden is never parked", "internal/reconcile/park.go",
		"	if second || p.park != nil || len(p.objects) == 1 {", "	if _ = second; false {",
		scripts,
	},
	{
		"the same object probes each time", "internal/reconcile/park.go",
		"			k.rotated = int(o.index) + 1\n", "",
		scripts,
	},
	{
		"a park waits for ever for its one probe", "internal/reconcile/park.go",
		"	k.probe, k.open = nil, true\n", "	if k.probe != nil {\n		return\n	}\n	k.open = true\n",
		scripts,
	},
	{
		"queued writes are not taken back when a park begins", "internal/reconcile/park.go",
		"		s.takeBack(k)\n", "",
		scripts,
	},
	{
		"a policy that needs more metadata decides on the views that lack it", "internal/reconcile/decide.go",
		"o.view != nil && o.view.reread == s.reread && ", "o.view != nil && ",
		scripts,
	},
	{
		"a workspace that came back is forgotten when its leaving is reported late", "internal/reconcile/upstream.go",
		"!ref.Newer(p.objects[i].view.version, e.Version)", "true",
		scripts,
	},
	{
		"the index of copies is not updated when a copy moves in it", "internal/reconcile/target.go",
		"	t.copies[c.index].index = c.index\n", "",
		scripts,
	},
	{
		"the index of places is not updated when an object moves in it", "internal/reconcile/upstream.go",
		"		old.objects[o.index].index = o.index\n", "",
		scripts,
	},
	{
		"the index of placement labels is not updated when an object moves in it", "internal/reconcile/target.go",
		"			moved.view.placements[i].index = p.index\n", "			_ = i\n",
		test("internal/reconcile", "TestAnyOrderOfEventsEndsTrue"),
	},
	{
		"long work goes on in one Step", "internal/reconcile/work.go",
		"	for left := slice * skip; left > 0 && len(s.work) > 0; {", "	for left := slice * skip; left > -1<<40 && len(s.work) > 0; {",
		test("internal/reconcile", "TestLongWorkGoesOnInSlices"),
	},
}
