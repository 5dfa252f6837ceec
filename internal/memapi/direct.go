package memapi

import (
	"bytes"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Cluster reads and writes one logical cluster from Go: for load generators and oracles. Its calls are not counted and have no faults.
// Its errors are the API errors that a request would get.
type Cluster struct {
	server  *Server
	cluster string
	manager string
}

// Cluster is a workspace by its name; "" is the plain one. Writes leave managedFields as they are, which is fast; see As.
func (s *Server) Cluster(name string) Cluster { return Cluster{server: s, cluster: name} }

// As writes under the name of a field manager.
func (c Cluster) As(manager string) Cluster {
	c.manager = manager
	return c
}

// Create stores a new object: bytes of JSON or a value that encodes to JSON. A resource with a status subresource begins without
// status.
func (c Cluster) Create(r schema.GroupVersionResource, object any) (*Object, error) {
	return c.whole(r, "create", object, c.server.create)
}

// Update replaces all but the status. With a resourceVersion in it, it is refused if the object changed since.
func (c Cluster) Update(r schema.GroupVersionResource, object any) (*Object, error) {
	return c.whole(r, "update", object, c.server.replaceBy)
}

func (c Cluster) whole(r schema.GroupVersionResource, verb string, object any, do writer) (*Object, error) {
	t, body, err := c.prepare(r, object)
	if err != nil {
		return nil, err
	}
	var head struct{ Metadata metav1.ObjectMeta }
	if err := json.Unmarshal(body, &head); err != nil {
		return nil, err
	}
	o, _, err := do(t, c.target(t, verb, head.Metadata.Namespace, head.Metadata.Name, false), body)
	return o, err
}

// UpdateStatus replaces the whole status by bytes of JSON or by a value that encodes to JSON.
func (c Cluster) UpdateStatus(r schema.GroupVersionResource, namespace, name string, status any) (*Object, error) {
	t, body, err := c.prepare(r, status)
	if err != nil {
		return nil, err
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, body); err != nil {
		return nil, err
	}
	if body, _, err = t.normaliseStatus(compact.Bytes()); err != nil {
		return nil, err
	}
	return c.server.update(t, c.target(t, "update", namespace, name, true), func(old *Object) (*Object, error) {
		next := old.clone()
		next.Status = body
		return next, nil
	})
}

// Patch applies a JSON merge patch to all but the status.
func (c Cluster) Patch(r schema.GroupVersionResource, namespace, name string, patch any) (*Object, error) {
	t, body, err := c.prepare(r, patch)
	if err != nil {
		return nil, err
	}
	o, _, err := c.server.patch(t, c.target(t, "patch", namespace, name, false), body)
	return o, err
}

// Delete removes an object, or marks it if finalizers hold it.
func (c Cluster) Delete(r schema.GroupVersionResource, namespace, name string) error {
	t, err := c.table(r)
	if err != nil {
		return err
	}
	_, err = c.server.delete(t, c.target(t, "delete", namespace, name, false), metav1.DeleteOptions{})
	return err
}

// Get is one object; a NotFound error if it is not there.
func (c Cluster) Get(r schema.GroupVersionResource, namespace, name string) (*Object, error) {
	t, err := c.table(r)
	if err != nil {
		return nil, err
	}
	o := c.server.lookup(t, c.cluster, namespace, name)
	if o == nil {
		return nil, t.notFound(name)
	}
	return o, nil
}

// List are all objects of a resource, in the order of their keys. The cluster "*" is all workspaces.
func (c Cluster) List(r schema.GroupVersionResource) ([]*Object, error) {
	t, err := c.table(r)
	if err != nil {
		return nil, err
	}
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	return t.find(scope{place: place{cluster: c.cluster}}), nil
}

func (c Cluster) prepare(r schema.GroupVersionResource, v any) (*table, []byte, error) {
	t, err := c.table(r)
	if err != nil {
		return nil, nil, err
	}
	if body, ok := v.([]byte); ok {
		return t, body, nil
	}
	body, err := json.Marshal(v)
	return t, body, err
}

func (c Cluster) table(r schema.GroupVersionResource) (*table, error) {
	c.server.mu.Lock()
	there := c.cluster == everywhere || c.server.there(c.cluster)
	c.server.mu.Unlock()
	if !there {
		return nil, fmt.Errorf("there is no logical cluster %q", c.cluster)
	}
	if t := c.server.stored(place{cluster: c.cluster}, r); t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("%s is not served in logical cluster %q", r.GroupResource(), c.cluster)
}

func (c Cluster) target(t *table, verb, namespace, name string, status bool) target {
	if !t.Namespaced {
		namespace = ""
	}
	return target{place: place{cluster: c.cluster}, namespace: namespace, name: name, status: status && t.Status, verb: verb, manager: c.manager}
}
