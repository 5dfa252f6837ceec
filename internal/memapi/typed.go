package memapi

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	sigsjson "sigs.k8s.io/json"
)

// warnings are the fields that a client sent and that are not kept.
type warnings []string

// normalise passes a typed kind's object through its Go type: unknown fields go, empty ones vanish or appear as they do on a real
// server. It returns the bytes of others as they are.
func (t *table) normalise(body []byte) ([]byte, warnings, error) {
	if !t.Typed {
		return body, nil, nil
	}
	into, err := t.zero()
	if err != nil {
		return nil, nil, err
	}
	return roundTrip(body, into, "")
}

// normaliseStatus does the same to a status alone.
func (t *table) normaliseStatus(status []byte) ([]byte, warnings, error) {
	if !t.Typed {
		return status, nil, nil
	}
	into, err := t.zero()
	if err != nil {
		return nil, nil, err
	}
	f := reflect.ValueOf(into).Elem().FieldByName("Status")
	if !f.IsValid() {
		return nil, nil, nil
	}
	if status == nil {
		status = []byte("{}")
	}
	return roundTrip(status, f.Addr().Interface(), "status.")
}

// firstStatus is the initial status of an object.
func (t *table) firstStatus() ([]byte, error) {
	var first []byte
	switch t.Kind {
	case "Pod":
		first = []byte(`{"phase":"Pending"}`)
	case "Namespace":
		first = []byte(`{"phase":"Active"}`)
	}
	if !t.Typed {
		return nil, nil
	}
	status, _, err := t.normaliseStatus(first)
	return status, err
}

func (t *table) zero() (runtime.Object, error) {
	into, err := scheme.Scheme.New(t.gvk())
	if err != nil {
		return nil, fmt.Errorf("%s is Typed, but not in k8s.io/api: %w", t.gvk(), err)
	}
	return into, nil
}

// roundTrip decodes as a kube-apiserver does, and encodes again.
func roundTrip(body []byte, into any, prefix string) ([]byte, warnings, error) {
	strict, err := sigsjson.UnmarshalStrict(body, into)
	if err != nil {
		return nil, nil, apierrors.NewBadRequest(err.Error())
	}
	var warned warnings
	for _, err := range strict {
		warned = append(warned, strings.Replace(err.Error(), `field "`, `field "`+prefix, 1))
	}
	normal, err := json.Marshal(into)
	if err != nil {
		return nil, nil, apierrors.NewBadRequest(err.Error())
	}
	return normal, warned, nil
}
