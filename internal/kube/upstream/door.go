package upstream

import (
	"errors"
	"fmt"
	"net/url"
	"sync"

	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/internal/kube/client"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// door is a place behind which objects are: a server, and the path before /api and /apis there.
type door struct {
	conn *client.Conn
	path string
}

func (d door) host() string { return d.conn.Base().Host }

// in is the door of a workspace, or of all, at the place where they are served.
func (d door) in(w ref.Workspace) door { return door{d.conn, d.path + "/clusters/" + string(w)} }

// hosts makes one connection, with one HTTP transport, for each server.
type hosts struct {
	config  *rest.Config
	options client.Options

	mu    sync.Mutex
	conns map[string]*client.Conn // by scheme and host
}

func newHosts(cfg *rest.Config, opts client.Options) *hosts {
	return &hosts{config: rest.CopyConfig(cfg), options: opts, conns: map[string]*client.Conn{}}
}

// door is that of a URL. All of one host share a connection; the configured server's credentials are used for each.
func (h *hosts) door(at *url.URL) (door, error) {
	root := at.Scheme + "://" + at.Host
	h.mu.Lock()
	defer h.mu.Unlock()
	conn := h.conns[root]
	if conn == nil {
		cfg := rest.CopyConfig(h.config)
		cfg.Host, cfg.APIPath = root, ""
		var err error
		if conn, err = client.New(cfg, h.options); err != nil {
			return door{}, err
		}
		h.conns[root] = conn
	}
	return door{conn, at.Path}, nil
}

func (h *hosts) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, conn := range h.conns {
		conn.Close()
	}
}

// published is the door of a URL that a server published. Credentials go there: never in the clear if they come to the configured
// server encrypted.
func (h *hosts) published(text string, front *url.URL) (door, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return door{}, fmt.Errorf("URL: %w", err)
	case u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return door{}, errors.New("URL: want scheme, host and path")
	case u.Scheme != "https" && u.Scheme != front.Scheme:
		return door{}, fmt.Errorf("URL: want %s, as the configured server has it", front.Scheme)
	}
	for len(u.Path) > 0 && u.Path[len(u.Path)-1] == '/' {
		u.Path = u.Path[:len(u.Path)-1]
	}
	return h.door(u)
}
