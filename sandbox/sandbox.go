package sandbox

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/sandbox/binaries"
	"github.com/upstreamd/upstreamd/sandbox/controlplane"
	"github.com/upstreamd/upstreamd/sandbox/front"
)

// Sandbox is a running upstream and its SyncTargets. Its methods may be called from several goroutines.
type Sandbox struct {
	// Front is the upstream's door: it counts calls, reports them, and can be made to misbehave.
	Front *front.Front
	// Etcd carries all API servers.
	Etcd *controlplane.Etcd

	options  Options
	dir      *folder
	identity *controlplane.Identity
	users    []controlplane.User

	mu          sync.Mutex
	started     int // how many API servers ever
	workspaces  map[string]*Workspace
	syncTargets map[string]*SyncTarget
}

// Workspace is a logical cluster upstream.
type Workspace struct {
	Name string
	// APIServer is the workspace's own server. Its Config goes around the front: such calls are not counted.
	APIServer *controlplane.APIServer
	// Kubeconfig is a file that leads to the workspace through the front.
	Kubeconfig string

	config *rest.Config
}

// Config is a client's configuration for the workspace, through the front.
func (w *Workspace) Config() *rest.Config { return rest.CopyConfig(w.config) }

// SyncTarget is a physical cluster.
type SyncTarget struct {
	Name    string
	Cluster string    // the logical cluster that the SyncTarget object would live in
	UID     types.UID // the uid that the SyncTarget object would have
	*controlplane.APIServer
	// Kubeconfig is a file that leads to the SyncTarget's API server.
	Kubeconfig string
}

// RotateCertificate starts the API server anew with a certificate of another authority. The kubeconfig stays as it was until WriteKubeconfig.
func (t *SyncTarget) RotateCertificate(ctx context.Context) error {
	dir, err := os.MkdirTemp(filepath.Dir(t.Kubeconfig), "identity-")
	if err != nil {
		return err
	}
	identity, err := controlplane.NewIdentity(dir)
	if err != nil {
		return err
	}
	return t.Rotate(ctx, identity)
}

// WriteKubeconfig has the kubeconfig lead to the API server as it is now.
func (t *SyncTarget) WriteKubeconfig() error { return writeKubeconfig(t.Kubeconfig, t.Config()) }

// Start starts everything at once and returns when all of it is ready, after building the servers if need be. The sandbox must be
// stopped. ctx bounds the start only.
func Start(ctx context.Context, o Options) (*Sandbox, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if o.Progress == nil {
		o.Progress = os.Stderr
	}
	if o.Cluster == "" {
		o.Cluster = DefaultCluster
	}
	if o.Binaries == "" {
		dir, err := binaries.Find(ctx, o.Progress)
		if err != nil {
			return nil, err
		}
		o.Binaries = dir
	}
	s := &Sandbox{options: o, workspaces: map[string]*Workspace{}, syncTargets: map[string]*SyncTarget{}}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (s *Sandbox) start(ctx context.Context) (err error) {
	if s.dir, err = openFolder(s.options.Dir); err != nil {
		return err
	}
	if s.identity, err = controlplane.NewIdentity(s.dir.path); err != nil {
		return err
	}
	admin := controlplane.User{Name: "admin", Token: string(uuid.NewUUID()), Groups: []string{"system:masters"}}
	s.users = append([]controlplane.User{admin}, s.options.Users...)
	if s.Front, err = front.Start(s.identity.CertFile, s.identity.KeyFile); err != nil {
		return err
	}
	if err := writeKubeconfig(s.UpstreamKubeconfig(), s.Upstream()); err != nil {
		return err
	}
	if s.Etcd, err = controlplane.StartEtcd(ctx, s.options.Binaries, s.dir.path); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, name := range s.options.Workspaces {
		group.Go(func() error {
			_, err := s.AddWorkspace(ctx, name)
			return err
		})
	}
	for _, name := range s.options.SyncTargets {
		group.Go(func() error {
			_, err := s.AddSyncTarget(ctx, name)
			return err
		})
	}
	return group.Wait()
}

// Upstream is a client's configuration for the front's address, without a /clusters suffix.
func (s *Sandbox) Upstream() *rest.Config {
	return &rest.Config{Host: s.Front.URL(), BearerToken: s.users[0].Token, TLSClientConfig: rest.TLSClientConfig{CAData: s.identity.CA}, QPS: -1}
}

// UpstreamKubeconfig is a file that leads to the front's address, without a /clusters suffix.
func (s *Sandbox) UpstreamKubeconfig() string { return s.file("upstream.kubeconfig") }

// Dir is the folder of the servers' logs and kubeconfigs, and of what else a test wants to keep beside them.
func (s *Sandbox) Dir() string { return s.dir.path }

// Calls are the requests that came to workspaces through the front.
func (s *Sandbox) Calls() front.Calls { return s.Front.Calls() }
