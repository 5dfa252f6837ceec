package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/upstreamd/upstreamd/sandbox/topology"
)

// scaleEvery is the interval at which a user scales a random Deployment of a workspace, which starts a roll-out in its SyncTargets.
const scaleEvery = 500 * time.Millisecond

// scale simulates the users until ctx ends.
func scale(ctx context.Context, workspaces []topology.Workspace, seed uint64) error {
	dice := rand.New(rand.NewPCG(seed, 2))
	tick := time.NewTicker(scaleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := scaleOne(ctx, workspaces[dice.IntN(len(workspaces))], dice); err != nil && ctx.Err() == nil {
				return fmt.Errorf("scaling a Deployment: %w", err)
			}
		}
	}
}

func scaleOne(ctx context.Context, w topology.Workspace, dice *rand.Rand) error {
	client, err := kubernetes.NewForConfig(w.Config)
	if err != nil {
		return err
	}
	namespace := namespaceNames[dice.IntN(len(namespaceNames))]
	all, err := client.AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{})
	if err != nil || len(all.Items) == 0 {
		return err
	}
	name := all.Items[dice.IntN(len(all.Items))].Name
	_, err = client.AppsV1().Deployments(namespace).UpdateScale(ctx, name, &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec:       autoscalingv1.ScaleSpec{Replicas: 1 + dice.Int32N(8)},
	}, metav1.UpdateOptions{})
	return err
}
