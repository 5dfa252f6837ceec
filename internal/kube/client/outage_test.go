package client

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
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// TestOutage: every new cause is logged, a cause that repeats is not, and the recovery says how long it took.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		o := NewOutage(zerolog.New(&out).Level(zerolog.InfoLevel), "cannot be watched", "is watched again")
		lines := func() (all []string) {
			for line := range strings.Lines(out.String()) {
				var l struct {
					Message, Error string
					After          float64
				}
				if err := json.Unmarshal([]byte(line), &l); err != nil {
					t.Fatal(err)
				}
				all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %g", l.Message, l.Error, l.After)))
			}
			out.Reset()
			return all
		}
		forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no right"))
		expect := func(when string, want ...string) {
			t.Helper()
			got := lines()
			if len(got) != len(want) {
				t.Fatalf("%s: %q", when, got)
			}
			for i := range got {
				if !strings.Contains(got[i], want[i]) {
					t.Errorf("%s: %q, want %q", when, got[i], want[i])
				}
			}
		}
		o.Over()
		expect("without an outage")
		for port := range 20 {
			o.Failed(fmt.Errorf("read tcp 10.0.0.1:%d: unexpected EOF", 40000+port))
			time.Sleep(time.Second)
		}
		expect("one cause", "unexpected EOF")
		o.Failed(forbidden)
		o.Failed(forbidden)
		expect("a new cause", "is forbidden")
		o.Failed(errors.New("read tcp 10.0.0.1:1: unexpected EOF"))
		expect("the first cause again, soon")
		time.Sleep(time.Minute)
		o.Failed(forbidden)
		expect("another cause, later", "is forbidden")
		for i := range 100 {
			o.Failed(errors.New("cause " + strings.Repeat("x", i)))
		}
		if n := len(lines()); n > maxCauses {
			t.Errorf("%d lines of 100 causes", n)
		}
		o.Over()
		expect("recovery", "is watched again  80000")
		o.Failed(forbidden)
		expect("the next outage", "is forbidden")
	})
}
