package main

// seeds has the simulation run so many seeds from 1 on.
func seeds(n int) trial { return trial{"internal/sim", "TestSeeds", n} }

// test has one test of a package run.
func test(folder, name string) trial { return trial{folder: folder, name: name} }

var mutations = []mutation{
	{
		"the resourceVersion is not sent", "internal/patch/apply.go",
		"			ResourceVersion string `json:\"resourceVersion\"`\n", "			ResourceVersion string `json:\"-\"`\n",
		seeds(5),
	},
	{
		"Listed overtakes the data: what has not answered yet counts as absent", "actors/entry.go",
		"		case said[0].awaited:\n", "		case said[0].awaited:\n			s.State = aggregate.Absent\n",
		test("supervisor", "TestACompleteListDoesNotOvertakeWhatItHolds"),
	},
	{
		"an absent SyncTarget's last contribution is forgotten at a restart", "actors/entry.go",
		"		s := aggregate.Source{Target: name, State: aggregate.Unknown,", "		s := aggregate.Source{Target: name, State: aggregate.Absent,",
		seeds(20),
	},
	{
		"what was ours is forgotten: nothing is removed", "actors/aggregator_upstream.go",
		"	return e.view(o, a.owned.of(o), time.Now())", "	return e.view(o, nil, time.Now())",
		seeds(20),
	},
	{
		"a Namespace's name is not checked", "internal/locator/resolver.go",
		"ns.Name != namespaceName(ns.Annotations[locatorAnnotation])", "false",
		seeds(60),
	},
	{
		"every SyncTarget's change is a leading edge", "actors/aggregator_decide.go",
		"	e.notBefore = now.Add(a.Quiet)\n", "",
		test("supervisor", "TestTenSyncTargetsWithinABurstCostTwoCalls"),
	},
	{
		"a withdrawal is forgotten", "actors/aggregator.go",
		"	if e == nil || !e.withdraw(m) {", "	if e == nil || true {",
		seeds(20),
	},
	{
		"a write that is refused as too old is sent again on the newest version", "actors/writer.go",
		"	if p.object, p.err = w.Upstream.Patch(ctx, c.write.Patch, c.write.want); p.err == nil {\n",
		`	p.object, p.err = w.Upstream.Patch(ctx, c.write.Patch, c.write.want)
	if apierrors.IsConflict(p.err) {
		if now, err := w.Upstream.Get(ctx, c.write.Patch.Resource, c.write.Patch.Upstream, c.write.want); err == nil {
			again := c.write.Patch
			again.Body, _ = patch.Body(now.ResourceVersion, c.write.status)
			p.object, p.err = w.Upstream.Patch(ctx, again, c.write.want)
		}
	}
	if p.err == nil {
`,
		seeds(60),
	},
	{
		"a write is sent although the lease ran out", "actors/writer.go",
		"		if p.fenced = !ok; p.fenced {\n", "		if p.fenced = false && ok; p.fenced {\n",
		seeds(20),
	},
	{
		"an object actor that stops withdraws", "actors/object.go",
		"	case *actor.Stopping:\n", "	case *actor.Stopping:\n		o.deleted(ctx, Deleted{Source: o.source, Upstream: o.upstream, At: o.at, Withdraw: true})\n",
		seeds(20),
	},
	{
		"a stale SyncTarget's contributions are withdrawn", "actors/aggregator.go",
		"	t.stale, t.since, t.over = m.Stale, m.Since, m.Over\n",
		"	t.stale, t.since, t.over = m.Stale, m.Since, m.Over\n	for _, e := range a.entries {\n		e.withdrawTarget(m.Target, ^uint64(0))\n	}\n",
		seeds(20),
	},
	{
		"a decision that is no longer due is written all the same", "actors/aggregator_decide.go",
		"	if !e.sending {\n		return\n	}\n	a.seq++\n", "	if true {\n		return\n	}\n	a.seq++\n",
		seeds(100),
	},
	{
		"placement does not matter", "actors/entry.go",
		"	if !byLabel {\n		for name, t := range targets {\n			if t.Bound(e.upstream.Workspace) &&",
		"	if names = nil; true {\n		for name, t := range targets {\n			if",
		seeds(20),
	},
	{
		"what a list lacks is not withdrawn", "actors/aggregator.go",
		"		e.withdrawUnless(m.Target, m.Epoch, there(e))\n", "		_ = there(e)\n",
		test("supervisor", "TestWhatARelistLacksIsGone"),
	},
	{
		"a silent watch is never given up", "internal/kube/lean/source.go",
		"cmp.Or(s.WatchIdle, 150*time.Second)", "cmp.Or(s.WatchIdle, 150*time.Hour)",
		seeds(60),
	},
	{
		"the answer to a write says nothing of placement", "actors/aggregator_decide.go",
		"		want:     a.want,", "		want:     ref.Want{Managers: true},",
		seeds(40),
	},
	{
		"an answer that is no object is believed", "actors/writer.go",
		"p.err = isObject(p.object, c.write.Patch.Upstream)", "_ = isObject",
		test("supervisor", "TestAnAnswerThatIsNoObjectTeachesNothing"),
	},
	{
		"what is parked waits for ever for the one write that tries", "actors/aggregator_decide.go",
		"			a.parkFor(key, p, minKindPark)\n", "			p.until = now.Add(1000 * time.Hour)\n",
		seeds(60),
	},
	{
		"watches that wait for Namespaces are forgotten when who was asked fails", "actors/namespaces.go",
		"		ctx.Send(ctx.Parent(), NamespacesStarted{})\n", "",
		test("supervisor", "TestAFailedWatchOfNamespacesKeepsNobodyWaiting"),
	},
	{
		"a copy that was replaced unseen is withdrawn first", "actors/watch.go",
		"w.drop(ctx, source, known, known.at, known.upstream != upstream)", "w.drop(ctx, source, known, known.at, true)",
		seeds(100),
	},
	{
		"an actor that is about to end is restarted", "actors/mailbox.go",
		"		if !m.ending {", "		if true {",
		test("actors", "TestAFailureWhileStoppingDoesNotBringAnActorBack"),
	},
	{
		"a deletion that is told late ends the object's successor", "actors/aggregator_upstream.go",
		"e.scope != s || newer(e.seen.ResourceVersion, o.ResourceVersion)", "e.scope != s || e.seen.UID == o.UID && newer(e.seen.ResourceVersion, o.ResourceVersion)",
		test("supervisor", "TestALateDeletionDoesNotEndASuccessor"),
	},
	{
		"a call that was frozen goes out after its deadline", "internal/kube/client/conn.go",
		"ok && !time.Now().Before(deadline)", "ok && time.Now().Before(deadline.Add(-1000*time.Hour))",
		test("internal/kube/client", "TestNothingIsSentAfterTheDeadline"),
	},
	{
		"whose news a write is does not matter", "actors/aggregator_decide.go",
		"		Cause:    a.cause,\n", "",
		test("supervisor", "TestAFloodingSyncTargetTakesItsTurn"),
	},
	{
		"who can't be reached is tried for each change", "actors/refusal.go",
		"errors.Is(err, ref.ErrUnreachable)", "errors.Is(err, ref.ErrUnreachable) && false",
		test("supervisor", "TestAServerThatCannotBeReachedIsLeftAloneForAWhile"),
	},
	{
		"objects that begin to change together leave together", "internal/debounce/debounce.go",
		"			s.latest -= int64(w.cut)\n", "",
		test("internal/debounce", "TestSpreadObjectsPart"),
	},
	{
		"an aggregator that fails during a list is not told what was in it", "actors/watch.go",
		"		w.listing.resend = true\n", "",
		test("supervisor", "TestAnAggregatorThatFailsDuringAListIsToldAllOfIt"),
	},
	{
		"a write that was taken back is sent later", "actors/writer.go",
		"		if !takenBack && !w.queue.Has(key) {", "		if _ = takenBack; !w.queue.Has(key) {",
		test("supervisor", "TestAWriteThatIsTakenBackIsNotSentLater"),
	},
	{
		"any answer is a sign of life", "internal/kube/client/transport.go",
		"	if counts(resp) {", "	if counts(resp) || true {",
		test("internal/kube/downstream", "TestProbe"),
	},
	{
		"a page of a list is as old as it was asked for", "internal/kube/lean/source.go",
		"		query.Set(\"resourceVersionMatch\", string(metav1.ResourceVersionMatchNotOlderThan))\n",
		"		_ = metav1.ResourceVersionMatchNotOlderThan\n",
		test("internal/kube/lean", "TestWatchSays"),
	},
}
