package app

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/upstreamd/upstreamd/internal/kube/client"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// reasonDuplicate is the reason of a SyncTarget that leads to the cluster of another one.
const reasonDuplicate = "DuplicateCluster"

// refuseDoubles refuses SyncTargets that lead to a cluster as a user that another SyncTarget has already: their objects would count
// twice. The first one stays: one of the configuration before an object, one that is in use before a new one, then by name. A refused
// one that is in use loses its connection, and its contributions stay; a new one is left out. It returns the other one of each.
func refuseDoubles(all map[ref.SyncTarget]wanted, inUse func(ref.SyncTarget) bool) map[ref.SyncTarget]ref.SyncTarget {
	names := slices.SortedFunc(maps.Keys(all), func(a, b ref.SyncTarget) int {
		return cmp.Or(
			cmp.Compare(oneIf(all[a].object), oneIf(all[b].object)),
			cmp.Compare(oneIf(!inUse(a)), oneIf(!inUse(b))),
			cmp.Compare(a, b),
		)
	})
	first, refused := map[string]ref.SyncTarget{}, map[ref.SyncTarget]ref.SyncTarget{}
	for _, name := range names {
		w := all[name]
		if w.err != nil || w.config == nil {
			continue
		}
		identity, err := client.Identity(w.config)
		if err != nil {
			continue // the connection reports it
		}
		other, taken := first[identity]
		if !taken {
			first[identity] = name
			continue
		}
		refused[name] = other
		if !inUse(name) {
			delete(all, name)
			continue
		}
		w.err, w.config, w.content = errDouble(other), nil, nil
		all[name] = w
	}
	return refused
}

func errDouble(other ref.SyncTarget) error {
	return fmt.Errorf("its kubeconfig leads to the cluster of the SyncTarget %s, as the same user: it would count twice; "+
		"give it a kubeconfig of its own, or remove it", other)
}

// refuseConfiguredDoubles is the same for the configuration, where it is an error.
func refuseConfiguredDoubles(targets []configuredTarget) []error {
	first := map[string]string{}
	var errs []error
	for i, t := range targets {
		if t.config == nil {
			continue
		}
		identity, err := client.Identity(t.config)
		if err != nil {
			continue // making the client reports it
		}
		if other, taken := first[identity]; taken {
			errs = append(errs, fmt.Errorf("syncTargets[%d].kubeconfig: %w", i, errDouble(ref.SyncTarget(other))))
			continue
		}
		first[identity] = t.Name
	}
	return errs
}
