package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/upstreamd/upstreamd/internal/config"
)

// least is the shortest configuration of a kcp server; the tables add to it, or replace a line of it.
const least = `apiVersion: config.upstreamd.dev/v1alpha1
kind: UpstreamdConfiguration
upstream: {kubeconfig: kcp.kubeconfig, workspaces: ["root:team-a"]}
syncTargets: [{name: us-east1, cluster: "root:infra", kubeconfig: us-east1.kubeconfig, workspaces: ["root:team-a"]}]
resources: [{group: apps, version: v1, resource: deployments}]
`

func TestTheLeastConfigurationGetsTheDefaults(t *testing.T) {
	got, err := config.Parse("c.yaml", []byte(least), "/etc/upstreamd")
	if err != nil {
		t.Fatal(err)
	}
	want := config.Defaults()
	want.Upstream = config.Upstream{Kubeconfig: "/etc/upstreamd/kcp.kubeconfig", Workspaces: []string{"root:team-a"}}
	want.SyncTargets = []config.SyncTarget{{
		Name: "us-east1", Cluster: "root:infra", Kubeconfig: "/etc/upstreamd/us-east1.kubeconfig", Workspaces: []string{"root:team-a"},
	}}
	want.Resources = []config.Resource{{Group: "apps", Version: "v1", Resource: "deployments"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestAZeroThatIsWrittenIsNotADefault(t *testing.T) {
	got, err := config.Parse("c.yaml", []byte(least+`
serving: {address: ""}
locators: [Prefix]
shutdown: null
`), "/")
	if err != nil {
		t.Fatal(err)
	}
	if got.Serving.Address != "" {
		t.Errorf("address %q: it was written as empty", got.Serving.Address)
	}
	if got.Debounce.MaxWait != config.Defaults().Debounce.MaxWait || got.Shutdown != config.Defaults().Shutdown {
		t.Errorf("maxWait %v, shutdown %v: neither was given", got.Debounce.MaxWait, got.Shutdown)
	}
	if !slices.Equal(got.Locators, []string{"Prefix"}) {
		t.Errorf("locators %v: the given list replaces the default", got.Locators)
	}
}

func TestTheExampleIsCompleteAndShowsTheDefaults(t *testing.T) {
	got, err := config.Parse("example.yaml", []byte(config.Example()), "/")
	if err != nil {
		t.Fatal(err)
	}
	want := config.Defaults()
	want.Upstream, want.SyncTargets, want.Resources = got.Upstream, got.SyncTargets, got.Resources
	want.FeatureGates = map[string]bool{}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("a value in the example is not the default: -default +example\n%s", diff)
	}
	printed, err := config.Print(got)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(printed)) {
		name, _, isField := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "- "), ": ")
		if isField && !strings.Contains(config.Example(), name+": ") {
			t.Errorf("the example does not show the field %s", name)
		}
	}
}

