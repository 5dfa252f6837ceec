package serving

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"k8s.io/client-go/util/cert"
)

const (
	readEvery = time.Second         // files of certificates are read at most this often, when a client connects
	renewLast = 30 * 24 * time.Hour // a certificate of our own is replaced so long before its end; it is good for a year
)

// Certificate is the serving certificate. It is safe for concurrent use.
type Certificate struct {
	log  zerolog.Logger
	next func() (*tls.Certificate, error) // the one to serve from now on; nil: no other

	mu      sync.Mutex
	current *tls.Certificate
	read    time.Time
	failure string // the last failure, which is logged once
}

// FromFiles reads a certificate and its key, both PEM, and reads them again when they change. A pair that does not match (one file was
// replaced, the other not yet) leaves the last one in force.
func FromFiles(certFile, keyFile string, log zerolog.Logger) (*Certificate, error) {
	var certificate, key []byte // nil: none is in force, and even empty files are new
	return newCertificate(log, func() (*tls.Certificate, error) {
		readCertificate, err := os.ReadFile(certFile)
		if err != nil {
			return nil, err
		}
		readKey, err := os.ReadFile(keyFile)
		if err != nil {
			return nil, err
		}
		if certificate != nil && bytes.Equal(readCertificate, certificate) && bytes.Equal(readKey, key) {
			return nil, nil
		}
		pair, err := tls.X509KeyPair(readCertificate, readKey)
		if err != nil {
			return nil, fmt.Errorf("%s and %s: %w", certFile, keyFile, err)
		}
		certificate, key = readCertificate, readKey
		return &pair, nil
	})
}

// SelfSigned makes a self-signed certificate for a host's name or address, and another one before it expires.
func SelfSigned(host string, log zerolog.Logger) (*Certificate, error) {
	var ends time.Time
	return newCertificate(log, func() (*tls.Certificate, error) {
		if time.Until(ends) > renewLast {
			return nil, nil
		}
		certificate, key, err := cert.GenerateSelfSignedCertKey(host, []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, []string{"localhost"})
		if err != nil {
			return nil, err
		}
		pair, err := tls.X509KeyPair(certificate, key)
		if err != nil {
			return nil, err
		}
		ends = pair.Leaf.NotAfter
		return &pair, nil
	})
}

func newCertificate(log zerolog.Logger, next func() (*tls.Certificate, error)) (*Certificate, error) {
	first, err := next()
	if err != nil {
		return nil, fmt.Errorf("serving certificate: %w", err)
	}
	return &Certificate{log: log, next: next, current: first, read: time.Now()}, nil
}

// TLS is the configuration of a server that shows the certificate.
func (c *Certificate) TLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
}

// Leaf is the certificate that is shown now.
func (c *Certificate) Leaf() *x509.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current.Leaf
}

// Fingerprint is the SHA-256 of a certificate, by which people identify it.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.read) >= readEvery {
		c.read = time.Now()
		c.renew()
	}
	return c.current, nil
}

func (c *Certificate) renew() {
	replaced, err := c.next()
	switch {
	case err != nil && err.Error() != c.failure:
		c.failure = err.Error()
		c.log.Warn().Err(err).Msg("the serving certificate cannot be replaced; the last one stays in force")
	case err == nil && replaced != nil:
		c.failure, c.current = "", replaced
		c.log.Info().Str("fingerprint", Fingerprint(replaced.Leaf)).Time("not_after", replaced.Leaf.NotAfter).Msg("the serving certificate was replaced")
	}
}
