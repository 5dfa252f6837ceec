package simulator

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// object is a *appsv1.Deployment, *corev1.Pod or *corev1.Service.
type object interface {
	metav1.Object
	runtime.Object
}

// behaviour simulates one kind. It does not modify its arguments.
type behaviour interface {
	informer(informers.SharedInformerFactory) cache.SharedIndexInformer
	list(ctx context.Context, client kubernetes.Interface, selector string) ([]object, error)
	get(ctx context.Context, client kubernetes.Interface, namespace, name string) (object, error)
	write(ctx context.Context, client kubernetes.Interface, changed object) (object, error)

	// next returns the object after its next step, or nil if it has none.
	next(current object, dice *rand.Rand, now metav1.Time) object
	// rest returns the object in its final state after the load, or nil if it is in that state.
	rest(current object, now metav1.Time) object
}

func behaviours() []behaviour { return []behaviour{deployments{}, pods{}, services{}} }

// clock returns times with the precision of API servers.
func clock() metav1.Time { return metav1.NewTime(time.Now().Truncate(time.Second)) }

// fate returns a number below n that is constant for an object.
func fate(o metav1.Object, n uint32) uint32 {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(o.GetUID())) // never fails
	return hash.Sum32() % n
}
