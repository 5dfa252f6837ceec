package lean

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/types"

	"github.com/upstreamd/upstreamd/internal/ref"
)

func deployment(t testing.TB) []byte {
	t.Helper()
	raw, err := os.ReadFile("testdata/deployment.json")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(raw)
}

func statusOf(t testing.TB, raw []byte) string {
	t.Helper()
	var o struct{ Status json.RawMessage }
	if err := json.Unmarshal(raw, &o); err != nil {
		t.Fatal(err)
	}
	return string(o.Status)
}

func specOf(t testing.TB, raw []byte) string {
	t.Helper()
	var o struct{ Spec json.RawMessage }
	if err := json.Unmarshal(raw, &o); err != nil {
		t.Fatal(err)
	}
	return string(o.Spec)
}

// everything asks for all that can be asked for, but the whole object.
var everything = ref.Want{
	Labels:      []string{"internal.workload.kcp.io/", "app.kubernetes.io/name"},
	Annotations: []string{"upstreamd.dev/upstream-generation", "deployment."},
	StatusTimes: true,
	Managers:    true,
	Spec:        true,
}

func TestObjectKeepsWhatIsWanted(t *testing.T) {
	raw := deployment(t)
	at := time.Date(2026, 8, 19, 11, 4, 12, 0, time.UTC)
	full := &ref.Object{
		Namespace: "kcp-33jbiactwhg0", Name: "checkout", UID: "5d7a2c1e-8d0f-4d0e-9f39-7f6f0f3c9a51",
		ResourceVersion: "8412907", Generation: 7, Created: time.Date(2026, 3, 2, 9, 14, 55, 0, time.UTC),
		Labels: map[string]string{
			"internal.workload.kcp.io/cluster": "6ohB8yeXhwqTQVuBzJRgqcRJTpRjX7yTZu5g5g",
			"app.kubernetes.io/name":           "checkout",
		},
		Annotations: map[string]string{"upstreamd.dev/upstream-generation": "12", "deployment.kubernetes.io/revision": "7"},
		StatusTime:  at,
		Managers:    []ref.Manager{{Name: "kube-controller-manager", Time: at}},
		Status:      []byte(statusOf(t, raw)),
		Spec:        []byte(specOf(t, raw)),
		SpecHash:    xxhash.Sum64String(specOf(t, raw)),
	}
	for name, tc := range map[string]struct {
		want   ref.Want
		expect func(o *ref.Object)
	}{
		"everything": {everything, func(*ref.Object) {}},
		"nothing": {ref.Want{}, func(o *ref.Object) {
			o.Labels, o.Annotations, o.StatusTime, o.Managers, o.Spec = nil, nil, time.Time{}, nil, nil
		}},
		"times only": {ref.Want{StatusTimes: true}, func(o *ref.Object) { o.Labels, o.Annotations, o.Managers, o.Spec = nil, nil, nil, nil }},
		"whole": {ref.Want{Whole: true, Labels: []string{"app.kubernetes.io/name"}}, func(o *ref.Object) {
			o.Labels = map[string]string{"app.kubernetes.io/name": "checkout"}
			o.Annotations, o.StatusTime, o.Managers, o.Raw, o.Spec = nil, time.Time{}, nil, raw, nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			expect := *full
			if tc.expect(&expect); expect.Spec == nil {
				expect.SpecHash = 0
			}
			for reader, body := range map[string]io.Reader{
				"at once":      bytes.NewReader(raw),
				"byte by byte": iotest.OneByteReader(bytes.NewReader(raw)),
			} {
				got, err := NewDecoder(body, tc.want, Limits{}).Object()
				if err != nil {
					t.Fatal(reader, err)
				}
				if diff := cmp.Diff(&expect, got); diff != "" {
					t.Errorf("%s: (-want +got)\n%s", reader, diff)
				}
			}
		})
	}
}

