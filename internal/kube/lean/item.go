package lean

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// item gives an object the methods that the reflector calls: for a key, a resourceVersion and a bookmark's annotation.
type item struct {
	metav1.Object // answers for all other metadata, with nothing
	object        *ref.Object
	version       string // never empty: the reflector would watch from the beginning
	initialEnd    bool
}

func newItem(o *ref.Object, version string) *item {
	return &item{Object: noMetadata, object: o, version: version}
}

// noMetadata is shared by all items and never written.
var noMetadata metav1.Object = &metav1.ObjectMeta{}

// GetNamespace holds the workspace too. The reflector keys the objects of a streaming list by namespace and name; without it those
// of the same name in several workspaces would be one key, and the others would count as deleted.
func (i *item) GetNamespace() string {
	if i.object.Workspace == "" {
		return i.object.Namespace
	}
	return string(i.object.Workspace) + "|" + i.object.Namespace
}

func (i *item) GetName() string            { return i.object.Name }
func (i *item) GetResourceVersion() string { return i.version }

func (i *item) GetAnnotations() map[string]string {
	if i.initialEnd {
		return map[string]string{metav1.InitialEventsAnnotationKey: "true"}
	}
	return nil
}

func (i *item) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

func (i *item) DeepCopyObject() runtime.Object {
	c := *i
	return &c
}

// list is a whole list as the reflector wants it.
type list struct {
	metav1.TypeMeta
	metav1.ListMeta
	Items []*item
}

func newList(page Page) *list {
	l := &list{Items: make([]*item, len(page.Objects))}
	l.ResourceVersion = page.ResourceVersion
	for i, o := range page.Objects {
		l.Items[i] = newItem(o, o.ResourceVersion)
	}
	return l
}

func (l *list) DeepCopyObject() runtime.Object {
	c := *l
	return &c
}
