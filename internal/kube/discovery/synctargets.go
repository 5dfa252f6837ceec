package discovery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/internal/kube/client"
	"github.com/upstreamd/upstreamd/internal/kube/lean"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// Annotations of a SyncTarget object.
const (
	// SecretAnnotation names the Secret that holds its kubeconfig, <namespace>/<name>.
	SecretAnnotation = "upstreamd.dev/kubeconfig-secret" //nolint:gosec // the name of an annotation //nolint:gosec // a name, no secret
	// WorkspacesAnnotation names the workspaces that it is bound to, joined by commas.
	WorkspacesAnnotation = "upstreamd.dev/workspaces"
)

// secretKey is the key of the kubeconfig in its Secret.
const secretKey = "kubeconfig"

// clusterAnnotation is kcp's annotation with the logical cluster of an object.
const clusterAnnotation = "kcp.io/cluster"

var (
	syncTargets = ref.Resource{Group: "workload.kcp.io", Version: "v1alpha1", Resource: "synctargets"}
	secrets     = ref.Resource{Version: "v1", Resource: "secrets"}
)

// SyncTarget is a SyncTarget object with the content of its Secret. It is immutable.
type SyncTarget struct {
	Name       string
	UID        types.UID
	Cluster    string   // the logical cluster of the object, by the server's annotation; empty: there is none
	Workspaces []string // those that its annotation names

	Unschedulable bool
	EvictAfter    *time.Time
	Ready         metav1.ConditionStatus // of its condition Ready; empty: there is none

	Secret  string       // name of the Secret
	Config  *rest.Config // its API server and the user there; nil: unknown
	Content []byte       // the kubeconfig that Config was made of, to detect a change
	Err     error        // why Config is nil, or some of the rest could not be read
}

// SyncTargets watches the SyncTarget objects of one workspace, and the Secrets of one namespace there.
type SyncTargets struct {
	Server          Server
	SecretNamespace string
	Servers         *client.Servers // where the Secrets' kubeconfigs may lead; nil: the default rules
	Settings        lean.Settings
}

// Watch calls emit with all SyncTargets, by name: first when both kinds are listed, then whenever one of them differs from the last
// call. It calls emit from one goroutine at a time; emit must not change the map. Failures are retried;
// failed is called for each, and with nil when both watches work again.
func (s SyncTargets) Watch(ctx context.Context, emit func(map[string]SyncTarget), failed func(error)) {
	v := newView(s.SecretNamespace, emit, failed)
	v.servers = s.Servers
	var watches sync.WaitGroup
	log := s.Settings.Logger
	watches.Go(func() { client.Persist(ctx, log, func() { s.watch(ctx, syncTargets, "", v.objects, v) }) })
	watches.Go(func() { client.Persist(ctx, log, func() { s.watch(ctx, secrets, s.SecretNamespace, v.secrets, v) }) })
	watches.Wait()
}

func (s SyncTargets) watch(ctx context.Context, r ref.Resource, namespace string, into *collection, v *view) {
	path, err := client.ResourcePath(r, namespace, "", "")
	if err != nil {
		v.failed(err)
		<-ctx.Done()
		return
	}
	settings := s.Settings
	settings.Absent = func(ctx context.Context) bool {
		serves, err := s.Server.Serves(ctx, r)
		return err == nil && !serves
	}
	source := lean.NewSource(s.Server.Conn, s.Server.Prefix+path, ref.Want{Whole: true}, settings, nil)
	doubts := make(chan struct{}, 1)
	var confirming sync.WaitGroup
	defer confirming.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	confirming.Go(func() { client.Persist(ctx, settings.Logger, func() { v.confirmDoubts(ctx, source, into, doubts) }) })
	source.Watch(ctx, func(e ref.Event) {
		if v.take(e, into) {
			select {
			case doubts <- struct{}{}:
			default:
			}
		}
	})
}

// view joins the SyncTarget objects and the Secrets.
type view struct {
	namespace string
	servers   *client.Servers
	emit      func(map[string]SyncTarget)
	failed    func(error)

	mu      sync.Mutex
	objects *collection
	secrets *collection
	known   map[string]reading
	emitted map[string]SyncTarget // nil: not yet
}

func newView(namespace string, emit func(map[string]SyncTarget), failed func(error)) *view {
	return &view{
		namespace: namespace, emit: emit, failed: failed,
		objects: newCollection("SyncTarget objects"), secrets: newCollection("Secrets"),
	}
}

// reading is a SyncTarget with the objects that it was read from: few events in the workspace change more than one.
type reading struct {
	SyncTarget
	object, secret []byte
	hasSecret      bool
}

// take applies an event. doubt reports that a second list has to confirm it.
func (v *view) take(e ref.Event, into *collection) (doubt bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	broken := v.objects.broken || v.secrets.broken
	if err := into.take(e); err != nil {
		v.failed(err)
	}
	if broken && !v.objects.broken && !v.secrets.broken {
		v.failed(nil)
	}
	v.update()
	return len(into.doubted) > 0
}

