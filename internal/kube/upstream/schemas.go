package upstream

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/upstreamd/upstreamd/internal/kube/client"
	"github.com/upstreamd/upstreamd/internal/kube/openapi"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// schemas keeps the schemas of statuses by the content of their OpenAPI documents: a thousand workspaces of one APIExport share one.
type schemas struct {
	mu    sync.Mutex
	known map[schemaKey]*ref.Schema
}

type schemaKey struct {
	hash     string // of the document, as the server tells it
	resource ref.Resource
}

const maxSchemas = 4096

// status reads the schema of the status of r, whose kind is named; nil: the server certainly has none.
func (s *schemas) status(ctx context.Context, c *Client, d endpoint, r ref.Resource, kind string) (*ref.Schema, error) {
	path := strings.TrimPrefix(client.GroupVersionPath(r.Group, r.Version), "/")
	var index struct {
		Paths map[string]struct {
			ServerRelativeURL string `json:"serverRelativeURL"`
		} `json:"paths"`
	}
	if err := c.document(ctx, d, "/openapi/v3", &index); err != nil {
		return nil, absent(err)
	}
	_, hash, hashed := strings.Cut(index.Paths[path].ServerRelativeURL, "?hash=")
	if index.Paths[path].ServerRelativeURL == "" {
		return nil, nil
	}
	key := schemaKey{hash, r}
	s.mu.Lock()
	found, known := s.known[key]
	s.mu.Unlock()
	if known && hashed {
		return found, nil
	}
	document, err := s.read(ctx, c, d, path)
	if err != nil || document == nil {
		return nil, err
	}
	found = document.Status(r.GroupVersion().WithKind(kind), r.Resource)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil || len(s.known) >= maxSchemas {
		s.known = map[schemaKey]*ref.Schema{}
	}
	s.known[key] = found
	return found, nil
}

func (s *schemas) read(ctx context.Context, c *Client, d endpoint, path string) (*openapi.Document, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	resp, err := d.conn.Do(ctx, client.Request{Path: d.path + "/openapi/v3/" + path})
	if err != nil {
		return nil, absent(err)
	}
	defer client.Drain(resp.Body)
	document, err := openapi.Read(io.LimitReader(resp.Body, maxDocument))
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", path, client.Cause(ctx, err))
	}
	return document, nil
}

// absent drops an error by which a server certainly does not serve a schema. kcp answers 403 for what a workspace lacks.
func absent(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsMethodNotSupported(err) || apierrors.IsNotAcceptable(err) {
		return nil
	}
	return err
}
