package serving_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/internal/kube/client"
	"github.com/upstreamd/upstreamd/internal/serving"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOnlyLoopbackNamesAreAnswered(t *testing.T) {
	guarded := serving.Local(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	for host, want := range map[string]int{
		"localhost": 200, "LOCALHOST:8080": 200, "127.0.0.1:8080": 200, "127.3.2.1": 200, "[::1]:8080": 200, "[::1]": 200,
		"attacker.example": 421, "attacker.example:8080": 421, "localhost.attacker.example:80": 421, "127.0.0.1.attacker.example": 421,
		"192.0.2.1:8080": 421, "": 421, "0.0.0.0:8080": 421, "[2001:db8::1]:8080": 421,
	} {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Host = host
		w := httptest.NewRecorder()
		guarded.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("Host %q: %d, want %d", host, w.Code, want)
		}
	}
}

// judge answers reviews as an API server does: alice may get /metrics, bob is known, other tokens are not valid.
type judge struct {
	reviews atomic.Int32
	broken  atomic.Bool
	revoked atomic.Bool
}

func (j *judge) RoundTrip(r *http.Request) (*http.Response, error) {
	j.reviews.Add(1)
	if j.broken.Load() {
		return nil, errors.New("connection refused")
	}
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "application/json")
	if r.Header.Get("Authorization") != "Bearer the daemon's" || r.Method != http.MethodPost {
		w.WriteHeader(http.StatusForbidden)
		return w.Result(), nil
	}
	w.WriteHeader(http.StatusCreated)
	var answer any
	switch r.URL.Path {
	case "/apis/authentication.k8s.io/v1/tokenreviews":
		var review authenticationv1.TokenReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			return nil, err
		}
		switch review.Spec.Token {
		case "alice's", "bob's":
			review.Status.Authenticated = true
			review.Status.User = authenticationv1.UserInfo{
				Username: strings.TrimSuffix(review.Spec.Token, "'s"), UID: "7", Groups: []string{"people"},
				Extra: map[string]authenticationv1.ExtraValue{"scope": {"a", "b"}},
			}
		case "nameless":
			review.Status.Authenticated = true
		default:
			review.Status.Error = "invalid bearer token " + review.Spec.Token
		}
		answer = review
	case "/apis/authorization.k8s.io/v1/subjectaccessreviews":
		var review authorizationv1.SubjectAccessReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			return nil, err
		}
		s := review.Spec
		whole := s.UID == "7" && len(s.Groups) == 1 && len(s.Extra["scope"]) == 2
		review.Status.Allowed = whole && s.User == "alice" && s.NonResourceAttributes.Path == "/metrics" && s.NonResourceAttributes.Verb == "get"
		review.Status.Denied = j.revoked.Load()
		answer = review
	}
	err := json.NewEncoder(w).Encode(answer)
	return w.Result(), err
}

func newReviewer(t *testing.T, j http.RoundTripper, log zerolog.Logger) *serving.Reviewer {
	t.Helper()
	conn, err := client.New(&rest.Config{Host: "https://hub.example", BearerToken: "the daemon's", Transport: j}, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := serving.NewReviewer(conn, log)
	t.Cleanup(r.Close)
	return r
}

// ask sends a request with an Authorization header through a guard.
func ask(guarded http.Handler, method, path, authorization string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.Header.Set("Authorization", authorization)
	w := httptest.NewRecorder()
	guarded.ServeHTTP(w, r)
	return w
}

var secret = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("figures")) })

