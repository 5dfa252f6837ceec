package contract

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// caller sends plain HTTP requests: no client library adds retries, headers or conversions.
type caller struct {
	client *http.Client
	base   string
}

func newCaller(config *rest.Config) (*caller, error) {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	base := config.Host
	if !strings.Contains(base, "://") {
		base = "https://" + base
	}
	return &caller{client: client, base: strings.TrimSuffix(base, "/")}, nil
}

// answer is the response to a call.
type answer struct {
	code   int
	header http.Header
	text   string
	body   map[string]any // nil: not a JSON object
}

// status is the answer as an error.
func (a answer) status() metav1.Status {
	var s metav1.Status
	_ = json.Unmarshal([]byte(a.text), &s) // empty if it is none
	return s
}

const (
	mergePatch = "application/merge-patch+json"
	jsonPatch  = "application/json-patch+json"
	applyPatch = "application/apply-patch+yaml"
)

// option changes a call.
type option func(*http.Request)

func query(pairs ...string) option {
	return func(r *http.Request) {
		q := r.URL.Query()
		for i := 0; i < len(pairs); i += 2 {
			q.Set(pairs[i], pairs[i+1])
		}
		r.URL.RawQuery = q.Encode()
	}
}

func by(manager string) option { return query("fieldManager", manager) }

func header(name, value string) option {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// call sends a request. A body is a string of JSON or a value that encodes to JSON; PATCH is a merge patch unless an option says otherwise.
func (k *kit) call(method, path string, body any, options ...option) answer {
	resp := k.open(k.ctx, method, path, body, options...)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		k.fail("%s %s: %v", method, path, err)
	}
	a := answer{code: resp.StatusCode, header: resp.Header, text: string(text)}
	_ = json.Unmarshal(text, &a.body) // nil if it is no object
	return a
}

func (k *kit) open(ctx context.Context, method, path string, body any, options ...option) *http.Response {
	var content io.Reader
	if body != nil {
		content = strings.NewReader(canonical(body))
	}
	at := path
	if !strings.Contains(path, "://") {
		at = k.base + path
	}
	r, err := http.NewRequestWithContext(ctx, method, at, content)
	if err != nil {
		k.fail("%v", err)
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "contract/1")
	switch {
	case method == http.MethodPatch:
		r.Header.Set("Content-Type", mergePatch)
	case body != nil:
		r.Header.Set("Content-Type", "application/json")
	}
	for _, set := range options {
		set(r)
	}
	resp, err := k.client.Do(r)
	if err != nil {
		k.fail("%s %s: %v", method, path, err)
	}
	return resp
}

// want is call, and fails unless this code is answered.
func (k *kit) want(code int, method, path string, body any, options ...option) answer {
	a := k.call(method, path, body, options...)
	if a.code != code {
		k.fail("%s %s %s: got %d, want %d: %s", method, path, canonical(body), a.code, code, a.text[:min(len(a.text), 600)])
	}
	return a
}

func (k *kit) get(path string) answer { return k.want(http.StatusOK, http.MethodGet, path, nil) }

func (k *kit) patch(path string, body any, options ...option) answer {
	return k.want(http.StatusOK, http.MethodPatch, path, body, options...)
}

// raw is JSON in a string.
type raw string

// canonical is JSON with sorted members.
func canonical(v any) string {
	text, ok := v.(raw)
	if !ok {
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Sprintf("%v", v)
		}
		text = raw(b)
	}
	var decoded any
	if err := json.Unmarshal([]byte(text), &decoded); err != nil {
		return string(text)
	}
	b, _ := json.Marshal(decoded) // a decoded value can be encoded
	return string(b)
}

// decode is an object in JSON.
func decode(text raw) map[string]any {
	var o map[string]any
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		panic(fmt.Sprintf("a case's own object: %v: %s", err, text))
	}
	return o
}

// at looks into an object: at(o, "metadata", "uid"). Nil: not there.
func at(o map[string]any, path ...string) any {
	var v any = o
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

// str is at for strings.
func str(o map[string]any, path ...string) string {
	s, _ := at(o, path...).(string)
	return s
}

func uid(a answer) string     { return str(a.body, "metadata", "uid") }
func version(a answer) string { return str(a.body, "metadata", "resourceVersion") }

// stream is an open watch.
type stream struct {
	k      *kit
	lines  *json.Decoder
	cancel context.CancelFunc
	body   io.Closer
}

type event struct {
	Type   string
	Object map[string]any
}

// watch opens a watch that ends with the case. It must be closed.
func (k *kit) watch(path string, pairs ...string) *stream {
	ctx, cancel := context.WithTimeout(k.ctx, 15*time.Second)
	resp := k.open(ctx, http.MethodGet, path, nil, query(append(pairs, "watch", "true")...))
	if resp.StatusCode != http.StatusOK {
		defer cancel()
		defer func() { _ = resp.Body.Close() }()
		var b bytes.Buffer
		_, _ = b.ReadFrom(resp.Body)
		k.fail("watch %s: %d %s", path, resp.StatusCode, b.String())
	}
	return &stream{k: k, lines: json.NewDecoder(resp.Body), cancel: cancel, body: resp.Body}
}

func (s *stream) close() {
	s.cancel()
	_ = s.body.Close()
}

// next is the next event; a stream that ends is a failure.
func (s *stream) next() event {
	var e event
	if err := s.lines.Decode(&e); err != nil {
		s.k.fail("next event: %v", err)
	}
	return e
}

// expect fails unless the next event is of this type and about the object of this name.
func (s *stream) expect(kind, name string) event {
	e := s.next()
	if e.Type != kind || str(e.Object, "metadata", "name") != name {
		s.k.fail("got event %s of %q, want %s of %q: %s", e.Type, str(e.Object, "metadata", "name"), kind, name, canonical(e.Object))
	}
	return e
}

// ends fails unless the stream ends in order, without another event.
func (s *stream) ends() {
	var e event
	if err := s.lines.Decode(&e); err != io.EOF {
		s.k.fail("got event %s and error %v, want the end of the stream", e.Type, err)
	}
}
