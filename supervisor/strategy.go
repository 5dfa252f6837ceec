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
	role := roleOf(child)
	s.metrics.Failures.WithLabelValues(role).Inc()
	s.log.Error().Str("actor", child.Id).Str("reason", fmt.Sprint(reason)).Str("on", fmt.Sprintf("%T", message)).
		Int("failures", failures).Dur("pause", pause).Msg("actor failed; restarting")
	system.EventStream.Publish(Failure{Actor: child.Id, Reason: fmt.Sprint(reason), Failures: failures, Pause: pause})
	restart := func() {
		s.metrics.Restarts.WithLabelValues(role).Inc()
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

// roleOf is the role of an actor: the last part of its path, up to the first ":". Object actors have only a number there.
func roleOf(pid *actor.PID) string {
	last := pid.Id[strings.LastIndex(pid.Id, "/")+1:]
	role, _, named := strings.Cut(last, ":")
	if !named && role != rootName && role != writerName && role != namespacesName {
		return "object"
	}
	return role
}
