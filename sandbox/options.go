package sandbox

import (
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/upstreamd/upstreamd/sandbox/controlplane"
)

// DefaultCluster is the logical cluster that SyncTargets live in unless an option says otherwise.
const DefaultCluster = "root:infra"

// Options say what to start. Each workspace and each SyncTarget is a kube-apiserver of its own: 280 MB, and about 2 s of one core.
type Options struct {
	Workspaces  []string // names or paths, such as root:team-a
	SyncTargets []string // names, such as us-east1
	Cluster     string   // logical cluster of the SyncTargets; empty: DefaultCluster

	Users []controlplane.User // who may come in besides the administrator, everywhere
	RBAC  bool                // authorize by RBAC; else every user may do everything

	APIServerArgs map[string]string // kube-apiserver flags without their dashes, added to every API server's

	Dir      string    // for data, logs and kubeconfigs, kept at the end; empty: a temporary folder, removed at the end
	Binaries string    // the folder of etcd and kube-apiserver; empty: as binaries.Find finds or builds them
	Progress io.Writer // says what is built, if it has to be; nil: standard error
}

var (
	workspaceName  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(:[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
	syncTargetName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
)

func (o Options) validate() error {
	var errs []error
	for _, name := range o.Workspaces {
		if !workspaceName.MatchString(name) {
			errs = append(errs, fmt.Errorf("workspace %q: want a name or a path of names joined by colons", name))
		}
	}
	for _, name := range o.SyncTargets {
		if !syncTargetName.MatchString(name) {
			errs = append(errs, fmt.Errorf("SyncTarget %q: want lower case letters, digits and dashes", name))
		}
	}
	return errors.Join(errs...)
}
