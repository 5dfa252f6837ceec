package client

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/client-go/rest"
)

func TestHTTPClientFollowsNoRedirect(t *testing.T) {
	asked := make(chan string, 10)
	elsewhere := serve(t, func(_ http.ResponseWriter, r *http.Request) { asked <- r.Header.Get("Authorization") })
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
	})
	c, err := HTTPClient(&rest.Config{Host: s.URL, BearerToken: canary})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/x", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	if !errors.Is(err, ErrRedirected) || len(asked) > 0 {
		t.Errorf("%v; the other server was asked %d times", err, len(asked))
	}
	if http.DefaultClient.CheckRedirect != nil {
		t.Error("every client of the process was changed")
	}
	if _, err := HTTPClient(&rest.Config{Host: s.URL, TLSClientConfig: rest.TLSClientConfig{CAFile: "/is/not/there"}}); err == nil {
		t.Error("an authority that is not there was taken")
	}
}

func TestSameServer(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	from := &rest.Config{Host: "https://a/clusters/root", BearerToken: "one", TLSClientConfig: rest.TLSClientConfig{CAData: []byte("one")}}
	for want, others := range map[bool][]rest.Config{
		true: {
			{Host: "https://a/clusters/root", BearerToken: "two", TLSClientConfig: rest.TLSClientConfig{CAFile: ca}},
		},
		false: {
			{Host: "https://b/clusters/root", TLSClientConfig: rest.TLSClientConfig{CAFile: ca}},
			{Host: "https://a/clusters/other", TLSClientConfig: rest.TLSClientConfig{CAFile: ca}},
			{Host: "https://a/clusters/root", TLSClientConfig: rest.TLSClientConfig{CAData: []byte("two")}},
			{Host: "https://a/clusters/root", TLSClientConfig: rest.TLSClientConfig{CAFile: ca + "-gone"}},
			{Host: "https://a b"},
		},
	} {
		for _, other := range others {
			if SameServer(from, &other) != want || SameServer(&other, from) != want {
				t.Errorf("%s, CA %q %s: not %v", other.Host, other.CAData, other.CAFile, want)
			}
		}
	}
}
