package wire_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/upstreamd/upstreamd/bench/wire"
)

// Streaming lists draw their bookmark while patches and changes push events into the same watches.
func TestStreamingListsBesideWrites(t *testing.T) {
	w := wire.New(shape)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	done := make(chan struct{})
	var writers, readers sync.WaitGroup
	writing := func(write func(n int)) {
		writers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
					write(n)
				}
			}
		})
	}
	upstream, target := w.Upstream(), w.SyncTarget(0)
	name, copied := shape.Upstream(0), shape.On(0)[0]
	writing(func(int) { w.Change(copied) })
	writing(func(n int) {
		url := fmt.Sprintf("%s/clusters/%s/apis/apps/v1/namespaces/%s/deployments/%s/status", upstream.Host, name.Workspace, name.Namespace, name.Name)
		r, err := http.NewRequestWithContext(ctx, http.MethodPatch, url, strings.NewReader(fmt.Sprintf(`{"status":{"replicas":%d}}`, n)))
		if err != nil {
			t.Error(err)
			return
		}
		if resp, err := upstream.Transport.RoundTrip(r); err == nil {
			_ = resp.Body.Close()
		}
	})
	for _, server := range []struct {
		transport http.RoundTripper
		url       string
	}{
		{upstream.Transport, upstream.Host + "/clusters/*/apis/apps/v1/deployments"},
		{target.Transport, target.Host + "/apis/apps/v1/deployments"},
	} {
		for range 4 {
			readers.Go(func() {
				for range 300 {
					if err := readInitial(ctx, server.transport, server.url); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	finished := make(chan struct{})
	go func() {
		readers.Wait()
		close(done)
		writers.Wait()
		close(finished)
	}()
	select {
	case <-finished:
	case <-ctx.Done():
		t.Fatal("clients and servers wait for each other")
	}
}

// readInitial opens a streaming list and reads it up to its bookmark.
func readInitial(ctx context.Context, transport http.RoundTripper, url string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet,
		url+"?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true", nil)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return err
		}
		if strings.Contains(line, `"BOOKMARK"`) {
			return nil
		}
	}
}

// All events up to the version of a bookmark are sent before it.
func TestABookmarkIsNotAheadOfItsEvents(t *testing.T) {
	w := wire.New(shape)
	copied := shape.On(0)[0]
	target := w.SyncTarget(0)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		target.Host+"/apis/apps/v1/deployments?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := target.Transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	w.Change(copied) // after the watch was opened, before its initial events are drawn
	lines := bufio.NewReader(resp.Body)
	version := func(line string) (v int) {
		_, rest, _ := strings.Cut(line, `"resourceVersion":"`)
		_, _ = fmt.Sscanf(rest, "%d", &v)
		return v
	}
	bookmark := 0
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(line, `"BOOKMARK"`) {
			bookmark = version(line)
		}
		if strings.Contains(line, `"MODIFIED"`) {
			if v := version(line); bookmark == 0 || v <= bookmark {
				t.Errorf("an event of version %d came after a bookmark of version %d", v, bookmark)
			}
			return
		}
	}
}
