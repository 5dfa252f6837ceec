package controlplane

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/csv"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// User is a user of the API servers, authenticated by a bearer token.
type User struct {
	Name   string
	Token  string
	Groups []string // system:masters may do everything
}

// Identity is shared by all servers of a sandbox: one serving certificate for loopback and one key for service accounts.
type Identity struct {
	CertFile, KeyFile string // PEM; the certificate file includes the CA
	ServiceAccountKey string // PEM file of a private key
	CA                []byte // PEM; the CA for clients
}

// NewIdentity creates certificates and keys in the folder dir.
func NewIdentity(dir string) (*Identity, error) {
	certificate, key, err := cert.GenerateSelfSignedCertKey("localhost", []net.IP{net.IPv4(127, 0, 0, 1)}, []string{"localhost"})
	if err != nil {
		return nil, fmt.Errorf("creating the serving certificate: %w", err)
	}
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the service accounts' key: %w", err)
	}
	serviceAccounts, err := keyutil.MarshalPrivateKeyToPEM(signer)
	if err != nil {
		return nil, fmt.Errorf("making the service accounts' key: %w", err)
	}
	identity := &Identity{
		CertFile:          filepath.Join(dir, "serving.crt"),
		KeyFile:           filepath.Join(dir, "serving.key"),
		ServiceAccountKey: filepath.Join(dir, "service-accounts.key"),
		CA:                certificate,
	}
	for path, content := range map[string][]byte{
		identity.CertFile: certificate, identity.KeyFile: key, identity.ServiceAccountKey: serviceAccounts,
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return nil, fmt.Errorf("writing keys: %w", err)
		}
	}
	return identity, nil
}

// writeTokens writes a kube-apiserver's static token file: token, user, uid, "group,group".
func writeTokens(path string, users []User) error {
	var out strings.Builder
	lines := csv.NewWriter(&out)
	for _, user := range users {
		if err := lines.Write([]string{user.Token, user.Name, user.Name, strings.Join(user.Groups, ",")}); err != nil {
			return fmt.Errorf("writing tokens: %w", err)
		}
	}
	lines.Flush()
	if err := os.WriteFile(path, []byte(out.String()), 0o600); err != nil {
		return fmt.Errorf("writing tokens: %w", err)
	}
	return nil
}
