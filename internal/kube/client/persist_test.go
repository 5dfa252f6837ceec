package client

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

func TestPersist(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		began, runs := time.Now(), 0
		Persist(t.Context(), zerolog.New(&log), func() {
			if runs++; runs < 4 {
				panic("a defect")
			}
		})
		if took := time.Since(began); runs != 4 || took != 7*time.Second {
			t.Errorf("%d runs in %v", runs, took)
		}
		if n := bytes.Count(log.Bytes(), []byte("a defect")); n != 3 {
			t.Errorf("logged %d times: %s", n, log.String())
		}
		ctx, cancel := context.WithCancel(t.Context())
		Persist(ctx, zerolog.Nop(), func() {
			runs++
			cancel()
			panic("a defect at the end")
		})
		if runs != 5 {
			t.Errorf("%d runs after the end of the context", runs-4)
		}
	})
}