func TestWhoMayRead(t *testing.T) {
	j := &judge{}
	guarded := newReviewer(t, j, zerolog.Nop()).Guard(secret)
	for _, tt := range []struct {
		name, method, path, authorization string
		want                              int
		reviews                           int32
	}{
		{name: "nobody", path: "/metrics", want: 401},
		{name: "a password", path: "/metrics", authorization: "Basic YWxpY2U6cHc=", want: 401},
		{name: "an empty token", path: "/metrics", authorization: "Bearer ", want: 401},
		{name: "a token without end", path: "/metrics", authorization: "Bearer " + strings.Repeat("x", 9<<10), want: 401},
		{name: "a token that is nobody's", path: "/metrics", authorization: "Bearer mallory's", want: 401, reviews: 1},
		{name: "a token of somebody without a name", path: "/metrics", authorization: "Bearer nameless", want: 401, reviews: 1},
		{name: "somebody who may not", path: "/metrics", authorization: "Bearer bob's", want: 403, reviews: 2},
		{name: "somebody who may", path: "/metrics", authorization: "Bearer alice's", want: 200, reviews: 2},
		{name: "the scheme in lower case", path: "/metrics", authorization: "bearer alice's", want: 200}, // known by now
		{name: "the same one, something else", path: "/debug/pprof/", authorization: "Bearer alice's", want: 403, reviews: 2},
		{name: "the same one, another verb", method: http.MethodHead, path: "/metrics", authorization: "Bearer alice's", want: 403, reviews: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := j.reviews.Load()
			method := tt.method
			if method == "" {
				method = http.MethodGet
			}
			w := ask(guarded, method, tt.path, tt.authorization)
			if w.Code != tt.want {
				t.Errorf("%d, want %d: %s", w.Code, tt.want, w.Body)
			}
			if let := strings.Contains(w.Body.String(), "figures"); let != (tt.want == 200) {
				t.Errorf("the body is %q", w.Body)
			}
			if said := w.Header().Get("WWW-Authenticate"); (said == "Bearer") != (tt.want == 401) {
				t.Errorf("WWW-Authenticate: %q", said)
			}
			if got := j.reviews.Load() - before; got != tt.reviews {
				t.Errorf("%d reviews, want %d", got, tt.reviews)
			}
		})
	}
}

func TestARightThatWasTakenAwayEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &judge{}
		guarded := newReviewer(t, j, zerolog.Nop()).Guard(secret)
		if w := ask(guarded, http.MethodGet, "/metrics", "Bearer alice's"); w.Code != 200 {
			t.Fatalf("%d at first", w.Code)
		}
		j.revoked.Store(true)
		time.Sleep(11 * time.Second)
		if w := ask(guarded, http.MethodGet, "/metrics", "Bearer alice's"); w.Code != 403 {
			t.Errorf("%d after 11 s without the right", w.Code)
		}
	})
}

func TestNobodyComesInWhileNobodyCanBeAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &judge{}
		var log bytes.Buffer
		guarded := newReviewer(t, j, zerolog.New(&log).Level(zerolog.InfoLevel)).Guard(secret)
		j.broken.Store(true)
		for range 3 {
			if w := ask(guarded, http.MethodGet, "/metrics", "Bearer alice's"); w.Code != 503 || strings.Contains(w.Body.String(), "figures") {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		}
		j.broken.Store(false)
		if w := ask(guarded, http.MethodGet, "/metrics", "Bearer alice's"); w.Code != 200 {
			t.Errorf("%d once it answers again", w.Code)
		}
		if lines := strings.Count(log.String(), "\n"); lines != 2 || strings.Contains(log.String(), "alice's") {
			t.Errorf("said once that it fails, once that it works, and never the token:\n%s", &log)
		}
	})
}

func TestItAsksWithNewCredentials(t *testing.T) {
	j := &judge{}
	r := newReviewer(t, j, zerolog.Nop())
	guarded := r.Guard(secret)
	for _, step := range []struct {
		host, token string
		renewed     bool
		want        int
	}{
		{"https://hub.example", "that ran out", true, 503},
		{"https://elsewhere.example", "the daemon's", false, 503},
		{"https://hub.example", "the daemon's", true, 200},
	} {
		if err := r.Renew(&rest.Config{Host: step.host, BearerToken: step.token, Transport: j}); (err == nil) != step.renewed {
			t.Errorf("%s, %s: %v", step.host, step.token, err)
		}
		if w := ask(guarded, http.MethodGet, "/metrics", "Bearer alice's"); w.Code != step.want {
			t.Errorf("%s, %s: %d, want %d", step.host, step.token, w.Code, step.want)
		}
	}
}

