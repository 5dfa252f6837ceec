package arena

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/bench/baselines/world"
	"github.com/upstreamd/upstreamd/bench/fleet"
	"github.com/upstreamd/upstreamd/bench/scenario"
	"github.com/upstreamd/upstreamd/bench/subject"
	"github.com/upstreamd/upstreamd/bench/wire"
)

// existing is an upstream that exists beside this process: a kube-apiserver, or a workspace of a kcp. The SyncTargets are wire's, on
// loopback.
type existing struct {
	*wired
	s      scenario.Scenario
	server subject.Server
	config *rest.Config
	client dynamic.Interface
	pid    int
	stop   func()

	onPatch atomic.Pointer[func(wire.Patch)]
	patches atomic.Int64 // changes seen
	cancel  context.CancelFunc
	watches sync.WaitGroup
}

func openReal(ctx context.Context, s scenario.Scenario, server subject.Server) (*existing, error) {
	if s.Shape.Workspaces != 0 {
		return nil, errors.New("shape.workspaces: a real upstream is used as one workspace, say 0")
	}
	r := &existing{wired: wire.New(s.Shape), s: s, server: server, stop: func() {}}
	var err error
	if r.config, err = server.Config(); err != nil {
		return nil, err
	}
	if r.client, err = dynamic.NewForConfig(r.config); err != nil {
		return nil, err
	}
	if err := r.fill(ctx); err != nil {
		return nil, fmt.Errorf("making upstream objects: %w", err)
	}
	if err := r.Listen(); err != nil {
		return nil, err
	}
	background, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	return r, r.watch(background)
}

// fill makes the upstream objects, all without a status.
func (r *existing) fill(ctx context.Context) error {
	for _, name := range r.s.Shape.NamespaceNames() {
		_, err := r.client.Resource(namespaces).Create(ctx, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name},
		}}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
		if err := r.client.Resource(deployments).Namespace(name).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for object := range r.s.Shape.Objects {
		group.Go(func() error {
			name := r.s.Shape.Upstream(object)
			u := &unstructured.Unstructured{}
			if err := u.UnmarshalJSON(newDeployment(name)); err != nil {
				return err
			}
			u.SetResourceVersion("")
			u.SetUID("")
			u.SetManagedFields(nil)
			_, err := r.client.Resource(deployments).Namespace(name.Namespace).Create(ctx, u, metav1.CreateOptions{})
			return err
		})
	}
	return group.Wait()
}

const collection = "/apis/apps/v1/deployments"

// watch reports every change of a status, from the moment it is to be seen on a watch. A watch that ends is opened again where it was.
func (r *existing) watch(ctx context.Context) error {
	list, err := r.client.Resource(deployments).List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return err
	}
	version := list.GetResourceVersion()
	open := func() (*http.Response, error) { return r.get(ctx, collection+"?watch=true&resourceVersion="+version) }
	resp, err := open()
	if err != nil {
		return err
	}
	r.watches.Go(func() {
		for ; ; resp, err = open() {
			if err == nil {
				version = r.read(resp.Body, version)
				continue
			}
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return
			}
		}
	})
	return nil
}

// read reads a watch to its end, and says where that was; empty if the server no longer knows.
func (r *existing) read(body io.ReadCloser, version string) string {
	defer body.Close()
	lines := bufio.NewReaderSize(body, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return version
		}
		version = r.seen(line, time.Now())
	}
}

// seen takes one event. It returns its resourceVersion.
func (r *existing) seen(line []byte, at time.Time) (version string) {
	var e struct {
		Type   string
		Object struct {
			Metadata struct{ Name, ResourceVersion string }
			Status   json.RawMessage
		}
	}
	if json.Unmarshal(line, &e) != nil || e.Type != "MODIFIED" {
		return e.Object.Metadata.ResourceVersion
	}
	r.patches.Add(1)
	object, found := r.s.Shape.Find(e.Object.Metadata.Name)
	published, err := fleet.ReadPublished(e.Object.Status)
	if report := r.onPatch.Load(); found && err == nil && report != nil {
		(*report)(wire.Patch{Object: object, At: at, Code: http.StatusOK, Changed: true, Replicas: published.Replicas})
	}
	return e.Object.Metadata.ResourceVersion
}

func (r *existing) get(ctx context.Context, path string) (*http.Response, error) {
	client, err := rest.HTTPClientFor(r.config)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(r.config.Host, "/")+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, fmt.Errorf("GET %s: %s", path, resp.Status)
	}
	return resp, nil
}

func (r *existing) OnPatch(report func(wire.Patch)) { r.onPatch.Store(&report) }

// Calls are the changes that were seen on a watch: near enough to tell whether anything moves. See Counted.
func (r *existing) Calls() wire.Calls { return wire.Calls{Patches: int(r.patches.Load())} }

// Counted are the calls that the server itself has counted, of everybody.
func (r *existing) Counted() (c wire.Calls, err error) {
	resp, err := r.get(context.Background(), "/metrics")
	if err != nil {
		return r.Calls(), nil // not every server grants access to its metrics: then the observed calls count
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(io.LimitReader(resp.Body, 64<<20))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Bytes()
		if !bytes.HasPrefix(line, []byte("apiserver_request_total{")) {
			continue
		}
		text := string(line)
		has := func(label, value string) bool { return strings.Contains(text, label+`="`+value+`"`) }
		var n float64
		if _, err := fmt.Sscanf(text[strings.LastIndexByte(text, ' ')+1:], "%g", &n); err != nil {
			return c, fmt.Errorf("metrics of upstream: %q: %w", text, err)
		}
		deployment := has("resource", "deployments")
		switch {
		case deployment && has("verb", "PATCH") && has("subresource", "status") && has("code", "200"):
			c.Patches += int(n)
		case deployment && has("verb", "PATCH") && has("code", "409"):
			c.Conflicts += int(n)
		case deployment && has("verb", "GET"):
			c.Gets += int(n)
		case has("resource", "configmaps") && (has("verb", "PATCH") || has("verb", "POST")):
			c.Others += int(n)
		}
	}
	return c, lines.Err()
}

func (r *existing) Check() (wrong int, first error) {
	shape := r.s.Shape
	changes := make([]int, shape.Copies)
	seen := 0
	list, err := r.client.Resource(deployments).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		return shape.Objects, err
	}
	for _, item := range list.Items {
		object, found := shape.Find(item.GetName())
		if !found {
			continue
		}
		seen++
		for c := range changes {
			changes[c] = r.Changes(object*shape.Copies + c)
		}
		status, err := json.Marshal(item.Object["status"])
		if err == nil {
			err = fleet.Verify(status, changes)
		}
		if err != nil {
			if wrong++; first == nil {
				first = fmt.Errorf("%s: %w", item.GetName(), err)
			}
		}
	}
	return wrong + shape.Objects - seen, first
}

func (r *existing) Server() int { return r.pid }

func (r *existing) World() (world.World, bool) { return common(r.s), false }

func (r *existing) Spec() subject.Spec {
	_, targets := r.URLs()
	return subject.Spec{World: common(r.s), UpstreamServer: r.server, TargetURLs: targets}
}

func (r *existing) Close() {
	if r.cancel != nil {
		r.cancel()
	}
	r.watches.Wait()
	r.wired.Close()
	r.stop()
}
