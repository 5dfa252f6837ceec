package actors

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/asynkron/protoactor-go/actor"
)

// engine is an actor system on our dispatcher and mailbox, ended with the test.
func engine(t testing.TB, workers int) (*actor.ActorSystem, func(actor.ReceiveFunc) *actor.Props) {
	t.Helper()
	system := actor.NewActorSystem(actor.WithLoggerFactory(discard))
	dispatcher := NewDispatcher(workers)
	t.Cleanup(func() {
		system.Shutdown()
		dispatcher.Close()
	})
	return system, func(fn actor.ReceiveFunc) *actor.Props {
		return actor.PropsFromFunc(fn, actor.WithDispatcher(dispatcher), actor.WithMailbox(Mailbox))
	}
}

func TestMailboxKeepsTheOrderOfEachSender(t *testing.T) {
	const senders, each = 8, 2000
	system, props := engine(t, 2)
	last := make([]int, senders)
	var wrong, handled atomic.Int64
	done := make(chan struct{})
	pid := system.Root.Spawn(props(func(c actor.Context) {
		m, ok := c.Message().([2]int)
		if !ok {
			return
		}
		if m[1] != last[m[0]]+1 {
			wrong.Add(1)
		}
		last[m[0]] = m[1]
		if handled.Add(1) == senders*each {
			close(done)
		}
	}))
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for n := range each {
				system.Root.Send(pid, [2]int{s, n + 1})
			}
		})
	}
	wg.Wait()
	<-done
	if wrong.Load() != 0 {
		t.Errorf("%d messages came out of order", wrong.Load())
	}
}

// A busy actor gives its worker back after a turn: on one worker, an actor that never runs out of messages must not starve another.
func TestBusyActorDoesNotStarveOthers(t *testing.T) {
	system, props := engine(t, 1)
	var rounds atomic.Int64
	busy := system.Root.Spawn(props(func(c actor.Context) {
		if _, ok := c.Message().(string); ok {
			rounds.Add(1)
			c.Send(c.Self(), "again")
		}
	}))
	system.Root.Send(busy, "again")
	for rounds.Load() == 0 {
		runtime.Gosched()
	}
	answered := make(chan struct{})
	quiet := system.Root.Spawn(props(func(c actor.Context) {
		if c.Message() == "hello" {
			close(answered)
		}
	}))
	system.Root.Send(quiet, "hello")
	<-answered // with a mailbox that runs until it is empty, this never comes
	system.Root.Stop(busy)
}

func TestMailboxGivesItsMemoryBack(t *testing.T) {
	m := Mailbox().(*mailbox)
	m.RegisterHandlers(&recorder{}, parkedDispatcher{})
	for n := range 5000 {
		m.PostUserMessage(n)
	}
	if got := m.UserMessageCount(); got != 5000 {
		t.Fatalf("%d messages wait, want 5000", got)
	}
	for m.step() {
	}
	if m.UserMessageCount() != 0 || cap(m.user) > 4 {
		t.Errorf("a drained mailbox holds %d messages and room for %d", m.UserMessageCount(), cap(m.user))
	}
}

func TestSuspendedMailboxHandlesSystemMessagesOnly(t *testing.T) {
	seen := &recorder{}
	m := Mailbox().(*mailbox)
	m.RegisterHandlers(seen, parkedDispatcher{})
	m.PostSystemMessage(&actor.SuspendMailbox{})
	m.PostUserMessage("user")
	m.PostSystemMessage("system")
	for m.step() {
	}
	if got := fmt.Sprint(seen.log); got != "[system]" {
		t.Fatalf("while suspended it handled %s", got)
	}
	m.PostSystemMessage(&actor.ResumeMailbox{})
	for m.step() {
	}
	if got := fmt.Sprint(seen.log); got != "[system user]" {
		t.Errorf("after it resumed it had handled %s", got)
	}
}

func TestMailboxEscalatesAPanicAndGoesOn(t *testing.T) {
	seen := &recorder{panicOn: "bad"}
	m := Mailbox().(*mailbox)
	m.RegisterHandlers(seen, parkedDispatcher{})
	for _, message := range []string{"good", "bad", "better"} {
		m.PostUserMessage(message)
	}
	for m.step() {
	}
	if got := fmt.Sprint(seen.log); got != "[good failed:bad better]" {
		t.Errorf("it handled %s", got)
	}
}

func TestDispatcherRunsWhatIsScheduledAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDispatcher(2)
		var ran atomic.Int64
		for range 3000 { // more than its queue holds
			d.Schedule(func() { ran.Add(1) })
		}
		d.Close()
		d.Schedule(func() { ran.Add(1) })
		synctest.Wait()
		if ran.Load() != 3001 {
			t.Errorf("%d of 3001 turns ran", ran.Load())
		}
	})
}

// parkedDispatcher never runs anything: the test takes the steps.
type parkedDispatcher struct{}

func (parkedDispatcher) Schedule(func()) {}
func (parkedDispatcher) Throughput() int { return turn }

// recorder is the actor behind a mailbox.
type recorder struct {
	log     []any
	panicOn any
}

func (r *recorder) InvokeSystemMessage(m any) { r.log = append(r.log, m) }
func (r *recorder) InvokeUserMessage(m any) {
	if r.panicOn != nil && m == r.panicOn {
		panic("asked to")
	}
	r.log = append(r.log, m)
}
func (r *recorder) EscalateFailure(_, m any) { r.log = append(r.log, "failed:"+fmt.Sprint(m)) }

func BenchmarkMailboxPingPong(b *testing.B) {
	system, props := engine(b, 2)
	done := make(chan struct{})
	var left int
	var ping, pong *actor.PID
	pong = system.Root.Spawn(props(func(c actor.Context) {
		if n, ok := c.Message().(int); ok {
			c.Send(ping, n)
		}
	}))
	ping = system.Root.Spawn(props(func(c actor.Context) {
		if _, ok := c.Message().(int); !ok {
			return
		}
		if left--; left == 0 {
			close(done)
			return
		}
		c.Send(pong, left)
	}))
	left = b.N
	b.ResetTimer()
	system.Root.Send(ping, 0)
	<-done
}

// An actor that fails while it waits for its children to stop must not be brought back by a restart: actors that wait for its end would
// wait for ever.
func TestAFailureWhileStoppingDoesNotBringAnActorBack(t *testing.T) {
	system, props := engine(t, 1)
	child := props(func(c actor.Context) {
		switch c.Message().(type) {
		case *actor.Started:
			c.Spawn(props(func(actor.Context) {})) // to be waited for
		case *actor.Stopping:
			c.Send(c.Self(), "fail")
		case string:
			panic("failed")
		}
	})
	parent := system.Root.Spawn(props(func(c actor.Context) {
		if _, ok := c.Message().(*actor.Started); ok {
			c.Spawn(child)
		}
	}))
	if err := system.Root.StopFuture(parent).Wait(); err != nil {
		t.Errorf("the parent did not stop: %v", err)
	}
}
