package main

// seeds has the simulation run so many seeds from 1 on.
func seeds(n int) trial { return trial{"internal/sim", "TestSeeds", n} }

// test has one test of a package run.
func test(folder, name string) trial { return trial{folder: folder, name: name} }

// scripts has the step scripts of the core run.
var scripts = test("internal/reconcile", "TestScripts")

var mutations = append(core, edges...)

// edges are breaks around the core: writer, watches, clients, locators.
var edges = []mutation{
	{
		"the resourceVersion is not sent", "internal/patch/apply.go",
		"			ResourceVersion string `json:\"resourceVersion\"`\n", "			ResourceVersion string `json:\"-\"`\n",
		seeds(5),
	},
	{
		"the name of a Namespace is not checked", "internal/locator/resolver.go",
		"ns.Name != namespaceName(ns.Annotations[locatorAnnotation])", "false",
		seeds(60),
	},
	{
		"a write that was refused as outdated is sent again on the newest version", "actors/writer_calls.go",
		"	if p.object, p.err = w.Upstream.Patch(ctx, ref.Patch{Resource: m.Resource, Upstream: m.Upstream, Body: m.Body}, *m.Want); p.err == nil {\n",
		`	p.object, p.err = w.Upstream.Patch(ctx, ref.Patch{Resource: m.Resource, Upstream: m.Upstream, Body: m.Body}, *m.Want)
	if string(classify(p.err)) == "Conflict" {
		if now, err := w.Upstream.Get(ctx, m.Resource, m.Upstream, *m.Want); err == nil {
			rest := m.Body[len("{\"metadata\":{\"resourceVersion\":\"\"")+len(m.Version):]
			again := fmt.Appendf(nil, "{\"metadata\":{\"resourceVersion\":%q%s", now.ResourceVersion, rest)
			p.object, p.err = w.Upstream.Patch(ctx, ref.Patch{Resource: m.Resource, Upstream: m.Upstream, Body: again}, *m.Want)
		}
	}
	if p.err == nil {
`,
		seeds(60),
	},
	{
		"a write is sent although the lease ran out", "actors/writer_calls.go",
		"		if p.fenced = !ok; p.fenced {\n", "		if p.fenced = false && ok; p.fenced {\n",
		seeds(20),
	},
	{
		"an object actor that stops withdraws", "actors/object.go",
		"	case *actor.Stopping:\n", "	case *actor.Stopping:\n		o.deleted(ctx, Deleted{Source: o.source, Upstream: o.upstream, At: o.at, Withdraw: true})\n",
		seeds(20),
	},
	{
		"a silent watch is never given up", "internal/kube/lean/source.go",
		"cmp.Or(s.WatchIdle, 150*time.Second)", "cmp.Or(s.WatchIdle, 150*time.Hour)",
		seeds(60),
	},
	{
		"an answer that is no object is taken as one", "actors/writer_calls.go",
		"p.err = isObject(p.object, m.Upstream)", "_ = isObject",
		test("supervisor", "TestAnAnswerThatIsNoObjectProvesNothing"),
	},
	{
		"watches that wait for Namespaces are forgotten when that watch fails", "actors/namespaces.go",
		"		ctx.Send(ctx.Parent(), NamespacesStarted{})\n", "",
		test("supervisor", "TestAFailedWatchOfNamespacesIsNotWaitedFor"),
	},
	{
		"a copy that was replaced unseen is withdrawn first", "actors/watch_objects.go",
		"w.drop(ctx, source, known, known.at, known.upstream != upstream)", "w.drop(ctx, source, known, known.at, true)",
		seeds(100),
	},
	{
		"an actor that is about to end is restarted", "actors/mailbox.go",
		"		if !m.ending {", "		if true {",
		test("actors", "TestAFailureWhileStoppingDoesNotBringAnActorBack"),
	},
	{
		"a call that was frozen goes out after its deadline", "internal/kube/client/conn.go",
		"ok && !time.Now().Before(deadline)", "ok && time.Now().Before(deadline.Add(-1000*time.Hour))",
		test("internal/kube/client", "TestNothingIsSentAfterTheDeadline"),
	},
	{
		"an unreachable server is tried for each change", "actors/refusal.go",
		"errors.Is(err, ref.ErrUnreachable)", "errors.Is(err, ref.ErrUnreachable) && false",
		test("supervisor", "TestAServerThatCannotBeReachedIsLeftAloneForAWhile"),
	},
	{
		"objects that begin to change together leave together", "internal/debounce/debounce.go",
		"			s.latest -= int64(w.cut)\n", "",
		test("internal/debounce", "TestSpreadObjectsPart"),
	},
	{
		"an aggregator that fails during a list does not get its first parts again", "actors/watch_list.go",
		"		w.listing.resend = true\n", "",
		test("supervisor", "TestAnAggregatorThatFailsDuringAListGetsAllOfIt"),
	},
	{
		"a write that was taken back is sent later", "actors/writer.go",
		"		w.inFlight[key] = nil\n", "		_ = 0\n",
		test("supervisor", "TestAWriteThatIsTakenBackIsNotSentLater"),
	},
	{
		"the answer to a dead aggregator's write drops the queued write of its successor", "actors/writer_answers.go",
		"(wroteNothing || !w.isAlive(m.write))", "wroteNothing",
		test("supervisor", "TestAnAnswerToADeadAggregatorDropsNothing"),
	},
	{
		"any answer counts as a contact", "internal/kube/client/transport.go",
		"	if counts(resp) {", "	if counts(resp) || true {",
		test("internal/kube/downstream", "TestProbe"),
	},
	{
		"a page of a list may be older than the first page", "internal/kube/lean/source.go",
		"		query.Set(\"resourceVersionMatch\", string(metav1.ResourceVersionMatchNotOlderThan))\n",
		"		_ = metav1.ResourceVersionMatchNotOlderThan\n",
		test("internal/kube/lean", "TestWatchSays"),
	},
}
