package client

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"strings"

	"k8s.io/client-go/rest"
)

// Identity stands for a server and for the user that a configuration signs in as: two configurations of one Identity see the same
// objects. Tokens of one service account, and certificates of one subject, are one user. It holds no credentials.
func Identity(cfg *rest.Config) (string, error) {
	base, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return "", fmt.Errorf("server URL: %w", err)
	}
	user := fmt.Sprint(cfg.Username, cfg.Impersonate, execOf(cfg), cfg.AuthProvider)
	if token := tokenOf(cfg); token != "" {
		user += " token " + subjectOf(token)
	}
	if certificate := certificateOf(cfg); len(certificate) > 0 {
		user += " certificate " + certificateSubject(certificate)
	}
	sum := sha256.Sum256([]byte(user))
	return strings.ToLower(base.Scheme+"://"+base.Host) + strings.TrimSuffix(base.Path, "/") + "#" + hex.EncodeToString(sum[:8]), nil
}

func tokenOf(cfg *rest.Config) string {
	if cfg.BearerTokenFile != "" {
		if content, err := os.ReadFile(cfg.BearerTokenFile); err == nil {
			return strings.TrimSpace(string(content))
		}
	}
	return cfg.BearerToken
}

func certificateOf(cfg *rest.Config) []byte {
	if cfg.CertFile != "" {
		if content, err := os.ReadFile(cfg.CertFile); err == nil {
			return content
		}
	}
	return cfg.CertData
}

// execOf names the program that gives credentials, with its arguments and environment.
func execOf(cfg *rest.Config) string {
	if cfg.ExecProvider == nil {
		return ""
	}
	return fmt.Sprint(cfg.ExecProvider.Command, cfg.ExecProvider.Args, cfg.ExecProvider.Env)
}

// subjectOf is the issuer and subject of a JWT, which stay when it is renewed; any other token is its own subject.
func subjectOf(token string) string {
	parts := strings.Split(token, ".")
	var claims struct{ Iss, Sub string }
	if len(parts) == 3 {
		if payload, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil && json.Unmarshal(payload, &claims) == nil && claims.Sub != "" {
			return claims.Iss + " " + claims.Sub
		}
	}
	return token
}

// certificateSubject is the issuer and subject of a client certificate; one that cannot be read is its own subject.
func certificateSubject(data []byte) string {
	if block, _ := pem.Decode(data); block != nil {
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			return c.Issuer.String() + " " + c.Subject.String()
		}
	}
	return string(data)
}
