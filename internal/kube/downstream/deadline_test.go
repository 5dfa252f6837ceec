package downstream

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
				c := connect(t, kt.Memory(t, answer), Options{})
				calls := map[string]func(context.Context) error{
					"List":  func(ctx context.Context) error { _, err := c.List(ctx, kt.Deployments, "", ref.Want{}); return err },
					"Kinds": func(ctx context.Context) error { _, err := c.Kinds(ctx); return err },
					"Watch": func(ctx context.Context) error {
						ctx, cancel := context.WithCancel(ctx)
						failed := errors.New("the watch reported nothing")
						c.Watch(ctx, kt.Deployments, ref.Want{}, func(e ref.Event) {
							failed = e.Err
							cancel()
						})
						return failed
					},
				}
				if name == "no answer" { // the head of /readyz's answer is enough
					calls["Probe"] = func(ctx context.Context) error { return c.Probe(ctx) }
				}
				kt.Returns(t, 3*time.Minute, calls)
			})
		})
	}
}
