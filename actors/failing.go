package actors

import (
	"time"

	"github.com/rs/zerolog"
)

// failing logs the failures of one list and watch: each new cause once, and the recovery with the time that it took.
type failing struct {
	since time.Time // zero: it works
	cause string
}

// observe takes the error of a failure, or that it works.
func (f *failing) observe(log zerolog.Logger, err error, working bool, what string) {
	switch {
	case err != nil:
		if f.since.IsZero() {
			f.since = time.Now()
		}
		if cause := err.Error(); cause != f.cause {
			f.cause = cause
			log.Warn().Err(err).Msg(what + " failed; retrying, the last known state stays")
		}
	case working && !f.since.IsZero():
		log.Info().Dur("after", time.Since(f.since)).Msg(what + " works again")
		*f = failing{}
	}
}
