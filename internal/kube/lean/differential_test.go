package lean

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// torn hands on its content in pieces of random length, most of them short; a seed gives the same pieces again.
type torn struct {
	rest []byte
	rnd  *rand.Rand
}

func newTorn(raw []byte, seed uint64) *torn { return &torn{raw, rand.New(rand.NewPCG(seed, 1))} }

func (r *torn) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.rest[:min(len(r.rest), 1+r.rnd.IntN(1<<r.rnd.IntN(10)))])
	r.rest = r.rest[n:]
	return n, nil
}

// readers gives raw at once, byte by byte, and torn in two ways.
func readers(raw []byte) map[string]func() io.Reader {
	return map[string]func() io.Reader{
		"at once":      func() io.Reader { return bytes.NewReader(raw) },
		"byte by byte": func() io.Reader { return &slow{raw} },
		"torn":         func() io.Reader { return newTorn(raw, uint64(len(raw))) },
		"torn else":    func() io.Reader { return newTorn(raw, 7) },
	}
}

// whatIsBelieved leaves out the text of an object's error, which may differ.
var whatIsBelieved = cmp.Options{cmpopts.IgnoreFields(ref.Object{}, "Err"), cmpopts.IgnoreFields(Event{}, "Err"), cmpopts.IgnoreUnexported(Page{})}

var differentialWants = []ref.Want{
	{},
	{Labels: []string{"a", "b/", "app.kubernetes.io/name"}, Annotations: []string{ref.All}, StatusTimes: true, Managers: true, Spec: true},
	{Labels: []string{ref.All}, Managers: true, Whole: true},
}

// compareReadings holds the product's tokens to those of jsontext: both believe the same, and both refuse the same.
func compareReadings(t *testing.T, raw []byte) {
	t.Helper()
	for i, want := range differentialWants {
		object, objectErr := oracleObject(bytes.NewReader(raw), want)
		list, listErr := oracleList(bytes.NewReader(raw), want)
		lines := append(bytes.Clone(raw), '\n') // reading goes on in the line after a bad event
		events, eventsErr := oracleEvents(bytes.NewReader(lines), want)
		for name, reader := range readers(lines) {
			compareEvents(t, fmt.Sprintf("want %d, %s", i, name), NewDecoder(reader(), want, Limits{}), events, eventsErr)
		}
		for name, reader := range readers(raw) {
			got, err := NewDecoder(reader(), want, Limits{}).Object()
			if err == nil {
				err = got.Err
			}
			if (err == nil) != (objectErr == nil) {
				t.Fatalf("object, want %d, %s: %v, and by jsontext: %v", i, name, err, objectErr)
			}
			if diff := cmp.Diff(object, got, whatIsBelieved); err == nil && diff != "" {
				t.Fatalf("object, want %d, %s: (-jsontext +own)\n%s", i, name, diff)
			}
			page, err := NewDecoder(reader(), want, Limits{}).List()
			if (err == nil) != (listErr == nil) {
				t.Fatalf("list, want %d, %s: %v, and by jsontext: %v", i, name, err, listErr)
			}
			if diff := cmp.Diff(list, page, whatIsBelieved); err == nil && diff != "" {
				t.Fatalf("list, want %d, %s: (-jsontext +own)\n%s", i, name, diff)
			}
		}
	}
}

// compareEvents compares the events up to the first that jsontext can't read. There the product goes on, for which it has tests of its own.
func compareEvents(t *testing.T, name string, d *Decoder, events []Event, end error) {
	t.Helper()
	for i, want := range events {
		got, err := d.Event()
		if err != nil {
			t.Fatalf("event %d, %s: %v", i, name, err)
		}
		if got.Object != nil && got.Object.Err != nil && (want.Object == nil || want.Object.Err == nil) {
			t.Fatalf("event %d, %s: refused: %v", i, name, got.Object.Err)
		}
		if diff := cmp.Diff(want, got, whatIsBelieved); diff != "" {
			t.Fatalf("event %d, %s: (-jsontext +own)\n%s", i, name, diff)
		}
	}
	got, err := d.Event()
	switch {
	case end == io.EOF && err != io.EOF:
		t.Fatalf("behind the last event, %s: %+v, %v", name, got, err)
	case end != io.EOF && (err == nil && (got.Object == nil || got.Object.Err == nil) || err == io.EOF):
		t.Fatalf("event %d, %s: %+v, %v, and by jsontext: %v", len(events), name, got, err, end)
	}
}

