package client

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

const quotedToken = `canary/"42"+token`

// TestWhatAServerQuotesIsWithheld has a server send the credentials back in its errors, in several forms.
func TestWhatAServerQuotesIsWithheld(t *testing.T) {
	quote := func(w http.ResponseWriter, r *http.Request) {
		sent := r.Header.Get("Authorization")
		_, token, _ := strings.Cut(sent, " ")
		plain, _ := base64.StdEncoding.DecodeString(token) // only Basic is
		w.WriteHeader(http.StatusBadRequest)
		if r.URL.Path == "/status" {
			_ = json.NewEncoder(w).Encode(metav1.Status{
				TypeMeta: metav1.TypeMeta{Kind: "Status"}, Status: metav1.StatusFailure, Reason: metav1.StatusReasonBadRequest, Code: 400,
				Message: "what is " + sent + "?", Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Message: string(plain)}}},
			})
			return
		}
		_, _ = fmt.Fprintf(w, "what is %s, %s, %s, %s?", sent, base64.StdEncoding.EncodeToString([]byte(token)), url.QueryEscape(token), plain)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(quotedToken+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]rest.Config{
		"a token": {BearerToken: quotedToken}, "a token of a file": {BearerTokenFile: file}, "a password": {Username: "me", Password: quotedToken},
	} {
		for _, path := range []string{"/text", "/status"} {
			t.Run(name+path, func(t *testing.T) {
				cfg.Host = serve(t, quote).URL
				_, ours := get(t, dial(t, &cfg), path)
				theirs, err := rest.HTTPClientFor(Guarded(&cfg))
				if err != nil {
					t.Fatal(err)
				}
				resp, err := theirs.Get(cfg.Host + path) //nolint:noctx // a test of the transport
				if err != nil {
					t.Fatal(err)
				}
				defer Drain(resp.Body)
				var body strings.Builder
				if err := resp.Write(&body); err != nil {
					t.Fatal(err)
				}
				for who, text := range map[string]string{"ours": said(ours), "another client": body.String()} {
					if !strings.Contains(text, withheld) {
						t.Errorf("%s: nothing was withheld: %s", who, text)
					}
					for _, form := range []string{quotedToken, `canary/`, url.QueryEscape(quotedToken), base64.StdEncoding.EncodeToString([]byte(quotedToken)), base64.StdEncoding.EncodeToString([]byte("me:" + quotedToken))} {
						if strings.Contains(text, form) {
							t.Errorf("%s says %q: %s", who, form, text)
						}
					}
				}
			})
		}
	}
}

// TestKubeconfigsThatAreWrongKeepTheirSecrets finds values of a file in the errors about it.
func TestKubeconfigsThatAreWrongKeepTheirSecrets(t *testing.T) {
	const whole = `{"apiVersion": "v1", "kind": "Config", "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
		"clusters": [{"name": "c", "cluster": {"server": "SERVER"}}], "users": [{"name": "c", "user": {USER}}]}`
	with := func(server, user string) string {
		return strings.NewReplacer("SERVER", server, "USER", user).Replace(whole)
	}
	for name, content := range map[string]string{
		"a URL with a space":         with("https://me:canary42@ho st", ""),
		"a URL with a port of words": with("https://me:canary42@host:port", ""),
		"a URL with a wrong escape":  with("https://me:canary%zz42@host", ""),
		"a URL with a password":      with("https://me:canary42@host", ""),
		"a proxy with a space":       with(`https://host", "proxy-url": "http://me:canary42@ho st`, ""),
		"a proxy of another kind":    with(`https://host", "proxy-url": "ftp://me:canary42@host`, ""),
		"a proxy without a host":     with(`https://host", "proxy-url": "http:me:canary42`, ""),
		"a token that is an object":  with("https://host", `"token": {"canary42": "canary42"}`),
		"a key that is not base64":   with("https://host", `"client-key-data": "canary-42"`),
		"a key that is no key":       with("https://host", `"client-certificate-data": "Y2FuYXJ5NDI=", "client-key-data": "Y2FuYXJ5NDI="`),
		"two ways to sign in":        with("https://host", `"token": "canary42", "username": "me", "password": "canary42"`),
		"a program without a mode":   with("https://host", `"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "x", "args": ["canary42"]}`),
		"a token alone":              "canary42",
		"a list":                     "- canary42",
		"a tab":                      "token: canary42\n\tx: canary42\n",
		"a reference to nothing":     "users: [*canary42",
		"a wrong tag":                "users: !!int canary42",
		"a word for a list":          `{"users": "canary42"}`,
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "kubeconfig")
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg, err := FromKubeconfig(file, "")
			if err == nil {
				_, err = New(cfg, Options{})
			}
			if err == nil {
				t.Fatal("it was taken")
			}
			if strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "Y2FuYXJ5") {
				t.Error(err)
			}
		})
	}
}

func TestAProxyThatIsNoURLIsNotQuoted(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://me:canary42@ho st")
	t.Setenv("NO_PROXY", "")
	for name, proxy := range map[string]func(*http.Request) (*url.URL, error){
		"of the environment": nil,
		"of the kubeconfig": func(*http.Request) (*url.URL, error) {
			return nil, errors.New(`parse "http://me:canary42@ho st": invalid character " " in host name`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := &rest.Config{Host: "https://host.example", Proxy: proxy}
			_, ours := get(t, dial(t, cfg), "/x")
			theirs, err := rest.HTTPClientFor(Guarded(cfg))
			if err != nil {
				t.Fatal(err)
			}
			_, err = theirs.Get("https://host.example/x") //nolint:noctx,bodyclose // there is no answer
			for _, err := range []error{ours, err} {
				if err == nil || strings.Contains(err.Error(), "canary") {
					t.Error(err)
				}
			}
		})
	}
}

// said is the whole text of an error.
func said(err error) string {
	var status *apierrors.StatusError
	if !errors.As(err, &status) {
		return fmt.Sprint(err)
	}
	all, _ := json.Marshal(status.ErrStatus) // a struct of texts and numbers
	return err.Error() + string(all)
}
