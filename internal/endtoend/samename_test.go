package endtoend

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/internal/memapi"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// TestOneNameInThreeWorkspaces: objects of one namespace and name are told apart by their workspace, at the first list and when all is
// listed again, with streaming lists and with pages.
func TestOneNameInThreeWorkspaces(t *testing.T) {
	for name, streaming := range map[string]bool{"streaming lists": true, "pages": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expire := make(chan struct{})
			expired := sync.OnceFunc(func() { close(expire) })
			defer expired()
			kcp := newKCP(t, memapi.Options{Fault: func(r *http.Request) memapi.Fault {
				query := r.URL.Query()
				select {
				case <-expire:
					return memapi.Fault{}
				default:
				}
				if !streaming && query.Get("sendInitialEvents") != "" {
					return memapi.Fault{Status: http.StatusBadRequest}
				}
				if query.Get("watch") != "" {
					return memapi.Fault{Watch: memapi.WatchFault{Kind: memapi.Expire, When: expire}}
				}
				return memapi.Fault{}
			}})
			workspaces := []string{"aaa", "bbb", "ccc"}
			web := func(i int) ref.Upstream {
				return ref.Upstream{Workspace: ref.Workspace(workspaces[i]), Namespace: "default", Name: "web"}
			}
			for _, w := range workspaces {
				consume(kcp, w)
			}
			w := start(t, kcp, kcp.Config(), byExport, []string{"east"}, toAll)
			for i := range workspaces {
				w.publish(kcp, web(i), w.targets[0])
				copied, err := w.targets[0].takeDown(web(i))
				w.must(err)
				w.must(w.targets[0].report(copied, 10+i))
			}
			all := func() string {
				for i := range workspaces {
					if got := readyAt(kcp, web(i)); got != 10+i {
						return fmt.Sprintf("%s has %d ready, want %d", web(i), got, 10+i)
					}
				}
				return ""
			}
			w.eventually(20*time.Second, all)

			before, lists := patches(kcp), listings(kcp)
			expired() // every watch says that it is too old to go on
			w.eventually(20*time.Second, func() string {
				if listings(kcp) == lists {
					return "listed again"
				}
				return ""
			})
			w.must(w.targets[0].report(ref.Downstream{Namespace: w.namespaceOf(web(2)), Name: "web"}, 99)) // it goes on after the relist
			w.eventually(20*time.Second, func() string {
				if got := readyAt(kcp, web(2)); got != 99 {
					return fmt.Sprintf("a change after the relist: %d ready", got)
				}
				return ""
			})
			for i := range 2 {
				if got := readyAt(kcp, web(i)); got != 10+i {
					t.Errorf("%s has %d ready after the relist, want %d", web(i), got, 10+i)
				}
			}
			if n := patches(kcp) - before; n != 1 {
				t.Errorf("%d patches since the relist for one change", n)
			}
		})
	}
}

func (w *world) namespaceOf(u ref.Upstream) string {
	w.t.Helper()
	ns, err := w.targets[0].resolver.DownNamespace(u.Workspace, u.Namespace)
	w.must(err)
	return ns.Name
}

// listings counts the lists of the deployments of all workspaces, streaming ones included.
func listings(kcp *memapi.Server) int {
	return kcp.Calls().Total(func(c memapi.Call) bool {
		return c.Virtual && c.Cluster == "*" && c.Resource == "deployments.apps" && c.Code == http.StatusOK && (c.Verb == "list" || c.Verb == "watch")
	})
}

// TestShards: a list of one shard removes no object of another; a shard that is removed takes its objects along.
func TestShards(t *testing.T) {
	var mu sync.Mutex
	expire := make(chan struct{})
	first := newKCP(t, memapi.Options{Fault: func(*http.Request) memapi.Fault {
		mu.Lock()
		defer mu.Unlock()
		if expire == nil {
			return memapi.Fault{}
		}
		return memapi.Fault{Watch: memapi.WatchFault{Kind: memapi.Expire, When: expire}}
	}})
	second := newKCP(t, memapi.Options{Name: "shard-2"})
	urls := []any{map[string]any{"url": first.ExportURL(provider, "compute")}, map[string]any{"url": second.ExportURL(provider, "compute")}}
	endpoints := func(urls ...any) {
		t.Helper()
		if _, err := first.Cluster(provider).UpdateStatus(endpointSlices, "", "compute", map[string]any{"endpoints": urls}); err != nil {
			t.Fatal(err)
		}
	}
	endpoints(urls...)
	byHost := roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.URL.Host == "shard-2" {
			return second.Transport().RoundTrip(r)
		}
		return first.Transport().RoundTrip(r)
	})
	w := start(t, first, &rest.Config{Host: "http://memapi", Transport: byHost}, byExport, []string{"east"}, toAll)
	place := func(kcp *memapi.Server, workspace string, ready int) (ref.Upstream, ref.Downstream) {
		t.Helper()
		u := ref.Upstream{Workspace: ref.Workspace(workspace), Namespace: "default", Name: "web"}
		consume(kcp, workspace)
		w.publish(kcp, u, w.targets[0])
		copied, err := w.targets[0].takeDown(u)
		w.must(err)
		w.must(w.targets[0].report(copied, ready))
		return u, copied
	}
	a, copyOfA := place(first, "aaa", 1)
	b, copyOfB := place(second, "bbb", 2)
	shows := func(kcp *memapi.Server, u ref.Upstream, want int) {
		t.Helper()
		w.eventually(20*time.Second, func() string {
			if got := readyAt(kcp, u); got != want {
				return fmt.Sprintf("%s has %d ready, want %d", u, got, want)
			}
			return ""
		})
	}
	shows(first, a, 1)
	shows(second, b, 2)

	mu.Lock()
	lists := listings(first)
	close(expire)
	expire = nil
	mu.Unlock()
	w.eventually(20*time.Second, func() string {
		if listings(first) == lists {
			return "the first shard is listed again"
		}
		return ""
	})
	w.must(w.targets[0].report(copyOfB, 3)) // the second shard's object is known as before
	shows(second, b, 3)
	w.must(w.targets[0].report(copyOfA, 4))
	shows(first, a, 4)

	endpoints(urls[0]) // the second shard is taken away
	w.eventually(20*time.Second, func() string {
		explained, err := w.system.Explain(t.Context(), deployments, b)
		w.must(err)
		if explained.Known {
			return "the objects of a shard that was taken away are forgotten"
		}
		return ""
	})
	w.must(w.targets[0].report(copyOfB, 5))
	w.must(w.targets[0].report(copyOfA, 6))
	shows(first, a, 6)
	if got := readyAt(second, b); got != 3 {
		t.Errorf("written to a shard that is not named any more: %d", got)
	}
	endpoints(urls...)
	shows(second, b, 5)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