func TestErrors(t *testing.T) {
	tests := []struct {
		name    string
		add     string // to the least configuration
		replace string // "line's start=>new line": instead
		want    []string
	}{
		{name: "unknown field", add: "writers: {}", want: []string{`writers: Forbidden: there is no such field; did you mean "writer"?`}},
		{name: "unknown field inside", add: "writer: {QPS: 5}", want: []string{`writer.QPS: Forbidden: there is no such field; did you mean "qps"?`}},
		{name: "unknown field like no other", add: "debounce: {lookAhead: 1s}", want: []string{`debounce.lookAhead: Forbidden: there is no such field; known are: maxWait, quiet`}},
		{
			name: "unknown field in a list", replace: `resources=>resources: [{group: apps, version: v1, resource: deployments}, {version: v1, resources: pods}]`,
			want: []string{`resources[1].resources: Forbidden: there is no such field; did you mean "resource"?`, `resources[1].resource: Required value: write the plural`},
		},
		{name: "a string for a number", add: `writer: {qps: "5"}`, want: []string{`writer.qps: Invalid value: "5": must be a number, without quotes`}},
		{name: "a fraction for a whole number", add: `writer: {concurrency: 1.5}`, want: []string{`writer.concurrency: Invalid value: 1.5: must be a whole number`}},
		{name: "a number for a string", replace: `upstream=>upstream: {kubeconfig: 5, workspaces: ["root:team-a"]}`, want: []string{`upstream.kubeconfig: Invalid value: 5: must be a string`}},
		{name: "a string for a truth", add: `featureGates: {AllAlpha: "yes"}`, want: []string{`featureGates[AllAlpha]: Invalid value: "yes": must be true or false`}},
		{name: "a list for a mapping", add: `featureGates: [AllAlpha]`, want: []string{`featureGates: Invalid value: must be a mapping`}},
		{name: "a mapping for a list", replace: `resources=>resources: {group: apps}`, want: []string{`resources: Invalid value: must be a list`}},
		{name: "a scalar for fields", add: `writer: 5`, want: []string{`writer: Invalid value: 5: must be a mapping of fields`}},
		{name: "null in a list", add: `locators: [Prefix, null]`, want: []string{`locators[1]: Invalid value: null: must be a string`}},
		{name: "a duration without unit", add: `debounce: {quiet: 200}`, want: []string{`debounce.quiet: Invalid value: 200: must be a duration in quotes or with a unit`}},
		{name: "no duration", add: `debounce: {quiet: soon}`, want: []string{`debounce.quiet: Invalid value: "soon": must be a duration`}},
		{name: "a key twice", add: "writer: {qps: 1}\nwriter: {qps: 2}", want: []string{`(the whole file): Invalid value: is not YAML that can be read: `}},
		{name: "a second document", add: "---\nkind: Other", want: []string{`(the whole file): Invalid value: holds 2 documents: keep one`}},
		{name: "no YAML", add: "\t{", want: []string{`(the whole file): Invalid value: is not YAML that can be read`}},

		{name: "no apiVersion", replace: "apiVersion=>", want: []string{`apiVersion: Required value: write config.upstreamd.dev/v1alpha1`}},
		{name: "other apiVersion", replace: "apiVersion=>apiVersion: v1", want: []string{`apiVersion: Unsupported value: "v1": supported values: "config.upstreamd.dev/v1alpha1"`}},
		{name: "other kind", replace: "kind=>kind: Config", want: []string{`kind: Unsupported value: "Config": supported values: "UpstreamdConfiguration"`}},

		{
			name: "no upstream", replace: `upstream=>upstream: {}`,
			want: []string{`upstream.kubeconfig: Required value: name the file`, `syncTargets[0].workspaces: Forbidden: upstream.workspaces is empty (a plain hub)`},
		},
		{
			name: "workspaces", replace: `upstream=>upstream: {kubeconfig: k, workspaces: ["root:team-a", "root::x", "*", "root:team-a"]}`,
			want: []string{
				`upstream.workspaces[1]: Invalid value: "root::x": must be the name of a logical cluster (10r1v0sg7mfe0frx) or a path (root:team-a)`,
				`upstream.workspaces[2]: Invalid value: "*": workspaces are listed one by one`,
				`upstream.workspaces[3]: Duplicate value: "root:team-a"`,
			},
		},

		{name: "no syncTargets", replace: "syncTargets=>syncTargets: []", want: []string{`syncTargets: Required value: name at least one physical cluster`}},
		{
			name: "an empty SyncTarget", replace: "syncTargets=>syncTargets: [{}]",
			want: []string{
				`syncTargets[0].name: Required value`, `syncTargets[0].kubeconfig: Required value`,
				`syncTargets[0].cluster: Required value: name the logical cluster that holds the SyncTarget (locators are checked against it), or take NamespaceLocator out`,
				`syncTargets[0].workspaces: Required value: list the workspaces that it may report for: root:team-a`,
			},
		},
		{
			name: "a bad SyncTarget", replace: `syncTargets=>syncTargets: [{name: US_east, kubeconfig: k, cluster: "root:", workspaces: ["root:team-b", "a b"]}]`,
			want: []string{
				`syncTargets[0].name: Invalid value: "US_east": a lowercase RFC 1123 subdomain`, `syncTargets[0].cluster: Invalid value: "root:": must be the name`,
				`syncTargets[0].workspaces[1]: Invalid value: "a b": must be the name`,
				`syncTargets[0].workspaces[0]: Invalid value: "root:team-b": is not in upstream.workspaces; did you mean "root:team-a"?`,
			},
		},
		{
			name: "one cluster twice", replace: `syncTargets=>syncTargets: [{name: a, kubeconfig: k, cluster: r, workspaces: ["root:team-a"]}, {name: a, kubeconfig: ./k, cluster: r, workspaces: ["root:team-a"]}]`,
			want: []string{
				`syncTargets[1].name: Duplicate value: "a"`,
				`syncTargets[1].kubeconfig: Invalid value: "/k": is that of a already: one cluster under two names would count twice`,
			},
		},

		{name: "no resources", replace: "resources=>resources: []", want: []string{`resources: Required value: name at least one, such as {group: apps`}},
		{
			name: "bad resources", replace: `resources=>resources: [{}, {group: "A B", version: V1, resource: Deployment}, {version: v1, resource: pods/status}]`,
			want: []string{
				`resources[0].version: Required value`, `resources[0].resource: Required value`, `resources[1].group: Invalid value: "A B"`, `resources[1].version: Invalid value: "V1"`,
				`resources[1].resource: Invalid value: "Deployment": must be the plural in lower case`, `resources[2].resource: Invalid value: "pods/status": leave the subresource out`,
			},
		},
		{
			name: "a resource twice", replace: `resources=>resources: [{version: v1, resource: pods}, {version: v1, resource: pods}, {version: v2, resource: pods}]`,
			want: []string{`resources[1]: Duplicate value: "pods.v1"`, `resources[2].version: Invalid value: "v2": pods is watched as v1 already: two versions`},
		},

		{name: "no locators", add: "locators: []", want: []string{`locators: Required value: name at least one of NamespaceLocator, Prefix`}},
		{
			name: "bad locators", add: "locators: [Prefix, prefix, Prefix]", want: []string{
				`locators[1]: Unsupported value: "prefix": supported values: "NamespaceLocator", "Prefix"`, `locators[2]: Duplicate value: "Prefix"`,
			},
		},
		{name: "negative quiet", add: "debounce: {quiet: -1s}", want: []string{`debounce.quiet: Invalid value: "-1s": must be between 1ms and 1m0s`}},
		{name: "endless wait", add: "debounce: {maxWait: 1h}", want: []string{`debounce.maxWait: Invalid value: "1h0m0s": must be between 1ms and 5m0s`}},
		{name: "wait below quiet", add: "debounce: {quiet: 3s}", want: []string{`debounce.maxWait: Invalid value: "2s": must be at least quiet, 3s`}},
		{
			name: "writer below zero", add: "writer: {qps: -1, burst: -1, concurrency: 0}",
			want: []string{`writer.qps: Invalid value: -1`, `writer.burst: Invalid value: -1`, `writer.concurrency: Invalid value: 0: must be between 1 and 1024`},
		},
		{name: "burst without qps", add: "writer: {burst: 5}", want: []string{`writer.burst: Forbidden: does nothing while qps is 0`}},
		{name: "too slow", add: "writer: {qps: 0.001}", want: []string{`writer.qps: Invalid value: 0.001: must be 0 (no cap) or at least 0.01`}},
		{name: "one lost probe", add: "staleness: {grace: 15s}", want: []string{`staleness.grace: Invalid value: "15s": must be at least twice the probe's interval (20s)`}},
		{
			name: "limits out of bounds", add: "limits: {objects: 0, mebibytes: 1048577, totalMebibytes: -1, quarantine: 1ms}",
			want: []string{
				`limits.quarantine: Invalid value: "1ms": must be between 1s and 1h0m0s`,
				`limits.objects: Invalid value: 0: must be between 1 and 10000000`, `limits.mebibytes: Invalid value: 1048577`, `limits.totalMebibytes: Invalid value: -1`,
			},
		},
		{
			name: "staleness out of bounds", add: "staleness: {grace: 2h, probe: 1ms, deadline: -1s}",
			want: []string{`staleness.probe: Invalid value: "1ms"`, `staleness.grace: Invalid value: "2h0m0s"`, `staleness.deadline: Invalid value: "-1s"`},
		},
		{name: "address without port", add: "serving: {address: localhost}", want: []string{`serving.address: Invalid value: "localhost": must be host:port`}},
		{
			name: "address for all", add: `serving: {address: ":80800"}`,
			want: []string{`serving.address: Invalid value: ":80800": the port must be a number up to 65535`, `serving.address: Invalid value: ":80800": every client that reaches it could read`},
		},
		{name: "address of a neighbour", add: `serving: {address: "192.0.2.1:80"}`, want: []string{`serving.address: Invalid value: "192.0.2.1:80": every client that reaches it could read`}},
		{name: "health without port", add: "serving: {health: {address: localhost}}", want: []string{`serving.health.address: Invalid value: "localhost": must be host:port`}},
		{name: "health beside itself", add: `serving: {health: {address: "127.0.0.1:8080"}}`, want: []string{`serving.health.address: Duplicate value: "127.0.0.1:8080"`}},
		{name: "TLS alone", add: `serving: {address: "192.0.2.1:80", tls: {}}`, want: []string{`serving.address: Invalid value: "192.0.2.1:80": every client that reaches it could read`}},
		{
			name: "tokens in the clear", add: `serving: {address: "192.0.2.1:80", reviews: {inCluster: true}}`,
			want: []string{`serving.address: Invalid value: "192.0.2.1:80": every client that reaches it could read`, `serving.tls: Required value: tokens must not travel in the clear`},
		},
		{name: "tokens in the clear, on loopback", add: `serving: {reviews: {inCluster: true}}`, want: []string{`serving.tls: Required value: tokens must not travel in the clear`}},
		{name: "certificate without key", add: `serving: {tls: {certFile: a}}`, want: []string{`serving.tls.keyFile: Required value: name the key of certFile`}},
		{name: "key without certificate", add: `serving: {tls: {keyFile: a}}`, want: []string{`serving.tls.certFile: Required value: name the certificate of keyFile`}},
		{name: "nobody to ask", add: `serving: {tls: {}, reviews: {}}`, want: []string{`serving.reviews.kubeconfig: Required value: name the file`}},
		{name: "two to ask", add: `serving: {tls: {}, reviews: {kubeconfig: a, inCluster: true}}`, want: []string{`serving.reviews.inCluster: Forbidden: kubeconfig names a server already`}},
		{name: "context of nothing", add: `serving: {tls: {}, reviews: {context: a, inCluster: true}}`, want: []string{`serving.reviews.context: Forbidden: is of a kubeconfig`}},
		{name: "endless end", add: "shutdown: {timeout: 1h}", want: []string{`shutdown.timeout: Invalid value: "1h0m0s": must be between 1ms and 10m0s`}},
		{name: "unknown gate", add: "featureGates: {AllAlfa: true}", want: []string{`featureGates[AllAlfa]: Forbidden: there is no such feature gate; did you mean "AllAlpha"?`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Parse("c.yaml", []byte(edited(t, tt.add, tt.replace)), "/")
			var invalid *config.InvalidError
			if !errors.As(err, &invalid) {
				t.Fatalf("got %v, want an InvalidError", err)
			}
			left := slices.Clone(tt.want)
			for _, e := range invalid.Errors {
				i := slices.IndexFunc(left, func(w string) bool { return strings.HasPrefix(e.Error(), w) })
				if i < 0 {
					t.Errorf("unexpected: %s", e)
					continue
				}
				left = slices.Delete(left, i, i+1)
			}
			for _, w := range left {
				t.Errorf("missing: %s", w)
			}
		})
	}
}