// confirmDoubts reads a second list after doubts arose, until ctx ends.
func (v *view) confirmDoubts(ctx context.Context, source *lean.Source, into *collection, doubts <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-doubts:
		}
		for v.doubted(into) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(confirmAfter):
			}
			page, err := source.List(ctx, "")
			v.confirm(ctx, into, page.Objects, err)
		}
	}
}

func (v *view) doubted(of *collection) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(of.doubted) > 0
}

func (v *view) confirm(ctx context.Context, into *collection, objects []*ref.Object, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case ctx.Err() != nil:
	case err != nil:
		v.failed(fmt.Errorf("the list that confirms which %s are gone: %w", into.kind, err))
	default:
		into.confirm(objects)
		v.update()
	}
}

// update reads the SyncTargets and emits them if they differ from the last call. v.mu is held.
func (v *view) update() {
	if !v.objects.listed || !v.secrets.listed {
		return
	}
	known, all := make(map[string]reading, len(v.objects.objects)), make(map[string]SyncTarget, len(v.objects.objects))
	for name := range v.objects.objects {
		known[name] = v.reading(name)
		all[name] = known[name].SyncTarget
	}
	v.known = known
	if v.emitted == nil || !maps.EqualFunc(all, v.emitted, same) {
		v.emitted = all
		v.emit(all)
	}
}

// reading returns a SyncTarget, parsed again only if the object or its Secret has changed.
func (v *view) reading(name string) reading {
	r, known := v.known[name]
	secret, has := v.secrets.objects[r.Secret]
	if known && bytes.Equal(r.object, v.objects.objects[name]) && r.hasSecret == has && bytes.Equal(r.secret, secret) {
		return r
	}
	r = reading{SyncTarget: v.read(name), object: v.objects.objects[name]}
	r.secret, r.hasSecret = v.secrets.objects[r.Secret]
	return r
}

// same leaves out Config, for which Content stands.
func same(a, b SyncTarget) bool {
	if fmt.Sprint(a.Err) != fmt.Sprint(b.Err) {
		return false
	}
	a.Config, b.Config, a.Err, b.Err = nil, nil, nil, nil
	return reflect.DeepEqual(a, b) //nolint:govet // the errors were compared
}

// object holds the fields that are read of a SyncTarget object.
type object struct {
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		Unschedulable bool         `json:"unschedulable"`
		EvictAfter    *metav1.Time `json:"evictAfter"`
	} `json:"spec"`
	Status struct {
		Conditions []struct {
			Type   string                 `json:"type"`
			Status metav1.ConditionStatus `json:"status"`
		} `json:"conditions"`
	} `json:"status"`
}

func (v *view) read(name string) SyncTarget {
	var o object
	if err := json.Unmarshal(v.objects.objects[name], &o); err != nil {
		return SyncTarget{Name: name, Err: fmt.Errorf("the SyncTarget object cannot be read: %w", err)}
	}
	t := SyncTarget{Name: name, UID: o.Metadata.UID, Cluster: o.Metadata.Annotations[clusterAnnotation], Unschedulable: o.Spec.Unschedulable}
	if o.Spec.EvictAfter != nil {
		t.EvictAfter = &o.Spec.EvictAfter.Time
	}
	for _, c := range o.Status.Conditions {
		if c.Type == "Ready" {
			t.Ready = c.Status
		}
	}
	for w := range strings.SplitSeq(o.Metadata.Annotations[WorkspacesAnnotation], ",") {
		if w = strings.TrimSpace(w); w != "" && !slices.Contains(t.Workspaces, w) {
			t.Workspaces = append(t.Workspaces, w)
		}
	}
	t.Secret, t.Content, t.Config, t.Err = v.kubeconfig(o.Metadata.Annotations[SecretAnnotation])
	return t
}

// kubeconfig reads the Secret that an annotation names. It must lie in the configured namespace: write access to SyncTargets must not give
// read access to other Secrets.
func (v *view) kubeconfig(named string) (name string, content []byte, cfg *rest.Config, err error) {
	if named == "" {
		return "", nil, nil, errors.New("the SyncTarget has no annotation " + SecretAnnotation)
	}
	namespace, name, _ := strings.Cut(named, "/")
	if namespace != v.namespace || name == "" {
		return "", nil, nil, fmt.Errorf("the annotation %s must be %s/<name>: no Secret of another namespace is read", SecretAnnotation, v.namespace)
	}
	raw, there := v.secrets.objects[name]
	if !there {
		return name, nil, nil, fmt.Errorf("there is no Secret %s/%s", namespace, name)
	}
	var secret struct {
		Data map[string][]byte `json:"data"`
	}
	if json.Unmarshal(raw, &secret) != nil { // its message may quote the Secret
		return name, nil, nil, fmt.Errorf("the Secret %s/%s cannot be read", namespace, name)
	}
	content = secret.Data[secretKey]
	if len(bytes.TrimSpace(content)) == 0 {
		return name, nil, nil, fmt.Errorf("the Secret %s/%s has no key %s, or it is empty", namespace, name, secretKey)
	}
	if cfg, err = client.FromUntrusted(content, v.servers); err != nil {
		return name, content, nil, fmt.Errorf("the Secret %s/%s: %w", namespace, name, err)
	}
	return name, content, cfg, nil
}
