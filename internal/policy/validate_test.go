package policy

import (
	"strings"
	"testing"
)

const head = `
apiVersion: upstreamd.dev/v1alpha1
kind: StatusPolicy
metadata: {name: widgets}
spec:
  resources: [{group: example.com, resource: widgets}]
`

// TestMistakes shows what the author of a policy is told. Each document has the mistakes that are listed, and no others.
func TestMistakes(t *testing.T) {
	for name, tc := range map[string]struct {
		doc  string
		want []string
	}{
		"none": {head, nil},
		"everything at once": {`
apiVersion: upstreamd.dev/v2
kind: StatusPolitics
metadata: {name: "Not a name"}
spec:
  strategy: Vote
  stale: Forget
  onEmpty: Burn
  summary: Sometimes
  specSyncGrace: soon
  conditions: {mode: Loudest}
`, []string{
			`apiVersion: Unsupported value: "upstreamd.dev/v2": supported values: "upstreamd.dev/v1alpha1"`,
			`kind: Unsupported value: "StatusPolitics"`,
			`metadata.name: Invalid value: "Not a name"`,
			`spec.resources: Required value: name at least one resource`,
			`spec.strategy: Unsupported value: "Vote"`,
			`spec.conditions.mode: Unsupported value: "Loudest"`,
			`spec.summary: Unsupported value: "Sometimes"`,
			`spec.stale: Unsupported value: "Forget"`,
			`spec.onEmpty: Unsupported value: "Burn"`,
			`spec.specSyncGrace: Invalid value: "soon": must be a duration`,
		}},
		"nothing said": {"kind: StatusPolicy", []string{
			`apiVersion: Required value: one of upstreamd.dev/v1alpha1`,
			`metadata.name: Invalid value: ""`,
			`spec.resources: Required value`,
		}},
		"resources": {strings.Replace(head, "[{group: example.com, resource: widgets}]", `[{group: a}, {group: "*", resource: x}, {group: "*", version: v1, resource: "*"}, {group: b, resource: c}, {group: b, resource: c}]`, 1), []string{
			`spec.resources[0].resource: Required value: the plural name`,
			`spec.resources[1]: Invalid value: "*/x": "*" stands for all other resources`,
			`spec.resources[2]: Invalid value: "*/*"`,
			`spec.resources[4]: Duplicate value: "c"`,
		}},
		"rules": {head + `
  fields:
    a: Summ
    b: {rule: Sum, keys: [name], order: [x], absent: z, expr: "1"}
    c: {rule: Rank}
    d: {rule: CEL}
    e: {rule: Rank, order: [x], absent: z}
    f: {rule: Min, monotonic: true}
    g: {order: [x]}
    h: {rule: Sum, sign: minus}
    i: {rule: 3}
    j..k: Sum
    l.*.m: Sum
    m: Sum
    m.o: Sum
    p: Drop
    p.q: Sum
    r: {rule: CEL, expr: "1", requireAll: true, immutable: true}
    s: {rule: Conditions, requireAll: true, immutable: true}
`, []string{
			`spec.fields[a].rule: Unsupported value: "Summ"`,
			`spec.fields[b].keys: Forbidden: is for Union, not for Sum`,
			`spec.fields[b].order: Forbidden: is for Rank, not for Sum`,
			`spec.fields[b].absent: Forbidden: is for Rank, not for Sum`,
			`spec.fields[b].expr: Forbidden: is for CEL, not for Sum`,
			`spec.fields[b].absent: Invalid value: "z": must be one of order`,
			`spec.fields[c].order: Required value: Rank needs it`,
			`spec.fields[d].expr: Required value: CEL needs it`,
			`spec.fields[e].absent: Invalid value: "z": must be one of order`,
			`spec.fields[f].monotonic: Forbidden: is for Sum and Max, not for Min`,
			`spec.fields[g].rule: Required value: one of Sum, Min,`,
			`spec.fields[g].order: Forbidden`,
			`spec.fields[h]: Invalid value: unknown field "sign"`,
			`spec.fields[i]: Invalid value: json: cannot unmarshal number`,
			`spec.fields[j..k]: Invalid value: "j..k": a field name is empty`,
			`spec.fields[m.o]: Invalid value: "m.o": m has a rule too`,
			`spec.fields[r].requireAll: Forbidden: is for Sum and Min and Max and Union and Unanimous`,
			`spec.fields[s].requireAll: Forbidden: is for Sum and Min and Max and Union and Unanimous`,
			`spec.fields[s].immutable: Forbidden: is for Sum and Min and Max and Union and Unanimous`,
		}},
		"what only some strategies have": {head + `
  strategy: Latest
  default: Union
  finished: {}
`, []string{
			`spec.default: Invalid value: "Union": only the strategy Merge has a default rule`,
			`spec.finished: Invalid value: "Latest": only the strategies Merge, Primary and Representative know of an end`,
			`spec.finished.success: Required value`,
		}},
		"default": {head + "  default: Sum\n", []string{`spec.default: Unsupported value: "Sum": supported values: "Drop", "Unanimous"`}},
		"paths": {head + `
  keys: {a: [], "": [x]}
  withhold: [containers.*.image, ""]
  ignore: [a..b]
  extract: {fields: [a.*], add: {b.c: spec.x, d: ""}}
`, []string{
			`spec.keys[]: Required value: field names joined by dots`,
			`spec.keys[a]: Required value: name the fields that tell the list's entries apart`,
			`spec.extract.fields[0]: Invalid value: "a.*": "*" is not allowed here`,
			`spec.extract.add[b.c]: Invalid value: "b.c": must be the name of one field`,
			`spec.extract.add[d]: Required value`,
			`spec.withhold[1]: Required value`,
			`spec.ignore[0]: Invalid value: "a..b"`,
		}},
		"expressions": {head + `
  fields:
    a: {rule: CEL, expr: "targets.map(t, t.name"}
    b: {rule: CEL, expr: "clusters.size()"}
    c: {rule: CEL, expr: "b'bytes'"}
    d: {rule: CEL, expr: "targets.size() + 'x'"}
    e: {rule: CEL, expr: "targets.size()"}
`, []string{
			`spec.fields[a].expr: Invalid value: "targets.map(t, t.name": ERROR: <input>:1:22: Syntax error`,
			`spec.fields[b].expr: Invalid value: "clusters.size()": ERROR: <input>:1:1: undeclared reference to 'clusters'`,
			`spec.fields[c].expr: Invalid value: "b'bytes'": gives a bytes, which is no JSON`,
			`spec.fields[d].expr: Invalid value: "targets.size() + 'x'": ERROR: <input>:1:16: found no matching overload`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			docs, err := Parse("widgets.yaml", []byte(tc.doc))
			if err != nil {
				t.Fatalf("it can be read, but Parse says: %v", err)
			}
			_, err = Compile(docs...)
			told(t, err, "widgets.yaml: ", tc.want)
		})
	}
}

