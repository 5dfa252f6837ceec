package memapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// exchange is one request and its answer.
type exchange struct {
	*route

	s     *Server
	w     http.ResponseWriter
	r     *http.Request
	query url.Values
	fault Fault
	code  int // answered; 0: none yet
	left  int // bytes of the body until it is cut; negative: it is not
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{s: s, w: w, r: r, query: r.URL.Query(), left: -1}
	if s.options.Fault != nil {
		x.fault = s.options.Fault(r)
	}
	x.route = parseRoute(r.Method, r.URL.Path, x.query)
	defer func() {
		if x.code == 0 {
			s.calls.add(x.call(), 0)
		}
	}()
	if x.faulty() {
		return
	}
	if err := x.serve(); err != nil {
		x.fail(err)
	}
}

func (x *exchange) serve() error {
	if err := x.s.locate(x.route); err != nil {
		return err
	}
	if x.resource == "" {
		return x.discovery()
	}
	t := x.s.table(x.place, x.gvr())
	if t == nil {
		return x.s.absent(x.place, x.gvr().GroupVersion())
	}
	if x.namespace != "" && !t.Namespaced || x.subresource != "" && x.name == "" {
		return errUnknownPath
	}
	switch {
	case x.subresource == "":
	case x.subresource != "status":
		return errUnknownPath
	case !t.Status && t.Typed:
		return errUnknownResource
	case !t.Status:
		return t.notFound(x.name)
	}
	return x.act(t)
}

func (x *exchange) act(t *table) error {
	if !x.supported(t) {
		return apierrors.NewMethodNotSupported(t.GroupVersionResource.GroupResource(), x.r.Method)
	}
	switch x.verb {
	case "get":
		return x.get(t)
	case "list":
		return x.list(t)
	case "watch":
		return x.watch(t)
	case "create":
		return x.write(t, http.StatusCreated, x.s.create)
	case "update":
		return x.write(t, http.StatusOK, x.s.replaceBy)
	case "patch":
		if kind, _, _ := mime.ParseMediaType(x.r.Header.Get("Content-Type")); kind != string(types.MergePatchType) {
			return &apierrors.StatusError{ErrStatus: metav1.Status{
				Status: metav1.StatusFailure, Code: http.StatusUnsupportedMediaType, Reason: metav1.StatusReasonUnsupportedMediaType,
				Message: "the body of the request was in an unknown format - accepted media types include: " + string(types.MergePatchType),
			}}
		}
		return x.write(t, http.StatusOK, x.s.patch)
	case "delete":
		return x.delete(t)
	case "deletecollection":
		return x.deleteAll(t)
	}
	return errUnknownPath
}

// supported reports whether the verb exists at the place of the request: nothing is written to all clusters or all Namespaces.
func (x *exchange) supported(t *table) bool {
	switch x.verb {
	case "":
		return false
	case "get", "list", "watch":
		return x.name == "" || x.cluster != everywhere
	}
	return x.cluster != everywhere && (!t.Namespaced || x.namespace != "")
}

func (x *exchange) get(t *table) error {
	o := x.s.lookup(t, x.cluster, x.namespace, x.name)
	if o == nil {
		return t.notFound(x.name)
	}
	return x.answer(http.StatusOK, o.JSON())
}

type writer func(*table, target, []byte) (*Object, warnings, error)

func (x *exchange) write(t *table, code int, do writer) error {
	if x.query.Get("dryRun") != "" {
		return apierrors.NewBadRequest("this server does not know dry runs")
	}
	body, err := x.body()
	if err != nil {
		return err
	}
	if x.verb != "patch" && !t.Typed {
		if err := t.checkKind(body); err != nil {
			return err
		}
	}
	o, warned, err := do(t, x.target(), body)
	if err != nil {
		return err
	}
	for _, w := range warned {
		x.w.Header().Add("Warning", "299 - "+strconv.Quote(w))
	}
	return x.answer(code, o.JSON())
}