func edited(t *testing.T, add, replace string) string {
	t.Helper()
	if replace == "" {
		return least + add
	}
	start, line, _ := strings.Cut(replace, "=>")
	var b strings.Builder
	found := false
	for l := range strings.Lines(least) {
		if strings.HasPrefix(l, start) {
			l, found = line+"\n", true
		}
		b.WriteString(l)
	}
	if !found {
		t.Fatalf("no line starts with %q", start)
	}
	return b.String() + add
}

func TestNoDocument(t *testing.T) {
	for name, data := range map[string]string{"nothing": "", "a comment": "# later", "empty documents": "---\n---\n", "a list": "- a", "a word": "upstreamd"} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse("c.yaml", []byte(data), "/")
			if err == nil || !strings.Contains(err.Error(), "print-defaults") {
				t.Errorf("got %v, want a hint to print-defaults", err)
			}
		})
	}
}

func TestAPlainHubNeedsNoWorkspaces(t *testing.T) {
	got, err := config.Parse("c.yaml", []byte(`{"apiVersion": "config.upstreamd.dev/v1alpha1", "kind": "UpstreamdConfiguration",
		"upstream": {"kubeconfig": "/hub"}, "locators": ["Prefix"], "resources": [{"version": "v1", "resource": "pods"}],
		"syncTargets": [{"name": "a", "kubeconfig": "/all", "context": "a"}, {"name": "b", "kubeconfig": "/all", "context": "b"}]}`), "/")
	if err != nil {
		t.Fatal(err)
	}
	if got.SyncTargets[1].Context != "b" || got.SyncTargets[1].Kubeconfig != "/all" {
		t.Errorf("got %+v", got.SyncTargets[1])
	}
}

