package config

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// decode reads a YAML or JSON document over the defaults. Unknown fields and values of a wrong type are left out of
// the result and reported, so that one run reports all of them. The configuration is nil only if there is no document.
func decode(data []byte) (*Configuration, field.ErrorList) {
	document, err := onlyDocument(data)
	if err != nil {
		return nil, whole(err)
	}
	asJSON, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return nil, whole(fmt.Errorf("is not YAML that can be read: %w", err))
	}
	decoder := json.NewDecoder(bytes.NewReader(asJSON))
	decoder.UseNumber()
	var tree any
	if err := decoder.Decode(&tree); err != nil {
		return nil, whole(err)
	}
	if _, isMap := tree.(map[string]any); !isMap {
		return nil, whole(errors.New("is not a mapping of fields: start from `upstreamd config print-defaults`"))
	}
	c := Defaults()
	c.APIVersion, c.Kind = "", "" // a file must name its version
	tree, errs := take(nil, tree, reflect.TypeFor[Configuration]())
	taken, err := json.Marshal(tree)
	if err != nil {
		return nil, append(errs, whole(err)...)
	}
	if err := json.Unmarshal(taken, c); err != nil {
		return nil, append(errs, whole(err)...)
	}
	return c, errs
}

func whole(err error) field.ErrorList {
	return field.ErrorList{&field.Error{Type: field.ErrorTypeInvalid, Field: "(the whole file)", BadValue: field.OmitValueType{}, Detail: err.Error()}}
}

// onlyDocument refuses a second document, which sigs.k8s.io/yaml would ignore.
func onlyDocument(data []byte) ([]byte, error) {
	var documents [][]byte
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		var content any
		if err := yaml.Unmarshal(document, &content); err != nil || content != nil { // the strict reading reports errors
			documents = append(documents, document)
		}
	}
	switch len(documents) {
	case 0:
		return nil, errors.New("is empty: start from `upstreamd config print-defaults`")
	case 1:
		return documents[0], nil
	default:
		return nil, fmt.Errorf("holds %d documents: keep one", len(documents))
	}
}

var duration = reflect.TypeFor[metav1.Duration]()

// take gives the part of v that fits t, and an error for all that does not. null is left out: it means the default.
func take(path *field.Path, v any, t reflect.Type) (any, field.ErrorList) {
	if t == duration {
		return takeDuration(path, v)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return take(path, v, t.Elem())
	case reflect.Struct:
		return takeStruct(path, v, t)
	case reflect.Slice:
		return takeSlice(path, v, t)
	case reflect.Map:
		return takeMap(path, v, t)
	default:
		return takeScalar(path, v, t)
	}
}

func takeStruct(path *field.Path, v any, t reflect.Type) (any, field.ErrorList) {
	given, ok := v.(map[string]any)
	if !ok {
		return nil, wrongType(path, v, "must be a mapping of fields")
	}
	known := map[string]reflect.Type{}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		known[name] = f.Type
	}
	var errs field.ErrorList
	for _, name := range slices.Sorted(maps.Keys(given)) {
		ft, ok := known[name]
		if !ok {
			names := slices.Sorted(maps.Keys(known))
			errs = append(errs, field.Forbidden(path.Child(name), "there is no such field; "+suggest(name, names)))
		}
		var fieldErrs field.ErrorList
		if ok && given[name] != nil {
			given[name], fieldErrs = take(path.Child(name), given[name], ft)
			errs = append(errs, fieldErrs...)
		}
		if !ok || given[name] == nil {
			delete(given, name)
		}
	}
	return given, errs
}

func takeSlice(path *field.Path, v any, t reflect.Type) (any, field.ErrorList) {
	given, ok := v.([]any)
	if !ok {
		return nil, wrongType(path, v, "must be a list")
	}
	var errs field.ErrorList
	for i, e := range given {
		kept, elementErrs := take(path.Index(i), e, t.Elem())
		errs = append(errs, elementErrs...)
		if kept == nil { // the place stays, so that later errors name the right index
			kept = reflect.Zero(t.Elem()).Interface()
		}
		given[i] = kept
	}
	return given, errs
}

func takeMap(path *field.Path, v any, t reflect.Type) (any, field.ErrorList) {
	given, ok := v.(map[string]any)
	if !ok {
		return nil, wrongType(path, v, "must be a mapping")
	}
	var errs field.ErrorList
	for _, key := range slices.Sorted(maps.Keys(given)) {
		kept, elementErrs := take(path.Key(key), given[key], t.Elem())
		errs = append(errs, elementErrs...)
		if given[key] = kept; kept == nil {
			delete(given, key)
		}
	}
	return given, errs
}

func takeScalar(path *field.Path, v any, t reflect.Type) (any, field.ErrorList) {
	switch t.Kind() {
	case reflect.String:
		if _, ok := v.(string); ok {
			return v, nil
		}
		return nil, wrongType(path, v, "must be a string: put it into quotes")
	case reflect.Bool:
		if _, ok := v.(bool); ok {
			return v, nil
		}
		return nil, wrongType(path, v, "must be true or false")
	case reflect.Int:
		if n, ok := v.(json.Number); ok {
			if _, err := n.Int64(); err == nil {
				return v, nil
			}
		}
		return nil, wrongType(path, v, "must be a whole number, without quotes")
	case reflect.Float64:
		if n, ok := v.(json.Number); ok {
			if _, err := n.Float64(); err == nil {
				return v, nil
			}
		}
		return nil, wrongType(path, v, "must be a number, without quotes")
	default:
		panic("config: a field of a kind that cannot be decoded: " + t.String()) // ours; any load of a file that names it shows it
	}
}

func takeDuration(path *field.Path, v any) (any, field.ErrorList) {
	const mend = "must be a duration in quotes or with a unit, such as 200ms, 2s or 1m30s"
	text, ok := v.(string)
	if !ok {
		return nil, wrongType(path, v, mend)
	}
	if _, err := time.ParseDuration(text); err != nil {
		return nil, field.ErrorList{field.Invalid(path, text, mend)}
	}
	return text, nil
}

func wrongType(path *field.Path, v any, mend string) field.ErrorList {
	if path == nil {
		return whole(errors.New(mend))
	}
	switch v.(type) {
	case map[string]any, []any: // long, and not the intended value
		v = field.OmitValueType{}
	}
	return field.ErrorList{field.TypeInvalid(path, v, mend)}
}
