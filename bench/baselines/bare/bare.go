// Package bare is the ceiling of an API server: a loop of status PATCHes with nothing around it, while the watches that a status
// syncer needs upstream are open.
package bare

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/bench/baselines/world"
)

type loop struct {
	world.World
	client *http.Client
	base   string
	next   atomic.Int64
	stop   context.CancelFunc
	ended  sync.WaitGroup
}

// Start publishes each object once, as any other subject does at its start, so that the loop overwrites statuses as others do: a first
// status is cheaper for an API server than a change of one. Then it goes on patching one object after the other, so many at a time,
// independent of the SyncTargets.
func Start(_ context.Context, w world.World) (world.Subject, error) {
	client, err := rest.HTTPClientFor(w.Upstream)
	if err != nil {
		return nil, err
	}
	if t, ok := client.Transport.(*http.Transport); ok {
		t.MaxIdleConnsPerHost = 2 * w.Concurrency
	}
	ctx, stop := context.WithCancel(context.Background())
	l := &loop{World: w, client: client, base: strings.TrimSuffix(w.Upstream.Host, "/"), stop: stop}
	for _, path := range l.collections() {
		l.ended.Go(func() { l.watch(ctx, path) })
	}
	first := make(chan struct{})
	var published atomic.Int64
	for range w.Concurrency {
		l.ended.Go(func() {
			for ctx.Err() == nil {
				if err := l.patch(ctx, int(l.next.Add(1)-1)); err != nil && ctx.Err() == nil {
					l.Fail(err)
				}
				if published.Add(1) == int64(l.Shape.Objects) {
					close(first)
				}
			}
		})
	}
	<-first
	return l, nil
}

func (l *loop) collections() []string {
	const path = "/apis/apps/v1/deployments"
	if l.Shape.Workspaces == 0 {
		return []string{path}
	}
	var paths []string
	for _, w := range l.Shape.WorkspaceNames() {
		paths = append(paths, "/clusters/"+w+path)
	}
	return paths
}

// watch reads the upstream events and discards them.
func (l *loop) watch(ctx context.Context, path string) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, l.base+path+"?watch=true&allowWatchBookmarks=true", nil)
	if err != nil {
		l.Fail(err)
		return
	}
	resp, err := l.client.Do(r)
	if err != nil {
		l.Fail(err)
		return
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
}

func (l *loop) patch(ctx context.Context, n int) error {
	name := l.Shape.Upstream(n % l.Shape.Objects)
	path := "/apis/apps/v1/namespaces/" + name.Namespace + "/deployments/" + name.Name + "/status?fieldManager=bench"
	if name.Workspace != "" {
		path = "/clusters/" + name.Workspace + path
	}
	body := append([]byte(`{"status":`), l.Shape.AppendStatus(nil, n/l.Shape.Objects+1)...)
	r, err := http.NewRequestWithContext(ctx, http.MethodPatch, l.base+path, bytes.NewReader(append(body, '}')))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/merge-patch+json")
	r.Header.Set("Accept", "application/json")
	resp, err := l.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("PATCH %s: %s", path, resp.Status)
	}
	return nil
}

// Stop ends it.
func (l *loop) Stop(context.Context) error {
	l.stop()
	l.ended.Wait()
	return nil
}
