package actors

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/rs/zerolog"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// outage logs the failures of one thing that is retried: each new cause, and the recovery with the time that it took. A cause that
// repeats is logged again only after another one, and once a minute at most.
type outage struct {
	failure, recovery string // messages

	since  time.Time // zero: it works
	last   string
	causes map[string]time.Time // when each was logged
}

const (
	causeAgain = time.Minute
	maxCauses  = 32 // of one outage; more are debug output
)

// failed takes a failure that came at a time, and reports whether its cause differs from the last one.
func (o *outage) failed(log zerolog.Logger, err error, at time.Time) (other bool) {
	if o.since.IsZero() {
		o.since, o.last, o.causes = at, "", map[string]time.Time{}
	}
	cause := causeOf(err)
	other = cause != o.last
	o.last = cause
	level := zerolog.DebugLevel
	before, known := o.causes[cause]
	if !known && len(o.causes) < maxCauses || known && other && at.Sub(before) >= causeAgain {
		level = zerolog.WarnLevel
		o.causes[cause] = at
	}
	log.WithLevel(level).Err(err).Msg(o.failure)
	return other
}

// recovered takes a success.
func (o *outage) recovered(log zerolog.Logger) {
	if o.since.IsZero() {
		return
	}
	log.Info().Dur("after", time.Since(o.since)).Msg(o.recovery)
	o.since, o.causes = time.Time{}, nil
}

var digits = regexp.MustCompile(`[0-9]+`)

// causeOf stands for an error without the parts that differ from call to call: ports, durations, versions. The code of an answer counts.
func causeOf(err error) string {
	code := int32(0)
	if answer := apierrors.APIStatus(nil); errors.As(err, &answer) {
		code = answer.Status().Code
	}
	return fmt.Sprintf("%d %s", code, digits.ReplaceAllString(fmt.Sprint(err), "0"))
}
