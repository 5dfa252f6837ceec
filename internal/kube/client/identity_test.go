package client

import (
	"encoding/base64"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd/api"
)

func TestIdentity(t *testing.T) {
	jwt := func(sub, more string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"k","sub":"`+sub+`"`+more+`}`)) + ".sig"
	}
	cert, key := pair(t)
	of := func(host string, change func(*rest.Config)) string {
		t.Helper()
		cfg := &rest.Config{Host: host}
		if change != nil {
			change(cfg)
		}
		id, err := Identity(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{cfg.BearerToken, cfg.Password} {
			if secret != "" && strings.Contains(id, secret) {
				t.Errorf("%q holds a secret", id)
			}
		}
		return id
	}
	token := func(text string) func(*rest.Config) { return func(c *rest.Config) { c.BearerToken = text } }
	exec := func(arg string) func(*rest.Config) {
		return func(c *rest.Config) { c.ExecProvider = &api.ExecConfig{Command: "login", Args: []string{arg}} }
	}
	certificate := func(c *rest.Config) { c.CertData, c.KeyData = cert, key }
	one := of("https://east:6443", token("canary"))
	for name, same := range map[string]string{
		"a slash more":      of("https://east:6443/", token("canary")),
		"in capitals":       of("https://EAST:6443", token("canary")),
		"another CA":        of("https://east:6443", func(c *rest.Config) { c.BearerToken, c.CAData = "canary", []byte("x") }),
		"a renewed token":   strings.Replace(of("https://east:6443", token(jwt("a", `,"exp":1`))), of("https://east:6443", token(jwt("a", `,"exp":2`))), one, 1),
		"a certificate":     strings.Replace(of("https://east:6443", certificate), of("https://east:6443", certificate), one, 1),
		"a program":         strings.Replace(of("https://east:6443", exec("a")), of("https://east:6443", exec("a")), one, 1),
		"another file name": of("https://east:6443", token("canary")),
	} {
		if same != one {
			t.Errorf("%s: %s, want %s", name, same, one)
		}
	}
	for name, other := range map[string]string{
		"another server":    of("https://west:6443", token("canary")),
		"another workspace": of("https://east:6443/clusters/a", token("canary")),
		"another token":     of("https://east:6443", token("other")),
		"another subject":   of("https://east:6443", token(jwt("b", ""))),
		"no user":           of("https://east:6443", nil),
		"a certificate":     of("https://east:6443", certificate),
		"a program":         of("https://east:6443", exec("b")),
		"impersonation":     of("https://east:6443", func(c *rest.Config) { c.BearerToken, c.Impersonate.UserName = "canary", "ann" }),
	} {
		if other == one {
			t.Errorf("%s: the same", name)
		}
	}
	if _, err := Identity(&rest.Config{Host: "://"}); err == nil {
		t.Error("no server, and no error")
	}
}
