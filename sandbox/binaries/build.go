package binaries

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
)

// step builds one program.
type step struct {
	program string
	module  string // the package to build
	version string
	ldflags string
	takes   string // duration without Go's build cache, for the progress message
}

func steps(v versions) []step {
	const stripped = "-s -w"
	return []step{
		{program: "etcd", module: etcdModule, version: v.Etcd, ldflags: stripped, takes: "about 1 minute"},
		{program: "kube-apiserver", module: kubernetesModule + "/cmd/kube-apiserver", version: v.Kubernetes,
			ldflags: stripped + versionFlags(v.Kubernetes), takes: "6 to 10 minutes"},
	}
}

// versionFlags set kube-apiserver's version; the default is v0.0.0-master, which clients distrust.
func versionFlags(version string) string {
	major, minor, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ = strings.Cut(minor, ".")
	var flags strings.Builder
	for _, set := range []string{"gitVersion=" + version, "gitMajor=" + major, "gitMinor=" + minor, "gitTreeState=clean"} {
		flags.WriteString(" -X k8s.io/component-base/version." + set)
	}
	return flags.String()
}

// build builds every program in a temporary folder and renames it to dir, so that dir is either complete or absent.
func build(ctx context.Context, servers string, steps []step, dir string, progress io.Writer) error {
	making, err := os.MkdirTemp(filepath.Dir(dir), ".making-")
	if err != nil {
		return fmt.Errorf("building the servers: %w", err)
	}
	defer os.RemoveAll(making)
	for _, s := range steps {
		if err := s.run(ctx, servers, making, progress); err != nil {
			return err
		}
	}
	if err := os.Chmod(making, 0o755); err != nil {
		return fmt.Errorf("building the servers: %w", err)
	}
	if err := os.RemoveAll(dir); err != nil { // dir is incomplete
		return fmt.Errorf("building the servers: %w", err)
	}
	if err := os.Rename(making, dir); err != nil {
		return fmt.Errorf("building the servers: %w", err)
	}
	return nil
}

func (s step) run(ctx context.Context, servers, to string, progress io.Writer) error {
	fmt.Fprintf(progress, "building %s %s from its Go module, once: %s, less with a warm Go build cache\n", s.program, s.version, s.takes)
	stop := showElapsed(progress, s.program)
	defer stop()
	started := time.Now()

	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", "build", "-C", servers, "-trimpath", "-ldflags", s.ldflags, "-o", filepath.Join(to, s.program), s.module)
	cmd.Stdout, cmd.Stderr = &output, &output
	// The go command starts compilers and linkers: kill the process group when ctx ends.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	// Build the module alone, without the user's go.work and flags.
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly -buildvcs=false")
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", s.program, err, output.Bytes())
	}
	stop()
	fmt.Fprintf(progress, "built %s in %d s\n", s.program, int(time.Since(started).Seconds()))
	return nil
}

// showElapsed prints the elapsed time until stop is called: in place every second on a terminal, else as a line every 30 s.
// stop may be called more than once.
func showElapsed(progress io.Writer, program string) (stop func()) {
	every, format, end := 30*time.Second, "building %s: %d s\n", ""
	if file, ok := progress.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		every, format, end = time.Second, "\r\x1b[Kbuilding %s: %d s", "\r\x1b[K"
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		started := time.Now()
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				fmt.Fprintf(progress, format, program, int(time.Since(started).Seconds()))
			case <-ctx.Done():
				fmt.Fprint(progress, end)
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
