package controlplane

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
)

// Etcd is one running etcd shared by all API servers, each with its own prefix. It does not sync to disk: its data survive a
// killed API server, not a crash of the machine.
type Etcd struct {
	*server
	url string
}

// StartEtcd starts etcd and returns when it serves. Its data and log are in the folder dir.
func StartEtcd(ctx context.Context, binaries, dir string) (*Etcd, error) {
	client, err := reservePort()
	if err != nil {
		return nil, err
	}
	url := fmt.Sprintf("http://127.0.0.1:%d", client.Number)
	args := []string{
		"--data-dir=" + filepath.Join(dir, "etcd"),
		"--listen-client-urls=" + url,
		"--advertise-client-urls=" + url,
		"--listen-peer-urls=http://127.0.0.1:0",
		"--socket-reuse-port=true",
		"--unsafe-no-fsync=true",
		"--quota-backend-bytes=8589934592",
		"--log-level=warn",
	}
	server := &server{
		program: filepath.Join(binaries, "etcd"),
		args:    args,
		log:     filepath.Join(dir, "etcd.log"),
		port:    client,
		ready:   func(ctx context.Context) error { return get(ctx, http.DefaultClient, url+"/readyz", "") },
	}
	if err := server.Start(ctx); err != nil {
		server.port.release()
		return nil, err
	}
	return &Etcd{server: server, url: url}, nil
}
