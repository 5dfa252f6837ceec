package app

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/upstreamd/upstreamd/internal/config"
	"github.com/upstreamd/upstreamd/internal/kube/client"
	"github.com/upstreamd/upstreamd/internal/kube/discovery"
	"github.com/upstreamd/upstreamd/internal/kube/downstream"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// surveyTimeout bounds discovery at one server.
const surveyTimeout = 10 * time.Second

// excludedByDefault are kinds that "*" does not stand for: they are about the API server that serves them, which keeps their status itself. They
// can be named explicitly.
var excludedByDefault = []config.Exclusion{
	{Group: "", Resource: "namespaces"}, {Group: "", Resource: "nodes"}, {Group: "events.k8s.io", Resource: config.Any},
	{Group: "admissionregistration.k8s.io", Resource: config.Any}, {Group: "apiextensions.k8s.io", Resource: config.Any},
	{Group: "apiregistration.k8s.io", Resource: config.Any}, {Group: "certificates.k8s.io", Resource: config.Any},
	{Group: "flowcontrol.apiserver.k8s.io", Resource: config.Any}, {Group: "internal.apiserver.k8s.io", Resource: config.Any},
	{Group: "storagemigration.k8s.io", Resource: config.Any},
	{Group: "apis.kcp.io", Resource: config.Any}, {Group: "core.kcp.io", Resource: config.Any}, {Group: "tenancy.kcp.io", Resource: config.Any},
	{Group: "topology.kcp.io", Resource: config.Any}, {Group: "cache.kcp.io", Resource: config.Any},
	{Group: "workload.kcp.io", Resource: config.Any}, {Group: "scheduling.kcp.io", Resource: config.Any},
}

// survey holds the kinds that servers serve, by server. One that did not answer is missing.
type survey struct {
	upstream, targets map[string][]discovery.Kind
	err               error // of those that did not answer
}

// kindReconciler knows which kinds the wildcards stand for. It belongs to one goroutine.
type kindReconciler struct {
	log     zerolog.Logger
	known   survey
	chosen  map[kindName]ref.Resource
	missing map[kindName]bool // chosen kinds that the newest survey lacked for the first time
	fresh   bool              // a survey was taken that choose has not used
	alone   string            // the kinds without a status, as last logged
}

// kindName is a kind in any version.
type kindName struct{ group, resource string }

func newKindReconciler(log zerolog.Logger) *kindReconciler {
	return &kindReconciler{
		log:   log,
		known: survey{upstream: map[string][]discovery.Kind{}, targets: map[string][]discovery.Kind{}}, chosen: map[kindName]ref.Resource{}, missing: map[kindName]bool{},
	}
}

// take adds a survey: a server that did not answer keeps its kinds.
func (k *kindReconciler) take(s survey, present []string) {
	k.fresh = true
	maps.Copy(k.known.upstream, s.upstream)
	maps.Copy(k.known.targets, s.targets)
	maps.DeleteFunc(k.known.targets, func(name string, _ []discovery.Kind) bool { return !slices.Contains(present, name) })
}

// choose returns the resources to watch: those that are named, and those that the wildcards stand for.
func (k *kindReconciler) choose(resources []config.Resource) map[ref.Resource]bool {
	out := map[ref.Resource]bool{}
	named := map[kindName]bool{}
	var wildcards []config.Resource
	for _, r := range resources {
		if r.Wildcard() {
			wildcards = append(wildcards, r)
			continue
		}
		out[ref.Resource{Group: r.Group, Version: r.Version, Resource: r.Resource}] = true
		named[kindName{r.Group, r.Resource}] = true
	}
	possible, alone := k.possible()
	matches := func(n kindName, _ []ref.Resource) bool {
		return !named[n] && slices.ContainsFunc(wildcards, func(w config.Resource) bool { return covers(w, n) })
	}
	maps.DeleteFunc(possible, func(n kindName, v []ref.Resource) bool { return !matches(n, v) })
	maps.DeleteFunc(alone, func(n kindName, v []ref.Resource) bool { return !matches(n, v) })
	k.sayAlone(alone)
	k.settle(possible, func(n kindName) bool { return matches(n, nil) })
	for _, r := range k.chosen {
		out[r] = true
	}
	return out
}

