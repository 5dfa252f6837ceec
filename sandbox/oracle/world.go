package oracle

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/upstreamd/upstreamd/sandbox/topology"
)

// cluster holds the objects of one API server, by "namespace/name".
type cluster struct {
	namespaces  []corev1.Namespace
	deployments map[string]*appsv1.Deployment
	pods        map[string]*corev1.Pod
	services    map[string]*corev1.Service
}

// syncTarget holds the objects of a physical cluster, and the map from upstream namespaces to its own.
type syncTarget struct {
	topology.SyncTarget
	cluster
	locations map[place]string // upstream → namespace here, from the namespaces' locators
}

// place is an upstream namespace.
type place struct{ workspace, namespace string }

func read(ctx context.Context, config *rest.Config) (cluster, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return cluster{}, err
	}
	namespaces, err := client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return cluster{}, err
	}
	deployments, err := client.AppsV1().Deployments("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return cluster{}, err
	}
	pods, err := client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return cluster{}, err
	}
	services, err := client.CoreV1().Services("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return cluster{}, err
	}
	return cluster{
		namespaces:  namespaces.Items,
		deployments: byName[*appsv1.Deployment](deployments.Items),
		pods:        byName[*corev1.Pod](pods.Items),
		services:    byName[*corev1.Service](services.Items),
	}, nil
}

func byName[P interface {
	*T
	metav1.Object
}, T any](items []T) map[string]P {
	named := map[string]P{}
	for n := range items {
		o := P(&items[n])
		named[o.GetNamespace()+"/"+o.GetName()] = o
	}
	return named
}

func readSyncTarget(ctx context.Context, t topology.SyncTarget) (*syncTarget, error) {
	content, err := read(ctx, t.Config)
	if err != nil {
		return nil, fmt.Errorf("reading SyncTarget %s: %w", t.Name, err)
	}
	s := &syncTarget{SyncTarget: t, cluster: content, locations: map[place]string{}}
	for _, namespace := range content.namespaces {
		text, ok := namespace.Annotations["kcp.io/namespace-locator"]
		if !ok {
			continue
		}
		var locator struct {
			SyncTarget struct{ Name, Cluster string }
			Cluster    string
			Namespace  string
		}
		if err := json.Unmarshal([]byte(text), &locator); err != nil {
			continue // a forged or malformed locator maps no namespace
		}
		if locator.SyncTarget.Name == t.Name && locator.SyncTarget.Cluster == t.Cluster {
			s.locations[place{locator.Cluster, locator.Namespace}] = namespace.Name
		}
	}
	return s, nil
}

// copyOf finds the copy of an upstream object among objects of its kind.
func copyOf[P metav1.Object](s *syncTarget, among map[string]P, workspace string, upstream metav1.Object) (found P, ok bool) {
	namespace, located := s.locations[place{workspace, upstream.GetNamespace()}]
	if !located {
		namespace = "kcp-" + strings.ReplaceAll(workspace, ":", "-") + "-" + upstream.GetNamespace() // the prefix style
	}
	found, ok = among[namespace+"/"+upstream.GetName()]
	return found, ok
}

// placed reports whether the upstream object's labels place it on the SyncTarget.
func (s *syncTarget) placed(upstream metav1.Object) bool {
	sum := sha256.Sum224([]byte(s.Cluster + ":" + s.Name))
	key := new(big.Int).SetBytes(sum[:]).Text(62)
	return upstream.GetLabels()["state.workload.kcp.io/"+key] == "Sync"
}

// caughtUp reports whether a copy's controller has observed the current spec of the upstream object.
func caughtUp(upstream, down metav1.Object, observed int64) bool {
	if text, ok := down.GetAnnotations()["upstreamd.dev/upstream-generation"]; ok {
		stems, err := strconv.ParseInt(text, 10, 64)
		if err != nil || stems != upstream.GetGeneration() {
			return false
		}
	}
	return observed >= down.GetGeneration()
}
