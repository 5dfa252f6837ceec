package reconcile

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/upstreamd/upstreamd/internal/patch"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// send takes a write off the queue: it is in flight and cannot be taken back.
func (s *script) send(d *datadriven.TestData) {
	u := name(d.CmdArgs[0].Key)
	w, ok := s.queue[u]
	if !ok {
		d.Fatalf(s.t, "no write of %s waits", u)
	}
	delete(s.queue, u)
	s.flight[u] = w
}

// answered is the write that an answer is for: the one in flight, else the one that waits. The writer drops a write that waits behind the
// answered one, as it was decided on an older version; not if the answer is for a dead State, as its successor does not get it.
func (s *script) answered(d *datadriven.TestData) (Write, ref.Upstream) {
	u := name(d.CmdArgs[0].Key)
	w, ok := s.flight[u]
	if !ok {
		if w, ok = s.queue[u]; !ok {
			d.Fatalf(s.t, "no write of %s waits", u)
		}
		delete(s.queue, u)
	}
	delete(s.flight, u)
	if s.queue[u].Token.incarnation == w.Token.incarnation {
		delete(s.queue, u)
	}
	return w, u
}

// ack answers a write as the API server would: it applies the patch if the version fits. The input replaces the resulting status; with
// "unchanged" the patch changes nothing, with "unkept" only the version, with "lost" it takes place and the answer is lost.
func (s *script) ack(d *datadriven.TestData) {
	w, u := s.answered(d)
	switch o := s.server[u]; {
	case o == nil:
		s.printf("not found: the server does not hold it")
		s.step(Refused{Upstream: u, Token: w.Token, Class: Gone, Err: errors.New("not found")})
	case o.ResourceVersion != w.Version:
		s.printf("conflict: the server holds %s", o.ResourceVersion)
		s.step(Refused{Upstream: u, Token: w.Token, Class: Conflict, Err: errors.New("the object has been modified")})
	case d.HasArg("unchanged"):
		s.step(Acknowledged{Upstream: u, Token: w.Token, Object: o})
	case d.HasArg("lost"):
		s.apply(w, u, []byte(d.Input))
		s.step(Refused{Upstream: u, Token: w.Token, Class: OutcomeUnknown, Err: errors.New("connection reset")})
	case d.HasArg("unkept"):
		s.acknowledge(w, u, s.server[u].Status)
	default:
		s.acknowledge(w, u, []byte(d.Input))
	}
}

func (s *script) acknowledge(w Write, u ref.Upstream, status []byte) {
	s.step(Acknowledged{Upstream: u, Token: w.Token, Object: s.apply(w, u, status)})
}

// apply is the object after a write; a status replaces the one that the patch makes.
func (s *script) apply(w Write, u ref.Upstream, status []byte) *ref.Object {
	o := *s.server[u]
	o.ResourceVersion = s.next()
	if o.Status = s.patched(o.Status, w.Body); len(status) > 0 {
		o.Status = status
	}
	others := slices.DeleteFunc(slices.Clone(o.Managers), func(m ref.Manager) bool { return m.Name == ref.FieldManager })
	o.Managers = append(others, ref.Manager{Name: ref.FieldManager, Time: s.now, Fields: fieldsOf(s.t, o.Status)})
	s.server[u] = &o
	return &o
}

func (s *script) patched(status, body []byte) []byte {
	var have map[string]any
	if len(status) > 0 {
		s.must(json.Unmarshal(status, &have))
	}
	var b struct{ Status map[string]any }
	s.must(json.Unmarshal(body, &b))
	out, err := json.Marshal(patch.Apply(have, b.Status))
	s.must(err)
	return out
}

// fieldsOf is a managedFields entry that owns all fields of a status.
func fieldsOf(t testing.TB, status []byte) []byte {
	var v map[string]any
	if err := json.Unmarshal(status, &v); err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(map[string]any{"f:status": ownedFields(v)})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func ownedFields(m map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		out["f:"+k] = map[string]any{}
		if m, ok := v.(map[string]any); ok {
			out["f:"+k] = ownedFields(m)
		}
		if list, ok := v.([]any); ok && k == "conditions" {
			keyed := map[string]any{".": map[string]any{}}
			for _, c := range list {
				keyed[fmt.Sprintf(`k:{"type":%q}`, c.(map[string]any)["type"])] = map[string]any{".": map[string]any{}}
			}
			out["f:"+k] = keyed
		}
	}
	return out
}

