package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

// outcome is the result of a command line.
type outcome struct {
	status         int
	stdout, stderr string
}

func try(t *testing.T, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status := execute(t.Context(), args, &stdout, &stderr)
	return outcome{status, stdout.String(), stderr.String()}
}

func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	name = filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// kubeconfig is for a server that is not there.
const kubeconfig = `{"apiVersion": "v1", "kind": "Config", "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c"}}],
	"clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}]}`

// configured writes a configuration that is valid, with the files it names.
func configured(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "kcp.kubeconfig", kubeconfig)
	write(t, dir, "us-east1.kubeconfig", kubeconfig)
	printed := try(t, "config", "print-defaults")
	return write(t, dir, "upstreamd.yaml", strings.Replace(printed.stdout, "127.0.0.1:8080", "127.0.0.1:0", 1))
}

func TestCommandLines(t *testing.T) {
	dir := t.TempDir()
	good := configured(t)
	missing := write(t, dir, "missing.yaml", try(t, "config", "print-defaults").stdout)
	bad := write(t, dir, "bad.yaml", "apiVersion: config.upstreamd.dev/v1alpha1\nkind: UpstreamdConfiguration\nupstreem: {}\nwriter: {concurrency: -1}\n")
	unreadable := write(t, t.TempDir(), "c.yaml", try(t, "config", "print-defaults").stdout)
	write(t, filepath.Dir(unreadable), "kcp.kubeconfig", "")
	write(t, filepath.Dir(unreadable), "us-east1.kubeconfig", "[")

	tests := []struct {
		name   string
		args   string
		status int
		stdout []string
		stderr []string // none: nothing is written there
	}{
		{name: "nothing", args: "", stdout: []string{"upstreamd watches the objects", "run --config upstreamd.yaml", "Available Commands"}},
		{name: "help", args: "run --help", stdout: []string{"SIGTERM", "--log-format form", "curl http://127.0.0.1:8080/readyz"}},
		{name: "unknown command", args: "runn", status: 1, stderr: []string{`Error: unknown command "runn"`}},
		{name: "unknown flag", args: "run --confg x", status: 1, stderr: []string{"Error: unknown flag: --confg"}},
		{name: "run without configuration", args: "run", status: 1, stderr: []string{`Error: required flag(s) "config" not set`}},
		{name: "run with a configuration that is not there", args: "run -c /nowhere.yaml", status: 1, stderr: []string{"Error: reading the configuration: open /nowhere.yaml"}},
		{name: "run with a bad configuration", args: "run -c " + bad, status: 1, stderr: []string{"5 errors in the configuration", `did you mean "upstream"?`, "writer.concurrency"}},
		{name: "run with kubeconfigs that cannot be read", args: "run -c " + unreadable, status: 1, stderr: []string{"upstream.kubeconfig: ", "syncTargets[0].kubeconfig: "}},
		{name: "run with another log format", args: "run -c x --log-format xml", status: 1, stderr: []string{`Error: log format "xml": must be one of json, console`}},
		{name: "run with another log level", args: "run -c x --log-level loud", status: 1, stderr: []string{`Error: log level "loud": must be one of trace`}},
		{name: "config", args: "config", stdout: []string{"print-defaults", "validate"}},
		{name: "print defaults", args: "config print-defaults", stdout: []string{"kind: UpstreamdConfiguration", "maxWait: 2s", "# "}},
		{name: "validate", args: "config validate " + good, stdout: []string{good + " is valid: 1 workspace, 1 SyncTarget, 1 resource\n"}},
		{name: "validate what names missing files", args: "config validate " + missing, status: 1, stderr: []string{"2 errors", "upstream.kubeconfig: Not found", "syncTargets[0].kubeconfig: Not found"}},
		{name: "validate what names files that cannot be read", args: "config validate " + unreadable, status: 1, stderr: []string{"upstream.kubeconfig: ", "syncTargets[0].kubeconfig: "}},
		{name: "validate nothing", args: "config validate", status: 1, stderr: []string{"accepts 1 arg(s), received 0"}},
		{name: "version", args: "version", stdout: []string{"upstreamd ", "go1."}},
		{name: "version for machines", args: "version -o json", stdout: []string{`{"version":`, `"platform":"`}},
		{name: "version in another form", args: "version -o xml", status: 1, stderr: []string{`output "xml"`}},
		{name: "completion", args: "completion bash", stdout: []string{"__upstreamd"}},
		{name: "complete a log format", args: "__complete run --log-format=", stdout: []string{"json\nconsole\n"}, stderr: []string{"Completion ended"}},
		{name: "complete a file", args: "__complete config validate ", stdout: []string{"yaml\n"}, stderr: []string{"Completion ended"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := strings.Fields(tt.args)
			if strings.HasSuffix(tt.args, " ") {
				args = append(args, "")
			}
			got := try(t, args...)
			if got.status != tt.status {
				t.Errorf("exit status %d, want %d", got.status, tt.status)
			}
			for _, want := range tt.stdout {
				if !strings.Contains(got.stdout, want) {
					t.Errorf("%q is missing in the output\n%s", want, got.stdout)
				}
			}
			for _, want := range tt.stderr {
				if !strings.Contains(got.stderr, want) {
					t.Errorf("%q is missing in the errors\n%s", want, got.stderr)
				}
			}
			if len(tt.stdout) == 0 && got.stdout != "" || len(tt.stderr) == 0 && got.stderr != "" {
				t.Errorf("unexpected: output %q, errors %q", got.stdout, got.stderr)
			}
		})
	}
}

