package app

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/internal/kube/client"
)

// access is the content of a kubeconfig.
type access struct {
	config  *rest.Config
	context string
	files   []string // the kubeconfig, and the certificates and keys that it names; none in a Pod
	content []byte   // of all of them, and the context
}

// readAccess reads a kubeconfig with the certificates and keys that it names. A file of a token is not among them: client-go reads that
// again by itself.
func readAccess(file, context string) (access, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return access{}, err
	}
	cfg, err := client.FromKubeconfig(file, context)
	if err != nil {
		return access{}, err
	}
	files := []string{file}
	for _, name := range []string{cfg.CertFile, cfg.KeyFile, cfg.CAFile} {
		if name != "" {
			files = append(files, name)
		}
	}
	if err := rest.LoadTLSFiles(cfg); err != nil {
		return access{}, fmt.Errorf("kubeconfig %s: %w", file, err)
	}
	content = bytes.Join([][]byte{content, []byte(context), cfg.CertData, cfg.KeyData, cfg.CAData}, []byte{0})
	return access{config: cfg, context: context, files: files, content: content}, nil
}

// accessTo is the access of the Pod's service account, or of a kubeconfig.
func accessTo(inCluster bool, file, context string) (access, error) {
	if inCluster {
		cfg, err := rest.InClusterConfig()
		return access{config: cfg}, err
	}
	return readAccess(file, context)
}

// ownAccess is the daemon's at a server that the configuration names beside the SyncTargets.
type ownAccess struct {
	access
	field string // of the configuration
	renew func(*rest.Config) error
}

// keepRenewed has the credentials of a kubeconfig renewed when they change. Those of a Pod's service account are renewed by client-go.
func (a *App) keepRenewed(field string, read access, renew func(*rest.Config) error) {
	if len(read.files) > 0 {
		a.own = append(a.own, &ownAccess{read, field, renew})
	}
}

// renewOwn takes the daemon's own credentials that are others now. Those that cannot be taken leave the last good ones in force.
func (a *App) renewOwn() (renewed bool, err error) {
	var failed []error
	for _, own := range a.own {
		next, err := readAccess(own.files[0], own.context)
		if err == nil && !bytes.Equal(next.content, own.content) {
			if err = own.renew(next.config); err == nil {
				own.access, renewed = next, true
				a.log.Info().Str("field", own.field).Msg("the credentials were renewed")
			}
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", own.field, err))
		}
	}
	return renewed, errors.Join(failed...)
}
