package app_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/klog/v2"

	"github.com/upstreamd/upstreamd/internal/app"
)

// lines decodes a JSON log; a name that stands twice in one line is an error.
func lines(t *testing.T, log *bytes.Buffer) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(log.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		for name := range fields {
			if n := strings.Count(line, `"`+name+`":`); n != 1 {
				t.Errorf("%q stands %d times in %s", name, n, line)
			}
		}
		all = append(all, fields)
	}
	return all
}

func TestNewLogger(t *testing.T) {
	var log bytes.Buffer
	l, err := app.NewLogger(&log, app.LogJSON, "warn")
	if err != nil {
		t.Fatal(err)
	}
	l.Info().Msg("too little")
	l.Warn().Str("sync_target", "us-east1").Msg("stale")
	got := lines(t, &log)
	if len(got) != 1 || got[0]["message"] != "stale" || got[0]["level"] != "warn" || got[0]["sync_target"] != "us-east1" || got[0]["time"] == nil {
		t.Errorf("got %v", got)
	}

	log.Reset()
	if l, err = app.NewLogger(&log, app.LogConsole, "info"); err != nil {
		t.Fatal(err)
	}
	l.Info().Msg("for people")
	if s := log.String(); !strings.Contains(s, "for people") || strings.HasPrefix(s, "{") {
		t.Errorf("got %q", s)
	}

	for _, bad := range [][2]string{{"xml", "info"}, {app.LogJSON, "loud"}, {app.LogJSON, ""}} {
		if _, err := app.NewLogger(&log, bad[0], bad[1]); err == nil || !strings.Contains(err.Error(), "must be one of") {
			t.Errorf("%v: got %v", bad, err)
		}
	}
}

func TestBridgeKeepsNamesApartAndBodiesOut(t *testing.T) {
	type secretive struct{ Status string }
	var log bytes.Buffer
	l, err := app.NewLogger(&log, app.LogJSON, "debug")
	if err != nil {
		t.Fatal(err)
	}
	s := app.Bridge(l, "actors")
	s.Info("[DeadLetter]", slog.Any("message", &secretive{Status: "canary"}), slog.String("level", "high"))
	s.With("message", "text", "time", "now", "component", "other").Debug("again")
	s.WithGroup("g").Debug("grouped", "n", 1)
	s.Log(t.Context(), slog.LevelDebug-1, "too fine")

	got := lines(t, &log)
	if len(got) != 3 {
		t.Fatalf("got %v", got)
	}
	if strings.Contains(log.String(), "canary") {
		t.Errorf("a message's content is in the log: %s", log.String())
	}
	want := []map[string]any{
		{"message": "[DeadLetter]", "message_type": "*app_test.secretive", "level": "info", "level_of_record": "high", "component": "actors"},
		{"message": "again", "message_text": "text", "time_of_record": "now", "component": "actors", "component_of_record": "other", "level": "debug"},
		{"message": "grouped", "g.n": 1.0},
	}
	for i := range want {
		for name, value := range want[i] {
			if got[i][name] != value {
				t.Errorf("line %d: %s is %v, want %v", i, name, got[i][name], value)
			}
		}
	}
}

// TestKubernetesLibrariesLogThroughOurs changes the state of the process, which goroutines of other tests may still read: it runs in a
// process of its own.
func TestKubernetesLibrariesLogThroughOurs(t *testing.T) {
	const alone = "UPSTREAMD_TEST_ALONE"
	if os.Getenv(alone) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), alone+"=1")
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	var log bytes.Buffer
	l, err := app.NewLogger(&log, app.LogJSON, "info")
	if err != nil {
		t.Fatal(err)
	}
	app.TakeOverLibraries(l)
	klog.InfoS("from klog", "n", 1)
	utilruntime.HandleErrorWithContext(t.Context(), errors.New("broken"), "from a library")
	got := lines(t, &log)
	if len(got) != 2 {
		t.Fatalf("got %v", got)
	}
	if got[0]["message"] != "from klog" || got[0]["component"] != "klog" {
		t.Errorf("got %v", got[0])
	}
	if got[1]["message"] != "from a library" || got[1]["err"] != "broken" || got[1]["level"] != "error" {
		t.Errorf("got %v", got[1])
	}
}
