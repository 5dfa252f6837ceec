package simulator

import (
	"context"
	"fmt"
	"math/rand/v2"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

type services struct{}

func (services) informer(f informers.SharedInformerFactory) cache.SharedIndexInformer {
	return f.Core().V1().Services().Informer()
}

func (services) list(ctx context.Context, c kubernetes.Interface, selector string) ([]object, error) {
	list, err := c.CoreV1().Services("").List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, err
	}
	return pointers[*corev1.Service](list.Items), nil
}

func (services) get(ctx context.Context, c kubernetes.Interface, namespace, name string) (object, error) {
	return c.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
}

func (services) write(ctx context.Context, c kubernetes.Interface, o object) (object, error) {
	return c.CoreV1().Services(o.GetNamespace()).UpdateStatus(ctx, o.(*corev1.Service), metav1.UpdateOptions{})
}

// next gives a load balancer its addresses, removes one, or restores it. Other Services have no status to simulate.
func (services) next(current object, _ *rand.Rand, _ metav1.Time) object {
	before := current.(*corev1.Service)
	if before.Spec.Type != corev1.ServiceTypeLoadBalancer {
		return nil
	}
	all := addresses(before)
	s := before.DeepCopy()
	if n := len(before.Status.LoadBalancer.Ingress); n < len(all) {
		s.Status.LoadBalancer.Ingress = all[:n+1]
	} else {
		s.Status.LoadBalancer.Ingress = all[:n-1]
	}
	return s
}

// rest restores all addresses.
func (services) rest(current object, _ metav1.Time) object {
	before := current.(*corev1.Service)
	all := addresses(before)
	if before.Spec.Type != corev1.ServiceTypeLoadBalancer || len(before.Status.LoadBalancer.Ingress) == len(all) {
		return nil
	}
	s := before.DeepCopy()
	s.Status.LoadBalancer.Ingress = all
	return s
}

// addresses returns two addresses unique to this Service, and a host name shared by its copies in all SyncTargets.
func addresses(s *corev1.Service) []corev1.LoadBalancerIngress {
	mode := corev1.LoadBalancerIPModeVIP
	return []corev1.LoadBalancerIngress{
		{IP: fmt.Sprintf("198.51.100.%d", 1+fate(s, 127)), IPMode: &mode},
		{IP: fmt.Sprintf("198.51.100.%d", 128+fate(s, 127)), IPMode: &mode},
		{Hostname: s.Name + ".example.com"},
	}
}
