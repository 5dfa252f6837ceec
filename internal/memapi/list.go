package memapi

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

// scope selects the objects of a list or watch. Empty parts admit all.
type scope struct {
	place
	namespace, name string
	selector        labels.Selector
}

// matches ignores bindings: visible checks them.
func (s scope) matches(o *Object) bool {
	switch {
	case s.cluster != everywhere && s.cluster != o.Cluster,
		s.cluster == everywhere && o.Cluster == "",
		s.namespace != "" && s.namespace != o.Meta.Namespace,
		s.name != "" && s.name != o.Meta.Name,
		s.selector != nil && !s.selector.Matches(labels.Set(o.Meta.Labels)):
		return false
	}
	return true
}

// visible reports whether an object's logical cluster is bound to the export of the scope now.
func (s scope) visible(o *Object) bool { return s.export == nil || s.export.isBound(o.Cluster) }

// scope reads namespace, name and selectors of a list or watch.
func (x *exchange) scope() (scope, error) {
	s := scope{place: x.place, namespace: x.namespace}
	if text := x.query.Get("labelSelector"); text != "" {
		selector, err := labels.Parse(text)
		if err != nil {
			return s, apierrors.NewBadRequest(err.Error())
		}
		s.selector = selector
	}
	selector, err := fields.ParseSelector(x.query.Get("fieldSelector"))
	if err != nil {
		return s, apierrors.NewBadRequest(err.Error())
	}
	for _, r := range selector.Requirements() {
		switch {
		case r.Field == "metadata.name" && r.Operator != "!=":
			s.name = r.Value
		case r.Field == "metadata.namespace" && r.Operator != "!=" && (s.namespace == "" || s.namespace == r.Value):
			s.namespace = r.Value
		default:
			return s, apierrors.NewBadRequest(fmt.Sprintf("field label not supported: %s", r.Field))
		}
	}
	return s, nil
}

// pages are the lists that clients read page by page, as they were at the first page.
type pages struct {
	next  uint64
	lists map[uint64]page
}

type page struct {
	version uint64
	objects []*Object
}

// maxLists is how many lists are kept for clients that read them by page.
const maxLists = 1000

func (p *pages) keep(list page) uint64 {
	if p.lists == nil {
		p.lists = map[uint64]page{}
	}
	p.next++
	p.lists[p.next] = list
	delete(p.lists, p.next-maxLists)
	return p.next
}

// token is where the next page begins.
type token struct {
	List  uint64 `json:"list"`
	Start int    `json:"start"`
}

func (t token) String() string { return base64.RawURLEncoding.EncodeToString(encode(t)) }

func parseToken(text string) (t token, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(raw, &t)
	}
	if err != nil {
		err = apierrors.NewBadRequest(fmt.Sprintf("continue key is not valid: %v", err))
	}
	return t, err
}

func (x *exchange) list(t *table) error {
	limit, err := unsigned(x.query.Get("limit"))
	if err != nil {
		return err
	}
	list, at, err := x.find(t, int(limit)) //nolint:gosec // a page
	if err != nil {
		return err
	}
	meta := metav1.ListMeta{ResourceVersion: strconv.FormatUint(list.version, 10)}
	end := len(list.objects)
	if limit > 0 && end-at.Start > int(limit) { //nolint:gosec // a page
		end = at.Start + int(limit) //nolint:gosec // a page
		meta.Continue = token{List: at.List, Start: end}.String()
		if x.query.Get("labelSelector") == "" && x.query.Get("fieldSelector") == "" {
			remain := int64(len(list.objects) - end)
			meta.RemainingItemCount = &remain
		}
	}
	if err := x.begin(http.StatusOK, "application/json"); err != nil {
		return err
	}
	head := fmt.Sprintf(`{"kind":%q,"apiVersion":%q,"metadata":%s,"items":[`, t.Kind+"List", t.GroupVersion(), encode(meta))
	const chunk = 64 << 10
	b := append(make([]byte, 0, chunk), head...)
	for i, o := range list.objects[at.Start:end] {
		if i > 0 {
			b = append(b, ',')
		}
		if b = o.appendJSON(b, !t.Typed); len(b) >= chunk {
			if err := x.send(b); err != nil {
				return err
			}
			b = b[:0]
		}
	}
	return x.send(append(b, "]}\n"...))
}

// find is the list that was asked for, and where the page begins in it.
func (x *exchange) find(t *table, limit int) (page, token, error) {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	if text := x.query.Get("continue"); text != "" {
		at, err := parseToken(text)
		if err != nil {
			return page{}, at, err
		}
		list, kept := x.s.lists.lists[at.List]
		if !kept || at.Start > len(list.objects) {
			return page{}, at, apierrors.NewResourceExpired("The provided continue parameter is too old to display a consistent list result.")
		}
		return list, at, nil
	}
	scope, err := x.scope()
	if err != nil {
		return page{}, token{}, err
	}
	version, match := x.query.Get("resourceVersion"), x.query.Get("resourceVersionMatch")
	if match == "" && limit > 0 && version != "" && version != "0" {
		match = "Exact" // the meaning of a version beside a limit before resourceVersionMatch existed
	}
	if err := x.s.reached(version, match); err != nil {
		return page{}, token{}, err
	}
	list := page{version: x.s.version, objects: t.find(scope)}
	at := token{}
	if limit > 0 && len(list.objects) > limit {
		at.List = x.s.lists.keep(list)
	}
	return list, at, nil
}

// reached refuses lists of the future, and exact ones of the past, which is not kept.
func (s *Server) reached(version, match string) error {
	v, err := unsigned(version)
	if err != nil {
		return err
	}
	switch {
	case match != "" && version == "":
		return invalidOptions("resourceVersionMatch is forbidden unless resourceVersion is provided")
	case match != "" && !slices.Contains([]string{"Exact", "NotOlderThan"}, match):
		return invalidOptions("resourceVersionMatch: supported values: Exact, NotOlderThan")
	case v > s.version:
		late := apierrors.NewTimeoutError(fmt.Sprintf("Too large resource version: %d, current: %d", v, s.version), 1)
		late.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge, Message: "Too large resource version"}}
		return late
	case match == "Exact" && v < s.version:
		return apierrors.NewResourceExpired("The resourceVersion for the provided list is too old.")
	}
	return nil
}

func unsigned(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, apierrors.NewBadRequest(err.Error())
	}
	return n, nil
}

func invalidOptions(why string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid,
		Message: "ListOptions.meta.k8s.io \"\" is invalid: " + why,
	}}
}