func TestObjectOddForms(t *testing.T) {
	want := ref.Want{Labels: []string{"a", "b"}, StatusTimes: true, Managers: true}
	for name, tc := range map[string]struct {
		json   string
		expect ref.Object
		err    string // part of Object.Err
	}{
		"null everywhere": {
			json:   `{"metadata":{"name":"x","namespace":null,"uid":null,"generation":null,"deletionTimestamp":null,"labels":null,"managedFields":null},"status":null}`,
			expect: ref.Object{Name: "x"},
		},
		"null itself":   {json: `null`, err: "metadata.name is not given"},
		"being deleted": {json: `{"metadata":{"name":"x","deletionTimestamp":"2026-01-01T00:00:00Z"}}`, expect: ref.Object{Name: "x", Deleting: true}},
		"escapes": {
			json:   `{"meta\u0064ata":{"na\u006de":"\u0078","labels":{"\u0061":"\ud83d\ude00","b":"é"}},"stat\u0075s":{"n":1}}`,
			expect: ref.Object{Name: "x", Labels: map[string]string{"a": "😀", "b": "é"}, Status: []byte(`{"n":1}`)},
		},
		"twice: the last one counts": {
			json:   `{"metadata":{"name":"x","uid":"u"},"status":{"n":1},"metadata":{"name":"y","name":"z"},"status":{"n":2}}`,
			expect: ref.Object{Name: "z", Status: []byte(`{"n":2}`)},
		},
		"status before metadata": {
			json:   `{"status":{"n":1},"metadata":{"name":"x"}}`,
			expect: ref.Object{Name: "x", Status: []byte(`{"n":1}`)},
		},
		"a status that is no object is not judged here": {
			json:   `{"metadata":{"name":"x"},"status":"done"}`,
			expect: ref.Object{Name: "x", Status: []byte(`"done"`)},
		},
		"own fields, others' not, other subresources not": {
			json: `{"metadata":{"name":"x","managedFields":[
				{"manager":"other","time":"2026-01-02T00:00:00Z","fieldsV1":{"f:status":{}},"subresource":"status"},
				{"manager":"upstreamd","time":"2026-01-03T00:00:00Z","fieldsV1":{"f:status":{"f:n":{}}},"subresource":"status"},
				{"manager":"scaler","time":"2026-01-04T00:00:00Z","fieldsV1":{},"subresource":"scale"},
				{"fieldsV1":{"f:status":{"f:m":{}}},"subresource":"status","manager":"upstreamd"},
				{"fieldsV1":{"f:spec":{}},"manager":"kubectl","time":"2026-01-05T00:00:00Z"}]}}`,
			expect: ref.Object{
				Name: "x", StatusTime: time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC),
				Managers: []ref.Manager{
					{Name: "other", Time: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)},
					{Name: "upstreamd", Time: time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC), Fields: []byte(`{"f:status":{"f:n":{}}}`)},
					{Name: "upstreamd", Fields: []byte(`{"f:status":{"f:m":{}}}`)},
				},
			},
		},
		"not an object":        {json: `[1,2]`, err: "object is not an object"},
		"metadata is a string": {json: `{"metadata":"x","status":{"n":1}}`, err: "metadata is not an object"},
		"name is a number":     {json: `{"metadata":{"name":7,"uid":"u"},"status":{}}`, expect: ref.Object{UID: "u"}, err: "metadata.name is not a string"},
		"as long as may be": {
			json:   fmt.Sprintf(`{"metadata":{"name":%[1]q,"namespace":%[1]q,"uid":%[2]q,"resourceVersion":%[2]q},"status":{}}`, long(253), long(128)),
			expect: ref.Object{Name: long(253), Namespace: long(253), UID: types.UID(long(128)), ResourceVersion: long(128), Status: []byte("{}")},
		},
		"name too long":            {json: fmt.Sprintf(`{"metadata":{"name":%q,"uid":"u"},"status":{}}`, long(254)), expect: ref.Object{UID: "u"}, err: "metadata.name is not a string of at most 253 bytes"},
		"namespace too long":       {json: fmt.Sprintf(`{"metadata":{"name":"x","namespace":%q},"status":{}}`, long(254)), expect: ref.Object{Name: "x"}, err: "metadata.namespace is not a string of at most 253 bytes"},
		"uid too long":             {json: fmt.Sprintf(`{"metadata":{"name":"x","uid":%q},"status":{}}`, long(129)), expect: ref.Object{Name: "x"}, err: "metadata.uid is not a string of at most 128 bytes"},
		"resourceVersion too long": {json: fmt.Sprintf(`{"metadata":{"name":"x","resourceVersion":%q},"status":{}}`, long(129)), expect: ref.Object{Name: "x"}, err: "metadata.resourceVersion is not a string of at most 128 bytes"},

		"generation is text":    {json: `{"metadata":{"name":"x","generation":"7"},"status":{}}`, expect: ref.Object{Name: "x"}, err: "metadata.generation is not a whole number"},
		"generation is broken":  {json: `{"metadata":{"name":"x","generation":1.5}}`, expect: ref.Object{Name: "x"}, err: "metadata.generation is not a whole number"},
		"labels are a list":     {json: `{"metadata":{"name":"x","labels":[]}}`, expect: ref.Object{Name: "x"}, err: "metadata.labels is not an object"},
		"a label is a number":   {json: `{"metadata":{"name":"x","labels":{"a":1}}}`, expect: ref.Object{Name: "x", Labels: map[string]string{"a": ""}}, err: "metadata.labels is not a string"},
		"managedFields no list": {json: `{"metadata":{"name":"x","managedFields":{}}}`, expect: ref.Object{Name: "x"}, err: "metadata.managedFields is not an array"},
		"time is no time": {
			json:   `{"metadata":{"name":"x","managedFields":[{"manager":"m","subresource":"status","time":"noon"}]}}`,
			expect: ref.Object{Name: "x", Managers: []ref.Manager{{Name: "m"}}}, err: "time is not a time",
		},
		"cut short keeps the identity": {json: `{"metadata":{"name":"x"},"status":{"n":}`, expect: ref.Object{Name: "x"}, err: "invalid character"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := NewDecoder(strings.NewReader(tc.json), want, Limits{}).Object()
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case tc.err == "" && got.Err != nil, tc.err != "" && (got.Err == nil || !strings.Contains(got.Err.Error(), tc.err)):
				t.Errorf("Err = %v, want %q", got.Err, tc.err)
			}
			if diff := cmp.Diff(&tc.expect, got, cmpopts.IgnoreFields(ref.Object{}, "Err")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func long(n int) string { return strings.Repeat("x", n) }

// TestObjectsKeepNothingOfAWindow: windows are used again, for other answers, while values that were read in them are in use.
func TestObjectsKeepNothingOfAWindow(t *testing.T) {
	want := ref.Want{Labels: []string{ref.All}, Annotations: []string{ref.All}, Managers: true, Whole: true}
	read := func(fill byte) *ref.Object {
		text := strings.Repeat(string(fill), maxVersion)
		o, err := NewDecoder(strings.NewReader(fmt.Sprintf(`{"metadata":{"name":%[1]q,"namespace":%[1]q,"uid":%[1]q,"resourceVersion":"7","labels":{%[1]q:%[1]q},`+
			`"annotations":{%[1]q:%[1]q},"managedFields":[{"manager":%[1]q,"subresource":"status","fieldsV1":{%[1]q:{}}}]},"status":{"x":%[1]q}}`, text)), want, Limits{}).Object()
		if err != nil || o.Err != nil {
			t.Error(err, o.Err)
		}
		return o
	}
	var all [2][]*ref.Object
	for n := range all {
		for fill := byte('a'); fill <= 'z'; fill++ {
			all[n] = append(all[n], read(fill))
		}
	}
	if diff := cmp.Diff(all[0], all[1]); diff != "" {
		t.Errorf("what was read first changed when windows were used again (-first +second):\n%s", diff)
	}
	for i, o := range all[1] {
		if o.Name != strings.Repeat(string(byte('a'+i)), maxVersion) || !bytes.Contains(o.Status, []byte(o.Name)) || o.Labels[o.Name] != o.Name {
			t.Errorf("object %d is not itself: %.40s", i, o.Name)
		}
	}
}

func TestObjectTransportErrors(t *testing.T) {
	reset := errors.New("connection reset")
	if _, err := NewDecoder(io.MultiReader(strings.NewReader(`{"metadata":{"name":"x"`), iotest.ErrReader(reset)), ref.Want{}, Limits{}).Object(); !errors.Is(err, reset) {
		t.Errorf("error = %v, want the reader's", err)
	}
	if _, err := NewDecoder(strings.NewReader(`{"metadata":{"name":"x"`), ref.Want{}, Limits{}).Object(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error = %v, want unexpected EOF", err)
	}
}

func TestObjectSizeLimit(t *testing.T) {
	raw := `{"metadata":{"name":"x"},"status":{"a":"` + strings.Repeat("a", 1000) + `"}}`
	for _, tc := range []struct {
		limit int
		large bool
	}{{len(raw), false}, {len(raw) - 2, true}} {
		o, err := NewDecoder(strings.NewReader(raw), ref.Want{}, Limits{Object: int64(tc.limit)}).Object()
		if err != nil {
			t.Fatal(err)
		}
		if errors.Is(o.Err, ErrTooLarge) != tc.large || o.Name != "x" || (o.Status == nil) != tc.large {
			t.Errorf("limit %d of %d: Err %v, name %q, %d bytes of status", tc.limit, len(raw), o.Err, o.Name, len(o.Status))
		}
	}
}

func TestList(t *testing.T) {
	body := `{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"12","continue":"more","remainingItemCount":3},"items":[` +
		`{"metadata":{"name":"a","resourceVersion":"3"},"status":{"n":1}},{"metadata":{"name":"b","generation":"x"}},{"metadata":{"name":"c"}}]}`
	page, err := NewDecoder(iotest.OneByteReader(strings.NewReader(body)), ref.Want{}, Limits{}).List()
	if err != nil {
		t.Fatal(err)
	}
	if page.ResourceVersion != "12" || page.Continue != "more" || len(page.Objects) != 3 {
		t.Fatalf("got %+v", page)
	}
	if a, b, c := page.Objects[0], page.Objects[1], page.Objects[2]; string(a.Status) != `{"n":1}` || b.Err == nil || b.Name != "b" || c.Err != nil {
		t.Errorf("got %+v, %+v, %+v", a, b, c)
	}
	if page, err := NewDecoder(strings.NewReader(`{"kind":"List","metadata":{"resourceVersion":"1"},"items":null}`), ref.Want{}, Limits{}).List(); err != nil || len(page.Objects) != 0 {
		t.Errorf("items null: %+v, %v", page, err)
	}
}

func TestListNeverHalf(t *testing.T) {
	item := `{"metadata":{"name":"a"}}`
	for name, tc := range map[string]struct {
		body   string
		limits Limits
		is     error
		says   string
	}{
		"cut":            {body: `{"items":[` + item + `,`, is: io.ErrUnexpectedEOF},
		"garbage":        {body: `{"items":[` + item + `,!]}`, says: "invalid character"},
		"no list":        {body: `{"kind":"Status","status":"Success"}`, says: "not a list"},
		"text":           {body: `"ok"`, says: "not a list"},
		"empty body":     {body: ``, is: io.EOF},
		"list too large": {body: `{"items":[` + strings.Repeat(item+",", 100) + item + `]}`, limits: Limits{List: 1000}, is: ErrTooLarge},
		"item too large": {body: `{"items":[{"metadata":{"name":"big"},"x":"` + strings.Repeat("x", 500) + `"}]}`, limits: Limits{Object: 200}, is: ErrTooLarge, says: "big"},
	} {
		t.Run(name, func(t *testing.T) {
			page, err := NewDecoder(strings.NewReader(tc.body), ref.Want{}, tc.limits).List()
			if err == nil || tc.is != nil && !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error = %v, want %v %q", err, tc.is, tc.says)
			}
			if len(page.Objects) != 0 {
				t.Errorf("%d objects of a broken list", len(page.Objects))
			}
		})
	}
}

