package sim

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// Publications follow the order of observations: after a newer one, no older one.
func TestHistory(t *testing.T) {
	for _, c := range []struct {
		published string // one after the other
		fits      bool
	}{
		{"12131", true},
		{"1", true},
		{"23", true},
		{"211", true},
		{"2213", true},
		{"232", false}, // the 2 came before the 3
		{"1213112", false},
		{"4", false}, // it never reported that
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newObservations()
			s.namespaces["ns"] = true
			for i, token := range "12131" {
				time.Sleep(time.Second)
				s.present("pods", observation{namespace: "ns", name: "p", version: strconv.Itoa(i + 1), token: string(token)})
			}
			fits := true
			for _, token := range c.published {
				fits = fits && s.inOrder("pods", "ns", "p", string(token), time.Now(), time.Minute)
			}
			if fits != c.fits {
				t.Errorf("%q may have been published: %v", c.published, fits)
			}
			if s.inOrder("pods", "ns", "p", "2", time.Now(), 2*time.Second) {
				t.Error("a status that was replaced long ago may be published")
			}
		})
	}
}
