package main

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"

	"github.com/upstreamd/upstreamd/sandbox/copier"
	"github.com/upstreamd/upstreamd/sandbox/topology"
)

var (
	workspaceNames  = []string{"root:team-a", "root:team-b"}
	syncTargetNames = []string{"ap-south1", "eu-west1", "us-east1"}
	namespaceNames  = []string{"shop", "backend"}

	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	pods        = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	services    = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	resources   = []schema.GroupVersionResource{deployments, pods, services}
)

// populate creates the users' objects: Deployments, and for every sixth of them a Pod and a Service, placed on one, two or
// all SyncTargets.
func populate(ctx context.Context, workspaces []topology.Workspace, targets []topology.SyncTarget, count int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for _, w := range workspaces {
		client, err := kubernetes.NewForConfig(w.Config)
		if err != nil {
			return fmt.Errorf("workspace %s: %w", w.Name, err)
		}
		for _, name := range namespaceNames {
			namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
			if _, err := client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
				return fmt.Errorf("workspace %s: %w", w.Name, err)
			}
		}
		for n := range count {
			if workspaces[n%len(workspaces)].Name != w.Name {
				continue
			}
			n /= len(workspaces) // index within this workspace
			namespace := namespaceNames[n%len(namespaceNames)]
			labels := copier.Placement(choose(targets, n)...)
			group.Go(func() error {
				if err := create(ctx, client, namespace, n, labels); err != nil {
					return fmt.Errorf("workspace %s: %w", w.Name, err)
				}
				return nil
			})
		}
	}
	return group.Wait()
}

// choose places most objects everywhere, the others on all but one SyncTarget, or on one.
func choose(targets []topology.SyncTarget, n int) []topology.SyncTarget {
	at := n % len(targets)
	switch n % 5 {
	case 3:
		return append(append([]topology.SyncTarget{}, targets[:at]...), targets[at+1:]...)
	case 4:
		return targets[at : at+1]
	}
	return targets
}

func create(ctx context.Context, client kubernetes.Interface, namespace string, n int, placement map[string]string) error {
	name := fmt.Sprintf("app-%02d", n)
	meta := metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}}
	for key, value := range placement {
		meta.Labels[key] = value
	}
	spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "registry.example.com/" + name + ":1"}}}
	_, err := client.AppsV1().Deployments(namespace).Create(ctx, &appsv1.Deployment{
		ObjectMeta: meta,
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(2 + n%5)),
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}}, Spec: spec},
		},
	}, metav1.CreateOptions{})
	if err != nil || n%6 != 0 {
		return err
	}
	if _, err := client.CoreV1().Pods(namespace).Create(ctx, &corev1.Pod{ObjectMeta: meta, Spec: spec}, metav1.CreateOptions{}); err != nil {
		return err
	}
	_, err = client.CoreV1().Services(namespace).Create(ctx, &corev1.Service{
		ObjectMeta: meta,
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, Selector: map[string]string{"app": name}, Ports: []corev1.ServicePort{{Port: 80}},
		},
	}, metav1.CreateOptions{})
	return err
}
