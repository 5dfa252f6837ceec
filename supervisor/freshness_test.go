package supervisor

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/upstreamd/upstreamd/internal/ref"
)

var (
	errAway = errors.New("connection refused")

	pods = ref.Resource{Version: "v1", Resource: "pods"}
	jobs = ref.Resource{Group: "batch", Version: "v1", Resource: "jobs"}
)

// story plays events at given seconds against a freshness with a grace of 40 s and probes every 10 s, and updates it whenever it is due.
type story struct {
	t       *testing.T
	start   time.Time
	f       *freshness
	changes []string // "40 pods stale", in order
}

func newStory(t *testing.T) *story {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := &story{t: t, start: start, f: newFreshness(40*time.Second, 10*time.Second, start)}
	s.f.add(start, pods)
	s.f.add(start, jobs)
	return s
}

func (s *story) at(seconds int) time.Time { return s.start.Add(time.Duration(seconds) * time.Second) }

func (s *story) update(now time.Time) {
	v := s.f.update(now)
	for _, r := range v.mended {
		s.changes = append(s.changes, fmt.Sprintf("%.0f %s mended", now.Sub(s.start).Seconds(), r.Resource))
	}
	for _, r := range v.changed {
		k := s.f.resources[r]
		state := "fresh"
		if k.stale {
			state = "stale"
			if k.over != "" {
				state += " over " + string(k.over)
			} else {
				state += fmt.Sprintf(" since %.0f", k.since.Sub(s.start).Seconds())
			}
		}
		s.changes = append(s.changes, fmt.Sprintf("%.0f %s %s", now.Sub(s.start).Seconds(), r.Resource, state))
	}
}

// play takes "<second> <event> [<resource> [<limit>]]": live, broke, over, ok (probe), away (probe), heard (an answer, but the probe failed), end.
func (s *story) play(line string) {
	words := strings.Fields(line)
	seconds, err := strconv.Atoi(words[0])
	if err != nil {
		s.t.Fatal(err)
	}
	now := s.at(seconds)
	for due := s.f.due(); !due.IsZero() && due.Before(now); due = s.f.due() {
		s.update(due)
	}
	r := map[string]ref.Resource{"pods": pods, "jobs": jobs}[append(words, "", "")[2]]
	switch words[1] {
	case "live":
		s.f.watchLive(now, r)
	case "broke":
		s.f.watchBroke(r, now, "", errAway)
	case "over":
		s.f.watchBroke(r, now, ref.Limit(words[3]), errAway)
	case "ok":
		s.f.probed(now, time.Time{}, nil)
	case "away":
		s.f.probed(now, time.Time{}, errAway)
	case "heard":
		s.f.probed(now, now.Add(-time.Second), errAway)
	}
	s.update(now)
}

