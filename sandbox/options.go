package sandbox

import (
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/upstreamd/upstreamd/sandbox/controlplane"
)

// DefaultCluster is the default logical cluster of SyncTargets.
const DefaultCluster = "root:infra"

// Options select the servers to start. Each workspace and each SyncTarget is a separate kube-apiserver: 280 MB, and about 2 s of one core.
type Options struct {
	Workspaces  []string // names or paths, such as root:team-a
	SyncTargets []string // names, such as us-east1
	Cluster     string   // logical cluster of the SyncTargets; empty: DefaultCluster

	Users []controlplane.User // users of all servers besides the administrator
	RBAC  bool                // authorize by RBAC; else every user may do everything

	APIServerArgs map[string]string // kube-apiserver flags without their dashes, added to every API server's

	Dir      string    // for data, logs and kubeconfigs, kept on stop; empty: a temporary folder, removed on stop
	Binaries string    // the folder of etcd and kube-apiserver; empty: from binaries.Find
	Progress io.Writer // progress of builds; nil: standard error
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
