// Package binaries finds the programs that the sandbox runs, etcd and kube-apiserver, and builds them from their Go modules
// where there are none yet.
//
// They come from the folder in KUBEBUILDER_ASSETS if that is set (setup-envtest leaves them so), else from a cache folder
// outside the checkout, named by versions and platform. The first call that finds the cache empty builds them, which takes
// 6 to 10 minutes without Go's build cache; others that call meanwhile wait for it.
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
	// AssetsEnv names the environment variable with a folder that holds etcd and kube-apiserver.
	AssetsEnv = "KUBEBUILDER_ASSETS"
	// CacheEnv names the environment variable with the folder to keep built programs in, instead of the user's cache folder.
	CacheEnv = "UPSTREAMD_CACHE"
)

// programs are the files that a folder must hold.
var programs = []string{"etcd", "kube-apiserver"}

// Find returns the folder that holds etcd and kube-apiserver, after building them if need be. What it builds, and that it still
// does, is written to progress. It must be called from inside a checkout unless KUBEBUILDER_ASSETS is set.
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
		return "", fmt.Errorf("making the cache folder: %w", err)
	}
	unlock, err := lock(ctx, dir+".lock", progress)
	if err != nil {
		return "", err
	}
	defer unlock()
	if complete(dir) == nil { // somebody else built them while this call waited
		return dir, nil
	}
	if err := build(ctx, servers, steps(wanted), dir, progress); err != nil {
		return "", err
	}
	return dir, nil
}

// complete returns nil if dir holds every program, executable.
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
		return "", fmt.Errorf("no folder to keep the servers in, set %s: %w", CacheEnv, err)
	}
	return filepath.Join(dir, "upstreamd"), nil
}