func TestFreshness(t *testing.T) {
	begin := []string{"0 live namespaces", "1 live pods", "1 live jobs"}
	begun := []string{"1 pods fresh", "1 jobs fresh"}
	probes := func(event string, from, to int) (lines []string) {
		for second := from; second <= to; second += 10 {
			lines = append(lines, fmt.Sprint(second, " ", event))
		}
		return lines
	}
	for name, c := range map[string]struct {
		events [][]string
		want   []string
	}{
		"live": {[][]string{begin, probes("ok", 10, 300)}, begun},
		"never listed, though probes succeed": {
			[][]string{{"0 live namespaces", "1 live pods"}, probes("ok", 10, 100)},
			[]string{"1 pods fresh", "40 jobs stale since 0"},
		},
		"Namespaces never listed": {
			[][]string{{"1 live pods", "1 live jobs"}, probes("ok", 10, 100)},
			[]string{"40 pods stale since 0", "40 jobs stale since 0"},
		},
		"one watch is refused, while probes succeed": {
			[][]string{begin, probes("ok", 10, 90), {"95 broke pods", "99 broke pods"}, probes("ok", 100, 200), {"205 live pods", "900 ok"}},
			append(begun, "135 pods stale since 95", "205 pods fresh"),
		},
		"a watch that is broken for less than the grace period": {
			[][]string{begin, {"50 broke pods", "89 live pods", "90 broke pods", "129 live pods", "500 ok"}}, begun,
		},
		"the watch of Namespaces breaks": {
			[][]string{begin, {"50 broke namespaces", "60 ok", "90 ok", "100 live namespaces", "200 ok"}},
			append(begun, "90 pods stale since 50", "90 jobs stale since 50", "100 pods fresh", "100 jobs fresh"),
		},
		"no contact": {
			[][]string{begin, probes("ok", 10, 50), probes("away", 60, 150), probes("ok", 160, 200)},
			append(begun, "90 pods stale since 50", "90 jobs stale since 50", "160 pods fresh", "160 jobs fresh"),
		},
		"a short outage": {[][]string{begin, {"10 ok", "20 away", "30 away", "40 away", "49 ok", "60 ok", "200 ok"}}, begun},
		"answers count as contact while probes fail": {[][]string{begin, probes("heard", 10, 300)}, begun},
		"a watch breaks as the connection returns: broken without a break": {
			[][]string{begin, {"10 ok", "20 away", "31 away", "32 broke pods", "40 ok", "50 ok", "300 end"}},
			append(begun, "50 pods stale since 10"),
		},
		"a second staleness within 10 minutes ends only after the grace period": {
			[][]string{begin, {"50 broke pods", "100 live pods", "200 broke pods", "250 live pods", "280 broke pods", "281 live pods", "500 ok"}},
			append(begun, "90 pods stale since 50", "100 pods fresh", "240 pods stale since 200", "321 pods fresh"),
		},
		"one after more than 10 minutes ends at once": {
			[][]string{begin, {"50 broke pods", "100 live pods", "700 broke pods", "745 live pods", "900 ok"}},
			append(begun, "90 pods stale since 50", "100 pods fresh", "740 pods stale since 700", "745 pods fresh"),
		},
		"over a limit: at once, and for the grace period afterwards": {
			[][]string{begin, {"50 over pods Objects", "51 over pods Objects", "52 over pods Kept", "60 live pods", "70 live pods", "300 ok"}},
			append(begun, "50 pods stale over Objects", "52 pods stale over Kept", "100 pods mended", "100 pods fresh"),
		},
		"over a limit again within the grace period": {
			[][]string{begin, {"50 over pods Objects", "60 live pods", "90 over pods Objects", "91 live pods", "300 ok"}},
			append(begun, "50 pods stale over Objects", "131 pods mended", "131 pods fresh"),
		},
		"Namespaces over a limit": {
			[][]string{begin, {"50 over namespaces Pages", "60 over pods Kept", "70 live namespaces", "80 live pods", "300 ok"}},
			append(begun, "50 pods stale over Pages", "50 jobs stale over Pages", "110  mended", "110 pods stale over Kept",
				"110 jobs fresh", "120 pods mended", "120 pods fresh"),
		},
		"away when it becomes stale for the limit": {
			[][]string{begin, {"50 over pods Objects", "60 broke pods", "200 live pods", "400 ok"}},
			append(begun, "50 pods stale over Objects", "240 pods mended", "240 pods fresh"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			for _, lines := range c.events {
				for _, line := range lines {
					s.play(line)
				}
			}
			if got, want := strings.Join(s.changes, "\n"), strings.Join(c.want, "\n"); got != want {
				t.Errorf("changes:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// A resource that is added while the connection is lost is stale as soon as the others are.
func TestFreshnessOfAResourceThatIsAddedDuringAnOutage(t *testing.T) {
	s := newStory(t)
	for _, line := range []string{"0 live namespaces", "1 live pods", "1 live jobs", "10 ok", "30 away", "60 away"} {
		s.play(line)
	}
	s.f.add(s.at(70), pods)
	s.update(s.at(70))
	if k := s.f.resources[pods]; !k.stale {
		t.Error("fresh, though nothing answered for 60 s")
	}
}

// However watches and probes go, a resource is stale once it was not live for the grace period, never stale after it was live for the
// grace period, and changes at most four times in 10 minutes.
func TestFreshnessNeverClaimsTooMuchNorFlaps(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newStory(t)
		var broken, live time.Time // of pods
		broken = s.start
		changed := map[bool]int{}
		for second := range rapid.IntRange(10, 400).Draw(rt, "seconds") {
			now := s.at(second)
			event := rapid.SampledFrom([]string{"", "", "", "live", "broke"}).Draw(rt, "event")
			s.f.watchLive(now, ref.Resource{})
			switch event {
			case "live":
				s.f.watchLive(now, pods)
				if live.IsZero() {
					broken, live = time.Time{}, now
				}
			case "broke":
				s.f.watchBroke(pods, now, "", errAway)
				if broken.IsZero() {
					broken, live = now, time.Time{}
				}
			}
			before := s.f.resources[pods].stale
			s.f.update(now)
			stale := s.f.resources[pods].stale
			if stale != before {
				changed[stale]++
			}
			if !stale && !broken.IsZero() && now.Sub(broken) >= s.f.grace {
				rt.Fatalf("fresh at %d s, though broken since %v", second, broken)
			}
			if stale && !live.IsZero() && now.Sub(live) >= s.f.grace {
				rt.Fatalf("stale at %d s, though live since %v", second, live)
			}
		}
		if changed[false] > 6 {
			rt.Fatalf("fresh again %d times within 400 s", changed[false])
		}
	})
}