// events reads all events of a watch, in short form, and the error at its end.
func events(body io.Reader, limits Limits) ([]string, error) {
	d := NewDecoder(body, ref.Want{}, limits)
	var got []string
	for {
		e, err := d.Event()
		if err != nil {
			return got, err
		}
		switch s := string(e.Type) + " "; {
		case e.Err != nil:
			got = append(got, s+fmt.Sprint(e.Err.ErrStatus.Code))
		case e.Object == nil:
			got = append(got, fmt.Sprintf("%s%s %t", s, e.ResourceVersion, e.InitialEnd))
		case e.Object.Err != nil:
			got = append(got, s+e.Object.Name+" bad")
		default:
			got = append(got, s+e.Object.Name+" "+string(e.Object.Status))
		}
	}
}

func TestEvents(t *testing.T) {
	const good = `{"type":"MODIFIED","object":{"metadata":{"name":"g"},"status":{"n":1}}}` + "\n"
	large := `{"type":"ADDED","object":{"metadata":{"name":"big"},"x":"` + strings.Repeat("x", 3000) + `"}}` + "\n"
	for name, tc := range map[string]struct {
		body   string
		limits Limits
		expect []string
		end    string // part of the error at the end; empty: io.EOF
	}{
		"all types": {
			body: `{"type":"ADDED","object":{"metadata":{"name":"a"},"status":{"n":1}}}` + "\n" + good +
				`{"type":"DELETED","object":{"metadata":{"name":"a"}}}` + "\n" +
				`{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"7"}}}` + "\n" +
				`{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"8","annotations":{"k8s.io/initial-events-end":"true"}}}}` + "\n" +
				`{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}` + "\n",
			expect: []string{`ADDED a {"n":1}`, `MODIFIED g {"n":1}`, "DELETED a ", "BOOKMARK 7 false", "BOOKMARK 8 true", "ERROR 410"},
		},
		"without line breaks":   {body: strings.TrimSpace(good) + good, expect: []string{`MODIFIED g {"n":1}`, `MODIFIED g {"n":1}`}},
		"object before type":    {body: `{"object":{"metadata":{"name":"a"}},"type":"ADDED"}` + good, expect: []string{"ADDED a ", `MODIFIED g {"n":1}`}},
		"a type of later years": {body: `{"type":"NEWS","object":{"x":[1]}}` + good, expect: []string{"NEWS  false", `MODIFIED g {"n":1}`}},
		"wrong types": {
			body:   `{"type":"ADDED","object":{"metadata":{"name":"a","generation":{}}}}` + "\n" + `{"type":"ADDED","object":7}` + "\n" + good,
			expect: []string{"ADDED a bad", "ADDED  bad", `MODIFIED g {"n":1}`},
		},
		"syntax in the object": {
			body:   `{"type":"ADDED","object":{"metadata":{"name":"a"},"status":{"n":}}}` + "\n" + good,
			expect: []string{"ADDED a bad", `MODIFIED g {"n":1}`},
		},
		"cut event":          {body: `{"type":"DELETED","object":{"metadata":{"name":"a"` + "\n" + good, expect: []string{"DELETED a bad", `MODIFIED g {"n":1}`}},
		"garbage between":    {body: good + "???\n" + "\n" + good, expect: []string{`MODIFIED g {"n":1}`, "MODIFIED  bad", `MODIFIED g {"n":1}`}},
		"one brace too many": {body: strings.TrimSpace(good) + "}\n" + good, expect: []string{`MODIFIED g {"n":1}`, "MODIFIED  bad", `MODIFIED g {"n":1}`}},
		"no object":          {body: `{"type":"ADDED"}` + "\n" + good, expect: []string{"ADDED  bad", `MODIFIED g {"n":1}`}},
		"not events":         {body: strings.Repeat("[1]\n", 9) + good, expect: slicesRepeat("MODIFIED  bad", 8), end: "not watch events"},
		"garbage forever":    {body: strings.Repeat("<html>\n", 100), expect: slicesRepeat("MODIFIED  bad", 8), end: "not watch events"},
		"too large, named": {
			body: good + large + good, limits: Limits{Object: 1000},
			expect: []string{`MODIFIED g {"n":1}`, "ADDED big bad", `MODIFIED g {"n":1}`},
		},
		"too large, nameless": {
			body: good + `{"type":"ADDED","object":{"x":"` + strings.Repeat("x", 3000) + `"}}` + "\n", limits: Limits{Object: 1000},
			expect: []string{`MODIFIED g {"n":1}`}, end: "too large",
		},
		"too large to skip": {
			body: `{"type":"ADDED","object":{"metadata":{"name":"big"},"x":"` + strings.Repeat("x", 100_000) + `"}}` + "\n" + good, limits: Limits{Object: 1000},
			expect: []string{"ADDED big bad"}, end: "too large",
		},
		"ends in an event":        {body: good + `{"type":"ADDED","object":{"metadata":{"name":"a"}`, expect: []string{`MODIFIED g {"n":1}`}, end: "unexpected EOF"},
		"ERROR that is no Status": {body: `{"type":"ERROR","object":{"code":"x"}}` + "\n", expect: []string{"ERROR 500"}},
		"ERROR cut":               {body: `{"type":"ERROR","object":{"code":}}` + "\n" + good, end: "unreadable ERROR event"},
	} {
		t.Run(name, func(t *testing.T) {
			for reader, body := range map[string]io.Reader{
				"at once":      strings.NewReader(tc.body),
				"byte by byte": iotest.OneByteReader(strings.NewReader(tc.body)),
				"by halves":    iotest.HalfReader(strings.NewReader(tc.body)),
			} {
				got, err := events(body, tc.limits)
				if diff := cmp.Diff(tc.expect, got); diff != "" {
					t.Errorf("%s: (-want +got)\n%s", reader, diff)
				}
				if tc.end == "" && err != io.EOF || tc.end != "" && !strings.Contains(err.Error(), tc.end) {
					t.Errorf("%s: ended with %v, want %q", reader, err, tc.end)
				}
			}
		})
	}
}

