package memapi

import (
	"bytes"
	"fmt"
	"maps"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// place is the part of the server that a request addresses: a logical cluster (its name, "*", or "" for the plain one), perhaps through an export's virtual
// workspace.
type place struct {
	cluster string
	export  *export // nil: directly
}

// kcp reports whether a place belongs to a kcp.
func (p place) kcp() bool { return p.cluster != "" }

// workspace reports whether a place is one logical cluster, addressed directly.
func (p place) workspace() bool { return p.kcp() && p.cluster != everywhere && p.export == nil }

// target is the object and subresource of a write, and its field manager.
type target struct {
	place
	namespace, name string
	status          bool // the status subresource
	verb            string
	manager         string // empty: managedFields stay as they are
}

func (t target) subresource() string {
	if t.status {
		return "status"
	}
	return ""
}

func (t target) write() Write {
	return Write{Verb: t.verb, Subresource: t.subresource(), Manager: t.manager}
}

// notFound is the answer for an object that is not there.
func (t *table) notFound(name string) error {
	return apierrors.NewNotFound(t.GroupVersionResource.GroupResource(), name)
}

func (t *table) conflict(name string, format string, args ...any) error {
	return apierrors.NewConflict(t.GroupVersionResource.GroupResource(), name, fmt.Errorf(format, args...))
}

func (t *table) invalid(name string, errs ...*field.Error) error {
	return apierrors.NewInvalid(t.GroupKind(), name, errs)
}

// create stores a new object.
func (s *Server) create(t *table, w target, body []byte) (*Object, warnings, error) {
	body, warned, err := t.normalise(body)
	if err != nil {
		return nil, nil, err
	}
	o, err := parse(body)
	if err != nil {
		return nil, nil, apierrors.NewBadRequest(err.Error())
	}
	if t.Status {
		if o.Status, err = t.firstStatus(); err != nil {
			return nil, nil, err
		}
	}
	if t.Namespaced && o.Meta.Namespace != "" && o.Meta.Namespace != w.namespace {
		return nil, nil, apierrors.NewBadRequest("the namespace of the provided object does not match the namespace sent on the request")
	}
	o.Meta.Namespace = w.namespace
	if t.Namespaced && !s.namespaceThere(w.cluster, w.namespace) {
		return nil, nil, apierrors.NewNotFound(namespaces.GroupResource(), w.namespace)
	}
	if err := s.born(t, w, o); err != nil {
		return nil, nil, err
	}
	if !s.commit(t, nil, o, w.write()) {
		return nil, nil, apierrors.NewAlreadyExists(t.GroupVersionResource.GroupResource(), o.Meta.Name)
	}
	return o, warned, nil
}

// born completes an object that is new, up to its resourceVersion.
func (s *Server) born(t *table, w target, o *Object) error {
	o.Cluster = w.cluster
	o.Meta.ResourceVersion = ""
	s.birth(t, o)
	if o.Meta.Name == "" {
		return t.invalid("", field.Required(field.NewPath("metadata", "name"), "name or generateName is required"))
	}
	if t.Typed {
		if errs := validate(t.Kind, nil, o); len(errs) > 0 {
			return t.invalid(o.Meta.Name, errs...)
		}
	}
	annotate(&o.Meta, w.cluster)
	var err error
	if o.Meta.ManagedFields, err = s.track(t, &Object{}, o, w); err != nil {
		return err
	}
	return o.seal(nil)
}

// update changes an object, and retries while other writes come first. change gets the stored version and returns the wanted one; fields
// that a client may not set are overruled. An update without a difference stores nothing.
func (s *Server) update(t *table, w target, change func(old *Object) (*Object, error)) (*Object, error) {
	for {
		old := s.lookup(t, w.cluster, w.namespace, w.name)
		if old == nil {
			return nil, t.notFound(w.name)
		}
		wanted, err := change(old)
		if err != nil {
			return nil, err
		}
		next := old.clone()
		if w.status || !t.Status {
			next.Status = wanted.Status
		}
		if !w.status {
			next.rest, next.Meta.OwnerReferences = wanted.rest, wanted.Meta.OwnerReferences
		}
		if !w.status || t.Typed && t.Kind != "Deployment" {
			next.Meta.Labels = wanted.Meta.Labels
		}
		if !w.status || t.Typed { // compiled-in kinds take metadata through their status, too
			next.Meta.Annotations, next.Meta.Finalizers = wanted.Meta.Annotations, wanted.Meta.Finalizers
			annotate(&next.Meta, w.cluster)
		}
		done, err := s.replace(t, w, old, next)
		if done != nil || err != nil {
			return done, err
		}
	}
}

// replace stores next in place of old, or deletes old once it is marked for deletion and has no finalizers. Nil: another write came first.
func (s *Server) replace(t *table, w target, old, next *Object) (*Object, error) {
	if t.Typed {
		if errs := validate(t.Kind, old, next); len(errs) > 0 {
			return nil, t.invalid(w.name, errs...)
		}
	}
	if next.sameAs(old) && (old.settled || old.Cluster == "") {
		return old, nil
	}
	next.settled = true
	if t.renumbers(old, next, w) {
		next.Meta.Generation++
	}
	var err error
	if next.Meta.ManagedFields, err = s.track(t, old, next, w); err != nil {
		return nil, err
	}
	if err := next.seal(old); err != nil {
		return nil, err
	}
	if next.Meta.DeletionTimestamp != nil && len(next.Meta.Finalizers) == 0 {
		return s.drop(t, old, w), nil
	}
	if !s.commit(t, old, next, w.write()) {
		return nil, nil
	}
	return next, nil
}

// renumbers reports whether a write bumps the generation.
func (t *table) renumbers(old, next *Object, w target) bool {
	switch {
	case t.Unnumbered:
		return false
	case !bytes.Equal(next.rest, old.rest), !t.Status && !bytes.Equal(next.Status, old.Status):
		return true
	case t.Typed && t.Kind == "Deployment" && !w.status && !maps.Equal(next.Meta.Annotations, old.Meta.Annotations):
		return true
	}
	return old.Meta.DeletionTimestamp == nil && next.Meta.DeletionTimestamp != nil
}

// drop deletes old unless it changed; then it returns nil.
func (s *Server) drop(t *table, old *Object, w target) *Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.get(old.Cluster, old.Meta.Namespace, old.Meta.Name) != old {
		return nil
	}
	return s.remove(t, old, w.write())
}

