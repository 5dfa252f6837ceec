package sim

import (
	"fmt"
	"slices"
	"strings"
)

// The statuses to be published in the end are calculated here from the SyncTargets' stores, without code of the product.

const summary = "upstreamd.dev/Aggregated"

// copied is the copy of an object in one placed SyncTarget.
type copied struct {
	target     int
	status     []byte
	generation int64 // of the upstream object, which the copy follows
}

func checkDeployment(want []copied, got []byte) error {
	var sum parsed
	worst := map[string]parsedCondition{}
	for _, c := range want {
		p := parse(c.status)
		sum.Replicas += p.Replicas
		sum.UpdatedReplicas += p.UpdatedReplicas
		sum.ReadyReplicas += p.ReadyReplicas
		sum.AvailableReplicas += p.AvailableReplicas
		sum.ObservedGeneration = c.generation
		for _, condition := range p.Conditions {
			if before, there := worst[condition.Type]; !there || before.Status == "True" {
				worst[condition.Type] = condition
			}
		}
	}
	is := parse(got)
	if is.Replicas != sum.Replicas || is.UpdatedReplicas != sum.UpdatedReplicas || is.ReadyReplicas != sum.ReadyReplicas ||
		is.AvailableReplicas != sum.AvailableReplicas {
		return fmt.Errorf("the sums are %v, published is %s", sum.Replicas, got)
	}
	if is.ObservedGeneration != sum.ObservedGeneration {
		return fmt.Errorf("all follow generation %d, published is %s", sum.ObservedGeneration, got)
	}
	for kind, condition := range worst {
		if is.condition(kind).Status != condition.Status {
			return fmt.Errorf("%s is %s somewhere, published is %s", kind, condition.Status, got)
		}
		if is.condition(kind).LastTransitionTime == "" {
			return fmt.Errorf("%s has no time: %s", kind, got)
		}
		if err := checkMessage(want, is.condition(kind)); err != nil {
			return fmt.Errorf("%w: %s", err, got)
		}
	}
	return checkSummary(len(want), is, got)
}

// checkMessage wants the message of a condition to hold the message of each SyncTarget that decides it, and if there are several, their names.
func checkMessage(want []copied, is parsedCondition) error {
	var deciding []copied
	for _, c := range want {
		if parse(c.status).condition(is.Type).Status == is.Status {
			deciding = append(deciding, c)
		}
	}
	for _, c := range deciding {
		reported := parse(c.status).condition(is.Type).Message
		if !strings.Contains(is.Message, reported) || len(deciding) > 1 && !strings.Contains(is.Message, targetName(c.target)) {
			return fmt.Errorf("SyncTarget %d reports %q for %s, published is %q", c.target, reported, is.Type, is.Message)
		}
	}
	return nil
}

func checkSummary(placed int, is parsed, got []byte) error {
	reported := is.condition(summary)
	if text := fmt.Sprintf("%d/%d SyncTargets reporting", placed, placed); reported.Status != "True" || !strings.HasPrefix(reported.Message, text) {
		return fmt.Errorf("the summary lacks %q: %s", text, got)
	}
	return nil
}

func checkService(want []copied, got []byte) error {
	var wanted, there []string
	for _, c := range want {
		for _, in := range parse(c.status).LoadBalancer.Ingress {
			wanted = append(wanted, in.IP)
		}
	}
	is := parse(got)
	for _, in := range is.LoadBalancer.Ingress {
		there = append(there, in.IP)
	}
	slices.Sort(wanted)
	slices.Sort(there)
	if !slices.Equal(wanted, there) {
		return fmt.Errorf("the addresses are %v, published is %s", wanted, got)
	}
	return checkSummary(len(want), is, got)
}

func checkPod(want []copied, got []byte) error {
	is := parse(got)
	for _, c := range want {
		p := parse(c.status)
		if p.PodIP == is.PodIP {
			if is.Phase != p.Phase || is.condition("Ready").Status != p.condition("Ready").Status || is.condition("Ready").Message != p.condition("Ready").Message {
				return fmt.Errorf("one SyncTarget reports %s, published is %s", c.status, got)
			}
			return checkSummary(len(want), is, got)
		}
	}
	return fmt.Errorf("no SyncTarget reports the published status: %s", got)
}

// checkEmpty is for objects of which no SyncTarget has a copy any more.
func checkEmpty(k *kind, got []byte) error {
	if is := parse(got); len(k.tokens(got)) > 0 || is.condition(summary).Type != "" {
		return fmt.Errorf("no SyncTarget has a copy, published is %s", got)
	}
	return nil
}

// wrong compares all published statuses with the expected ones. It returns one line for each object that differs.
func (w *world) wrong() []string {
	var lines []string
	for _, o := range w.objects {
		if w.denies(o) != 0 {
			continue
		}
		published, err := w.upstream.Cluster(o.workspace).Get(o.kind.resource, o.namespace, o.name)
		if err != nil {
			continue // it does not exist
		}
		var want []copied
		for _, i := range o.placed(w) {
			down, err := w.targets[i].server.Cluster("").Get(o.kind.resource, w.downNamespace(o, i), o.name)
			if err == nil {
				want = append(want, copied{i, down.Status, published.Meta.Generation})
			}
		}
		switch {
		case len(want) > 0:
			err = o.kind.check(want, published.Status)
		case !w.labelled(o) && len(w.bound(o.workspace)) > 0:
			err = checkEmpty(o.kind, published.Status)
		}
		if err != nil {
			lines = append(lines, fmt.Sprintf("%s: %v", o, err))
		}
	}
	return lines
}