// Every command has a description, and those with arguments an example.
func TestHelpTeaches(t *testing.T) {
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: the short text is %q", c.CommandPath(), c.Short)
		}
		if !c.HasSubCommands() && c.HasLocalFlags() && c.Example == "" && c.Name() != "version" {
			t.Errorf("%s has flags and shows no example", c.CommandPath())
		}
		for _, help := range []string{c.Long, c.Example} {
			for line := range strings.Lines(help) {
				if strings.Contains(line, "\t") || len(line) > 132 {
					t.Errorf("%s: a line of the help is indented by the source or too long: %q", c.CommandPath(), line)
				}
			}
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(newRoot())
}

func TestVersionIsJSON(t *testing.T) {
	var v map[string]any
	if err := json.Unmarshal([]byte(try(t, "version", "-o", "json").stdout), &v); err != nil || v["go"] == "" {
		t.Errorf("%v, %v", v, err)
	}
}

func TestRunUntilItIsToldToStop(t *testing.T) {
	file := configured(t)
	ctx, cancel := context.WithCancel(t.Context())
	var stdout bytes.Buffer
	log := &watched{wait: `"address":"`, seen: make(chan struct{})}
	ended := make(chan int, 1)
	go func() { ended <- execute(ctx, []string{"run", "--config", file}, &stdout, log) }()
	select {
	case <-log.seen:
	case status := <-ended:
		t.Fatalf("ended with %d: %s", status, log)
	}
	_, rest, _ := strings.Cut(log.String(), `"address":"`)
	address, _, _ := strings.Cut(rest, `"`)
	connection, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	_ = connection.Close()
	cancel()
	if status := <-ended; status != 0 {
		t.Errorf("exit status %d: %s", status, log)
	}
	for line := range strings.Lines(log.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
	if stdout.Len() > 0 {
		t.Errorf("logs belong to standard error, found %q", stdout.String())
	}
}

func TestTheFirstSignalStopsAndTheSecondEnds(t *testing.T) {
	exits := make(chan int, 1)
	ctx, stop := untilSignal(t.Context(), zerolog.Nop(), func(status int) { exits <- status })
	defer stop()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		if err := syscall.Kill(syscall.Getpid(), s); err != nil {
			t.Fatal(err)
		}
		if s == syscall.SIGTERM {
			<-ctx.Done()
			if cause := context.Cause(ctx); !strings.Contains(cause.Error(), "terminated") {
				t.Errorf("the cause is %v", cause)
			}
			select {
			case status := <-exits:
				t.Fatalf("the first signal ended the process with %d", status)
			default:
			}
		}
	}
	if status := <-exits; status != 1 {
		t.Errorf("exit status %d", status)
	}
}

// watched is a log that signals when a text was written to it.
type watched struct {
	wait string
	seen chan struct{}
	lock sync.Mutex
	buf  bytes.Buffer
}

func (w *watched) Write(p []byte) (int, error) {
	w.lock.Lock()
	defer w.lock.Unlock()
	before := strings.Contains(w.buf.String(), w.wait)
	n, err := w.buf.Write(p)
	if !before && strings.Contains(w.buf.String(), w.wait) {
		close(w.seen)
	}
	return n, err
}

func (w *watched) String() string {
	w.lock.Lock()
	defer w.lock.Unlock()
	return w.buf.String()
}
