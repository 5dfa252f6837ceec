package client

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

func TestRenewTakesCredentialsOfTheSameServerOnly(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("Authorization")) })
	c := dial(t, &rest.Config{Host: s.URL, BearerToken: "one"})
	renewed := c.Renewed()
	for _, other := range []*rest.Config{
		{Host: "http://elsewhere", BearerToken: "two"},
		{Host: s.URL + "/clusters/a", BearerToken: "two"},
		{Host: s.URL, BearerToken: "two", TLSClientConfig: rest.TLSClientConfig{CAData: []byte("another authority")}},
		{Host: s.URL, BearerToken: "two", TLSClientConfig: rest.TLSClientConfig{ServerName: "another"}},
		{Host: s.URL, BearerToken: "two", TLSClientConfig: rest.TLSClientConfig{CAFile: "/is/not/there"}},
		{Host: s.URL, BearerTokenFile: "/is/not/there"},
	} {
		if err := c.Renew(other); err == nil {
			t.Errorf("%+v was taken", other)
		}
	}
	select {
	case <-renewed:
		t.Error("what was refused counts as renewed")
	default:
	}
	if got, err := get(t, c, "/"); got != "Bearer one" {
		t.Errorf("after refusals: %q, %v", got, err)
	}
	if err := c.Renew(&rest.Config{Host: s.URL, BearerToken: "two"}); err != nil {
		t.Fatal(err)
	}
	<-renewed
	if got, err := get(t, c, "/"); got != "Bearer two" {
		t.Errorf("after the renewal: %q, %v", got, err)
	}
}

// Close ends the calls under way on every transport that the connection had, and leaves no goroutine.
func TestCloseCutsEverything(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	before := runtime.NumGoroutine()
	c, err := New(&rest.Config{Host: s.URL, BearerToken: "one"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 2)
	for range 2 {
		resp, err := c.Do(context.Background(), Request{Path: "/"})
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			_, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			ended <- err
		}()
		if err := c.Renew(&rest.Config{Host: s.URL, BearerToken: "two"}); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	for range 2 {
		select {
		case err := <-ended:
			if err == nil {
				t.Error("a call that was cut ended well")
			}
		case <-time.After(10 * time.Second):
			t.Fatal("a call goes on")
		}
	}
	if _, err := c.Do(t.Context(), Request{Path: "/"}); err == nil {
		t.Error("it opens connections after its end")
	}
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}
