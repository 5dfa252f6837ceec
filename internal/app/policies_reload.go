package app

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/internal/policy"
)

// policyFolder reloads the policies of a folder while the daemon runs. It compares contents rather than modification times, which are
// wrong in a mounted ConfigMap, where all files are swapped at once.
type policyFolder struct {
	directory string
	reloads   *prometheus.CounterVec
	log       zerolog.Logger

	current atomic.Pointer[policy.Set]
	changed chan struct{} // capacity 1: current is another one

	good    map[string]string // the files that current was made of
	settled folderView        // the last state that was applied, or refused
	pending folderView        // a state that was read once: it may be half written
}

// folderView is the folder's content at one time.
type folderView struct {
	files map[string]string // contents by name
	err   error
}

func (v folderView) equal(other folderView) bool {
	text := func(err error) string {
		if err == nil {
			return ""
		}
		return err.Error()
	}
	return maps.Equal(v.files, other.files) && text(v.err) == text(other.err)
}

// openPolicyFolder reads the policies. Those of an empty folder name are the built-in ones.
func openPolicyFolder(directory string, reloads *prometheus.CounterVec, log zerolog.Logger) (*policyFolder, error) {
	f := &policyFolder{directory: directory, reloads: reloads, log: log, changed: make(chan struct{}, 1)}
	files, err := readPolicyFolder(directory)
	if err != nil {
		return nil, err
	}
	set, err := compilePolicies(files)
	if err != nil {
		return nil, err
	}
	f.current.Store(set)
	f.good, f.settled, f.pending = files, folderView{files: files}, folderView{files: files}
	return f, nil
}

// follow reads the folder periodically until ctx ends.
func (f *policyFolder) follow(ctx context.Context, every time.Duration) {
	if f.directory == "" {
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.check()
		}
	}
}

// check applies the folder's content if it is new, and the same as at the last check: it is not being written then. Mistakes are logged
// once, and the last good policies stay.
func (f *policyFolder) check() {
	files, err := readPolicyFolder(f.directory)
	seen := folderView{files, err}
	twice := seen.equal(f.pending)
	f.pending = seen
	if !twice || seen.equal(f.settled) {
		return
	}
	f.settled = seen
	set := (*policy.Set)(nil)
	if err == nil {
		set, err = compilePolicies(files)
	}
	switch {
	case err != nil:
		f.reloads.WithLabelValues("error").Inc()
		f.log.Error().Err(err).Msg("the policies are wrong now; the last good ones stay")
	case maps.Equal(files, f.good):
		f.log.Info().Msg("the policies are again the ones in force")
	default:
		f.reloads.WithLabelValues("ok").Inc()
		f.log.Info().Strs("files", differentNames(f.good, files)).Int("policies", len(set.All())).
			Msg("the policies have changed; every object is decided again")
		f.good = files
		f.current.Store(set)
		select {
		case f.changed <- struct{}{}:
		default:
		}
	}
}

// differentNames are the files that were added, changed or removed.
func differentNames(before, now map[string]string) []string {
	var names []string
	for name, content := range now {
		if old, ok := before[name]; !ok || old != content {
			names = append(names, name)
		}
	}
	for name := range before {
		if _, ok := now[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
