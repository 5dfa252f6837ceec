package contract

import (
	"net/http"
	"strings"
)

// in is the path of gadgets in a logical cluster: of the case's namespace, or of one gadget, or of its subresource. No names: of all
// namespaces.
func (k *kit) in(cluster string, more ...string) string {
	base := k.server.Workspaces.Config.Host + "/clusters/" + cluster
	return base + k.gadgets(more...)
}

// through is the same, through the export's virtual workspace.
func (k *kit) through(cluster string, more ...string) string {
	return k.server.Workspaces.Virtual + "/clusters/" + cluster + k.gadgets(more...)
}

func (k *kit) gadgets(more ...string) string {
	all := "/apis/" + Gadgets.Group + "/" + Gadgets.Version
	if len(more) > 0 {
		return strings.Join(append([]string{all, "namespaces", k.ns, Gadgets.Resource}, more...), "/")
	}
	return all + "/" + Gadgets.Resource
}

// everywhere makes the case's namespace and a gadget of the same name in both workspaces.
func (k *kit) everywhere(name string) (a, b answer) {
	made := func(w Workspace) answer {
		k.want(http.StatusCreated, http.MethodPost, k.server.Workspaces.Config.Host+"/clusters/"+w.Name+"/api/v1/namespaces", object("", k.ns, nil))
		path := strings.TrimSuffix(k.in(w.Name, name), "/"+name)
		gadget := object("", name, map[string]any{"spec": map[string]any{"size": 1}}, Gadgets.GroupVersion().String(), "Gadget")
		return k.want(http.StatusCreated, http.MethodPost, path, gadget)
	}
	return made(k.server.Workspaces.A), made(k.server.Workspaces.B)
}

// clustersOf counts the case's objects in a list by the logical cluster that they name.
func (k *kit) clustersOf(list map[string]any) map[string]int {
	found := map[string]int{}
	items, _ := list["items"].([]any)
	for _, item := range items {
		if o, _ := item.(map[string]any); str(o, "metadata", "namespace") == k.ns {
			found[str(o, "metadata", "annotations", "kcp.io/cluster")]++
		}
	}
	return found
}

func (k *kit) bothIn(claim string, found map[string]int) {
	ws := k.server.Workspaces
	k.true(claim, len(found) == 2 && found[ws.A.Name] == 1 && found[ws.B.Name] == 1)
}

