package contract

import (
	"fmt"
	"net/http"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

const group = "contract.upstreamd.dev"

// Gadgets is the resource that the APIExport of Workspaces has: namespaced, of kind Gadget, with a status subresource and a schema that
// keeps all fields of spec and status.
var Gadgets = schema.GroupVersionResource{Group: "export." + group, Version: "v1", Resource: "gadgets"}

// install makes the custom resources: widgets have a status subresource, plains have none.
func (k *kit) install() {
	const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
	for _, plural := range []string{"widgets", "plains"} {
		if a := k.call(http.MethodPost, definitions, crd(plural)); a.code != http.StatusCreated && a.code != http.StatusConflict {
			k.fail("CustomResourceDefinition: %s", a.text)
		}
		k.eventually(plural+" are served", func() bool {
			return k.call(http.MethodGet, "/apis/"+group+"/v1/"+plural, nil).code == http.StatusOK
		})
		// A new custom resource takes a moment longer to be written than to be listed.
		k.eventually(plural+" can be written", func() bool {
			a := k.call(http.MethodPost, "/apis/"+group+"/v1/namespaces/default/"+plural, named(kindOf(plural), "first", ""))
			return a.code == http.StatusCreated || a.code == http.StatusConflict
		})
	}
}

func crd(plural string) map[string]any {
	open := map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
	version := map[string]any{
		"name": "v1", "served": true, "storage": true,
		"schema": map[string]any{"openAPIV3Schema": map[string]any{
			"type": "object", "properties": map[string]any{"spec": open, "status": open},
		}},
	}
	kind := kindOf(plural)
	if plural == "widgets" {
		version["subresources"] = map[string]any{"status": map[string]any{}}
	}
	return object("", plural+"."+group, map[string]any{"spec": map[string]any{
		"group": group, "scope": "Namespaced", "versions": []any{version},
		"names": map[string]any{"plural": plural, "singular": strings.TrimSuffix(plural, "s"), "kind": kind, "listKind": kind + "List"},
	}}, "apiextensions.k8s.io/v1", "CustomResourceDefinition")
}

func kindOf(plural string) string {
	return strings.ToUpper(plural[:1]) + strings.TrimSuffix(plural[1:], "s")
}

// object makes one; members besides metadata are taken as they are. API version and kind are for servers that ask for them.
func object(namespace, name string, members map[string]any, typeMeta ...string) map[string]any {
	meta := map[string]any{"name": name}
	if namespace != "" {
		meta["namespace"] = namespace
	}
	o := map[string]any{"metadata": meta}
	for k, v := range members {
		o[k] = v
	}
	if len(typeMeta) == 2 {
		o["apiVersion"], o["kind"] = typeMeta[0], typeMeta[1]
	}
	return o
}

// widgets is the path of the case's widgets, or of one of them, or of its subresource.
func (k *kit) widgets(more ...string) string {
	return strings.Join(append([]string{"/apis/" + group + "/v1/namespaces", k.ns, "widgets"}, more...), "/")
}

// widget makes one with spec {"size":1}.
func (k *kit) widget(name string, options ...option) answer {
	return k.want(http.StatusCreated, http.MethodPost, k.widgets(), named("Widget", name, `"spec":{"size":1}`), options...)
}

// settled makes a widget and writes it once: a kcp stores the annotation of the logical cluster at the first write after a creation.
func (k *kit) settled(name string) answer {
	k.widget(name)
	return k.patch(k.widgets(name), raw(`{}`))
}

// named is an object of a custom kind with a name and other members in JSON.
func named(kind, name, members string) raw {
	if members != "" {
		members = "," + members
	}
	return raw(fmt.Sprintf(`{"apiVersion":"%s/v1","kind":%q,"metadata":{"name":%q}%s}`, group, kind, name, members))
}

// with is an object in JSON with more metadata: with("resourceVersion", "5").
func (r raw) with(name string, value any) raw {
	o := decode(r)
	o["metadata"].(map[string]any)[name] = value //nolint:forcetypeassert // the cases' own objects
	return raw(canonical(o))
}

// held is a widget in JSON that a finalizer holds.
func held(name string) raw {
	return named("Widget", name, "").with("finalizers", []string{"upstreamd.dev/hold"})
}

// stranger is a uid that no object has.
const stranger = "00000000-0000-0000-0000-000000000000"
