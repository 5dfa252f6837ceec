// Package binaries finds etcd and kube-apiserver for the sandbox, and builds missing ones from their Go modules.
//
// It uses the folder in KUBEBUILDER_ASSETS if set (the layout of setup-envtest), else a cache folder outside the checkout, named
// by versions and platform. The first call with an empty cache builds them, which takes 6 to 10 minutes without Go's build
// cache; concurrent calls wait for it.
package binaries

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	// AssetsEnv is the environment variable with the folder of etcd and kube-apiserver.
	AssetsEnv = "KUBEBUILDER_ASSETS"
	// CacheEnv is the environment variable with the cache folder for built programs; default: the user's cache folder.
	CacheEnv = "UPSTREAMD_CACHE"
)

// programs are the required files of a folder.
var programs = []string{"etcd", "kube-apiserver"}

// Find returns the folder of etcd and kube-apiserver, and builds missing ones. It reports the progress of the build to
// progress. It must be called from inside a checkout unless KUBEBUILDER_ASSETS is set.
func Find(ctx context.Context, progress io.Writer) (string, error) {
	if assets := os.Getenv(AssetsEnv); assets != "" {
		if err := complete(assets); err != nil {
			return "", fmt.Errorf("%s: %w", AssetsEnv, err)
		}
		return filepath.Abs(assets)
	}
	servers, err := serversModule(".")
	if err != nil {
		return "", err
	}
	wanted, err := readVersions(filepath.Join(servers, "go.mod"))
	if err != nil {
		return "", err
	}
	cache, err := cacheFolder()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, wanted.folder())
	if complete(dir) == nil {
		return dir, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("creating the cache folder: %w", err)
	}
	unlock, err := lock(ctx, dir+".lock", progress)
	if err != nil {
		return "", err
	}
	defer unlock()
	if complete(dir) == nil { // another process built them while this call waited
		return dir, nil
	}
	if err := build(ctx, servers, steps(wanted), dir, progress); err != nil {
		return "", err
	}
	return dir, nil
}

// complete returns nil if dir holds every program as an executable file.
func complete(dir string) error {
	var missing []error
	for _, program := range programs {
		path := filepath.Join(dir, program)
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing = append(missing, fmt.Errorf("%s is missing", path))
		case err != nil:
			missing = append(missing, err)
		case info.IsDir() || info.Mode()&0o111 == 0:
			missing = append(missing, fmt.Errorf("%s is not an executable file", path))
		}
	}
	return errors.Join(missing...)
}

func cacheFolder() (string, error) {
	if dir := os.Getenv(CacheEnv); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder for the servers, set %s: %w", CacheEnv, err)
	}
	return filepath.Join(dir, "upstreamd"), nil
}
