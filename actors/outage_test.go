package actors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

// Each new cause is logged once, also when it differs only in a port or duration from one before; the recovery says how long it took.
func TestOutageLogsEachCauseOnceAndTheRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lines bytes.Buffer
		log := zerolog.New(&lines).Level(zerolog.InfoLevel)
		o := outage{failure: "broken", recovery: "works again"}
		o.recovered(log)
		for n, cause := range []string{"unexpected EOF", "refused by 10.0.0.1:4000", "refused by 10.0.0.1:4001", "forbidden", "unexpected EOF", "unexpected EOF"} {
			if news, want := o.failed(log, errors.New(cause), time.Now()), n != 2 && n != 5; news != want {
				t.Errorf("%d %s: reported as a new cause: %v", n, cause, news)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		o.failed(log, errors.New("forbidden"), time.Now()) // another one than the last, and a minute later
		for n := range 2 * maxCauses {
			o.failed(log, fmt.Errorf("cause %s", strings.Repeat("x", n)), time.Now())
		}
		o.recovered(log)
		o.recovered(log)
		o.failed(log, errors.New("forbidden"), time.Now())
		var got []string
		for _, line := range strings.Split(strings.TrimSpace(lines.String()), "\n") {
			var l struct {
				Level, Message, Error string
				After                 float64
			}
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(l.Error, "cause ") {
				got = append(got, fmt.Sprint(l.Level, " ", l.Message, " ", l.Error, l.After))
			}
		}
		want := []string{"warn broken unexpected EOF0", "warn broken refused by 10.0.0.1:40000", "warn broken forbidden0", "warn broken forbidden0",
			"info works again 66000", "warn broken forbidden0"}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("logged\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if n := strings.Count(lines.String(), "cause x"); n != maxCauses-3-1 {
			t.Errorf("%d further causes were logged", n)
		}
	})
}
