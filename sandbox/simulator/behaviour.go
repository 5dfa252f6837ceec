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

// object is what the simulator drives: *appsv1.Deployment, *corev1.Pod or *corev1.Service.
type object interface {
	metav1.Object
	runtime.Object
}

// behaviour knows one kind. Objects that it is given are not changed.
type behaviour interface {
	informer(informers.SharedInformerFactory) cache.SharedIndexInformer
	list(ctx context.Context, client kubernetes.Interface, selector string) ([]object, error)
	get(ctx context.Context, client kubernetes.Interface, namespace, name string) (object, error)
	write(ctx context.Context, client kubernetes.Interface, changed object) (object, error)

	// next is the object after its next step; nil: it has none.
	next(current object, dice *rand.Rand, now metav1.Time) object
	// rest is the object in the state in which it stays once the load has ended; nil: it is in it.
	rest(current object, now metav1.Time) object
}

func behaviours() []behaviour { return []behaviour{deployments{}, pods{}, services{}} }

// clock gives times as API servers store them.
func clock() metav1.Time { return metav1.NewTime(time.Now().Truncate(time.Second)) }

// fate is a number below n that stays the same for an object.
func fate(o metav1.Object, n uint32) uint32 {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(o.GetUID())) // never fails
	return hash.Sum32() % n
}