// replaceBy replaces an object, or its status, by the body of a PUT.
func (s *Server) replaceBy(t *table, w target, body []byte) (*Object, warnings, error) {
	body, warned, err := t.normalise(body)
	if err != nil {
		return nil, nil, err
	}
	sent, err := parse(body)
	if err != nil {
		return nil, nil, apierrors.NewBadRequest(err.Error())
	}
	if sent.Meta.Name != w.name {
		return nil, nil, errOtherName(sent.Meta.Name, w.name)
	}
	o, err := s.update(t, w, func(old *Object) (*Object, error) {
		if sent.Meta.UID != "" && sent.Meta.UID != old.Meta.UID {
			return nil, t.conflict(w.name, "Precondition failed: UID in precondition: %v, UID in object meta: %v", sent.Meta.UID, old.Meta.UID)
		}
		if sent.Meta.ResourceVersion == "" && !t.Typed {
			return nil, t.invalid(w.name, field.Invalid(field.NewPath("metadata", "resourceVersion"), 0, "must be specified for an update"))
		}
		return sent, t.fresh(old, sent.Meta.ResourceVersion)
	})
	return o, warned, err
}

func errOtherName(sent, asked string) error {
	return apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", sent, asked))
}

// fresh refuses a write that was decided on an older version.
func (t *table) fresh(old *Object, version string) error {
	if version != "" && version != old.Meta.ResourceVersion {
		return t.conflict(old.Meta.Name, "the object has been modified; please apply your changes to the latest version and try again")
	}
	return nil
}

// delete removes an object, or marks it if finalizers hold it.
func (s *Server) delete(t *table, w target, options metav1.DeleteOptions) (*Object, error) {
	for {
		old := s.lookup(t, w.cluster, w.namespace, w.name)
		if old == nil {
			return nil, t.notFound(w.name)
		}
		if p := options.Preconditions; p != nil {
			if p.UID != nil && *p.UID != old.Meta.UID {
				return nil, t.conflict(w.name, "Precondition failed: UID in precondition: %v, UID in object meta: %v", *p.UID, old.Meta.UID)
			}
			if p.ResourceVersion != nil && *p.ResourceVersion != old.Meta.ResourceVersion {
				return nil, t.conflict(w.name, "Precondition failed: ResourceVersion in precondition: %v, ResourceVersion in object meta: %v",
					*p.ResourceVersion, old.Meta.ResourceVersion)
			}
		}
		if len(old.Meta.Finalizers) > 0 && old.Meta.DeletionTimestamp != nil {
			return old, nil
		}
		next := old.clone()
		if len(old.Meta.Finalizers) > 0 {
			now, grace := metav1.Time{Time: s.now().Truncate(time.Second)}, int64(0)
			next.Meta.DeletionTimestamp, next.Meta.DeletionGracePeriodSeconds = &now, &grace
			done, err := s.replace(t, w, old, next)
			if done != nil || err != nil {
				return done, err
			}
		} else if gone := s.drop(t, old, w); gone != nil {
			return gone, nil
		}
	}
}
