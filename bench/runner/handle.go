package runner

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/upstreamd/upstreamd/bench/baselines/world"
	"github.com/upstreamd/upstreamd/bench/measure"
	"github.com/upstreamd/upstreamd/bench/subject"
)

// handle is a subject that runs, here or in a process of its own.
type handle interface {
	usage() measure.Usage
	heap() (bytes int64, err error) // that live, after the garbage was collected
	slots() int                     // calls at a time that it found to be enough; 0: it does not look
	stop(context.Context)
}

func (a *attempt) begin(ctx context.Context) (handle, error) {
	if w, here := a.arena.World(); here {
		w.OnError = a.failed
		s, err := subject.Start(ctx, a.name, w)
		return local{s, a}, err
	}
	return startRemote(a.Self, a.name, a.arena.Spec())
}

const stopWithin = 20 * time.Second

type local struct {
	world.Subject
	a *attempt
}

func (l local) usage() measure.Usage { return measure.Self() }

func (l local) heap() (int64, error) { return measure.LiveHeap(), nil }

func (l local) slots() int { return slots(l.Subject) }

func slots(s world.Subject) int {
	if adaptive, ok := s.(world.Adaptive); ok {
		return adaptive.Slots()
	}
	return 0
}

func (l local) stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	if err := l.Stop(ctx); err != nil {
		l.a.failed(err)
	}
}

// remote is a subject in a process of its own. It is asked by lines on its standard input.
type remote struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Scanner
	stopped bool
	last    measure.Usage
}

func startRemote(self, name string, spec subject.Spec) (handle, error) {
	encoded, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "subject", name) //nolint:gosec // ourselves
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r := &remote{cmd: cmd, in: in, out: bufio.NewScanner(out)}
	if answer, err := r.ask(string(encoded)); err != nil || answer != "started" {
		return nil, fmt.Errorf("subject %s: %s %w", name, answer, err)
	}
	return r, nil
}

func (r *remote) ask(line string) (string, error) {
	if _, err := fmt.Fprintln(r.in, line); err != nil {
		return "", err
	}
	if !r.out.Scan() {
		return "", errEnded
	}
	return r.out.Text(), nil
}

func (r *remote) usage() measure.Usage {
	if u, err := measure.Process(r.cmd.Process.Pid); err == nil {
		r.last = u
	}
	return r.last
}

func (r *remote) heap() (int64, error) {
	answer, err := r.ask("heap")
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(answer, 10, 64)
}

func (r *remote) slots() int {
	answer, err := r.ask("slots")
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(answer)
	return n
}

func (r *remote) stop(context.Context) {
	if r.stopped {
		return
	}
	r.stopped = true
	_ = r.in.Close()
	timer := time.AfterFunc(stopWithin, func() { _ = r.cmd.Process.Kill() })
	defer timer.Stop()
	_ = r.cmd.Wait() // killed or not, it is gone
}

// ServeSubject runs in the process of a subject: it reads a Spec, starts, and answers until its input ends.
func ServeSubject(ctx context.Context, name string, in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	if !lines.Scan() {
		return errEnded
	}
	var spec subject.Spec
	if err := json.Unmarshal(lines.Bytes(), &spec); err != nil {
		return fmt.Errorf("the spec: %w", err)
	}
	if err := spec.Connect(); err != nil {
		return err
	}
	told := 0
	spec.OnError = func(err error) {
		if told++; told < 5 {
			fmt.Fprintln(os.Stderr, strings.TrimSpace(err.Error()))
		}
	}
	s, err := subject.Start(ctx, name, spec.World)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "started")
	for lines.Scan() {
		switch lines.Text() {
		case "heap":
			fmt.Fprintln(out, measure.LiveHeap())
		case "slots":
			fmt.Fprintln(out, slots(s))
		default:
			return fmt.Errorf("asked %q", lines.Text())
		}
	}
	end, cancel := context.WithTimeout(ctx, stopWithin/2)
	defer cancel()
	return s.Stop(end)
}
