package binaries

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/mod/modfile"
)

const (
	kubernetesModule = "k8s.io/kubernetes"
	etcdModule       = "go.etcd.io/etcd/server/v3"
)

// versions are the server versions that sandbox/servers/go.mod requires, with the leading "v".
type versions struct {
	Kubernetes, Etcd string
}

func (v versions) folder() string {
	return strings.Join([]string{v.Kubernetes, v.Etcd, runtime.GOOS, runtime.GOARCH}, "-")
}

func readVersions(goMod string) (versions, error) {
	content, err := os.ReadFile(goMod)
	if err != nil {
		return versions{}, fmt.Errorf("reading the servers' versions: %w", err)
	}
	module, err := modfile.Parse(goMod, content, nil)
	if err != nil {
		return versions{}, fmt.Errorf("reading the servers' versions: %w", err)
	}
	var found versions
	for _, require := range module.Require {
		switch require.Mod.Path {
		case kubernetesModule:
			found.Kubernetes = require.Mod.Version
		case etcdModule:
			found.Etcd = require.Mod.Version
		}
	}
	if found.Kubernetes == "" || found.Etcd == "" {
		return versions{}, fmt.Errorf("%s requires %s %q and %s %q: require both", goMod, kubernetesModule, found.Kubernetes, etcdModule, found.Etcd)
	}
	return found, nil
}

// serversModule finds the folder sandbox/servers of the checkout around dir.
func serversModule(dir string) (string, error) {
	start, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for at := start; ; at = filepath.Dir(at) {
		servers := filepath.Join(at, "sandbox", "servers")
		_, err := os.Stat(filepath.Join(servers, "go.mod"))
		if err == nil {
			return servers, nil
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, os.ErrPermission) {
			return "", err
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("no sandbox/servers/go.mod above %s: run inside a checkout, or set %s to a folder with etcd and kube-apiserver", start, AssetsEnv)
		}
	}
}