// workspaceCases are about logical clusters.
var workspaceCases = []Case{
	{Name: "objects name their logical cluster", Workspaces: true, run: func(k *kit) {
		a, b := k.everywhere("g")
		ws := k.server.Workspaces
		k.same("of a", at(a.body, "metadata", "annotations", "kcp.io/cluster"), `"`+ws.A.Name+`"`)
		k.same("of b", at(b.body, "metadata", "annotations", "kcp.io/cluster"), `"`+ws.B.Name+`"`)
		k.true("two objects", uid(a) != uid(b))
	}},
	{Name: "the first write after a creation makes a new resourceVersion, the next that changes nothing does not", Workspaces: true, run: func(k *kit) {
		made := k.widget("a")
		first := k.patch(k.widgets("a"), raw(`{}`))
		k.true("another resourceVersion", version(first) != version(made))
		k.same("the next", version(k.patch(k.widgets("a"), raw(`{}`))), `"`+version(first)+`"`)
		made = k.widget("b")
		put := k.want(http.StatusOK, http.MethodPut, k.widgets("b"), made.body)
		k.true("by PUT too", version(put) != version(made))
		k.same("and the next", version(k.want(http.StatusOK, http.MethodPut, k.widgets("b"), put.body)), `"`+version(put)+`"`)
	}},
	{Name: "a first status patch that changes nothing is an event", Workspaces: true, run: func(k *kit) {
		made := k.widget("a")
		w := k.watch(k.widgets(), "resourceVersion", version(made))
		defer w.close()
		first := k.patch(k.widgets("a", "status"), raw(`{}`))
		k.patch(k.widgets("a", "status"), raw(`{}`))
		k.same("version", at(w.expect("MODIFIED", "a").Object, "metadata", "resourceVersion"), `"`+version(first)+`"`)
		second := k.patch(k.widgets("a", "status"), raw(`{"status":{"n":1}}`))
		k.same("version", at(w.expect("MODIFIED", "a").Object, "metadata", "resourceVersion"), `"`+version(second)+`"`)
	}},
	{Name: "aggregated discovery is not offered", Workspaces: true, run: func(k *kit) {
		const form = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
		list := k.want(http.StatusOK, http.MethodGet, "/apis", nil, header("Accept", form+",application/json"))
		k.same("kind", list.body["kind"], `"APIGroupList"`)
		k.same("content type", list.header.Get("Content-Type"), `"application/json"`)
	}},
	{Name: "access to unknown groups, and to unknown versions of a bound group, is denied, or they have no resources", Workspaces: true, run: func(k *kit) {
		bound := k.server.Workspaces.Config.Host + "/clusters/" + k.server.Workspaces.A.Name + "/apis/"
		k.get(bound + Gadgets.Group + "/" + Gadgets.Version)
		for _, path := range []string{"no.such.group/v1", Gadgets.Group + "/v7"} {
			switch unknown := k.call(http.MethodGet, bound+path, nil); unknown.code { // kcp differs between versions
			case http.StatusOK:
				k.same("resources", unknown.body["resources"], "[]")
			default:
				k.same("code", unknown.code, "403")
				k.true("access denied", strings.Contains(unknown.status().Message, "access denied"))
			}
		}
	}},
	{Name: "OpenAPI v3 has the schemas of bound kinds, directly and through the virtual workspace", Workspaces: true, run: func(k *kit) {
		ws := k.server.Workspaces
		for _, base := range []string{ws.Config.Host, ws.Virtual} {
			k.eventually("the kind is in the document of "+base, func() bool {
				document := k.call(http.MethodGet, base+"/clusters/"+ws.A.Name+"/openapi/v3/apis/"+Gadgets.Group+"/"+Gadgets.Version, nil)
				_, kind := schemaOf(document, "Gadget")
				return document.code == http.StatusOK && at(kind, "properties", "status") != nil
			})
		}
	}},
	{Name: "a workspace answers by name and by path", Workspaces: true, run: func(k *kit) {
		a, _ := k.everywhere("g")
		k.same("by path", k.get(k.in(k.server.Workspaces.A.Path, "g")).body, a.text)
	}},
	{Name: "a workspace reports its name", Workspaces: true, run: func(k *kit) {
		ws := k.server.Workspaces
		o := k.get(ws.Config.Host + "/clusters/" + ws.A.Path + "/apis/core.kcp.io/v1alpha1/logicalclusters/cluster")
		k.same("kcp.io/cluster", at(o.body, "metadata", "annotations", "kcp.io/cluster"), `"`+ws.A.Name+`"`)
		k.same("kcp.io/path", at(o.body, "metadata", "annotations", "kcp.io/path"), `"`+ws.A.Path+`"`)
	}},
	{Name: "an unknown workspace is forbidden", Workspaces: true, run: func(k *kit) {
		k.want(http.StatusForbidden, http.MethodGet, k.in("nosuchworkspace"), nil)
	}},
	{Name: "a list over all workspaces", Workspaces: true, run: func(k *kit) {
		k.everywhere("g")
		k.eventually("directly", func() bool { return len(k.clustersOf(k.get(k.through("*")).body)) == 2 })
		k.bothIn("each once", k.clustersOf(k.get(k.through("*")).body))
	}},
	{Name: "a streaming list over all workspaces", Workspaces: true, run: func(k *kit) {
		k.everywhere("g")
		w := k.watch(k.through("*"), "sendInitialEvents", "true", "resourceVersionMatch", "NotOlderThan", "allowWatchBookmarks", "true")
		defer w.close()
		var items []any
		for e := w.next(); e.Type != "BOOKMARK"; e = w.next() {
			items = append(items, e.Object)
		}
		k.bothIn("both at first", k.clustersOf(map[string]any{"items": items}))
		k.patch(k.through(k.server.Workspaces.B.Name, "g", "status"), raw(`{"status":{"n":1}}`))
		e := w.expect("MODIFIED", "g")
		k.same("where", at(e.Object, "metadata", "annotations", "kcp.io/cluster"), `"`+k.server.Workspaces.B.Name+`"`)
	}},
	{Name: "nothing is written to all workspaces", Workspaces: true, run: func(k *kit) {
		k.everywhere("g")
		a := k.call(http.MethodPatch, k.through("*", "g", "status"), raw(`{"status":{"n":1}}`))
		k.true("refused", a.code >= 400 && a.code < 500)
	}},
	{Name: "the virtual workspace wants the name", Workspaces: true, run: func(k *kit) {
		k.everywhere("g")
		k.get(k.through(k.server.Workspaces.A.Name, "g"))
		k.want(http.StatusForbidden, http.MethodGet, k.through(k.server.Workspaces.A.Path, "g"), nil)
	}},
	{Name: "a status patch through the virtual workspace", Workspaces: true, run: func(k *kit) {
		k.everywhere("g")
		ws := k.server.Workspaces
		after := k.patch(k.through(ws.A.Name, "g", "status"), raw(`{"metadata":{"labels":{"x":"y"}},"status":{"replicas":0,"n":1}}`), by("m"))
		k.same("status", at(after.body, "status"), `{"replicas":0,"n":1}`)
		k.true("labels are ignored", at(after.body, "metadata", "labels") == nil)
		k.same("fields", fieldsOf(after.body, "m"), `{"f:status":{".":{},"f:n":{},"f:replicas":{}}}`)
		k.same("directly", k.get(k.in(ws.A.Name, "g")).body, after.text)
		k.true("not in the other", at(k.get(k.in(ws.B.Name, "g")).body, "status") == nil)
	}},
	{Name: "a wrong uid through the virtual workspace is a conflict", Workspaces: true, run: func(k *kit) {
		k.everywhere("g")
		patch := raw(`{"metadata":{"uid":"00000000-0000-0000-0000-000000000000"},"status":{"n":1}}`)
		refused := k.want(http.StatusConflict, http.MethodPatch, k.through(k.server.Workspaces.A.Name, "g", "status"), patch)
		k.true("names the precondition", strings.Contains(refused.status().Message, "Precondition failed: UID"))
		k.patch(k.in(k.server.Workspaces.A.Name, "g", "status"), patch) // directly it is ignored
	}},
	{Name: "a stale resourceVersion through the virtual workspace is a conflict", Workspaces: true, run: func(k *kit) {
		a, _ := k.everywhere("g")
		path := k.through(k.server.Workspaces.A.Name, "g", "status")
		k.patch(path, raw(`{"status":{"n":1}}`))
		k.want(http.StatusConflict, http.MethodPatch, path, raw(`{"metadata":{"resourceVersion":"`+version(a)+`"},"status":{"n":2}}`))
	}},
	{Name: "the virtual workspace serves exported resources and APIBindings", Workspaces: true, run: func(k *kit) {
		base := k.server.Workspaces.Virtual + "/clusters/*"
		k.get(base + "/apis/apis.kcp.io/v1alpha1/apibindings")
		k.want(http.StatusNotFound, http.MethodGet, base+"/apis/"+group+"/v1/widgets", nil)
		k.true("discovery", strings.Contains(k.get(base+"/apis/"+Gadgets.Group+"/v1").text, `"gadgets/status"`))
	}},
}
