package lean

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// endless repeats one line for ever.
type endless struct {
	line []byte
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.line[e.at:])
	e.at = (e.at + n) % len(e.line)
	return n, nil
}

// BenchmarkEvent reads watch events of one real-looking Deployment, with the fields that the product keeps by default.
func BenchmarkEvent(b *testing.B) {
	line := fmt.Appendf(nil, `{"type":"MODIFIED","object":%s}`+"\n", deployment(b))
	for name, want := range map[string]ref.Want{
		"identity and status": {},
		"with labels and annotations": {
			Labels:      []string{"internal.workload.kcp.io/", "state.workload.kcp.io/"},
			Annotations: []string{"upstreamd.dev/upstream-generation"},
		},
		"with times":    {StatusTimes: true},
		"with managers": {StatusTimes: true, Managers: true},
		"whole":         {Whole: true},
	} {
		b.Run(name, func(b *testing.B) {
			d := NewDecoder(&endless{line: line}, want, Limits{})
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				if e, err := d.Event(); err != nil || e.Object.Err != nil {
					b.Fatal(e, err)
				}
			}
		})
	}
}

// BenchmarkEventStandard reads the same event as the dynamic client does.
func BenchmarkEventStandard(b *testing.B) {
	line := fmt.Appendf(nil, `{"type":"MODIFIED","object":%s}`+"\n", deployment(b))
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		var e struct {
			Type   string
			Object json.RawMessage
		}
		if err := json.NewDecoder(bytes.NewReader(line)).Decode(&e); err != nil {
			b.Fatal(err)
		}
		var u unstructured.Unstructured
		if err := u.UnmarshalJSON(e.Object); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkList reads a page of 500 Deployments.
func BenchmarkList(b *testing.B) {
	items := bytes.Repeat(append(deployment(b), ','), 500)
	body := fmt.Appendf(nil, `{"kind":"DeploymentList","metadata":{"resourceVersion":"1"},"items":[%s]}`, items[:len(items)-1])
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		page, err := NewDecoder(io.NopCloser(bytes.NewReader(body)), ref.Want{}, Limits{}).List()
		if err != nil || len(page.Objects) != 500 {
			b.Fatal(err)
		}
	}
}

// BenchmarkAnswer reads the answer of a PATCH with a decoder of its own, as the product does.
func BenchmarkAnswer(b *testing.B) {
	body := deployment(b)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		o, err := NewDecoder(bytes.NewReader(body), ref.Want{StatusTimes: true, Managers: true}, Limits{}).Object()
		if err != nil || o.Err != nil {
			b.Fatal(o, err)
		}
	}
}
