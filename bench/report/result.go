// Package report stores measurements and renders them: as JSON, as tables, as plots, and one run beside another.
package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/upstreamd/upstreamd/bench/measure"
	"github.com/upstreamd/upstreamd/bench/scenario"
)

// Result is one subject in one scenario.
type Result struct {
	Scenario string             `json:"scenario"`
	Subject  string             `json:"subject"`
	Round    int                `json:"round"`
	Figures  map[string]float64 `json:"figures"`
	Errors   []string           `json:"errors,omitempty"` // the first few
	Wrong    string             `json:"wrong,omitempty"`  // the difference of the first object with a wrong status in the end

	Latency    []measure.Point `json:"latency,omitempty"`    // ms, share
	Throughput []measure.Point `json:"throughput,omitempty"` // s, PATCH calls a second
}

// Run is all that was measured in one go.
type Run struct {
	Date      time.Time           `json:"date"`
	Revision  string              `json:"revision"`
	Machine   string              `json:"machine"`
	Set       string              `json:"set"`
	Scenarios []scenario.Scenario `json:"scenarios"`
	Results   []Result            `json:"results"`
}

// Of are the values of a figure, over all rounds.
func (r *Run) Of(scenario, subject, figure string) (values []float64) {
	for _, one := range r.Results {
		if one.Scenario == scenario && one.Subject == subject {
			if v, ok := one.Figures[figure]; ok {
				values = append(values, v)
			}
		}
	}
	return values
}

// Write writes the run as JSON.
func (r *Run) Write(file string) error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o644) //nolint:gosec // to be read by anybody
}

// Read reads a file of Write.
func Read(file string) (*Run, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var r Run
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &r, nil
}
