package client

import (
	"fmt"

	"k8s.io/client-go/rest"
)

// server identifies an API server: objects and resourceVersions of two servers are not related.
type server struct {
	url      string
	name     string // that its certificate must have; empty: the URL's
	trust    string // the CAs; empty: the system's
	insecure bool
}

func serverOf(cfg *rest.Config) (server, error) {
	base, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return server{}, fmt.Errorf("server URL: %w", err)
	}
	loaded := rest.CopyConfig(cfg)
	if err := rest.LoadTLSFiles(loaded); err != nil {
		return server{}, fmt.Errorf("TLS of %s: %w", base.Host, err)
	}
	return server{url: base.String(), name: loaded.ServerName, trust: string(loaded.CAData), insecure: loaded.Insecure}, nil
}
