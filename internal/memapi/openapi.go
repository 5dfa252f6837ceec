package memapi

import (
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/structured-merge-diff/v6/schema"
)

// object is a JSON object that is built here.
type object = map[string]any

// openAPI answers /openapi/v3: without a path the index, else the document of one group and version ("apis/apps/v1", "api/v1").
func (x *exchange) openAPI(served []Resource, path []string) error {
	versions := map[string][]Resource{}
	for _, r := range served {
		at := openAPIPath(r)
		versions[at] = append(versions[at], r)
	}
	if len(path) > 0 {
		of := versions[strings.Join(path, "/")]
		if of == nil {
			return errUnknownPath
		}
		document, err := x.openAPIDocument(of)
		if err != nil {
			return err
		}
		return x.document(document)
	}
	paths := object{}
	for at, of := range versions {
		document, err := x.openAPIDocument(of)
		if err != nil {
			return err
		}
		paths[at] = object{"serverRelativeURL": fmt.Sprintf("/openapi/v3/%s?hash=%X", at, sha512.Sum512(encode(document)))}
	}
	return x.document(object{"paths": paths})
}

func openAPIPath(r Resource) string {
	if r.Group == "" {
		return "api/" + r.Version
	}
	return "apis/" + r.Group + "/" + r.Version
}

// openAPIDocument has the schemas of the kinds of one group and version, and of the types that they are made of.
func (x *exchange) openAPIDocument(of []Resource) (object, error) {
	schemas := components{}
	for _, r := range of {
		kind := []any{object{"group": r.Group, "version": r.Version, "kind": r.Kind}}
		if !r.Typed {
			own, err := customSchema(r)
			if err != nil {
				return nil, err
			}
			own["x-kubernetes-group-version-kind"] = kind
			schemas[customName(r, x.kcp())] = own
			continue
		}
		known, err := x.s.schemas.of(r)
		if err != nil {
			return nil, err
		}
		name := *known.TypeRef.NamedType
		schemas.add(known.Schema, name)
		schemas[name]["x-kubernetes-group-version-kind"] = kind
	}
	return object{
		"openapi": "3.0.0", "info": object{"title": "Kubernetes", "version": "v1.37.2"}, "paths": object{},
		"components": object{"schemas": schemas},
	}, nil
}

// customSchema is the schema of a kind that is not compiled in.
func customSchema(r Resource) (object, error) {
	open := object{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
	own := object{"type": "object", "properties": object{"spec": open, "status": open}}
	if r.Schema != nil {
		own = object{}
		if err := json.Unmarshal(r.Schema, &own); err != nil {
			return nil, fmt.Errorf("schema of %s: %w", r.gvk(), err)
		}
	}
	properties, _ := own["properties"].(object)
	if properties == nil {
		properties = object{}
		own["properties"] = properties
	}
	properties["apiVersion"], properties["kind"], properties["metadata"] = object{"type": "string"}, object{"type": "string"}, object{"type": "object"}
	return own, nil
}

// customName is the name of a schema component: the reversed group, version and kind. A kcp leaves groups without a dot as they are.
func customName(r Resource, kcp bool) string {
	group := strings.Split(r.Group, ".")
	switch {
	case len(group) > 1:
		slices.Reverse(group)
	case kcp:
		group = []string{r.Group, "api", "k8s", "io"}
	default:
		group = []string{"io", "k8s", "api", r.Group}
	}
	return strings.Join(append(group, r.Version, r.Kind), ".")
}

// components are schemas by name.
type components map[string]object

// formats are the scalars that have a format besides their type. structured-merge-diff knows them by name alone.
var formats = map[string]object{
	"io.k8s.apimachinery.pkg.apis.meta.v1.Time":       {"type": "string", "format": "date-time"},
	"io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime":  {"type": "string", "format": "date-time"},
	"io.k8s.apimachinery.pkg.api.resource.Quantity":   {"oneOf": []any{object{"type": "string"}, object{"type": "number"}}},
	"io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"format": "int-or-string", "oneOf": []any{object{"type": "integer"}, object{"type": "string"}}},
}

// add adds a type by its name, and all types that it is made of. Its source is the schema of server-side apply, which has fields, list
// types and map keys of the compiled-in kinds.
func (c components) add(s *schema.Schema, name string) {
	if _, there := c[name]; there {
		return
	}
	if format, there := formats[name]; there {
		c[name] = format
		return
	}
	c[name] = object{} // types may hold themselves
	if def, known := s.FindNamedType(name); known {
		c[name] = c.atom(s, def.Atom)
	}
}

func (c components) ref(s *schema.Schema, t schema.TypeRef) object {
	if t.NamedType == nil {
		return c.atom(s, t.Inlined)
	}
	if strings.HasPrefix(*t.NamedType, "__untyped") {
		return object{"x-kubernetes-preserve-unknown-fields": true}
	}
	c.add(s, *t.NamedType)
	return object{"allOf": []any{object{"$ref": "#/components/schemas/" + *t.NamedType}}}
}

func (c components) atom(s *schema.Schema, a schema.Atom) object {
	switch {
	case a.Map != nil:
		return c.mapping(s, a.Map)
	case a.List != nil:
		list := object{"type": "array", "items": c.ref(s, a.List.ElementType), "x-kubernetes-list-type": "atomic"}
		switch {
		case a.List.ElementRelationship != schema.Associative:
		case len(a.List.Keys) == 0:
			list["x-kubernetes-list-type"] = "set"
		default:
			list["x-kubernetes-list-type"], list["x-kubernetes-list-map-keys"] = "map", a.List.Keys
		}
		return list
	case a.Scalar != nil:
		switch *a.Scalar {
		case schema.Numeric:
			return object{"type": "integer"} // the kinds of Kubernetes have no others
		case schema.Boolean:
			return object{"type": "boolean"}
		case schema.String:
			return object{"type": "string"}
		}
	}
	return object{"x-kubernetes-preserve-unknown-fields": true}
}

func (c components) mapping(s *schema.Schema, m *schema.Map) object {
	own := object{"type": "object"}
	if len(m.Fields) > 0 {
		properties := object{}
		for _, f := range m.Fields {
			properties[f.Name] = c.ref(s, f.Type)
		}
		own["properties"] = properties
	} else {
		own["additionalProperties"] = c.ref(s, m.ElementType)
	}
	if m.ElementRelationship == schema.Atomic {
		own["x-kubernetes-map-type"] = "atomic"
	}
	return own
}
