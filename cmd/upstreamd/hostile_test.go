package main

import (
	"encoding/json"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/upstreamd/upstreamd/internal/shown"
)

// TestHostileStatusesOnATerminal prints statuses that try to overwrite other output, and to imitate the program's own.
func TestHostileStatusesOnATerminal(t *testing.T) {
	for name, text := range map[string]string{
		"cursor":           "\x1b[2J\x1b[1;1Hall is well",
		"eight-bit escape": "\u009b2Jx",
		"over the line":    "stale\rready",
		"another line":     "x\nstatus: {ready: 99}\n# Merged",
		"right to left":    "web\u202etxt.exe\u202c",
		"invisible":        "we\u200bb\ufeff",
		"long":             strings.Repeat("long ", 1<<12),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			quoted, err := json.Marshal(text)
			if err != nil {
				t.Fatal(err)
			}
			quoted = shown.JSON(quoted)
			key, err := json.Marshal(text[:min(len(text), 40)])
			if err != nil {
				t.Fatal(err)
			}
			copied := write(t, dir, "us.yaml", `{"metadata": {"generation": 3}, "status": {"phase": `+string(quoted)+`, `+string(shown.JSON(key))+`: 1,
				"conditions": [{"type": "Ready", "status": "False", "reason": `+string(quoted)+`, "message": `+string(quoted)+`}]}}`)
			base := []string{"policy", "render", "--policy", "pods", "--upstream", write(t, dir, "web.yaml", web), "--target", "us=" + copied, "--explain"}

			got := try(t, base...)
			if got.status != 0 || !shown.Printable(got.stdout+got.stderr) {
				t.Errorf("%.500q", got.stdout+got.stderr)
			}
			var document struct{ Status map[string]any }
			if err := yaml.Unmarshal([]byte(got.stdout), &document); err != nil || document.Status["phase"] != text {
				t.Errorf("%v: the status is another one: %.300q", err, got.stdout)
			}
			for line := range strings.Lines(got.stdout) {
				if strings.HasPrefix(line, "#") && len(line) > 4000 {
					t.Errorf("a comment of %d bytes", len(line))
				}
			}

			var e explanation
			asJSON := try(t, append(base, "-o", "json")...)
			if err := json.Unmarshal([]byte(asJSON.stdout), &e); err != nil || !shown.Printable(asJSON.stdout) || e.Status["phase"] != text {
				t.Errorf("%v: %.300q", err, asJSON.stdout)
			}

			failing := try(t, "policy", "test", write(t, dir, "case.txtar", "-- policy.yaml --\n{builtin: pods}\n-- upstream.yaml --\n"+web+
				"\n-- target/us.yaml --\n"+strings.ReplaceAll(`{"status": {"phase": `+string(quoted)+`}}`, "\n", " ")+"\n-- want.yaml --\n{phase: Running}\n"))
			if failing.status != 1 || !strings.Contains(failing.stdout, "FAIL") || !shown.Printable(failing.stdout+failing.stderr) {
				t.Errorf("%+.500q", failing.stdout+failing.stderr)
			}
		})
	}
	if got := try(t, "config", "validate", "\x1b[2J\u202e.yaml"); got.status != 1 || !shown.Printable(got.stderr) {
		t.Errorf("%q", got.stderr)
	}
}