// refuse answers a write with a class of refusal.
func (s *script) refuse(d *datadriven.TestData) {
	w, u := s.answered(d)
	class := Refusal(d.CmdArgs[1].Key)
	text := map[Refusal]string{
		OutcomeUnknown: "context deadline exceeded", Gone: "not found", NotServed: "the server could not find the requested resource",
		Forbidden: "patch is forbidden", TooLarge: "request is too large", Invalid: "spec of the status: Invalid value", Conflict: "the object has been modified",
	}[class]
	if text == "" {
		d.Fatalf(s.t, "unknown class %q", class)
	}
	err := errors.New(text)
	if field := arg(d, "field", ""); field != "" {
		sent := &apierrors.StatusError{ErrStatus: metav1.Status{Message: text, Details: &metav1.StatusDetails{}}}
		sent.ErrStatus.Details.Causes = append(sent.ErrStatus.Details.Causes, metav1.StatusCause{Field: field})
		err = sent
	}
	s.step(Refused{Upstream: u, Token: w.Token, Class: class, Err: err})
}

// fetched answers a read with the object as the server holds it; with "gone" as if it held none. With "dead" the
// read is one of the State before a restart.
func (s *script) fetched(d *datadriven.TestData) {
	u := name(d.CmdArgs[0].Key)
	reads := s.reads
	if d.HasArg("dead") {
		reads = s.dead
	}
	r, ok := reads[u]
	if !ok {
		d.Fatalf(s.t, "no read of %s is under way", u)
	}
	delete(reads, u)
	e := Fetched{Upstream: u, Token: r.Token, Object: s.server[u], Gone: s.server[u] == nil || d.HasArg("gone")}
	if text := arg(d, "error", ""); text != "" {
		e.Err, e.Gone = errors.New(text), false
	}
	s.step(e)
}

// advance lets time pass; each line of effects has the time at which they happened before it.
func (s *script) advance(d *datadriven.TestData) {
	by, err := time.ParseDuration(d.CmdArgs[0].Key)
	s.must(err)
	s.advanceBy(by)
}

func (s *script) advanceBy(by time.Duration) {
	until := s.now.Add(by)
	for !s.wake.IsZero() && !s.wake.After(until) {
		if s.wake.After(s.now) {
			s.now = s.wake
		}
		s.wake = time.Time{}
		before := s.out.Len()
		s.step(TimePassed{})
		if s.out.Len() > before {
			text := s.out.String()
			s.out.Reset()
			s.out.WriteString(text[:before])
			s.printf("+%s", s.now.Sub(s.start))
			s.out.WriteString(text[before:])
		}
	}
	s.now = until
}

// restart begins a State that knows nothing, and feeds it with the SyncTargets, upstream objects and copies of the world. The writer drops the
// queued writes of the State before it; those in flight stay so, and their answers may still come. SyncTargets that are away do not list.
func (s *script) restart(d *datadriven.TestData) {
	flight, reads := s.flight, s.reads
	s.fresh()
	s.flight, s.dead = flight, reads
	if d.HasArg("bare") {
		return
	}
	names := slices.Sorted(maps.Keys(s.targets))
	for _, n := range names {
		s.step(s.targets[n])
	}
	for _, scope := range slices.Sorted(maps.Keys(s.scopes)) {
		s.listScope(scope, s.next())
		s.step(s.scopes[scope])
	}
	s.describe = nil
	away := strings.Split(arg(d, "away", ""), ",")
	for _, n := range names {
		if !slices.Contains(away, string(n)) {
			s.listTarget(n, true, true)
		}
	}
}

// writerRestarted loses the writes that wait, and the answers to those in flight.
func (s *script) writerRestarted(*datadriven.TestData) {
	s.queue, s.flight = map[ref.Upstream]Write{}, map[ref.Upstream]Write{}
	s.step(WriterRestarted{})
}

// explain prints the facts behind the last decision.
func (s *script) explain(d *datadriven.TestData) {
	x := s.state.Explain(s.now, name(d.CmdArgs[0].Key))
	s.printf("known=%t reason=%s suppressed=%q message=%q", x.Known, x.Reason, x.Suppressed, x.Message)
	for _, source := range x.Input.Sources {
		state := [...]string{"Reporting", "NoStatus", "Absent", "Unknown"}[source.State]
		s.printf("  %s %s stale=%t current=%t", source.Target, state, source.Stale, source.CaughtUp)
	}
}

// show prints the status that the API server holds.
func (s *script) show(d *datadriven.TestData) {
	o := s.server[name(d.CmdArgs[0].Key)]
	if o == nil {
		s.printf("no such object")
		return
	}
	s.printf("%s: %s", o.ResourceVersion, s.rendered(o.Status))
}

// size prints how much the State holds.
func (s *script) size(*datadriven.TestData) {
	copies, places, placed := 0, 0, 0
	for _, t := range s.state.targets {
		copies += t.size()
	}
	for _, c := range s.state.scopes {
		places += len(c.places)
	}
	for _, k := range s.state.keys {
		placed += k.size()
	}
	s.printf("objects=%d copies=%d scopes=%d places=%d placed=%d", len(s.state.objects), copies, len(s.state.scopes), places, placed)
}
