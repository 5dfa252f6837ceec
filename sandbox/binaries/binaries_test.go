package binaries

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFindUsesKubebuilderAssets(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(AssetsEnv, dir)
	_, err := Find(t.Context(), os.Stderr)
	for _, program := range programs {
		if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, program)+" is missing") {
			t.Errorf("an empty folder: got %v", err)
		}
	}
	write(t, filepath.Join(dir, "etcd"), "", 0o755)
	write(t, filepath.Join(dir, "kube-apiserver"), "", 0o644)
	if _, err := Find(t.Context(), os.Stderr); err == nil || !strings.Contains(err.Error(), "not an executable") {
		t.Errorf("a program that can't be run: got %v", err)
	}
	if err := os.Chmod(filepath.Join(dir, "kube-apiserver"), 0o755); err != nil {
		t.Fatal(err)
	}
	if found, err := Find(t.Context(), os.Stderr); err != nil || found != dir {
		t.Errorf("got %q, %v", found, err)
	}
}

func TestFindUsesTheCachedVersions(t *testing.T) {
	cache := t.TempDir()
	t.Setenv(AssetsEnv, "")
	t.Setenv(CacheEnv, cache)
	servers, err := serversModule(".")
	if err != nil {
		t.Fatal(err)
	}
	wanted, err := readVersions(filepath.Join(servers, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, strings.Join([]string{wanted.Kubernetes, wanted.Etcd, runtime.GOOS, runtime.GOARCH}, "-"))
	for _, program := range programs {
		write(t, filepath.Join(dir, program), "", 0o755)
	}
	var progress bytes.Buffer
	if found, err := Find(t.Context(), &progress); err != nil || found != dir || progress.Len() > 0 {
		t.Errorf("got %q, %v, printed %q", found, err, progress.String())
	}
}

func TestServersModuleIsFoundFromASubfolder(t *testing.T) {
	if found, err := serversModule(t.TempDir()); err == nil || !strings.Contains(err.Error(), AssetsEnv) {
		t.Errorf("outside a checkout: got %q, %v", found, err)
	}
}

func TestVersionFlags(t *testing.T) {
	const p = " -X k8s.io/component-base/version."
	want := p + "gitVersion=v1.37.2" + p + "gitMajor=1" + p + "gitMinor=37" + p + "gitTreeState=clean"
	if got := versionFlags("v1.37.2"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// tiny returns a module with programs that build quickly.
func tiny(t *testing.T) (servers string, ok, broken step) {
	servers = t.TempDir()
	write(t, filepath.Join(servers, "go.mod"), "module tiny\n\ngo 1.26.0\n", 0o644)
	write(t, filepath.Join(servers, "ok", "main.go"), "package main\n\nvar version = \"none\"\n\nfunc main() { println(version) }\n", 0o644)
	write(t, filepath.Join(servers, "broken", "main.go"), "package main\n\nfunc main() { undefined() }\n", 0o644)
	ok = step{program: "ok", module: "tiny/ok", version: "v1", ldflags: "-X main.version=v1", takes: "a second"}
	return servers, ok, step{program: "broken", module: "tiny/broken", version: "v1", takes: "a second"}
}

func TestBuildIsAtomic(t *testing.T) {
	servers, ok, broken := tiny(t)
	cache := t.TempDir()
	dir := filepath.Join(cache, "built")

	var progress bytes.Buffer
	err := build(t.Context(), servers, []step{ok, broken}, dir, &progress)
	if err == nil || !strings.Contains(err.Error(), "undefined: undefined") {
		t.Errorf("got %v, want the compiler's message", err)
	}
	if left, _ := os.ReadDir(cache); len(left) > 0 {
		t.Errorf("a failed build left %v", left)
	}

	if err := build(t.Context(), servers, []step{ok}, dir, &progress); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(filepath.Join(dir, "ok")).CombinedOutput(); err != nil || string(out) != "v1\n" {
		t.Errorf("the program prints %q, %v", out, err)
	}
	if left, _ := os.ReadDir(cache); len(left) != 1 {
		t.Errorf("the build left %v beside the result", left)
	}
	if want := "building ok v1 from its Go module, once: a second"; !strings.Contains(progress.String(), want) {
		t.Errorf("progress is %q, want %q in it", progress.String(), want)
	}
}

func TestCancelledBuildLeavesNoFiles(t *testing.T) {
	servers, ok, _ := tiny(t)
	cache := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := build(ctx, servers, []step{ok}, filepath.Join(cache, "built"), &bytes.Buffer{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(cache); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
}

func TestLockIsExclusive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), path, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	var progress bytes.Buffer
	impatient, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := lock(impatient, path, &progress); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second lock: got %v", err)
	}
	if !strings.Contains(progress.String(), "waiting") {
		t.Errorf("the wait was not reported: %q", progress.String())
	}
	unlock()
	again, err := lock(t.Context(), path, &progress)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}