func slicesRepeat(s string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = s
	}
	return all
}

func TestEventSizeBoundary(t *testing.T) {
	line := func(n int) string {
		const frame = `{"type":"ADDED","object":{"metadata":{"name":"a"},"x":""}}`
		return strings.Replace(frame, `"x":""`, `"x":"`+strings.Repeat("x", n-len(frame))+`"`, 1) + "\n"
	}
	got, err := events(strings.NewReader(line(100)+line(200)+line(201)+line(100)), Limits{Object: 200})
	if want := []string{"ADDED a ", "ADDED a ", "ADDED a bad", "ADDED a "}; !reflect.DeepEqual(got, want) || err != io.EOF {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

// panicky stands for a reader, or a decoder, with a defect.
type panicky struct{ io.Reader }

func (p panicky) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	if err != nil {
		panic("defect")
	}
	return n, err
}

func TestPanicsStayInside(t *testing.T) {
	o, err := NewDecoder(panicky{strings.NewReader(`{"metadata":{"name":"a"},`)}, ref.Want{}, Limits{}).Object()
	if err != nil || o.Err == nil || !strings.Contains(o.Err.Error(), "panicked") {
		t.Errorf("object: %+v, %v", o, err)
	}
}

func TestSharedStringsAreBounded(t *testing.T) {
	s := strs{}
	for i := range 3 * maxShared {
		if v := fmt.Sprint(i); s.share([]byte(v)) != v {
			t.Fatal("wrong string")
		}
	}
	if len(s) > maxShared {
		t.Errorf("%d strings are kept", len(s))
	}
	s = strs{}
	for n := range 2 * maxSharedLength {
		if s.share([]byte(long(n))) != long(n) || len(s) != min(n, maxSharedLength)+1 {
			t.Fatalf("up to %d bytes: %d strings are kept", n, len(s))
		}
	}
}

// A watch delivers the spec of an object in its first events, and again when it has changed.
func TestSpecsAreDeliveredInTheFirstEvents(t *testing.T) {
	event := func(uid, spec string) string {
		return `{"type":"MODIFIED","object":{"metadata":{"name":"a","uid":"` + uid + `"},"spec":` + spec + `}}` + "\n"
	}
	first := event("u", `{"a":1}`)
	d := NewDecoder(strings.NewReader(first+first+first+first+event("v", `{"a":1}`)+event("u", `{"a":2}`)+event("u", `null`)+event("", `{"a":2}`)),
		ref.Want{Spec: true, SpecOnce: true}, Limits{})
	d.scan.specs = map[uint64]uint8{}
	for i, want := range []string{`{"a":1}`, `{"a":1}`, `{"a":1}`, "", `{"a":1}`, `{"a":2}`, "", `{"a":2}`} {
		e, err := d.Event()
		if err != nil {
			t.Fatal(err)
		}
		if got := string(e.Object.Spec); got != want || (e.Object.SpecHash == 0) != (i == 6) {
			t.Errorf("event %d: spec %q, hash %d; want %q", i, got, e.Object.SpecHash, want)
		}
	}
}
