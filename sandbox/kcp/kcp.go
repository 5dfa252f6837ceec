// Package kcp starts a real kcp for tests, from a binary that somebody has: kcp can't be built from a Go module.
package kcp

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/upstreamd/upstreamd/sandbox/controlplane"
)

// BinaryEnv names the environment variable with the path of a kcp binary.
const BinaryEnv = "KCP_BINARY"

// ReadyTimeout is how long kcp may take until it is ready. It takes about half a minute on two cores.
const ReadyTimeout = 5 * time.Minute

// KCP is a running kcp: one shard with its own etcd and virtual workspaces, on loopback.
type KCP struct {
	process *controlplane.Process // nil: somebody else's
	config  *rest.Config          // of the administrator, without a /clusters suffix
}

// Start starts the binary with its data, kubeconfig and log in the folder dir, and returns when it is ready.
func Start(ctx context.Context, binary, dir string) (*KCP, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	process, err := controlplane.StartProcess(filepath.Join(dir, "kcp.log"), binary, "start",
		"--root-directory="+dir, "--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", ports[0]),
		fmt.Sprintf("--embedded-etcd-client-port=%d", ports[1]),
		fmt.Sprintf("--embedded-etcd-peer-port=%d", ports[2]),
	)
	if err != nil {
		return nil, err
	}
	k := &KCP{process: process}
	ctx, cancel := context.WithTimeout(ctx, ReadyTimeout)
	defer cancel()
	err = k.await(ctx, "kcp is ready", func() (bool, error) { return true, k.ready(ctx, filepath.Join(dir, "admin.kubeconfig")) })
	if err != nil {
		k.Stop(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("%w; its log %s ends with:\n%s", err, process.Log(), process.Tail(2000))
	}
	return k, nil
}

// Attach is for a server that runs already, and answers as kcp does. config is its administrator's, without a /clusters suffix.
func Attach(config *rest.Config) *KCP { return &KCP{config: rest.CopyConfig(config)} }

// ready reads the administrator's kubeconfig, which kcp writes while it starts, and looks into the root workspace.
func (k *KCP) ready(ctx context.Context, kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.Host, _, _ = strings.Cut(config.Host, "/clusters/")
	config.QPS = -1
	k.config = config
	_, err = k.get(ctx, "root", logicalClusters, "cluster")
	return err
}

// Config is the administrator's, without a /clusters suffix.
func (k *KCP) Config() *rest.Config { return rest.CopyConfig(k.config) }

// WorkspaceConfig is the administrator's for one workspace, by name or path.
func (k *KCP) WorkspaceConfig(workspace string) *rest.Config {
	config := k.Config()
	config.Host += "/clusters/" + workspace
	return config
}

// Stop ends kcp, if it was started here. Its folder stays.
func (k *KCP) Stop(ctx context.Context) {
	if k.process != nil {
		k.process.Stop(ctx)
	}
}

// ended is closed when kcp has ended.
func (k *KCP) ended() <-chan struct{} {
	if k.process == nil {
		return nil
	}
	return k.process.Done()
}

// await asks until check is content. Errors of check are tried again; the last one is in the error of a time-out.
func (k *KCP) await(ctx context.Context, what string, check func() (bool, error)) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		done, err := check()
		if done && err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-k.ended():
			return fmt.Errorf("waiting until %s: kcp ended: %w", what, k.process.Err())
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w (%w)", what, ctx.Err(), err)
		}
	}
}

// freePorts are ports of 127.0.0.1 that were free a moment ago: kcp can't share them with a reservation.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("finding a free port: %w", err)
		}
		defer listener.Close()
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port) //nolint:forcetypeassert // of a TCP listener
	}
	return ports, nil
}
