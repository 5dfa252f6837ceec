package client

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// TestCredentialProgramThatHangs: a call ends in time though its program does not, and the next one fails at once until that has ended.
func TestCredentialProgramThatHangs(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}"))
	}))
	defer server.Close()
	script := `if [ -e "$0" ]; then echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"t"}}'; else touch "$0"; sleep 3; exit 1; fi`
	conn, err := New(&rest.Config{Host: server.URL, ExecProvider: &clientcmdapi.ExecConfig{
		APIVersion: "client.authentication.k8s.io/v1", InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
		Command: "sh", Args: []string{"-c", script, t.TempDir() + "/second"},
	}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	call := func() (time.Duration, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		began := time.Now()
		resp, err := conn.Do(ctx, Request{Path: "/"})
		if err == nil {
			Drain(resp.Body)
		}
		return time.Since(began), err
	}
	if took, err := call(); !errors.Is(err, ErrCredentialProgram) || took > 2*time.Second {
		t.Errorf("the first call: %v after %v", err, took)
	}
	if took, err := call(); !errors.Is(err, ErrCredentialProgram) || took > 50*time.Millisecond {
		t.Errorf("a call meanwhile: %v after %v", err, took)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, err = call(); err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("no call after the program has ended: %v", err)
		}
	}
}
