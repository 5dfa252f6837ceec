package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/upstreamd/upstreamd/internal/config"
	"github.com/upstreamd/upstreamd/internal/kube/client"
)

// desired is the part of the configuration that may change while the daemon runs.
type desired struct {
	targets   []configuredTarget
	resources []config.Resource
}

// configuredTarget is a SyncTarget of the configuration with its kubeconfig.
type configuredTarget struct {
	config.SyncTarget
	access
}

// sameFiles reports whether two wishes for the same SyncTargets are made of the same kubeconfigs.
func (w *desired) sameFiles(other *desired) bool {
	return slices.EqualFunc(w.targets, other.targets, func(a, b configuredTarget) bool { return bytes.Equal(a.content, b.content) })
}

// readDesired reads the kubeconfigs of the SyncTargets, and makes a client of each to see that it can be made.
func (a *App) readDesired(c *config.Configuration) (*desired, error) {
	w := &desired{resources: c.Resources}
	var errs []error
	for i, t := range c.SyncTargets {
		read, err := readAccess(t.Kubeconfig, t.Context)
		if err == nil {
			var made *client.Conn
			if made, err = client.New(read.config, client.Options{}); err == nil {
				made.Close()
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("syncTargets[%d].kubeconfig: %w", i, err))
		}
		w.targets = append(w.targets, configuredTarget{t, read})
	}
	errs = append(errs, refuseConfiguredDoubles(w.targets)...)
	return w, errors.Join(errs...)
}

// configurationFile is followed while the daemon runs. It compares contents rather than times of change, which are wrong where a file
// is mounted from a ConfigMap or Secret.
type configurationFile struct {
	app     *App
	name    string
	read    *config.Configuration // the last valid content of the file
	taken   *config.Configuration // the one with the SyncTargets and resources in force
	settled [sha256.Size]byte     // the last content that was applied, or refused; zero: unknown
	pending [sha256.Size]byte     // a content that was read once: it may be half written
	again   time.Time             // when mistakes are checked again; zero: there were none

	stale, wrong string // the errors of credentials, and of the rest, as last logged; empty: none
}

// Follow has Run follow the configuration in a file, which is the one that New was given: SyncTargets and resources are changed as the
// file changes, and credentials as the kubeconfigs that it names do. The file is read every 2 s, and at once at a signal from reload. Follow
// is called before Run.
func (a *App) Follow(name string, reload <-chan os.Signal) {
	a.file = &configurationFile{app: a, name: name, read: a.config, taken: a.config}
	a.reload = reload
}

// follow reads the file periodically until ctx ends.
func (f *configurationFile) follow(ctx context.Context, every time.Duration, reload <-chan os.Signal) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.check(false)
		case <-reload:
			f.app.log.Info().Str("file", f.name).Msg("reading the configuration again, by signal")
			f.check(true)
		}
	}
}

// digest stands for the contents of the file, and of the kubeconfigs in force with the certificates and keys that they name.
func (f *configurationFile) digest() [sha256.Size]byte {
	names := []string{f.name}
	for _, own := range f.app.own {
		names = append(names, own.files...)
	}
	for _, t := range f.app.desired.Load().targets {
		names = append(names, t.files...)
	}
	var all bytes.Buffer
	for _, name := range names {
		content, err := os.ReadFile(name)
		fmt.Fprintf(&all, "%s %d %s %v\n", name, len(content), content, err)
	}
	return sha256.Sum256(all.Bytes())
}

// check applies a change once it was read twice in a row: the file is not being written then. Mistakes are logged once, and the last good
// configuration stays in force; it is checked again, because files may appear that are not followed yet.
func (f *configurationFile) check(told bool) {
	seen := f.digest()
	twice := seen == f.pending
	f.pending = seen
	due := seen != f.settled || !f.again.IsZero() && !time.Now().Before(f.again)
	if !told && (!twice || !due) {
		return
	}
	renewed, stale := f.app.renewOwn()
	taken, wrong := f.take()
	f.settled, f.again = seen, time.Time{}
	if renewed || taken {
		f.settled = [sha256.Size]byte{} // files were read after they were seen, and others may be named now: they are compared once more
	}
	if stale != nil || wrong != nil {
		f.again = time.Now().Add(f.app.pace.mend)
	}
	if wrong == nil && (taken || told || f.wrong != "") {
		w := f.app.desired.Load()
		f.app.log.Info().Str("file", f.name).Int("sync_targets", len(w.targets)).Int("resources", len(w.resources)).Msg("the configuration was read again")
	}
	f.complain(&f.stale, stale, told, "credentials cannot be renewed and stay as they are; another server takes effect at the next start")
	f.complain(&f.wrong, wrong, told, "the configuration is wrong now; the last good one stays in force")
}

// complain logs an error that differs from the last one, and any error if a signal asked for it.
func (f *configurationFile) complain(before *string, err error, told bool, what string) {
	if err != nil && (told || *before != errorText(err)) {
		f.app.log.Error().Err(err).Str("file", f.name).Msg(what)
	}
	*before = errorText(err)
}

// whole are fields that must change together with syncTargets and resources: otherwise, a SyncTarget that moves from the file to
// syncTargetDiscovery would be removed, and its contributions withdrawn.
var whole = []string{"upstream", "syncTargetDiscovery", "locators", "syncAgent"}

// take applies the content of the file and of the SyncTargets' kubeconfigs, if it changed. Credentials are
// renewed even if the file is wrong, or has to wait for the next start.
func (f *configurationFile) take() (taken bool, err error) {
	c, wrong := config.Load(f.name)
	if wrong != nil {
		c = f.read
	}
	wanted := c
	fixed := fixedFields(f.app.config, c)
	waits := slices.ContainsFunc(fixed, func(field string) bool { return slices.Contains(whole, field) })
	if wrong != nil || waits {
		wanted = f.taken
	}
	next, err := f.app.readDesired(wanted)
	if wrong == nil {
		wrong = err
	}
	other := !reflect.DeepEqual(c, f.read)
	if err != nil || !other && next.sameFiles(f.app.desired.Load()) {
		return false, wrong
	}
	if other && len(fixed) > 0 {
		what := "changes of these fields take effect at the next start"
		if waits {
			what += ", and those of syncTargets and resources with them"
		}
		f.app.log.Warn().Strs("fields", fixed).Str("file", f.name).Msg(what)
	}
	f.read, f.taken = c, wanted
	f.app.setDesired(next)
	return true, wrong
}

// fixedFields are the fields that differ and cannot change while the daemon runs.
func fixedFields(running, now *config.Configuration) []string {
	var fields []string
	a, b := reflect.ValueOf(*running), reflect.ValueOf(*now)
	for i := range a.NumField() {
		name, _, _ := strings.Cut(a.Type().Field(i).Tag.Get("json"), ",")
		if name != "syncTargets" && name != "resources" && !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			fields = append(fields, name)
		}
	}
	slices.Sort(fields)
	return fields
}

// setDesired puts a desired in force.
func (a *App) setDesired(next *desired) {
	a.desired.Store(next)
	signal(a.reloaded)
}
