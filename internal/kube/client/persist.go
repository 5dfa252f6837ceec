package client

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/rs/zerolog"
)

// Recover runs fn, and returns its panic as an error.
func Recover(fn func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return fn()
}

// Persist runs fn until it returns. A panic is logged, and fn runs again after a pause that doubles from 1 s to 1 min, unless ctx has ended:
// a panic on a goroutine without recover ends the process. So fn must be able to start again at any point, as a watch is.
func Persist(ctx context.Context, log zerolog.Logger, fn func()) {
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		err := Recover(func() error { fn(); return nil })
		if err == nil {
			return
		}
		log.Error().Err(err).Msg("goroutine panicked; it starts again")
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}
