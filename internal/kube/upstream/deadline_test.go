package upstream

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	kt "github.com/upstreamd/upstreamd/internal/kube/kubetest"
	"github.com/upstreamd/upstreamd/internal/ref"
)

func TestEveryCallReturns(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{"no answer": kt.Mute, "no body": kt.Stuck} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := connect(t, kt.Memory(t, answer), Options{Workspaces: []string{"a"}})
				web := ref.Upstream{Workspace: "a", Namespace: "ns", Name: "web"}
				kt.Returns(t, 3*time.Minute, map[string]func(context.Context) error{
					"Resolve":  c.Resolve,
					"Get":      func(ctx context.Context) error { _, err := c.Get(ctx, kt.Deployments, web, ref.Want{}); return err },
					"Kinds":    func(ctx context.Context) error { _, err := c.Kinds(ctx); return err },
					"Describe": func(ctx context.Context) error { _, err := c.Describe(ctx, kt.Deployments, "a", "a"); return err },
					"At":       func(ctx context.Context) error { _, err := c.At("a").Kinds(ctx); return err },
					"Patch": func(ctx context.Context) error {
						_, err := c.Patch(ctx, ref.Patch{Resource: kt.Deployments, Upstream: web, Body: []byte("{}")}, ref.Want{})
						return err
					},
					"Watch": func(ctx context.Context) error { return firstFailure(ctx, c) },
				})
			})
		})
	}
}

// firstFailure is the first that a watch reports.
func firstFailure(ctx context.Context, c *Client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := errors.New("the watch reported nothing")
	c.Watch(ctx, kt.Deployments, ref.Want{}, func(e ref.Event) {
		if e.Type == ref.Failed {
			failed = e.Err
			cancel()
		}
	})
	return failed
}