// settle chooses a version of each possible kind, and keeps the choice as long as it is possible. A kind that is missing is kept until
// the next survey lacks it, too: an API server that has just started may not know all of its kinds.
func (k *kindReconciler) settle(possible map[kindName][]ref.Resource, meant func(kindName) bool) {
	fresh := k.fresh
	k.fresh = false
	for n, r := range k.chosen {
		switch {
		case !meant(n):
			delete(k.chosen, n)
			delete(k.missing, n)
		case slices.Contains(possible[n], r):
			delete(k.missing, n)
		case !fresh:
		case k.missing[n] || len(possible[n]) > 0: // gone, or served in other versions only
			delete(k.chosen, n)
			delete(k.missing, n)
		default:
			k.missing[n] = true
		}
	}
	for n, versions := range possible {
		if _, ok := k.chosen[n]; !ok {
			k.chosen[n] = versions[0]
		}
	}
}

// possible are the versions of each kind that upstream serves with a status and a SyncTarget serves at all, in upstream's order; alone
// are the kinds that both serve without a status upstream.
func (k *kindReconciler) possible() (possible, alone map[kindName][]ref.Resource) {
	below := map[ref.Resource]bool{}
	for _, kinds := range k.known.targets {
		for _, kind := range kinds {
			below[kind.Resource] = below[kind.Resource] || kind.Watched
		}
	}
	possible, alone = map[kindName][]ref.Resource{}, map[kindName][]ref.Resource{}
	for _, place := range slices.Sorted(maps.Keys(k.known.upstream)) {
		for _, kind := range k.known.upstream[place] {
			n := kindName{kind.Group, kind.Resource.Resource}
			into := possible
			if !kind.Status {
				into = alone
			}
			if kind.Watched && below[kind.Resource] && !slices.Contains(into[n], kind.Resource) {
				into[n] = append(into[n], kind.Resource)
			}
		}
	}
	maps.DeleteFunc(alone, func(n kindName, _ []ref.Resource) bool { return possible[n] != nil })
	return possible, alone
}

func (k *kindReconciler) sayAlone(alone map[kindName][]ref.Resource) {
	var names []string
	for n := range alone {
		names = append(names, strings.TrimSuffix(n.resource+"."+n.group, "."))
	}
	slices.Sort(names)
	if text := strings.Join(names, ","); text != k.alone {
		k.alone = text
		k.log.Info().Strs("kinds", names).Msg("left alone: upstream has no status subresource for these kinds")
	}
}

// covers reports whether a wildcard stands for a kind.
func covers(w config.Resource, n kindName) bool {
	if w.Group != config.Any && w.Group != n.group {
		return false
	}
	return !slices.ContainsFunc(slices.Concat(excludedByDefault, w.Exclude), func(e config.Exclusion) bool {
		return (e.Group == config.Any || e.Group == n.group) && (e.Resource == config.Any || e.Resource == n.resource)
	})
}

// recovered calls a server from a goroutine without recover: a panic is an error.
func recovered[T any](ctx context.Context, call func(context.Context) (T, error)) (answer T, err error) {
	err = client.Recover(func() (err error) { answer, err = call(ctx); return err })
	return answer, err
}

// survey asks upstream and the SyncTargets which kinds they serve.
func (a *App) survey(ctx context.Context, clients map[string]*downstream.Client) survey {
	out := survey{targets: map[string][]discovery.Kind{}}
	var mu sync.Mutex
	var asked sync.WaitGroup
	turns := make(chan struct{}, 16)
	for name, c := range clients {
		asked.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			limited, cancel := context.WithTimeout(ctx, surveyTimeout) // from its turn on: servers that hang use up no time of the others
			defer cancel()
			kinds, err := recovered(limited, c.Kinds)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				out.targets[name] = kinds
			} else {
				out.err = cmp.Or(out.err, fmt.Errorf("SyncTarget %s: %w", name, err))
			}
		})
	}
	limited, cancel := context.WithTimeout(ctx, surveyTimeout)
	defer cancel()
	kinds, err := recovered(limited, a.upstream.Kinds)
	asked.Wait()
	out.upstream = kinds
	if err != nil {
		out.err = fmt.Errorf("upstream: %w", err)
	}
	return out
}
