package discovery

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	kt "github.com/upstreamd/upstreamd/internal/kube/kubetest"
)

func TestEveryCallReturns(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{"no answer": kt.Mute, "no body": kt.Stuck} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := server(t, answer, "")
				kt.Returns(t, 3*time.Minute, map[string]func(context.Context) error{
					"Kinds":  func(ctx context.Context) error { _, err := s.Kinds(ctx); return err },
					"Serves": func(ctx context.Context) error { _, err := s.Serves(ctx, kt.Deployments); return err },
				})
			})
		})
	}
}

// TestDiscoveryThatHangs: a watch of SyncTargets that got a 404 asks discovery; one that never answers must not stop the watch.
func TestDiscoveryThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := server(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/apis" || r.URL.Path == "/apis/workload.kcp.io/v1alpha1" {
				kt.Mute(w, r)
				return
			}
			http.NotFound(w, r)
		}), "")
		failures := make(chan error, 100)
		kt.Run(t, func(ctx context.Context) {
			SyncTargets{Server: s, SecretNamespace: "keys"}.Watch(ctx, func(map[string]SyncTarget) {}, func(err error) { failures <- err })
		})
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if len(failures) < 5 {
			t.Errorf("%d failures were reported in 5 minutes", len(failures))
		}
	})
}