func TestWhatIsServedOffLoopback(t *testing.T) {
	got, err := config.Parse("c.yaml", []byte(least+`serving: {address: "0.0.0.0:8443", tls: {certFile: tls.crt, keyFile: tls.key}, reviews: {kubeconfig: hub}}`), "/etc")
	if err != nil {
		t.Fatal(err)
	}
	want := config.Serving{
		Address: "0.0.0.0:8443", TLS: &config.ServingTLS{CertFile: "/etc/tls.crt", KeyFile: "/etc/tls.key"}, Reviews: &config.Reviews{Kubeconfig: "/etc/hub"},
	}
	if diff := cmp.Diff(want, got.Serving); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if got.Serving.Loopback() || !config.Defaults().Serving.Loopback() {
		t.Error("0.0.0.0 is reached by others, the default is not")
	}
}

func TestAllErrorsAreToldInOneText(t *testing.T) {
	_, err := config.Parse("c.yaml", []byte(least+"writer: {concurrency: 0}\nserving: {address: x}"), "/")
	const want = `c.yaml: 2 errors in the configuration:
  writer.concurrency: Invalid value: 0: must be between 1 and 1024; 16 suits most API servers
  serving.address: Invalid value: "x": must be host:port, such as 127.0.0.1:8080`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	file := write("upstreamd.yaml", least+"policies: {directory: policies}\n")
	t.Run("files that are not there", func(t *testing.T) {
		_, err := config.Load(file)
		var invalid *config.InvalidError
		if !errors.As(err, &invalid) {
			t.Fatalf("got %v", err)
		}
		var fields []string
		for _, e := range invalid.Errors {
			if e.Type != field.ErrorTypeNotFound {
				t.Errorf("unexpected: %s", e)
			}
			fields = append(fields, e.Field)
		}
		if want := []string{"upstream.kubeconfig", "syncTargets[0].kubeconfig", "policies.directory"}; !slices.Equal(fields, want) {
			t.Errorf("got %v, want %v", fields, want)
		}
	})
	write("kcp.kubeconfig", "")
	write("policies", "")
	if err := os.Mkdir(filepath.Join(dir, "us-east1.kubeconfig"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Run("a file for a folder, a folder for a file", func(t *testing.T) {
		_, err := config.Load(file)
		for _, want := range []string{"policies.directory: Invalid value", "is a file", "syncTargets[0].kubeconfig: Invalid value", "is not a file", "2 errors"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q in it", err, want)
			}
		}
	})
	if err := os.Remove(filepath.Join(dir, "us-east1.kubeconfig")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "policies")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "policies"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("us-east1.kubeconfig", "")
	t.Run("all there, from another folder", func(t *testing.T) {
		t.Chdir(filepath.Dir(dir))
		c, err := config.Load(filepath.Join(filepath.Base(dir), "upstreamd.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{c.Upstream.Kubeconfig, c.SyncTargets[0].Kubeconfig, c.Policies.Directory} {
			if !filepath.IsAbs(name) {
				t.Errorf("%s is relative", name)
			}
			if _, err := os.Stat(name); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("no file, and too large a file", func(t *testing.T) {
		if _, err := config.Load(filepath.Join(dir, "none.yaml")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v", err)
		}
		if _, err := config.Load(write("large.yaml", strings.Repeat("# ", 1<<20))); err == nil || !strings.Contains(err.Error(), "larger than") {
			t.Errorf("got %v", err)
		}
	})
}

func TestHealthAddress(t *testing.T) {
	for _, tc := range []struct{ serving, want string }{
		{`{}`, "127.0.0.1:8081"},
		{`{address: "127.0.0.1:0"}`, "127.0.0.1:0"},
		{`{address: "[::1]:9000"}`, "[::1]:9001"},
		{`{address: "127.0.0.1:65535"}`, "127.0.0.1:65534"},
		{`{address: "0.0.0.0:8443", tls: {}, reviews: {inCluster: true}}`, "127.0.0.1:8444"},
		{`{address: ""}`, ""},
		{`{health: {address: ""}}`, ""},
		{`{address: "", health: {address: "0.0.0.0:8081"}}`, "0.0.0.0:8081"},
	} {
		c, err := config.Parse("c.yaml", []byte(least+"serving: "+tc.serving), "/")
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Serving.HealthAddress(); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.serving, got, tc.want)
		}
	}
}
