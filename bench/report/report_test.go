package report_test

import (
	"bytes"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upstreamd/upstreamd/bench/fleet"
	"github.com/upstreamd/upstreamd/bench/measure"
	"github.com/upstreamd/upstreamd/bench/report"
	"github.com/upstreamd/upstreamd/bench/scenario"
)

func run(rates ...float64) *report.Run {
	r := &report.Run{
		Date: time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC), Revision: "abc", Machine: "2 cores", Set: "short",
		Scenarios: []scenario.Scenario{{
			Name: "flood", Title: "A flood", Subjects: []string{"upstreamd", "bare", "sketch"}, Shape: fleet.Shape{Objects: 1},
			Aims: []scenario.Aim{
				{Figure: "patchesPerSecond", Over: "bare", AtLeast: new(.95), Says: "PATCH calls"},
				{Figure: "p99Millis", AtMost: new(10.0), Says: "p99"},
				{Figure: "conflicts", Says: "conflicts"},
			},
		}},
	}
	curve := []measure.Point{{X: 1, Y: 0}, {X: 2, Y: 1}}
	for round, rate := range rates {
		r.Results = append(r.Results,
			report.Result{Scenario: "flood", Subject: "upstreamd", Round: round, Latency: curve, Throughput: curve,
				Figures: map[string]float64{"patchesPerSecond": rate, "p99Millis": 12.5, "conflicts": 0, "heapMiB": 100, "objects": 10000}},
			report.Result{Scenario: "flood", Subject: "bare", Round: round, Figures: map[string]float64{"patchesPerSecond": 2000}},
			report.Result{Scenario: "flood", Subject: "sketch", Round: round, Wrong: "app0: no", Errors: []string{"1× refused"},
				Figures: map[string]float64{"wrongObjects": 3, "p99Millis": 25}})
	}
	return r
}

func TestTheTableSaysWhatWasMetAndWhatWasNot(t *testing.T) {
	var b bytes.Buffer
	if err := run(1850, 1950, 1900).Markdown(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| A flood | PATCH calls | ≥ 0.95× bare | 1,900/s | met | 2,000/s (0.95×) |  |",
		"|  | p99 | ≤ 10 ms | 12.5 ms | **missed** |  | 25 ms (0.5×) |",
		"|  | conflicts |  | 0 |  |  |  |",
		"flood, sketch: 3 objects are not published as they should be in the end, such as app0: no",
		"flood, sketch: 1× refused",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
}

func TestWhatWasNotMeasuredIsNotMet(t *testing.T) {
	var b bytes.Buffer
	if err := run().Markdown(&b); err != nil {
		t.Fatal(err)
	}
	if strings.Count(b.String(), "not measured") != 2 {
		t.Errorf("of an empty run:\n%s", b.String())
	}
}

func TestARunIsReadAsItWasWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "deep", "run.json")
	want := run(1, 2)
	if err := want.Write(file); err != nil {
		t.Fatal(err)
	}
	got, err := report.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCompareTellsDifferencesFromChance(t *testing.T) {
	a, b := run(1000, 1010, 1020, 1030, 1040), run(2000, 2010, 2020, 2030, 2040)
	var out bytes.Buffer
	if err := report.Compare(&out, a, b); err != nil {
		t.Fatal(err)
	}
	if want := "| flood | upstreamd | patchesPerSecond | 1,020/s | 2,020/s | 1.98 | p=0.008 n=5+5 |"; !strings.Contains(out.String(), want) {
		t.Errorf("%q is missing in\n%s", want, out.String())
	}
	if strings.Contains(out.String(), "| bare |") {
		t.Errorf("equal rows are shown:\n%s", out.String())
	}
	out.Reset()
	if err := report.Compare(&out, run(1000, 1100, 1200, 1300), run(1010, 1090, 1230, 1320)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "~ (p=") {
		t.Errorf("chance is taken for a difference:\n%s", out.String())
	}
}

func TestPlotsAreSound(t *testing.T) {
	folder := t.TempDir()
	files, err := run(5).Plots(folder)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"flood-latency.svg", "flood-throughput.svg", "memory.svg"}, files); diff != "" {
		t.Fatal(diff)
	}
	for _, name := range files {
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		d := xml.NewDecoder(bytes.NewReader(data))
		paths := 0
		for {
			token, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if e, ok := token.(xml.StartElement); ok && e.Name.Local == "path" {
				paths++
			}
		}
		if paths != 1 || bytes.Contains(data, []byte("NaN")) || bytes.Contains(data, []byte("Inf")) {
			t.Errorf("%s has %d lines: %s", name, paths, data)
		}
	}
}
