package supervisor

import (
	"fmt"
	"strings"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/actors"
	"github.com/upstreamd/upstreamd/internal/metrics"
)

const (
	// failureMemory is how long a failure counts; after that long without one, an actor starts over with no pause.
	failureMemory   = time.Minute
	minRestartPause = 100 * time.Millisecond
	maxRestartPause = 30 * time.Second
)

// strategy restarts a failed actor: at once the first time, then after a pause that doubles with every failure within
// failureMemory. It never gives up and is never silent. A paused actor keeps its mailbox.
type strategy struct {
	metrics *metrics.Metrics
	jitter  actors.Jitter
	log     zerolog.Logger
}

var _ actor.SupervisorStrategy = (*strategy)(nil)

// HandleFailure is called on the supervisor's turn.
func (s *strategy) HandleFailure(system *actor.ActorSystem, parent actor.Supervisor, child *actor.PID, stats *actor.RestartStatistics, reason, message any) {
	if stats.NumberOfFailures(failureMemory) == 0 {
		stats.Reset()
	}
	stats.Fail()
	failures := stats.NumberOfFailures(failureMemory)
	pause := pauseAfter(failures, s.jitter())
	kind := kindOf(child)
	s.metrics.Failures.WithLabelValues(kind).Inc()
	s.log.Error().Str("actor", child.Id).Str("reason", fmt.Sprint(reason)).Str("on", fmt.Sprintf("%T", message)).
		Int("failures", failures).Dur("pause", pause).Msg("actor failed and is restarted")
	system.EventStream.Publish(Failure{Actor: child.Id, Reason: fmt.Sprint(reason), Failures: failures, Pause: pause})
	restart := func() {
		s.metrics.Restarts.WithLabelValues(kind).Inc()
		parent.RestartChildren(child)
	}
	if pause == 0 {
		restart()
		return
	}
	time.AfterFunc(pause, restart)
}

// pauseAfter is the pause before the restart that follows the n-th failure in a row; jitter is in [0,1).
func pauseAfter(n int, jitter float64) time.Duration {
	if n <= 1 {
		return 0
	}
	pause := maxRestartPause
	if shift := n - 2; shift < 9 {
		pause = min(minRestartPause<<shift, maxRestartPause)
	}
	return pause/2 + time.Duration(jitter*float64(pause/2))
}

// kindOf names an actor by its role: what stands before the first ":" of the last part of its path; object actors have only
// a number there.
func kindOf(pid *actor.PID) string {
	last := pid.Id[strings.LastIndex(pid.Id, "/")+1:]
	kind, _, named := strings.Cut(last, ":")
	if !named && kind != rootName && kind != writerName && kind != namespacesName {
		return "object"
	}
	return kind
}
