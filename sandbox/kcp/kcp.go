// Package kcp starts a real kcp for tests, from an existing binary: kcp cannot be built from a Go module.
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

// BinaryEnv is the environment variable with the path of a kcp binary.
const BinaryEnv = "KCP_BINARY"

// ReadyTimeout is the time limit for kcp to become ready. It takes about half a minute on two cores.
const ReadyTimeout = 5 * time.Minute

// KCP is a running kcp: one shard with its own etcd and virtual workspaces, on loopback.
type KCP struct {
	process *controlplane.Process // nil after Attach
	config  *rest.Config          // of the administrator, without a /clusters suffix
}

// Start starts the binary with its data, kubeconfig and log in the folder dir, and returns when kcp is ready.
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

// Attach uses a running server that behaves like kcp. config has the administrator's credentials and no /clusters suffix.
func Attach(config *rest.Config) *KCP { return &KCP{config: rest.CopyConfig(config)} }

// ready reads the administrator's kubeconfig, which kcp writes at start-up, and reads the root workspace.
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

// Config returns the administrator's client configuration, without a /clusters suffix.
func (k *KCP) Config() *rest.Config { return rest.CopyConfig(k.config) }

// WorkspaceConfig returns the administrator's client configuration for one workspace, by name or path.
func (k *KCP) WorkspaceConfig(workspace string) *rest.Config {
	config := k.Config()
	config.Host += "/clusters/" + workspace
	return config
}

// Stop stops kcp, unless it was attached. Its folder stays.
func (k *KCP) Stop(ctx context.Context) {
	if k.process != nil {
		k.process.Stop(ctx)
	}
}

// ended is closed when kcp has exited.
func (k *KCP) ended() <-chan struct{} {
	if k.process == nil {
		return nil
	}
	return k.process.Done()
}

// await polls until check returns true. It retries after errors of check; a time-out error wraps the last one.
func (k *KCP) await(ctx context.Context, condition string, check func() (bool, error)) error {
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
			return fmt.Errorf("waiting until %s: kcp exited: %w", condition, k.process.Err())
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w (%w)", condition, ctx.Err(), err)
		}
	}
}

// freePorts returns unreserved free ports of 127.0.0.1: kcp cannot listen on a reserved one.
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