// checkKind refuses custom resources without apiVersion and kind. Compiled-in kinds take both from the path.
func (t *table) checkKind(body []byte) error {
	var kind metav1.TypeMeta
	if err := json.Unmarshal(body, &kind); err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	if kind.GroupVersionKind() != t.gvk() {
		return apierrors.NewBadRequest(fmt.Sprintf("the object provided is a %q, expected a %q", kind.GroupVersionKind(), t.gvk()))
	}
	return nil
}

func (x *exchange) delete(t *table) error {
	body, err := x.body()
	if err != nil {
		return err
	}
	var options metav1.DeleteOptions
	if len(body) > 0 {
		if err := json.Unmarshal(body, &options); err != nil {
			return apierrors.NewBadRequest(err.Error())
		}
	}
	o, err := x.s.delete(t, x.target(), options)
	if err != nil {
		return err
	}
	if o.Meta.DeletionTimestamp != nil && len(o.Meta.Finalizers) > 0 {
		return x.answer(http.StatusOK, o.JSON())
	}
	return x.answerStatus(metav1.Status{Status: metav1.StatusSuccess, Code: http.StatusOK, Details: &metav1.StatusDetails{
		Name: x.name, Group: t.Group, Kind: t.Resource.Resource, UID: o.Meta.UID,
	}})
}

func (x *exchange) deleteAll(t *table) error {
	scope, err := x.scope()
	if err != nil {
		return err
	}
	x.s.mu.Lock()
	found := t.find(scope)
	x.s.mu.Unlock()
	for _, o := range found {
		one := x.target()
		one.name = o.Meta.Name
		if _, err := x.s.delete(t, one, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return x.answerStatus(metav1.Status{Status: metav1.StatusSuccess, Code: http.StatusOK})
}

func (x *exchange) target() target {
	manager := x.query.Get("fieldManager")
	if manager == "" {
		manager, _, _ = strings.Cut(x.r.UserAgent(), "/")
	}
	if manager == "" {
		manager = "unknown"
	}
	return target{place: x.place, namespace: x.namespace, name: x.name, status: x.subresource == "status", verb: x.verb, manager: manager}
}

func (x *exchange) body() ([]byte, error) {
	limit := x.s.options.MaxBody
	body, err := io.ReadAll(io.LimitReader(x.r.Body, limit+1))
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if int64(len(body)) > limit {
		return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d", limit))
	}
	return body, nil
}

// answer sends a whole body.
func (x *exchange) answer(code int, body []byte) error {
	if err := x.begin(code, "application/json"); err != nil {
		return err
	}
	return x.send(body)
}

func (x *exchange) answerStatus(status metav1.Status) error {
	status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	if status.Details != nil && status.Details.RetryAfterSeconds > 0 {
		x.w.Header().Set("Retry-After", strconv.Itoa(int(status.Details.RetryAfterSeconds)))
	}
	return x.answer(int(status.Code), encode(status))
}

// errUnknownPath is answered in plain text that names nothing, as real servers do for resources that they do not know.
var errUnknownPath = errors.New("404 page not found")

// errUnknownResource is answered for a missing resource of a compiled-in group and version.
var errUnknownResource = apierrors.NewGenericServerResponse(http.StatusNotFound, "", schema.GroupResource{}, "", "", 0, false)

// fail answers with an error, unless an answer was begun.
func (x *exchange) fail(err error) {
	if x.code != 0 {
		return // the answer was begun; only the broken connection tells the client
	}
	var known *apierrors.StatusError
	switch {
	case errors.As(err, &known):
		err = x.answerStatus(known.ErrStatus)
	case errors.Is(err, errUnknownPath):
		if err = x.begin(http.StatusNotFound, "text/plain; charset=utf-8"); err == nil {
			err = x.send([]byte(err404))
		}
	default:
		err = x.answerStatus(apierrors.NewInternalError(err).ErrStatus)
	}
	_ = err // the client is gone
}

const err404 = "404 page not found\n"
