package main

// core are breaks of the state machine.
var core = []mutation{
	{
		"a list overtakes the reports: a copy that has not reported yet counts as absent", "internal/reconcile/placed.go",
		"	case c.awaited:\n", "	case c.awaited:\n		source.State = aggregate.Absent\n",
		scripts,
	},
	{
		"the last contribution of an absent SyncTarget is forgotten at a restart", "internal/reconcile/placed.go",
		"State: aggregate.Unknown, Stale: true,", "State: aggregate.Absent, Stale: true,",
		seeds(20),
	},
	{
		"an unlisted SyncTarget counts as absent", "internal/reconcile/placed.go",
		"		case t == nil || !t.listed: // its reports", "		case t == nil: // its reports",
		scripts,
	},
	{
		"ownership is forgotten: no field is removed", "internal/reconcile/view.go",
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
		"labels do not place", "internal/reconcile/placed.go",
		"	if len(o.view.placements) > 0 {\n		for", "	if false {\n		for",
		scripts,
	},
	{
		"bindings do not matter", "internal/reconcile/placed.go",
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
		"		s.emit(Tallied{Target: e.Target, Epoch: e.Epoch, Vanished: t.size() - t.marked, Known: t.size()})\n",
		`		s.emit(Tallied{Target: e.Target, Epoch: e.Epoch, Vanished: t.size() - t.marked, Known: t.size()})
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
		"one of two claimants wins", "internal/reconcile/placed.go",
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
		"	s.unparkPlace(o)\n	kept := s.learnFrom(", "	kept := s.learnFrom(",
		scripts,
	},
	{
		"one object that is forbidden parks its workspace", "internal/reconcile/park.go",
		"	if second || p.park != nil || p.size() == 1 {", "	if _ = second; true {",
		scripts,
	},
	{
		"a workspace in which all is forbidden is never parked", "internal/reconcile/park.go",
		"	if second || p.park != nil || p.size() == 1 {", "	if _ = second; false {",
		scripts,
	},
	{
		"the same object probes each time", "internal/reconcile/park.go",
		"			if k.rotated = o.inScope + 1; k.place != nil {\n				k.rotated = o.index + 1\n",
		"			if k.rotated = 0; k.place != nil {\n				k.rotated = 0\n",
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
		"!ref.Newer(p.at(i).view.version, e.Version)", "true || p.at(i) == nil",
		scripts,
	},
	{
		"the index of copies is not updated when a copy moves in it", "internal/reconcile/target.go",
		"func(moved *contribution) { moved.index = c.index }", "func(*contribution) {}",
		scripts,
	},
	{
		"the index of places is not updated when an object moves in it", "internal/reconcile/upstream.go",
		"func(moved *object) { moved.index = o.index }", "func(*object) {}",
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
	{
		"a copy of an earlier object counts", "internal/reconcile/placed.go",
		"	case s.earlier(o, c):\n", "	case s.earlier(o, c) && false:\n",
		scripts,
	},
	{
		"an annotation that names another uid proves nothing", "internal/reconcile/proof.go",
		"	if named && copied.UID != o.view.uid {", "	if named && false {",
		scripts,
	},
	{
		"a copy that ended before its object was created ends it", "internal/reconcile/proof.go",
		"	if s.tellsOfAnEnd(c) && c.started() < earliest {", "	if false {",
		scripts,
	},
	{
		"any copy is current", "internal/reconcile/proof.go",
		"	case o.generation <= 1 || c.proved == o.generation:", "	case o.generation >= 1 || c.proved == o.generation:",
		scripts,
	},
	{
		"a removed field may stay in a current copy", "internal/reconcile/proof.go",
		"c.evidence.Spec.Covers(o.view.evidence.Spec, o.removed)", "c.evidence.Spec.Covers(o.view.evidence.Spec, nil)",
		scripts,
	},
	{
		"an edit of values that prove nothing is taken over at once", "internal/reconcile/proof.go",
		"	o.rescaled = true\n", "",
		scripts,
	},
	{
		"a copy that lags is not announced", "internal/reconcile/placed.go",
		"		source.Lagging = !source.CaughtUp", "		source.Lagging = false && !source.CaughtUp",
		scripts,
	},
	{
		"a collected copy is forgotten", "internal/aggregate/decide.go",
		"	d.recall()\n", "",
		scripts,
	},
	{
		"an edited memory of ends is trusted", "internal/aggregate/ended.go",
		" || !d.in.Owned.ItemField(topConditions, entry, \"message\")", "",
		test("internal/aggregate", "TestCases"),
	},
	{
		"one copy's end ends all", "internal/aggregate/finished.go",
		"slices.ContainsFunc(d.views, func(v *Source) bool { return !d.hasEnded(v) })", "!slices.ContainsFunc(d.views, d.hasEnded)",
		test("internal/aggregate", "TestCases"),
	},
	{
		"a refused result is tried again and again", "internal/reconcile/decide.go",
		"	full := s.refusedBefore(o, out)\n", "	full := uint64(0)\n",
		scripts,
	},
	{
		"a refused result is not told", "internal/reconcile/decide.go",
		"		if out, ok = s.reduced(o, out); !ok {", "		if out, ok = s.reduced(o, out); true {\n			_ = ok",
		scripts,
	},
	{
		"a status stays when its object is placed nowhere any more", "internal/reconcile/decide.go",
		"	in.Unplaced = placed == 0", "	in.Unplaced = false && placed == 0",
		scripts,
	},
	{
		"a changed schema is not followed", "internal/reconcile/upstream.go",
		"	changed := c.described && ", "	changed := false && ",
		scripts,
	},
}