func TestStrangersCannotHaveTheAPIServerAskedWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &judge{}
		guarded := newReviewer(t, j, zerolog.Nop()).Guard(secret)
		begin := time.Now()
		for n := range 1000 {
			ask(guarded, http.MethodGet, "/metrics", fmt.Sprintf("Bearer guess %d", n))
		}
		if took := time.Since(begin); took < 45*time.Second {
			t.Errorf("1000 guesses were asked about in %v: %d reviews", took, j.reviews.Load())
		}
	})
}

func TestAnAnswerThatIsNoReviewLetsNobodyIn(t *testing.T) {
	for name, body := range map[string]string{
		"nothing": "", "something else": `[]`, "an empty object": `{}`, "allowed without who": `{"status": {"allowed": true}}`, "no JSON": "alice's",
	} {
		t.Run(name, func(t *testing.T) {
			answer := roundTrip(func(*http.Request) (*http.Response, error) {
				w := httptest.NewRecorder()
				w.WriteString(body)
				return w.Result(), nil
			})
			if w := ask(newReviewer(t, answer, zerolog.Nop()).Guard(secret), http.MethodGet, "/metrics", "Bearer alice's"); w.Code == 200 {
				t.Error("let in")
			}
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestACertificateIsReplacedWhileServing(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	write := func(certificate, key []byte) {
		t.Helper()
		for name, content := range map[string][]byte{certFile: certificate, keyFile: key} {
			if err := os.WriteFile(name, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	one, oneKey := newPair(t, "one.example")
	two, twoKey := newPair(t, "two.example")
	write(one, oneKey)
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		c, err := serving.FromFiles(certFile, keyFile, zerolog.New(&log))
		if err != nil {
			t.Fatal(err)
		}
		want := func(name string, lines int) {
			t.Helper()
			time.Sleep(2 * time.Second)
			shown, err := c.TLS().GetCertificate(nil)
			if err != nil || shown.Leaf.DNSNames[0] != name || c.Leaf() != shown.Leaf {
				t.Errorf("shows %v, %v; want %s", shown.Leaf.DNSNames, err, name)
			}
			if got := strings.Count(log.String(), "\n"); got != lines {
				t.Errorf("%d lines, want %d:\n%s", got, lines, &log)
			}
		}
		want("one.example", 0)
		write(two, oneKey) // half of it
		want("one.example", 1)
		want("one.example", 1) // logged once
		write(two, twoKey)
		want("two.example", 2)
		if err := os.Remove(certFile); err != nil {
			t.Fatal(err)
		}
		want("two.example", 3)
	})
}

func TestACertificateThatCannotBeShownStopsTheStart(t *testing.T) {
	dir := t.TempDir()
	certificate, _ := newPair(t, "one.example")
	_, otherKey := newPair(t, "two.example")
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	if _, err := serving.FromFiles(certFile, keyFile, zerolog.Nop()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no files: %v", err)
	}
	if err := errors.Join(os.WriteFile(certFile, certificate, 0o600), os.WriteFile(keyFile, otherKey, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := serving.FromFiles(certFile, keyFile, zerolog.Nop()); err == nil {
		t.Error("another one's key was taken")
	}
}

func TestACertificateOfOurOwnIsMadeAnewBeforeItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := serving.SelfSigned("pod-7", zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		first := c.Leaf()
		for _, name := range []string{"pod-7", "localhost", "127.0.0.1", "::1"} {
			if err := first.VerifyHostname(name); err != nil {
				t.Error(err)
			}
		}
		shown := func() *x509.Certificate {
			pair, err := c.TLS().GetCertificate(&tls.ClientHelloInfo{})
			if err != nil {
				t.Fatal(err)
			}
			return pair.Leaf
		}
		time.Sleep(300 * 24 * time.Hour)
		if serving.Fingerprint(shown()) != serving.Fingerprint(first) {
			t.Error("replaced after 300 days already")
		}
		time.Sleep(60 * 24 * time.Hour)
		if second := shown(); serving.Fingerprint(second) == serving.Fingerprint(first) || !second.NotAfter.After(first.NotAfter) {
			t.Error("the same one after 360 days")
		}
	})
}

// newPair makes a certificate for a name, and its key.
func newPair(t *testing.T, name string) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}
