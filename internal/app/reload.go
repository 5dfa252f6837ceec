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

	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/internal/config"
	"github.com/upstreamd/upstreamd/internal/kube/client"
)

// wish is what of the configuration may change while the daemon runs.
type wish struct {
	targets   []configuredTarget
	resources []config.Resource
}

// configuredTarget is a SyncTarget of the configuration with its kubeconfig.
type configuredTarget struct {
	config.SyncTarget
	config  *rest.Config
	content []byte
}

// readWish reads the kubeconfigs of the SyncTargets, and makes a client of each to see that it can be made.
func (a *App) readWish(c *config.Configuration) (*wish, error) {
	w := &wish{resources: c.Resources}
	var errs []error
	for i, t := range c.SyncTargets {
		content, err := os.ReadFile(t.Kubeconfig)
		var cfg *rest.Config
		if err == nil {
			cfg, err = client.FromKubeconfig(t.Kubeconfig, t.Context)
		}
		if err == nil {
			var made *client.Conn
			if made, err = client.New(cfg, client.Options{}); err == nil {
				made.Close()
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("syncTargets[%d].kubeconfig: %w", i, err))
		}
		w.targets = append(w.targets, configuredTarget{t, cfg, append(content, t.Context...)})
	}
	return w, errors.Join(errs...)
}

// configurationFile is followed while the daemon runs. It looks at contents rather than at times of change: those lie where a file
// is mounted from a ConfigMap or Secret.
type configurationFile struct {
	app     *App
	name    string
	settled [sha256.Size]byte // what was last taken up, or refused
	pending [sha256.Size]byte // what was seen once: it may be half written
}

// Follow has Run follow the configuration in a file, which is the one that New was given: SyncTargets and resources are changed as the
// file changes, and the kubeconfigs that it names. It is looked at every 2 s, and at once when hurry says so. It is called before Run.
func (a *App) Follow(name string, hurry <-chan os.Signal) {
	a.file = &configurationFile{app: a, name: name}
	a.hurry = hurry
}

// follow looks at the file again and again until ctx ends.
func (f *configurationFile) follow(ctx context.Context, every time.Duration, hurry <-chan os.Signal) {
	f.settled = f.digest(f.app.wish.Load())
	f.pending = f.settled
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.look(false)
		case <-hurry:
			f.app.log.Info().Str("file", f.name).Msg("reading the configuration again, as told")
			f.look(true)
		}
	}
}

// digest stands for the contents of the file, and of the kubeconfigs of the SyncTargets in force.
func (f *configurationFile) digest(w *wish) [sha256.Size]byte {
	names := []string{f.name}
	for _, t := range w.targets {
		names = append(names, t.Kubeconfig)
	}
	var all bytes.Buffer
	for _, name := range names {
		content, err := os.ReadFile(name)
		fmt.Fprintf(&all, "%s %d %s %v\n", name, len(content), content, err)
	}
	return sha256.Sum256(all.Bytes())
}

// look takes up what is new, once it was seen twice in a row: nobody is writing it just now. What is wrong is said once, and the last
// good configuration stays.
func (f *configurationFile) look(now bool) {
	seen := f.digest(f.app.wish.Load())
	twice := now || seen == f.pending
	f.pending = seen
	if !twice || seen == f.settled && !now {
		return
	}
	c, err := config.Load(f.name)
	var next *wish
	if err == nil {
		next, err = f.app.readWish(c)
	}
	if err != nil {
		f.settled = seen
		f.app.log.Error().Err(err).Str("file", f.name).Msg("the configuration is wrong now; the last good one stays in force")
		return
	}
	if fixed := fixedFields(f.app.config, c); len(fixed) > 0 {
		f.app.log.Warn().Strs("fields", fixed).Str("file", f.name).Msg("changes of these fields take effect at the next start")
	}
	f.app.takeWish(next)
	f.settled = f.digest(next) // it may name other kubeconfigs
	f.pending = f.settled
	f.app.log.Info().Str("file", f.name).Int("sync_targets", len(next.targets)).Int("resources", len(next.resources)).Msg("the configuration was read again")
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

// takeWish puts a wish in force.
func (a *App) takeWish(next *wish) {
	a.wish.Store(next)
	nudge(a.reloaded)
}
