package client

import (
	"net/http"

	"k8s.io/client-go/rest"
)

// HTTPClient is for clients other than [Conn]. Its errors hold no credentials, and it follows no redirect: client-go would send them to
// any host that a redirect names. Every call has a deadline: that of cfg, of its context, or else the one that Conn gives.
func HTTPClient(cfg *rest.Config) (*http.Client, error) {
	made, err := rest.HTTPClientFor(Guarded(cfg))
	if err != nil {
		return nil, err
	}
	made.CheckRedirect = refuseRedirect // made is not shared: a guarded config has a transport of its own
	made.Transport = bounded{made.Transport}
	return made, nil
}

// SameServer reports whether two configurations lead to one server, as [Conn.Leads] knows it.
func SameServer(a, b *rest.Config) bool {
	one, err := serverOf(a)
	if err != nil {
		return false
	}
	other, err := serverOf(b)
	return err == nil && one == other
}
