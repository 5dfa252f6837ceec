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

// Sandbox is a running upstream and its SyncTargets. Its methods are safe for concurrent use.
type Sandbox struct {
	// Front is the upstream endpoint: it counts and reports calls, and injects faults.
	Front *front.Front
	// Etcd stores the data of all API servers.
	Etcd *controlplane.Etcd

	options  Options
	dir      *folder
	identity *controlplane.Identity
	users    []controlplane.User

	mu          sync.Mutex
	started     int // number of API servers started so far
	workspaces  map[string]*Workspace
	syncTargets map[string]*SyncTarget
}

// Workspace is an upstream logical cluster.
type Workspace struct {
	Name string
	// APIServer is the workspace's server. Calls with its Config bypass the front and are not counted.
	APIServer *controlplane.APIServer
	// Kubeconfig is the path of a kubeconfig for the workspace, through the front.
	Kubeconfig string

	config *rest.Config
}

// Config returns a client configuration for the workspace, through the front.
func (w *Workspace) Config() *rest.Config { return rest.CopyConfig(w.config) }

// SyncTarget is a physical cluster.
type SyncTarget struct {
	Name    string
	Cluster string    // the logical cluster of the SyncTarget object, which need not exist
	UID     types.UID // the uid of the SyncTarget object
	*controlplane.APIServer
	// Kubeconfig is the path of a kubeconfig for the SyncTarget's API server.
	Kubeconfig string
}

// RotateCertificate restarts the API server with a certificate of another CA. The kubeconfig keeps the old CA until WriteKubeconfig.
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

// WriteKubeconfig updates the kubeconfig to the API server's present address and CA.
func (t *SyncTarget) WriteKubeconfig() error { return writeKubeconfig(t.Kubeconfig, t.Config()) }

// Start starts all servers concurrently and returns when they are ready. It builds missing binaries. The caller must stop the
// sandbox. ctx bounds the start only.
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

// Upstream returns a client configuration for the front, without a /clusters suffix.
func (s *Sandbox) Upstream() *rest.Config {
	return &rest.Config{Host: s.Front.URL(), BearerToken: s.users[0].Token, TLSClientConfig: rest.TLSClientConfig{CAData: s.identity.CA}, QPS: -1}
}

// UpstreamKubeconfig is the path of a kubeconfig for the front, without a /clusters suffix.
func (s *Sandbox) UpstreamKubeconfig() string { return s.file("upstream.kubeconfig") }

// Dir is the folder of the servers' logs and kubeconfigs. Tests may keep other files there.
func (s *Sandbox) Dir() string { return s.dir.path }

// Calls returns the requests to workspaces through the front.
func (s *Sandbox) Calls() front.Calls { return s.Front.Calls() }
