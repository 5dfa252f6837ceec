package upstream

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"sync"

	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/internal/kube/client"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// endpoint is a place behind which objects are: a server, and the path before /api and /apis there.
type endpoint struct {
	conn *client.Conn
	path string
}

func (d endpoint) host() string { return d.conn.Base().Host }

// in is the endpoint of a workspace, or of all, at the place where they are served.
func (d endpoint) in(w ref.Workspace) endpoint {
	return endpoint{d.conn, d.path + "/clusters/" + string(w)}
}

// hosts makes one connection, with one HTTP transport, for each server.
type hosts struct {
	options client.Options

	mu     sync.Mutex
	config *rest.Config
	conns  map[string]*client.Conn // by scheme and host
}

func newHosts(cfg *rest.Config, opts client.Options) *hosts {
	return &hosts{config: rest.CopyConfig(cfg), options: opts, conns: map[string]*client.Conn{}}
}

// endpoint is that of a URL. All of one host share a connection; the configured server's credentials are used for each.
func (h *hosts) endpoint(u *url.URL) (endpoint, error) {
	root := u.Scheme + "://" + u.Host
	h.mu.Lock()
	defer h.mu.Unlock()
	conn := h.conns[root]
	if conn == nil {
		var err error
		if conn, err = client.New(at(root, h.config), h.options); err != nil {
			return endpoint{}, err
		}
		h.conns[root] = conn
	}
	return endpoint{conn, u.Path}, nil
}

// renew takes other credentials for all servers, if cfg leads to the configured one as before.
func (h *hosts) renew(cfg *rest.Config) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !client.SameServer(h.config, cfg) {
		return errors.New("the kubeconfig leads to another server, or another workspace")
	}
	for root, conn := range h.conns {
		if err := conn.Renew(at(root, cfg)); err != nil {
			return err
		}
	}
	h.config = rest.CopyConfig(cfg)
	return nil
}

// at is a copy of cfg for a server by its scheme and host.
func at(root string, cfg *rest.Config) *rest.Config {
	cfg = rest.CopyConfig(cfg)
	cfg.Host, cfg.APIPath = root, ""
	return cfg
}

// keep closes the connections to servers other than these.
func (h *hosts) keep(endpoints []endpoint) {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.conns, func(_ string, conn *client.Conn) bool {
		gone := !slices.ContainsFunc(endpoints, func(e endpoint) bool { return e.conn == conn })
		if gone {
			conn.Close()
		}
		return gone
	})
}

func (h *hosts) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, conn := range h.conns {
		conn.Close()
	}
}

// published is the endpoint of a URL that a server published. Credentials go there: never in the clear if they come to the configured
// server encrypted.
func (h *hosts) published(text string, front *url.URL) (endpoint, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return endpoint{}, fmt.Errorf("URL: %w", err)
	case u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return endpoint{}, errors.New("URL: want scheme, host and path")
	case u.Scheme != "https" && u.Scheme != front.Scheme:
		return endpoint{}, fmt.Errorf("URL: want %s, as the configured server has it", front.Scheme)
	}
	for len(u.Path) > 0 && u.Path[len(u.Path)-1] == '/' {
		u.Path = u.Path[:len(u.Path)-1]
	}
	return h.endpoint(u)
}
