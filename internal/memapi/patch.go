package memapi

import (
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// patch applies a merge patch.
func (s *Server) patch(t *table, w target, body []byte) (*Object, warnings, error) {
	value, err := unmarshal(body)
	changes, ok := value.(map[string]any)
	if err != nil || !ok {
		return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding patch: not a JSON object: %v", err))
	}
	meta, _ := changes["metadata"].(map[string]any)
	if name, _ := meta["name"].(string); name != "" && name != w.name {
		return nil, nil, errOtherName(name, w.name)
	}
	uid, _ := meta["uid"].(string)
	version, _ := meta["resourceVersion"].(string)
	var warned warnings
	o, err := s.update(t, w, func(old *Object) (*Object, error) {
		if err := t.fresh(old, version); err != nil {
			return nil, err
		}
		if err := t.checkUID(w, old, uid); err != nil {
			return nil, err
		}
		var next *Object
		var err error
		if w.status {
			next, warned, err = t.patchStatus(old, changes)
		} else {
			next, warned, err = t.patchMain(old, changes)
		}
		return next, err
	})
	return o, warned, err
}

// checkUID is about a uid in a merge patch: virtual workspaces take it as a precondition, typed kinds as a field that can't be changed,
// and custom resources ignore it.
func (t *table) checkUID(w target, old *Object, uid string) error {
	switch {
	case uid == "" || uid == string(old.Meta.UID):
		return nil
	case w.export != nil:
		return t.conflict(w.name, "Precondition failed: UID in precondition: %v, UID in object meta: %v", uid, old.Meta.UID)
	case t.Typed:
		return t.invalid(w.name, field.Invalid(field.NewPath("metadata", "uid"), uid, "field is immutable"))
	}
	return nil
}

// patchStatus merges the status of changes. For typed kinds it merges metadata too.
func (t *table) patchStatus(old *Object, changes map[string]any) (*Object, warnings, error) {
	next, warned := old.clone(), warnings(nil)
	if change, there := changes["status"]; there {
		var status []byte
		if merged := mergePatch(decode(old.Status), change); merged != nil {
			status = appendValue(nil, merged)
		}
		var err error
		if next.Status, warned, err = t.normaliseStatus(status); err != nil {
			return nil, nil, t.undecodable(err)
		}
	}
	if meta, there := changes["metadata"]; there && t.Typed {
		merged := mergePatch(decode(encode(old.Meta)), meta)
		next.Meta = metav1.ObjectMeta{}
		if err := json.Unmarshal(appendValue(nil, merged), &next.Meta); err != nil {
			return nil, nil, t.undecodable(err)
		}
	}
	return next, warned, nil
}

func (t *table) patchMain(old *Object, changes map[string]any) (*Object, warnings, error) {
	merged := mergePatch(decode(old.JSON()), changes)
	body, warned, err := t.normalise(appendValue(nil, merged))
	if err != nil {
		return nil, nil, t.undecodable(err)
	}
	next, err := parse(body)
	if err != nil {
		return nil, nil, t.undecodable(err)
	}
	return next, warned, nil
}

// undecodable is the answer to a patch with a result that does not decode as the kind.
func (t *table) undecodable(err error) error {
	return apierrors.NewInvalid(schema.GroupKind{}, "", field.ErrorList{field.Invalid(field.NewPath("patch"), field.OmitValueType{}, err.Error())})
}