// FuzzAgainstJSONText finds bodies, of one object, a list or a watch, that the product reads otherwise than over jsontext.
func FuzzAgainstJSONText(f *testing.F) {
	for _, seed := range differentialSeeds {
		f.Add([]byte(seed))
		for _, place := range differentialPlaces {
			f.Add([]byte(strings.ReplaceAll(place, "?", seed)))
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) < 1000 { // longer inputs find nothing new, and take long
			compareReadings(t, raw)
		}
	})
}

// differentialSeeds are values, good and bad, for the many places of a grammar where a reader goes wrong.
var differentialSeeds = strings.FieldsFunc(`0|-0|01|-|1.|1.5|.5|1e|1e5|1E+5|-1.25e-7|1.5.5|+1|9223372036854775807|9223372036854775808|-9223372036854775808|123456789012345678901234567890
true|false|null|tru|truefalse|nul|True|falsely
""|"a"|"\u0061"|"\ud83d\ude00"|"\ud800"|"\u12"|"\u12g4"|"\x"|"\"|"abc|"a\"b\\c\/\b\f\n\r\t"|"12345678"|"1234567\""|"123456789012345é"|"`+"\xff\xc0"+`"|"`+"\x00"+`"|"`+"\x1f"+`"|"a`+"\t"+`b"|"`+"\u2028"+`"
{}|[]|{ }|[ ]|{"a":1}|{"a" : 1 , "b" : [ 1 , 2 ] }|{"a":1,}|[1,]|[,]|{,}|{"a"}|{"a":}|{"a",1}|{1:2}|{"a":1 "b":2}|[1 2]|{]|[}|{"a":1]|[1}|[[[[]]]]|[{},[],{"a":[]}]|[[],{}|{"a":{"b":{"c":{}}}}
{"a":1,"a":2}|[true,false,null,"x",1]|[tru]|[nulll]|[1.5,-2e9,0]|[01]|{"\u0061":1}|{"\":1}|   7   |}|]|,|:`, func(r rune) bool { return r == '|' || r == '\n' })

// differentialPlaces are where a value, for the question mark, is skipped or kept.
var differentialPlaces = []string{
	`{"spec":?,"metadata":{"name":"x"}}`,
	`{"metadata":{"name":"x"},"status":?}`,
	`{"metadata":{"name":?,"generation":7}}`,
	`{"metadata":{"namespace":?,"uid":?,"resourceVersion":?,"name":"x"}}`,
	`{"metadata":{"name":"x","generation":?}}`,
	`{"metadata":{"name":"x","labels":{"a":?}}}`,
	`{"metadata":{"name":"x","managedFields":[{"manager":"upstreamd","fieldsV1":?,"subresource":"status"}]}}`,
	`{"type":"MODIFIED","object":{"metadata":{"name":"x"},"spec":[?]}}`,
}

