package client

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pair is a self-signed certificate and its key.
func pair(t testing.TB) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
}

const canary = "c4n4ry-t0k3n"

// untrusted is a kubeconfig that is allowed, with room for more fields at each place.
func untrusted(top, cluster, context, user string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: here
%s
clusters:
- name: other
  cluster: {server: "https://other.example"}
- name: east
  cluster:
    server: https://east.example:6443/path
    %s
contexts:
- name: here
  context:
    cluster: east
    user: me
    %s
users:
- name: me
  user:
    token: %s
    %s
`, top, cluster, context, canary, user)
}

func TestFromUntrusted(t *testing.T) {
	cert, key := pair(t)
	b64 := base64.StdEncoding.EncodeToString
	cfg, err := FromUntrusted([]byte(untrusted("preferences: {}",
		"certificate-authority-data: "+b64(cert), "namespace: default",
		"client-certificate-data: "+b64(cert)+"\n    client-key-data: "+b64(key))), nil)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Host != "https://east.example:6443/path" || cfg.BearerToken != canary ||
		!bytes.Equal(cfg.CAData, cert) || !bytes.Equal(cfg.CertData, cert) || !bytes.Equal(cfg.KeyData, key) {
		t.Errorf("got %+v", cfg)
	}
	c, err := New(cfg, Options{})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// TestFromUntrustedRefuses has a case for each field of a kubeconfig that is not allowed: the error names it, and nothing else of the file.
func TestFromUntrustedRefuses(t *testing.T) {
	canaryFile := filepath.Join(t.TempDir(), "ran")
	program := fmt.Sprintf("{apiVersion: client.authentication.k8s.io/v1, command: touch, args: [%s], interactiveMode: Never}", canaryFile)
	for _, tc := range []struct{ field, top, cluster, context, user string }{
		{field: "extensions", top: "extensions: []"},
		{field: "preferences.colors", top: "preferences: {colors: true}"},
		{field: "clusters[1].cluster.insecure-skip-tls-verify", cluster: "insecure-skip-tls-verify: true"},
		{field: "clusters[1].cluster.certificate-authority", cluster: "certificate-authority: /etc/passwd"},
		{field: "clusters[1].cluster.tls-server-name", cluster: "tls-server-name: x"},
		{field: "clusters[1].cluster.proxy-url", cluster: "proxy-url: http://evil.example"},
		{field: "clusters[1].cluster.disable-compression", cluster: "disable-compression: false"},
		{field: "clusters[1].cluster.extensions", cluster: "extensions: []"},
		{field: "contexts[0].context.extensions", context: "extensions: []"},
		{field: "users[0].user.client-certificate", user: "client-certificate: /etc/tls.crt"},
		{field: "users[0].user.client-key", user: "client-key: /etc/tls.key"},
		{field: "users[0].user.tokenFile", user: "tokenFile: /var/run/secrets/token"},
		{field: "users[0].user.as", user: "as: admin"},
		{field: "users[0].user.as-uid", user: "as-uid: '1'"},
		{field: "users[0].user.as-groups", user: "as-groups: [system:masters]"},
		{field: "users[0].user.as-user-extra", user: "as-user-extra: {a: [b]}"},
		{field: "users[0].user.username", user: "username: x"},
		{field: "users[0].user.password", user: "password: y"},
		{field: "users[0].user.auth-provider", user: "auth-provider: {name: oidc}"},
		{field: "users[0].user.exec", user: "exec: " + program},
		{field: "users[0].user.extensions", user: "extensions: []"},
		{field: "users[0].user.of-tomorrow", user: "of-tomorrow: x"},
		{field: "users[0].user.Token", user: "Token: x"}, // other decoders do not mind the case
	} {
		t.Run(tc.field, func(t *testing.T) {
			cfg, err := FromUntrusted([]byte(untrusted(tc.top, tc.cluster, tc.context, tc.user)), nil)
			if cfg != nil || !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tc.field+": ") {
				t.Errorf("error = %v", err)
			}
			if strings.Contains(fmt.Sprint(err), canary) {
				t.Errorf("the error tells a secret: %v", err)
			}
		})
	}
	if _, err := os.Stat(canaryFile); err == nil {
		t.Error("the program ran")
	}
	_, err := FromUntrusted([]byte(untrusted("", "proxy-url: x", "", "exec: {}\n    as: admin")), nil)
	for _, field := range []string{"clusters[1].cluster.proxy-url", "users[0].user.as", "users[0].user.exec"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("all refused fields are named at once; got %v", err)
		}
	}
}

func TestFromUntrustedMalformed(t *testing.T) {
	cert, key := pair(t)
	other, _ := pair(t)
	b64 := base64.StdEncoding.EncodeToString
	good := untrusted("", "", "", "")
	for name, tc := range map[string]struct{ file, says string }{
		"no YAML":             {"{", "neither YAML nor JSON"},
		"twice":               {strings.Replace(good, "token: "+canary, "token: "+canary+"\n    token: b", 1), "a field twice"},
		"empty":               {"", "current-context"},
		"a list":              {"[]", "neither YAML"},
		"too long":            {strings.Repeat(" ", maxKubeconfig+1), "more than"},
		"wrong type":          {strings.Replace(good, "token: "+canary, "token: [1]", 1), "wrong type"},
		"users as a map":      {strings.Replace(good, "users:\n- name: me\n  user:", "users:\n  me:", 1), "users.me: not allowed"},
		"no such context":     {strings.Replace(good, "current-context: here", "current-context: there", 1), "current-context"},
		"no such cluster":     {strings.Replace(good, "cluster: east", "cluster: west", 1), "clusters"},
		"no such user":        {strings.Replace(good, "user: me", "user: you", 1), "users"},
		"http":                {strings.Replace(good, "https://east", "http://east", 1), "clusters[1].cluster.server"},
		"no host":             {strings.Replace(good, "https://east.example:6443/path", "https:///path", 1), "clusters[1].cluster.server"},
		"password in the URL": {strings.Replace(good, "https://east", "https://u:p@east", 1), "clusters[1].cluster.server"},
		"query in the URL":    {strings.Replace(good, "6443/path", "6443/path?x=y", 1), "clusters[1].cluster.server"},
		"CA not base64":       {untrusted("", "certificate-authority-data: '!'", "", ""), "certificate-authority-data: not base64"},
		"CA not PEM":          {untrusted("", "certificate-authority-data: aGk=", "", ""), "holds no PEM certificate"},
		"cert not base64":     {untrusted("", "", "", "client-certificate-data: '!'"), "client-certificate-data: not base64"},
		"key not base64":      {untrusted("", "", "", "client-key-data: '!'"), "client-key-data: not base64"},
		"cert without key":    {untrusted("", "", "", "client-certificate-data: "+b64(cert)), "are no pair"},
		"another's key":       {untrusted("", "", "", "client-certificate-data: "+b64(other)+"\n    client-key-data: "+b64(key)), "are no pair"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := FromUntrusted([]byte(tc.file), nil)
			if cfg != nil || err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error = %v, want %q", err, tc.says)
			}
			if strings.Contains(fmt.Sprint(err), canary) {
				t.Errorf("the error tells a secret: %v", err)
			}
		})
	}
}

// FuzzFromUntrusted finds panics, and fields of the result that an untrusted kubeconfig must not set.
func FuzzFromUntrusted(f *testing.F) {
	f.Add([]byte(untrusted("", "", "", "")))
	f.Add([]byte(untrusted("", "proxy-url: x", "", "exec: {command: sh}")))
	f.Add([]byte(`{"clusters":[{"name":"a","cluster":{"server":"https://a"}}],"contexts":[{"name":"","context":{"cluster":"a"}}],"users":[{"name":"","user":{}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := FromUntrusted(data, nil)
		if err != nil {
			return
		}
		if !strings.HasPrefix(strings.ToLower(cfg.Host), "https://") || cfg.ExecProvider != nil || cfg.AuthProvider != nil || cfg.Insecure || cfg.Proxy != nil ||
			cfg.CAFile+cfg.CertFile+cfg.KeyFile+cfg.BearerTokenFile+cfg.Username+cfg.Impersonate.UserName != "" {
			t.Errorf("got %+v", cfg)
		}
	})
}

func TestFromKubeconfig(t *testing.T) {
	cert, _ := pair(t)
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("ca.crt", string(cert))
	write("token", canary)
	path := write("config", `apiVersion: v1
kind: Config
current-context: one
clusters:
- {name: one, cluster: {server: "https://one.example", certificate-authority: ca.crt}}
- {name: two, cluster: {server: "https://two.example"}}
contexts:
- {name: one, context: {cluster: one, user: me}}
- {name: two, context: {cluster: two, user: me}}
users:
- {name: me, user: {tokenFile: token}}
`)
	cfg, err := FromKubeconfig(path, "")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Host != "https://one.example" || cfg.CAFile != filepath.Join(dir, "ca.crt") || cfg.BearerTokenFile != filepath.Join(dir, "token") {
		t.Errorf("got %+v", cfg)
	}
	if cfg, err := FromKubeconfig(path, "two"); err != nil || cfg.Host != "https://two.example" {
		t.Errorf("got %+v, %v", cfg, err)
	}
	for name, path := range map[string]string{
		"missing": filepath.Join(dir, "nowhere"), "empty": write("empty", ""), "no YAML": write("bad", "{"), "a folder": dir,
	} {
		if _, err := FromKubeconfig(path, ""); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error = %v", name, err)
		}
	}
	if _, err := FromKubeconfig(path, "three"); err == nil {
		t.Error("a context that is not there")
	}
}
