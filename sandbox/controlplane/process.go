package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// StopGrace is how long a process may take over SIGTERM before it is killed.
const StopGrace = 10 * time.Second

// Process is a child process that cannot outlive this one: the kernel kills it when the thread that started it ends, and that
// thread does nothing but wait for it.
type Process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended and was waited for
	err  error         // how it ended; to be read after done
}

// StartProcess starts a program whose standard output and standard error are appended to the file log.
func StartProcess(log, program string, args ...string) (*Process, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", program, err)
	}
	defer file.Close()

	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = file, file
	cmd.SysProcAttr = dieWithParent()
	process := &Process{name: filepath.Base(program), log: log, cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go process.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", program, err)
	}
	return process, nil
}

// run starts and waits on one thread: Linux sends the parent-death signal when the thread that forked ends, not the process.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	p.err = p.cmd.Wait()
	close(p.done)
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Log is the file that holds what the process printed.
func (p *Process) Log() string { return p.log }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

func (p *Process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Err says how the process ended: nil for exit status 0, and while it runs.
func (p *Process) Err() error {
	if p.ended() {
		return p.err
	}
	return nil
}

// Signal sends a signal. A process that has ended takes it without complaint.
func (p *Process) Signal(signal syscall.Signal) error {
	err := p.cmd.Process.Signal(signal)
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %v to %s: %w", signal, p.name, err)
	}
	return nil
}

// Kill ends the process with SIGKILL and returns when it is gone.
func (p *Process) Kill() {
	_ = p.Signal(syscall.SIGKILL) // refused only when it has ended already
	<-p.done
}

// Stop asks the process to end (SIGTERM; a paused process is resumed for it) and kills it after StopGrace or when ctx ends.
func (p *Process) Stop(ctx context.Context) {
	_ = p.Signal(syscall.SIGTERM)
	_ = p.Signal(syscall.SIGCONT)
	timer := time.NewTimer(StopGrace)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
	case <-ctx.Done():
	}
	p.Kill()
}

// Tail is the end of the process's log, at most limit bytes of it.
func (p *Process) Tail(limit int) string {
	content, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(content[max(0, len(content)-limit):])
}
