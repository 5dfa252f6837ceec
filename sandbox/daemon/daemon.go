// Package daemon runs upstreamd as a separate process beside a sandbox, as operators do: with a configuration file, metrics over
// HTTP, and signals.
package daemon

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"sigs.k8s.io/yaml"

	"github.com/upstreamd/upstreamd/internal/config"
	"github.com/upstreamd/upstreamd/sandbox"
	"github.com/upstreamd/upstreamd/sandbox/controlplane"
)

// Configure returns a configuration for the given resources, from all SyncTargets of a sandbox to all of its workspaces.
func Configure(s *sandbox.Sandbox, resources ...config.Resource) *config.Configuration {
	c := config.Defaults()
	c.Upstream.Kubeconfig = s.UpstreamKubeconfig()
	for _, w := range s.Workspaces() {
		c.Upstream.Workspaces = append(c.Upstream.Workspaces, w.Name)
	}
	for _, t := range s.SyncTargets() {
		c.SyncTargets = append(c.SyncTargets, config.SyncTarget{
			Name: t.Name, Cluster: t.Cluster, UID: string(t.UID), Kubeconfig: t.Kubeconfig, Workspaces: c.Upstream.Workspaces,
		})
	}
	c.Resources = resources
	c.Serving.Address = "127.0.0.1:0"
	return c
}

// Daemon is an upstreamd process, running or exited.
type Daemon struct {
	*controlplane.Process
	// Address serves health and metrics.
	Address string
}

// Build builds the daemon of this checkout with the race detector into a folder, and returns the binary's path.
func Build(ctx context.Context, folder string) (string, error) {
	checkout, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/upstreamd/upstreamd").Output()
	if err != nil {
		return "", fmt.Errorf("finding the checkout: %w", err)
	}
	binary := filepath.Join(folder, "upstreamd")
	build := exec.CommandContext(ctx, "go", "build", "-race", "-o", binary, "./cmd/upstreamd")
	build.Dir = strings.TrimSpace(string(checkout))
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building upstreamd: %w\n%s", err, out)
	}
	return binary, nil
}

// Start writes the configuration and the log to files named name in folder, runs the binary with --config and flags, and returns
// when it serves.
func Start(ctx context.Context, binary, folder, name string, c *config.Configuration, flags ...string) (*Daemon, error) {
	encoded, err := yaml.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encoding the configuration: %w", err)
	}
	file := filepath.Join(folder, name+".yaml")
	if err := os.WriteFile(file, encoded, 0o600); err != nil {
		return nil, fmt.Errorf("writing the configuration: %w", err)
	}
	log := filepath.Join(folder, fmt.Sprintf("%s-%d.log", name, time.Now().UnixNano()))
	process, err := controlplane.StartProcess(log, binary, append([]string{"run", "--config", file}, flags...)...)
	if err != nil {
		return nil, err
	}
	d := &Daemon{Process: process}
	if err := d.awaitAddress(ctx); err != nil {
		process.Kill()
		return nil, err
	}
	return d, nil
}

// awaitAddress reads the daemon's serving address from its log.
func (d *Daemon) awaitAddress(ctx context.Context) error {
	for {
		lines, err := d.Lines()
		if err != nil {
			return err
		}
		for _, line := range lines {
			if address, ok := line["address"].(string); ok && line["message"] == "serving metrics and health" {
				d.Address = address
				return nil
			}
		}
		select {
		case <-d.Done():
			return fmt.Errorf("upstreamd exited at start-up: %w\n%s", d.Err(), d.Tail(4096))
		case <-ctx.Done():
			return errors.New("upstreamd did not log its serving address:\n" + d.Tail(4096))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Lines returns the log lines so far.
func (d *Daemon) Lines() ([]map[string]any, error) {
	file, err := os.Open(d.Log())
	if err != nil {
		return nil, fmt.Errorf("reading upstreamd's log: %w", err)
	}
	defer file.Close()
	var lines []map[string]any
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var line map[string]any
		if json.Unmarshal(scanner.Bytes(), &line) == nil {
			lines = append(lines, line)
		}
	}
	return lines, scanner.Err()
}

// Ready returns nil if /readyz answers 200.
func (d *Daemon) Ready(ctx context.Context) error {
	resp, err := d.get(ctx, "/readyz")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz answers %s", resp.Status)
	}
	return nil
}

func (d *Daemon) get(ctx context.Context, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.Address+path, nil)
	if err != nil {
		return nil, err
	}
	return http.DefaultClient.Do(request)
}

// Metrics are the daemon's metric families, by name.
type Metrics map[string]*dto.MetricFamily

// Metrics reads /metrics.
func (d *Daemon) Metrics(ctx context.Context) (Metrics, error) {
	resp, err := d.get(ctx, "/metrics")
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	return families, nil
}

// Sum sums the series of a counter or gauge that have the given labels, in the form "name=value".
func (m Metrics) Sum(family string, labels ...string) float64 {
	sum := 0.0
	for _, series := range m[family].GetMetric() {
		if matches(series.GetLabel(), labels) {
			sum += series.GetCounter().GetValue() + series.GetGauge().GetValue() + series.GetUntyped().GetValue()
		}
	}
	return sum
}

// Quantile estimates a histogram's quantile over all of its series, in the histogram's unit: the upper bound of its bucket.
func (m Metrics) Quantile(family string, q float64) float64 {
	counts := map[float64]uint64{}
	var bounds []float64
	var total uint64
	for _, series := range m[family].GetMetric() {
		total += series.GetHistogram().GetSampleCount()
		for _, bucket := range series.GetHistogram().GetBucket() {
			if _, ok := counts[bucket.GetUpperBound()]; !ok {
				bounds = append(bounds, bucket.GetUpperBound())
			}
			counts[bucket.GetUpperBound()] += bucket.GetCumulativeCount()
		}
	}
	for _, bound := range bounds { // in ascending order, as they were printed
		if float64(counts[bound]) >= q*float64(total) {
			return bound
		}
	}
	return 0
}

func matches(pairs []*dto.LabelPair, labels []string) bool {
	for _, label := range labels {
		name, value, _ := strings.Cut(label, "=")
		found := false
		for _, pair := range pairs {
			found = found || pair.GetName() == name && pair.GetValue() == value
		}
		if !found {
			return false
		}
	}
	return true
}

// Pause freezes the daemon (SIGSTOP), like a hung machine.
func (d *Daemon) Pause() error { return d.Signal(syscall.SIGSTOP) }

// Resume continues it (SIGCONT).
func (d *Daemon) Resume() error { return d.Signal(syscall.SIGCONT) }
