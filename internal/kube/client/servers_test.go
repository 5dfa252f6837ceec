package client

import (
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// to is an untrusted kubeconfig that leads to a server.
func to(server, ca string) []byte {
	return fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],
		"clusters":[{"name":"c","cluster":{"server":%q,"certificate-authority-data":%q}}],"users":[{"name":"u","user":{"token":"canary"}}]}`, server, ca)
}

func TestServersOfUntrustedKubeconfigs(t *testing.T) {
	for _, tc := range []struct {
		rules   []string
		host    string
		refused bool
	}{
		{host: "east.example"}, {host: "10.1.2.3"}, {host: "192.168.0.1"}, {host: "[2001:db8::1]"},
		{host: "127.0.0.1", refused: true}, {host: "127.9.9.9", refused: true}, {host: "[::1]", refused: true}, {host: "0.0.0.0", refused: true},
		{host: "[::]", refused: true}, {host: "169.254.169.254", refused: true}, {host: "[fe80::1]", refused: true}, {host: "[fd00:ec2::254]", refused: true},
		{host: "100.100.100.200", refused: true}, {host: "168.63.129.16", refused: true}, {host: "224.0.0.1", refused: true},
		{host: "[::ffff:127.0.0.1]", refused: true}, {host: "[::ffff:169.254.169.254]", refused: true}, {host: "[64:ff9b::7f00:1]", refused: true},
		{host: "[64:ff9b::a9fe:a9fe]", refused: true}, {host: "[2002:7f00:1::]", refused: true}, {host: "[::7f00:1]", refused: true},

		{rules: []string{"east.example"}, host: "east.example"}, {rules: []string{"EAST.example"}, host: "east.EXAMPLE"},
		{rules: []string{"east.example"}, host: "west.example", refused: true}, {rules: []string{"east.example"}, host: "a.east.example", refused: true},
		{rules: []string{"east.example"}, host: "10.0.0.1", refused: true},
		{rules: []string{"*.example"}, host: "a.b.example"}, {rules: []string{"*.example"}, host: "example", refused: true},
		{rules: []string{"*.example"}, host: "badexample", refused: true}, {rules: []string{"*.example"}, host: "east.example."},
		{rules: []string{"10.0.0.0/8"}, host: "10.0.0.1"}, {rules: []string{"10.0.0.0/8"}, host: "11.0.0.1", refused: true},
		{rules: []string{"10.0.0.0/8"}, host: "[::ffff:10.0.0.1]"}, {rules: []string{"10.0.0.0/8"}, host: "127.0.0.1", refused: true},
		{rules: []string{"10.0.0.7"}, host: "10.0.0.7"}, {rules: []string{"10.0.0.7"}, host: "10.0.0.8", refused: true},
		{rules: []string{"127.0.0.0/8"}, host: "127.0.0.1"}, {rules: []string{"fe80::/10"}, host: "[fe80::1]"},
		{rules: []string{"10.0.0.0/8"}, host: "east.example"}, // its address decides
	} {
		servers, err := NewServers(tc.rules)
		if err != nil {
			t.Fatal(err)
		}
		_, err = FromUntrusted(to("https://"+tc.host+":6443", ""), servers)
		if refused := errors.Is(err, ErrServerRefused); refused != tc.refused || err != nil && !refused {
			t.Errorf("%q: %s: %v", tc.rules, tc.host, err)
		}
	}
	if _, err := NewServers([]string{"east", "https://east", "a b", "10.0.0.0/99", "*", "*east", "*.x"}); err == nil || strings.Count(err.Error(), "want a host") != 5 ||
		!strings.Contains(err.Error(), `[1]: "https://east"`) {
		t.Errorf("%v", err)
	}
}

// TestNamesAreCheckedWhenTheyAreDialed: a name that resolves to a refused address gets no connection, even if it resolved to another one before.
func TestNamesAreCheckedWhenTheyAreDialed(t *testing.T) {
	called := 0
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		called++
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte("{}"))
	}))
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	ca := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	for _, tc := range []struct {
		rules   []string
		refused bool
	}{
		{nil, true}, {[]string{"localhost"}, true}, {[]string{"*.example", "10.0.0.0/8"}, true}, {[]string{"127.0.0.0/8", "::1/128"}, false},
	} {
		servers, err := NewServers(tc.rules)
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := FromUntrusted(to("https://localhost:"+u.Port(), ca), servers)
		if err != nil {
			t.Fatalf("%q: %v", tc.rules, err)
		}
		cfg.ServerName = "example.com" // of httptest's certificate
		before := called
		_, err = get(t, dial(t, cfg), "/x")
		if refused := errors.Is(err, ErrServerRefused); refused != tc.refused || (called > before) == tc.refused || err != nil && !refused {
			t.Errorf("%q: %v, %d calls", tc.rules, err, called-before)
		}
	}
}
