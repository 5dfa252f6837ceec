package growth

import (
	"errors"
	"strings"
	"testing"
	"time"
)

var quick = Runner{Rounds: 5, Runs: 3, Round: time.Millisecond}

// scan is work that reads all things, and direct is work that reads a fixed number.
func scan(size int) (func(), error) {
	things := make([]int, size)
	sum := 0
	return func() {
		for _, n := range things {
			sum += n
		}
		if sum != 0 {
			panic("the things are zero")
		}
	}, nil
}

func direct(int) (func(), error) {
	step, err := scan(5_000)
	return step, err
}

func TestAScanIsAboveTheBoundAndDirectWorkIsNot(t *testing.T) {
	var table strings.Builder
	exceeded, err := quick.Report(&table, []Case{
		{"scan", 5_000, 50_000, 3, scan},
		{"direct", 5_000, 50_000, 3, direct},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(exceeded) != 1 || exceeded[0] != "scan" {
		t.Errorf("above the bound: %q\n%s", exceeded, &table)
	}
	if rows := strings.Split(strings.TrimSpace(table.String()), "\n"); len(rows) != 3 || !strings.Contains(rows[1], "EXCEEDED") || strings.Contains(rows[2], "EXCEEDED") {
		t.Errorf("the table:\n%s", &table)
	}
}

func TestACaseThatCannotBeSetUpIsAnError(t *testing.T) {
	broken := errors.New("broken")
	_, err := quick.Report(new(strings.Builder), []Case{{"b", 1, 10, 1.5, func(int) (func(), error) { return nil, broken }}}, nil)
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// Each run of a Turn delays another Step, as a busy machine does; one of them is long each time.
func TestTheLongestStepOfATurnIsMeasuredWithoutDelays(t *testing.T) {
	turn := func(steps func(run int) []time.Duration) Turn {
		return Turn{"turn", 3, 10, func(int) (func() []time.Duration, error) {
			runs := 0
			return func() []time.Duration { runs++; return steps(runs) }, nil
		}}
	}
	delayed := func(long time.Duration) Turn {
		return turn(func(run int) []time.Duration {
			steps := []time.Duration{1, 2, long, 4, 5}
			steps[(2+run)%len(steps)] += 100
			return steps
		})
	}
	for long, want := range map[time.Duration]int{9: 0, 11: 1} {
		var table strings.Builder
		exceeded, err := quick.Report(&table, nil, []Turn{delayed(long)})
		if err != nil || len(exceeded) != want || want != strings.Count(table.String(), "EXCEEDED") || !strings.Contains(table.String(), long.String()) {
			t.Errorf("above the bound: %q, %v\n%s", exceeded, err, &table)
		}
	}
	if _, _, err := quick.Longest(turn(func(run int) []time.Duration { return make([]time.Duration, run) })); err == nil {
		t.Error("runs of different Steps were compared")
	}
}

// New, and the work, check themselves.
func TestTheCasesWork(t *testing.T) {
	cases, turns := Cases()
	for _, c := range cases {
		step, err := c.New(200)
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		step()
	}
	for _, c := range turns {
		if _, steps, err := quick.Longest(Turn{c.Name, 200, c.Bound, c.New}); err != nil || steps == 0 {
			t.Errorf("%s: %d Steps, %v", c.Name, steps, err)
		}
	}
}
