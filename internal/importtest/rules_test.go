package importtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

const module = "github.com/upstreamd/upstreamd"

// The pure packages decide. They neither block nor do I/O, and time is an argument.
var pure = []string{
	"internal/ref", "internal/patch", "internal/status", "internal/transform", "internal/locator", "internal/evidence",
	"internal/policy",
	"internal/aggregate", "internal/debounce", "internal/reconcile",
}

// helpers are packages for tests and benches. They may import any package; no other package may import them.
var helpers = []string{"internal/kube/kubetest", "internal/memapi/...", "internal/sim/...", "internal/growth/...", "internal/importtest"}

// layers says for each package of the product which others of it may be imported, bottom up. A package that is not here fails
// the test: a new package needs its place.
var layers = map[string]struct {
	uses []string
	why  string
}{
	"internal/ref":       {nil, "the shared names stand below everything"},
	"internal/debounce":  {[]string{"internal/ref"}, "a pure package stands on the shared names alone"},
	"internal/patch":     {[]string{"internal/ref"}, "a pure package stands on the shared names alone"},
	"internal/status":    {[]string{"internal/ref"}, "a pure package stands on the shared names alone"},
	"internal/transform": {[]string{"internal/ref"}, "a pure package stands on the shared names alone"},
	"internal/locator":   {[]string{"internal/ref"}, "a pure package stands on the shared names alone"},
	"internal/evidence":  {[]string{"internal/ref", "internal/status"}, "a proof follows from the objects alone"},
	"internal/policy":    {[]string{"internal/ref", "internal/patch"}, "policies are data: deciders import them, not the other way"},
	"internal/aggregate": {[]string{"internal/ref", "internal/patch", "internal/policy"}, "a decision follows from policies and inputs, not from its caller"},
	"internal/reconcile": {
		[]string{"internal/ref", "internal/patch", "internal/status", "internal/locator", "internal/evidence", "internal/policy", "internal/aggregate"},
		"the state machine decides by the pure core and knows no actor, edge, metric or log",
	},
	"internal/policytest": {pure, "case files are run against the pure core, without actors or clusters"},
	"internal/metrics":    {[]string{"internal/ref"}, "metrics are a leaf that every shell may use"},
	"internal/shown":      {nil, "escaping does not depend on the kind of text"},
	"internal/config":     {nil, "a configuration file is read without the packages that it configures"},
	"internal/kube/lean": {
		[]string{"internal/ref", "internal/patch", "internal/status", "internal/kube/client"},
		"clients know objects, patches, and the memory that a status takes, not their users",
	},
	"internal/kube/client": {[]string{"internal/ref", "internal/patch"}, "clients know objects and patches, not their users"},
	"internal/kube/discovery": {
		[]string{"internal/ref", "internal/patch", "internal/kube/client", "internal/kube/lean"},
		"discovery does not know the watchers of its resources",
	},
	"internal/kube/openapi": {[]string{"internal/ref"}, "a schema is read without its users"},
	"internal/kube/lease":   {[]string{"internal/ref", "internal/patch", "internal/kube/client"}, "an election knows the right to write, not the writer"},
	"internal/kube/downstream": {
		[]string{"internal/ref", "internal/patch", "internal/metrics", "internal/kube/client", "internal/kube/lean", "internal/kube/discovery"},
		"clients know objects and patches, not their users",
	},
	"internal/kube/upstream": {
		[]string{"internal/ref", "internal/patch", "internal/metrics", "internal/kube/client", "internal/kube/lean", "internal/kube/discovery", "internal/kube/openapi"},
		"clients know objects and patches, not their users",
	},
	"internal/serving": {
		[]string{"internal/kube/client"},
		"authorization of readers does not depend on the content",
	},
	"actors":       {slices.Concat(pure, []string{"internal/metrics"}), "actors reach clusters through their own ports, and do not know their supervisors"},
	"supervisor":   {slices.Concat(pure, []string{"internal/metrics", "actors"}), "the actor system starts inside other programs and tests, with no cluster or configuration file"},
	"internal/app": {[]string{"internal/...", "actors", "supervisor"}, "app wires everything, and only commands start it"},
	"cmd/upstreamd": {
		[]string{"internal/app", "internal/config", "internal/policy", "internal/policytest", "internal/aggregate", "internal/shown"},
		"commands turn flags into calls of internal/app, or of the pure core for work without a cluster",
	},
}

// ban keeps packages from outside the product out of some of it.
type ban struct {
	from    []string // packages of the product, "x/..." for all below x too
	imports []string // import paths, each with all below it
	why     string
}

var bans = []ban{
	{pure, []string{"k8s.io/client-go"}, "a pure package sends nothing: clients stand in internal/kube"},
	{pure, []string{"github.com/asynkron/protoactor-go"}, "a pure package is called by actors, and knows none"},
	{pure, []string{"net", "os", "syscall"}, "a pure package has no input but its arguments"},
	{pure, []string{"log", "github.com/rs/zerolog", "k8s.io/klog", "github.com/prometheus"}, "a pure package returns its reason, and whoever called it logs that"},
	{pure, []string{"math/rand", "crypto/rand"}, "the same inputs give the same bytes"},
	{[]string{"actors", "supervisor"}, []string{"k8s.io/client-go"}, "actors are driven through ports, so that they run without clusters"},
	{[]string{"internal/kube/..."}, []string{"github.com/asynkron/protoactor-go"}, "clients call back; that this becomes a message is the actors' affair"},
	{[]string{"..."}, []string{module + "/sandbox", module + "/bench"}, "the product does not know its tests and benches"},
	{
		[]string{"..."},
		[]string{
			module + "/internal/memapi", module + "/internal/kube/kubetest", module + "/internal/sim", module + "/internal/growth",
			module + "/internal/importtest",
		},
		"stand-ins and tools for tests and benches stay out of the product",
	},
	{[]string{"..."}, []string{"testing", "github.com/google/go-cmp", "pgregory.net/rapid", "go.uber.org/goleak"}, "tools for tests stay in tests"},
}

// clock are the functions of package time that pure packages do not call: there, time is an argument.
var clock = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// violations holds imports, by package of the product, against the rules. Both are import paths.
func violations(imports map[string][]string) []string {
	var found []string
	for _, path := range slices.Sorted(maps.Keys(imports)) {
		from := local(path)
		if matchesAny(helpers, from) {
			continue
		}
		rule, known := layers[from]
		if !known {
			found = append(found, fmt.Sprintf("%s is new: add its allowed imports to internal/importtest and a description to docs/architecture.md", from))
			continue
		}
		for _, to := range imports[path] {
			if strings.HasPrefix(to, module+"/") && !matchesAny(rule.uses, local(to)) {
				found = append(found, fmt.Sprintf("%s imports %s: %s", from, local(to), rule.why))
			}
			for _, b := range bans {
				if matchesAny(b.from, from) && slices.ContainsFunc(b.imports, func(p string) bool { return below(p, to) }) {
					found = append(found, fmt.Sprintf("%s imports %s: %s", from, to, b.why))
				}
			}
		}
	}
	return found
}

func local(path string) string { return strings.TrimPrefix(path, module+"/") }

func matchesAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, path) })
}

// matches holds a package against a pattern of the form that the go command takes: "a/b", "a/..." or "...".
func matches(pattern, path string) bool {
	if pattern == "..." {
		return true
	}
	if dir, all := strings.CutSuffix(pattern, "/..."); all {
		return below(dir, path)
	}
	return pattern == path
}

// below is whether path is dir or in it.
func below(dir, path string) bool {
	return path == dir || strings.HasPrefix(path, dir+"/")
}
