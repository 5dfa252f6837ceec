package lean

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// FuzzDecodeObject compares the scanner with encoding/json on valid input, and finds panics on the rest.
func FuzzDecodeObject(f *testing.F) {
	f.Add(deployment(f))
	for _, seed := range []string{
		`{}`, `null`, `[]`, `"x"`, `{"metadata":{"name":"x","generation":9223372036854775807}}`,
		`{"metadata":{"name":"x","labels":{"a":"1","b/c":"2"},"annotations":{"p-x":"\ud800"}},"status":{"n":1e400}}`,
		`{"metadata":{"name":"x","deletionTimestamp":"t","managedFields":[{"manager":"upstreamd","time":"2026-01-01T00:00:00Z","fieldsV1":{},"subresource":"status"}]}}`,
		`{"metadata":{"name":"` + "\xff\xfe" + `"},"metadata":null,"status":{"a":"` + "\xc0" + `"}}`,
		`{"m\u0065tadata":{"n\u0061me":"x"},"status":null}`,
	} {
		f.Add([]byte(seed))
	}
	want := ref.Want{Labels: []string{"a", "b/"}, Annotations: []string{"p-"}, StatusTimes: true, Managers: true}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := NewDecoder(bytes.NewReader(raw), want, Limits{}).Object()
		again, againErr := NewDecoder(&slow{raw}, want, Limits{}).Object()
		if (err == nil) != (againErr == nil) || err == nil && ((got.Err == nil) != (again.Err == nil) || got.Err == nil && !cmp.Equal(got, again)) {
			t.Fatalf("read at once: %+v, %v\nread in bits: %+v, %v", got, err, again, againErr)
		}
		tree, bad := parse(raw)
		if bad != nil || err != nil || got.Err != nil {
			return
		}
		expect, ok := standard(tree, want)
		if !ok {
			t.Fatalf("read without an error although a field has the wrong type: %+v", got)
		}
		if !sameStatus(got.Status, expect.Status) {
			t.Errorf("status %s, want %s", got.Status, expect.Status)
		}
		got.Status, expect.Status = nil, nil
		for i := range got.Managers {
			got.Managers[i].Fields = nil
		}
		if diff := cmp.Diff(expect, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

// slow hands on a byte at a time.
type slow struct{ rest []byte }

func (s *slow) Read(p []byte) (int, error) {
	r := bytes.NewReader(s.rest[:min(1, len(s.rest))])
	n, err := r.Read(p)
	s.rest = s.rest[n:]
	return n, err
}

func sameStatus(a, b []byte) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	x, errX := parse(a)
	y, errY := parse(b)
	return errX == nil && errY == nil && reflect.DeepEqual(x, y)
}

// parse is encoding/json with numbers as they are written.
func parse(raw []byte) (tree any, err error) {
	if !json.Valid(raw) {
		return nil, errors.New("not one JSON value")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	err = d.Decode(&tree)
	return tree, err
}

// standard makes an Object of the result of encoding/json; ok is false if a field that matters has the wrong type.
func standard(tree any, want ref.Want) (o *ref.Object, ok bool) {
	o = &ref.Object{}
	ok = true
	object, _ := tree.(map[string]any)
	if status := object["status"]; status != nil {
		o.Status, _ = json.Marshal(status)
	}
	if spec, given := object["spec"]; given && want.Spec {
		o.Spec, _ = json.Marshal(spec)
	}
	meta := typed[map[string]any](object["metadata"], &ok)
	if text := typed[string](meta["creationTimestamp"], &ok); meta["creationTimestamp"] != nil && o.Created.UnmarshalText([]byte(text)) != nil {
		ok = false
	}
	o.Name = typed[string](meta["name"], &ok)
	o.Namespace = typed[string](meta["namespace"], &ok)
	o.UID = types.UID(typed[string](meta["uid"], &ok))
	o.ResourceVersion = typed[string](meta["resourceVersion"], &ok)
	if g := typed[json.Number](meta["generation"], &ok); g != "" {
		var err error
		o.Generation, err = g.Int64()
		ok = ok && err == nil
	}
	o.Deleting = meta["deletionTimestamp"] != nil
	o.Labels = picked(meta["labels"], want.Labels, &ok)
	o.Annotations = picked(meta["annotations"], want.Annotations, &ok)
	for _, entry := range typed[[]any](meta["managedFields"], &ok) {
		e := typed[map[string]any](entry, &ok)
		var at time.Time
		if text := typed[string](e["time"], &ok); text != "" && at.UnmarshalText([]byte(text)) != nil {
			ok = false
		}
		if typed[string](e["subresource"], &ok) != "status" {
			continue
		}
		if at.After(o.StatusTime) {
			o.StatusTime = at
		}
		o.Managers = append(o.Managers, ref.Manager{Name: typed[string](e["manager"], &ok), Time: at})
	}
	return o, ok
}

func typed[T any](value any, ok *bool) T {
	t, is := value.(T)
	*ok = *ok && (is || value == nil)
	return t
}

func picked(value any, wanted []string, ok *bool) map[string]string {
	all := typed[map[string]any](value, ok)
	var out map[string]string
	for key := range maps.Keys(all) {
		for _, w := range wanted {
			prefix := strings.HasSuffix(w, "/") || strings.HasSuffix(w, "-") || strings.HasSuffix(w, ".")
			if key != w && (!prefix || !strings.HasPrefix(key, w)) {
				continue
			}
			if out == nil {
				out = map[string]string{}
			}
			out[key] = typed[string](all[key], ok)
		}
	}
	return out
}

// FuzzDecodeEvents finds panics and endless loops, and checks that good events behind bad ones are found again.
func FuzzDecodeEvents(f *testing.F) {
	f.Add([]byte(`{"type":"ADDED","object":{"metadata":{"name":"a"}}}`))
	f.Add([]byte(`{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"8"}}}`))
	f.Add([]byte(`{"type":"ERROR","object":{"code":410}}`))
	f.Add([]byte(`{"object":{},"type":"ADDED"`))
	f.Add([]byte(`}}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if bytes.ContainsAny(line, "\n\r") || len(line) > 200 {
			return
		}
		const good = `{"type":"MODIFIED","object":{"metadata":{"name":"good"},"status":{}}}` + "\n"
		d := NewDecoder(strings.NewReader(string(line)+"\n"+good+good), ref.Want{}, Limits{Object: 250})
		found := 0
		var end error
		for range 300 {
			e, err := d.Event()
			if end = err; end != nil {
				break
			}
			if e.Object != nil && e.Object.Err == nil && e.Object.Name == "good" {
				found++
			}
		}
		if found < 1 && !strings.Contains(end.Error(), "ERROR event") && !strings.Contains(end.Error(), "in a row") {
			t.Errorf("no good event was found behind %q: %v", line, end)
		}
	})
}

// FuzzDecodeList finds panics and half lists.
func FuzzDecodeList(f *testing.F) {
	f.Add([]byte(`{"kind":"PodList","metadata":{"resourceVersion":"1","continue":"c"},"items":[{"metadata":{"name":"a"}}]}`))
	f.Add([]byte(`{"items":[null,7,{}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		page, err := NewDecoder(bytes.NewReader(raw), ref.Want{}, Limits{}).List()
		if err != nil {
			return
		}
		var list struct{ Items []any }
		var tree map[string]json.RawMessage
		dec := json.NewDecoder(bytes.NewReader(raw))
		if dec.Decode(&tree) != nil || json.Unmarshal(tree["items"], &list.Items) != nil {
			return
		}
		if len(page.Objects) < len(list.Items) {
			t.Errorf("%d objects of %d", len(page.Objects), len(list.Items))
		}
	})
}
