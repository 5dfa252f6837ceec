package oracle

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/upstreamd/upstreamd/sandbox/topology"
)

// Oracle checks workspaces against SyncTargets.
type Oracle struct {
	Workspaces  []topology.Workspace
	SyncTargets []topology.SyncTarget
}

// Check reads all objects and compares. It returns an error if an API server could not be read; the report lists mismatches.
func (o Oracle) Check(ctx context.Context) (Report, error) {
	targets := make([]*syncTarget, 0, len(o.SyncTargets))
	for _, t := range o.SyncTargets {
		s, err := readSyncTarget(ctx, t)
		if err != nil {
			return Report{}, err
		}
		targets = append(targets, s)
	}
	slices.SortFunc(targets, func(a, b *syncTarget) int { return strings.Compare(a.Name, b.Name) })

	report := &Report{}
	for _, w := range o.Workspaces {
		upstream, err := read(ctx, w.Config)
		if err != nil {
			return Report{}, fmt.Errorf("reading workspace %s: %w", w.Name, err)
		}
		each(report, "Deployment", w.Name, upstream.deployments, targets, deploymentsOf, checkDeployment)
		each(report, "Pod", w.Name, upstream.pods, targets, podsOf, checkPod)
		each(report, "Service", w.Name, upstream.services, targets, servicesOf, checkService)
	}
	return *report, nil
}

// contribution is the copy of one SyncTarget.
type contribution[P metav1.Object] struct {
	target string
	object P
}

// each checks all objects of one kind in one workspace that have copies.
func each[P metav1.Object](
	report *Report, kind, workspace string, objects map[string]P, targets []*syncTarget,
	of func(*syncTarget) map[string]P, check func(subject, P, []contribution[P], bool),
) {
	for _, name := range slices.Sorted(maps.Keys(objects)) {
		upstream := objects[name]
		if upstream.GetDeletionTimestamp() != nil {
			continue
		}
		labelled := slices.ContainsFunc(targets, func(t *syncTarget) bool { return t.placed(upstream) })
		complete := true
		var copies []contribution[P]
		for _, t := range targets {
			if labelled && !t.placed(upstream) {
				continue
			}
			down, ok := copyOf(t, of(t), workspace, upstream)
			if ok {
				copies = append(copies, contribution[P]{t.Name, down})
			} else if labelled {
				complete = false
			}
		}
		if len(copies) == 0 {
			continue
		}
		report.Checked++
		check(subject{report, Mismatch{
			Kind: kind, Workspace: workspace, Namespace: upstream.GetNamespace(), Name: upstream.GetName(),
		}}, upstream, copies, complete)
	}
}
