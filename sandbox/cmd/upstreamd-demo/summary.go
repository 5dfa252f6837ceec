package main

import (
	"fmt"
	"io"
	"math"
	"time"
)

// summary is the result of the demo.
type summary struct {
	load      time.Duration
	changes   int
	metrics   metrics
	patches   int // PATCH calls that reached the API servers
	settled   time.Duration
	checked   int
	incorrect error // nil if every published status is right
}

func (s summary) print(out io.Writer) {
	verdict := "every published status is right"
	if s.incorrect != nil {
		verdict = "WRONG: " + s.incorrect.Error()
	}
	for _, line := range [][2]string{
		{"load", fmt.Sprintf("%.1f s, %d status changes in the SyncTargets (%.0f/s)", s.load.Seconds(), s.changes, float64(s.changes)/s.load.Seconds())},
		{"status events", fmt.Sprintf("%.0f", s.metrics.events)},
		{"patches", fmt.Sprintf("%.0f (PATCH calls counted at the workspaces: %d)", s.metrics.patches, s.patches)},
		{"suppressed", fmt.Sprintf("%.0f", s.metrics.suppressed)},
		{"coalesced", fmt.Sprintf("%.0f", s.metrics.coalesced)},
		{"propagation", fmt.Sprintf("p50 %s, p99 %s", seconds(quantile(.50, s.metrics.propagation)), seconds(quantile(.99, s.metrics.propagation)))},
		{"converged", fmt.Sprintf("%.1f s after the SyncTargets were settled", s.settled.Seconds())},
		{"objects checked", fmt.Sprint(s.checked)},
		{"result", verdict},
	} {
		fmt.Fprintf(out, "%-16s %s\n", line[0], line[1])
	}
}

func seconds(s float64) string {
	if math.IsNaN(s) {
		return "unknown"
	}
	return time.Duration(s * float64(time.Second)).Round(100 * time.Microsecond).String()
}