// TestAgainstJSONText mutates answers of servers, a byte or a cut at a time, without the fuzzer.
func TestAgainstJSONText(t *testing.T) {
	whole := deployment(t)
	small := []byte(`{"type":"MODIFIED","object":{"spec":{"n":[1.5,true,{"k":"v\u0041\"w"},[]],"e":{}},"metadata":{"name":"x","generation":3,"labels":{"a":"1"},` +
		`"managedFields":[{"manager":"upstreamd","time":"2026-01-01T00:00:00Z","fieldsV1":{"f:status":{}},"subresource":"status"}]},"status":{"n": null, "m":-1e9}}}` + "\n")
	object := bytes.TrimSuffix(bytes.TrimPrefix(bytes.TrimSpace(small), []byte(`{"type":"MODIFIED","object":`)), []byte("}"))
	list := fmt.Appendf(nil, `{"metadata":{"continue":"c"},"items":[%s,%[1]s]}`, object)
	compareReadings(t, whole)
	for _, n := range []int{maxVersion, maxVersion + 1, maxName, maxName + 1} {
		for _, place := range differentialPlaces {
			compareReadings(t, []byte(strings.ReplaceAll(place, "?", `"\u0061`+long(n-1)+`"`)))
		}
	}
	compareReadings(t, fmt.Appendf(nil, `{"metadata":{"resourceVersion":"1"},"items":[%s, %[1]s]}`, whole))
	compareReadings(t, fmt.Appendf(nil, "{\"type\":\"ADDED\",\"object\":%s}\n{\"object\":%[1]s,\"type\":\"DELETED\"}\n", whole))
	rnd := rand.New(rand.NewPCG(1, 2))
	const swaps = "{}[]:,\"\\ \n\t0159.-+eEtfnulas\x00\x1f\x7f\x80\xff"
	for range 200 {
		for _, raw := range [][]byte{small, object, list} {
			mutant := bytes.Clone(raw)
			for range 1 + rnd.IntN(2) {
				switch at := rnd.IntN(len(mutant)); rnd.IntN(4) {
				case 0:
					mutant = append(mutant[:at], mutant[at+1:]...)
				case 1:
					mutant = bytes.Clone(mutant[:at+1])
				case 2:
					mutant = append(mutant[:at:at], append([]byte{swaps[rnd.IntN(len(swaps))]}, mutant[at:]...)...)
				default:
					mutant[at] = swaps[rnd.IntN(len(swaps))]
				}
				if len(mutant) == 0 {
					break
				}
			}
			compareReadings(t, mutant)
			if t.Failed() {
				t.Fatalf("%q", mutant)
			}
		}
	}
}

// TestDepth: as deep as jsontext goes, and no deeper.
func TestDepth(t *testing.T) {
	for _, depth := range []int{maxDepth - 2, maxDepth - 1, maxDepth, maxDepth + 1} {
		for _, part := range []string{`{"spec":%s,"metadata":{"name":"x"}}`, `{"status":%s,"metadata":{"name":"x"}}`} {
			raw := fmt.Appendf(nil, part, strings.Repeat("[", depth-1)+strings.Repeat("]", depth-1))
			_, want := oracleObject(bytes.NewReader(raw), ref.Want{})
			for _, body := range []io.Reader{bytes.NewReader(raw), newTorn(raw, 1)} {
				o, err := NewDecoder(body, ref.Want{}, Limits{}).Object()
				if err != nil || (o.Err == nil) != (want == nil) {
					t.Errorf("depth %d: %v, %v, and by jsontext: %v", depth, err, o.Err, want)
				}
			}
		}
	}
}

// TestEventsDoNotWait: an event is handed on when its last byte is there, and the window stays small while much goes by.
func TestEventsDoNotWait(t *testing.T) {
	in, out := io.Pipe()
	defer time.AfterFunc(10*time.Second, func() { in.Close() }).Stop()
	d := NewDecoder(in, ref.Want{}, Limits{})
	for range 3 {
		go out.Write([]byte(strings.Repeat(" ", 600_000) + `{"type":"ADDED","object":{"metadata":{"name":"a"},"spec":"` + strings.Repeat("x", 1<<20) + `"}}`))
		if e, err := d.Event(); err != nil || e.Type != watch.Added || e.Object.Name != "a" || e.Object.Err != nil {
			t.Fatalf("%+v, %v", e, err)
		}
	}
	if cap(d.scan.buf) > 2*maxWindow {
		t.Errorf("a window of %d bytes", cap(d.scan.buf))
	}
}
