package growth

import (
	"errors"
	"strings"
	"testing"
	"time"
)

var quick = Runner{Rounds: 5, Round: time.Millisecond}

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
	})
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
	_, err := quick.Report(new(strings.Builder), []Case{{"b", 1, 10, 1.5, func(int) (func(), error) { return nil, broken }}})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// New itself checks that a case does its work.
func TestTheCasesWork(t *testing.T) {
	for _, c := range Cases() {
		step, err := c.New(20)
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		step()
	}
}
