package copier

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

var everything = labels.Everything()

// behind returns an error that names an outdated copy, and nil if there is none. It lists the workspaces directly, since the
// watches may lag.
func (c *Copier) behind(ctx context.Context) (error, error) {
	c.mu.Lock()
	targets := make([]*target, 0, len(c.targets))
	for _, t := range c.targets {
		targets = append(targets, t)
	}
	c.mu.Unlock()

	upstream := map[item]bool{}
	for _, s := range c.sources {
		for _, resource := range c.options.Resources {
			list, err := s.client.Resource(resource).List(ctx, metav1.ListOptions{})
			if err != nil {
				return nil, fmt.Errorf("listing %s of workspace %s: %w", resource.Resource, s.workspace, err)
			}
			for n := range list.Items {
				object := &list.Items[n]
				i := item{source: s, resource: resource, namespace: object.GetNamespace(), name: object.GetName()}
				upstream[i] = true
				for _, t := range targets {
					wanted := applied{}
					if t.wants(object) {
						p, err := t.plan(i, object)
						if err != nil {
							return nil, err
						}
						wanted = applied{uid: object.GetUID(), digest: p.digest}
					}
					if copied, known := t.copyOf(i); !known || copied != wanted {
						return fmt.Errorf("%v on %s", i, t.Name), nil
					}
				}
			}
		}
	}
	for _, t := range targets {
		if left := t.leftover(upstream); left != nil {
			return left, nil
		}
	}
	return nil, nil
}

// leftover returns an error that names a copy of a deleted object.
func (t *target) leftover(upstream map[item]bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, copied := range t.copies {
		if copied != (applied{}) && !upstream[i] {
			return fmt.Errorf("%v on %s, to be deleted", i, t.Name)
		}
	}
	return nil
}
