package upstream

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"k8s.io/apimachinery/pkg/types"

	"github.com/upstreamd/upstreamd/internal/kube/client"
	"github.com/upstreamd/upstreamd/internal/kube/lean"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// Get reads one object as it is now. An error of the server is an *apierrors.StatusError.
func (c *Client) Get(ctx context.Context, r ref.Resource, u ref.Upstream, want ref.Want) (*ref.Object, error) {
	d, err := c.endpoint(u.Workspace)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", u, err)
	}
	return c.read(ctx, d, r, u, want)
}

// read is Get at a known endpoint.
func (c *Client) read(ctx context.Context, d endpoint, r ref.Resource, u ref.Upstream, want ref.Want) (*ref.Object, error) {
	path, err := d.object(r, u, "")
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", u, err)
	}
	return c.object(ctx, d, client.Request{Path: path}, u, want)
}

var asManager = url.Values{"fieldManager": {ref.FieldManager}}

// Patch sends one merge patch to the status subresource, once, and returns the object that the server answered with.
//
// An answer other than 2xx is an *apierrors.StatusError; apierrors.SuggestsClientDelay gives its Retry-After. Any other error is one
// of transport (time-out, reset, redirect): whether the patch took effect is unknown.
func (c *Client) Patch(ctx context.Context, p ref.Patch, want ref.Want) (*ref.Object, error) {
	d, err := c.endpoint(p.Upstream.Workspace)
	if err != nil {
		return nil, fmt.Errorf("patch %s: %w", p.Upstream, err)
	}
	if c.export != nil {
		d = c.export.writes(p.Upstream.Workspace)
	}
	path, err := d.object(p.Resource, p.Upstream, "status")
	if err != nil {
		return nil, fmt.Errorf("patch %s: %w", p.Upstream, err)
	}
	return c.object(ctx, d, client.Request{
		Method:      http.MethodPatch,
		Path:        path,
		Query:       asManager,
		Body:        p.Body,
		ContentType: string(types.MergePatchType),
	}, p.Upstream, want)
}

func (c *Client) object(ctx context.Context, d endpoint, r client.Request, u ref.Upstream, want ref.Want) (*ref.Object, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	resp, err := d.conn.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	defer client.Drain(resp.Body)
	o, err := lean.NewDecoder(resp.Body, want, c.settings.Limits).Object()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", u, client.Cause(ctx, err))
	}
	o.Workspace, o.Clock = u.Workspace, d.conn.Clock()
	return o, nil
}