// told checks that an error says what is wanted, each on a line of its own, in that order, and nothing else.
func told(t *testing.T, err error, place string, want []string) {
	t.Helper()
	var lines []string
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			if strings.HasPrefix(line, place) {
				lines = append(lines, line)
			}
		}
	}
	for i := range max(len(lines), len(want)) {
		switch {
		case i >= len(lines):
			t.Errorf("not told: %s", want[i])
		case i >= len(want):
			t.Errorf("told, but it is no mistake: %s", lines[i])
		case !strings.Contains(lines[i], want[i]):
			t.Errorf("told %s, want %s", lines[i], want[i])
		}
	}
}

func TestUnreadable(t *testing.T) {
	for name, tc := range map[string]struct {
		data string
		docs int
		want []string
	}{
		"unknown fields, all of them": {head + "  strategee: Merge\n  onEmptyness: true\n---\n" + head, 1, []string{
			`p.yaml: document 1: unknown field "spec.onEmptyness"`, `p.yaml: document 1: unknown field "spec.strategee"`,
		}},
		"wrong type":   {head + "  stale: [Hold]\n", 0, []string{`p.yaml: document 1: json: cannot unmarshal array`}},
		"no YAML":      {"a: b: c", 0, []string{`p.yaml: document 1: yaml: mapping values are not allowed`}},
		"field twice":  {head + "  stale: Hold\n  stale: Exclude\n", 0, []string{`p.yaml: document 1: yaml: unmarshal errors`}},
		"empty":        {"", 0, nil},
		"only comment": {"# nothing\n---\n---\n", 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			docs, err := Parse("p.yaml", []byte(tc.data))
			if len(docs) != tc.docs {
				t.Errorf("%d documents, want %d", len(docs), tc.docs)
			}
			told(t, err, "p.yaml: ", tc.want)
		})
	}
}
