package arena

import (
	"context"
	"errors"
	"os"

	"github.com/upstreamd/upstreamd/bench/measure"
	"github.com/upstreamd/upstreamd/bench/scenario"
	"github.com/upstreamd/upstreamd/bench/subject"
	"github.com/upstreamd/upstreamd/sandbox"
)

// openSandbox starts a kube-apiserver and its etcd to be upstream. Clients reach it directly.
func openSandbox(ctx context.Context, s scenario.Scenario) (*existing, error) {
	const workspace = "root:bench"
	var others []int
	if s.Apart { // servers start where this process is
		cores, err := measure.Available()
		if err != nil {
			return nil, err
		}
		if len(cores) < 2 {
			return nil, errors.New("apart: there is one core only")
		}
		if err := measure.Cores(os.Getpid(), cores[0]); err != nil {
			return nil, err
		}
		others = cores[1:]
	}
	started, err := sandbox.Start(ctx, sandbox.Options{Workspaces: []string{workspace}})
	if err != nil {
		return nil, err
	}
	stop := func() { _ = started.Stop() } // leftovers die with this process
	if s.Apart {
		if err := measure.Cores(os.Getpid(), others...); err != nil {
			stop()
			return nil, err
		}
	}
	server := started.Workspace(workspace).APIServer
	config := server.Config()
	r, err := openReal(ctx, s, subject.Server{URL: config.Host, Token: config.BearerToken, CA: config.CAData})
	if err != nil {
		stop()
		return nil, err
	}
	r.pid, r.stop = server.PID(), stop
	return r, nil
}
