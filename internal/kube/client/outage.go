package client

import (
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/rs/zerolog"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Outage logs the failures of one thing that is retried: each new cause, and the recovery with the time that it took. A cause that
// repeats is logged again only after another one, and once a minute at most. It is safe for concurrent use.
type Outage struct {
	log       zerolog.Logger
	failed    string // messages
	recovered string

	mu     sync.Mutex
	begun  time.Time // zero: there is none
	last   string
	causes map[string]time.Time // when each was logged
}

const (
	causeAgain = time.Minute
	maxCauses  = 32 // of one outage; more are logged at debug level
)

// NewOutage makes an Outage with the messages for a failure and for the recovery.
func NewOutage(log zerolog.Logger, failed, recovered string) *Outage {
	return &Outage{log: log, failed: failed, recovered: recovered}
}

// Failed notes a failure.
func (o *Outage) Failed(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	if o.begun.IsZero() {
		o.begun, o.causes, o.last = now, map[string]time.Time{}, ""
	}
	level := zerolog.DebugLevel
	cause := causeOf(err)
	before, known := o.causes[cause]
	if !known && len(o.causes) < maxCauses || known && cause != o.last && now.Sub(before) >= causeAgain {
		level = zerolog.WarnLevel
		o.causes[cause] = now
	}
	o.last = cause
	o.log.WithLevel(level).Err(err).Msg(o.failed)
}

// Over notes a success.
func (o *Outage) Over() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.begun.IsZero() {
		return
	}
	o.log.Info().Dur("after", time.Since(o.begun)).Msg(o.recovered)
	o.begun = time.Time{}
}

var numbers = regexp.MustCompile(`[0-9]+`)

// causeOf is an error's text without the parts that differ from call to call: ports, durations, versions. It holds the code of an answer.
func causeOf(err error) string {
	code := int32(0)
	if answer := apierrors.APIStatus(nil); errors.As(err, &answer) {
		code = answer.Status().Code
	}
	return fmt.Sprintf("%d %s", code, numbers.ReplaceAllString(fmt.Sprint(err), "0"))
}
