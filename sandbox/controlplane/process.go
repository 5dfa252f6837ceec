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

// StopGrace is the time between SIGTERM and SIGKILL.
const StopGrace = 10 * time.Second

// Process is a child process that cannot outlive this one: the kernel kills it when the thread that started it ends, and that
// thread only waits for it.
type Process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has exited and was reaped
	err  error         // the exit error; valid after done
}

// StartProcess starts a program and appends its standard output and standard error to the file log.
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

// run starts and waits on one thread: Linux sends the parent-death signal when the forking thread ends, not the process.
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

// Log is the path of the process's output.
func (p *Process) Log() string { return p.log }

// Done is closed when the process has exited.
func (p *Process) Done() <-chan struct{} { return p.done }

func (p *Process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Err is the exit error: nil for exit status 0, and while the process runs.
func (p *Process) Err() error {
	if p.ended() {
		return p.err
	}
	return nil
}

// Signal sends a signal. After the process has exited it does nothing.
func (p *Process) Signal(signal syscall.Signal) error {
	err := p.cmd.Process.Signal(signal)
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %v to %s: %w", signal, p.name, err)
	}
	return nil
}

// Kill sends SIGKILL and returns when the process has exited.
func (p *Process) Kill() {
	_ = p.Signal(syscall.SIGKILL) // fails only if it has exited already
	<-p.done
}

// Stop sends SIGTERM (and SIGCONT to a paused process) and SIGKILL after StopGrace or when ctx ends.
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

// Tail returns the last limit bytes of the process's log.
func (p *Process) Tail(limit int) string {
	content, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(content[max(0, len(content)-limit):])
}
