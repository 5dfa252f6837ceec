package actors

import (
	"sync"

	"github.com/asynkron/protoactor-go/actor"
)

// turn is how many messages an actor handles before it gives its worker to the next.
const turn = 64

// Dispatcher runs actors on a fixed number of long-lived goroutines: waking an idle actor on a fresh goroutine costs several
// times as much, most of it growing the stack. When all workers are busy and the queue is full, it falls back to a goroutine.
// Actors on it never block.
type Dispatcher struct {
	work    chan func()
	quit    chan struct{}
	workers sync.WaitGroup
	once    sync.Once
}

var _ actor.Dispatcher = (*Dispatcher)(nil)

// NewDispatcher starts the workers. Close ends them.
func NewDispatcher(workers int) *Dispatcher {
	d := &Dispatcher{work: make(chan func(), 1024), quit: make(chan struct{})}
	for range workers {
		d.workers.Go(d.run)
	}
	return d
}

func (d *Dispatcher) run() {
	for {
		select {
		case fn := <-d.work:
			fn()
		case <-d.quit:
			return
		}
	}
}

// Schedule queues one turn of an actor.
func (d *Dispatcher) Schedule(fn func()) {
	select {
	case <-d.quit:
		go fn()
		return
	default:
	}
	select {
	case d.work <- fn:
	default:
		go fn()
	}
}

// Throughput is the number of messages in a turn.
func (d *Dispatcher) Throughput() int { return turn }

// Close ends the workers after the turns they are in; turns that still wait, and later ones, run on goroutines of their own.
func (d *Dispatcher) Close() {
	d.once.Do(func() {
		close(d.quit)
		d.workers.Wait()
		for {
			select {
			case fn := <-d.work:
				go fn()
			default:
				return
			}
		}
	})
}
