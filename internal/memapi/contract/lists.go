package contract

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

func names(list map[string]any) string {
	items, _ := list["items"].([]any)
	var all []string
	for _, item := range items {
		o, _ := item.(map[string]any)
		all = append(all, str(o, "metadata", "name"))
	}
	return strings.Join(all, " ")
}

var listCases = []Case{
	{Name: "a list is in order, with kind and resourceVersion", run: func(k *kit) {
		for _, name := range []string{"b", "c", "a"} {
			k.widget(name)
		}
		list := k.get(k.widgets())
		k.same("kind", list.body["kind"], `"WidgetList"`)
		k.same("apiVersion", list.body["apiVersion"], `"`+group+`/v1"`)
		k.true("a resourceVersion", version(list) != "")
		k.same("names", names(list.body), `"a b c"`)
		items, _ := list.body["items"].([]any)
		k.same("the first", items[0], k.get(k.widgets("a")).text)
	}},
	{Name: "an empty list has items", run: func(k *kit) {
		k.same("items", k.get(k.widgets()).body["items"], `[]`)
	}},
	{Name: "a list over all namespaces", run: func(k *kit) {
		k.widget("a")
		k.widget("b")
		list := k.want(http.StatusOK, http.MethodGet, "/apis/"+group+"/v1/widgets", nil, query("fieldSelector", "metadata.namespace="+k.ns))
		k.same("names", names(list.body), `"a b"`)
	}},
	{Name: "a list by labels", run: func(k *kit) {
		for i, name := range []string{"a", "b", "c"} {
			k.widget(name)
			k.patch(k.widgets(name), raw(fmt.Sprintf(`{"metadata":{"labels":{"n":"%d"}}}`, i)))
		}
		for selector, want := range map[string]string{"n=1": "b", "n in (0,2)": "a c", "n!=1": "a c", "n": "a b c", "!n": ""} {
			k.same(selector, names(k.want(http.StatusOK, http.MethodGet, k.widgets(), nil, query("labelSelector", selector)).body), `"`+want+`"`)
		}
		k.want(http.StatusBadRequest, http.MethodGet, k.widgets(), nil, query("labelSelector", "=="))
	}},
	{Name: "a list by name", run: func(k *kit) {
		k.widget("a")
		k.widget("b")
		k.same("names", names(k.want(http.StatusOK, http.MethodGet, k.widgets(), nil, query("fieldSelector", "metadata.name=b")).body), `"b"`)
		k.want(http.StatusBadRequest, http.MethodGet, k.widgets(), nil, query("fieldSelector", "spec.no=b"))
	}},
	{Name: "pages are of one moment", run: func(k *kit) {
		for _, name := range []string{"a", "b", "c", "d", "e"} {
			k.widget(name)
		}
		first := k.want(http.StatusOK, http.MethodGet, k.widgets(), nil, query("limit", "2"))
		k.same("first", names(first.body), `"a b"`)
		k.same("how many are left", at(first.body, "metadata", "remainingItemCount"), `3`)
		k.want(http.StatusOK, http.MethodDelete, k.widgets("d"), nil)
		k.widget("ca")
		next := func(page answer) answer {
			return k.want(http.StatusOK, http.MethodGet, k.widgets(), nil, query("limit", "2", "continue", str(page.body, "metadata", "continue")))
		}
		second := next(first)
		k.same("second", names(second.body), `"c d"`)
		k.true("one resourceVersion", version(second) == version(first))
		third := next(second)
		k.same("third", names(third.body), `"e"`)
		k.true("no more", str(third.body, "metadata", "continue") == "")
	}},
	{Name: "a wrong continue token is a bad request", run: func(k *kit) {
		k.want(http.StatusBadRequest, http.MethodGet, k.widgets(), nil, query("limit", "2", "continue", "nonsense"))
	}},
	{Name: "a list from resourceVersion 0", run: func(k *kit) {
		k.widget("a")
		k.eventually("listed", func() bool {
			return names(k.want(http.StatusOK, http.MethodGet, k.widgets(), nil, query("resourceVersion", "0")).body) == "a"
		})
	}},
	{Name: "a resourceVersion beside a limit is exactly that one, unless NotOlderThan is set", run: func(k *kit) {
		before, now := k.widget("a"), k.widget("b")
		past := k.call(http.MethodGet, k.widgets(), nil, query("limit", "9", "resourceVersion", version(before)))
		forgotten := past.code == http.StatusGone && past.status().Reason == "Expired"
		k.true("the past, or that it is forgotten", past.code == http.StatusOK && names(past.body) == "a" || forgotten)
		k.same("at least", names(k.want(http.StatusOK, http.MethodGet, k.widgets(), nil,
			query("limit", "9", "resourceVersion", version(now), "resourceVersionMatch", "NotOlderThan")).body), `"a b"`)
		k.want(http.StatusOK, http.MethodGet, k.widgets(), nil, query("limit", "9", "resourceVersion", version(before), "resourceVersionMatch", "NotOlderThan"))
	}},
	{Name: "a list of the future is a time-out with a cause", run: func(k *kit) {
		late := k.want(http.StatusGatewayTimeout, http.MethodGet, k.widgets(), nil, query("resourceVersion", "1000000000", "resourceVersionMatch", "NotOlderThan"))
		s := late.status()
		k.true("one cause", s.Reason == "Timeout" && s.Details != nil && len(s.Details.Causes) == 1)
		k.same("its type", s.Details.Causes[0].Type, `"ResourceVersionTooLarge"`)
	}},
	{Name: "resourceVersionMatch needs a resourceVersion", run: func(k *kit) {
		k.want(http.StatusUnprocessableEntity, http.MethodGet, k.widgets(), nil, query("resourceVersionMatch", "Exact"))
	}},
	{Name: "deletecollection deletes the selected objects", run: func(k *kit) {
		k.widget("a")
		k.widget("b")
		k.patch(k.widgets("b"), raw(`{"metadata":{"labels":{"go":"yes"}}}`))
		k.want(http.StatusOK, http.MethodDelete, k.widgets(), nil, query("labelSelector", "go=yes"))
		k.same("the rest", names(k.get(k.widgets()).body), `"a"`)
	}},
}

var watchCases = []Case{
	{Name: "a watch from a list sends later events", run: func(k *kit) {
		k.widget("before")
		list := k.get(k.widgets())
		w := k.watch(k.widgets(), "resourceVersion", version(list))
		defer w.close()
		made := k.widget("a")
		k.same("as created", w.expect("ADDED", "a").Object, made.text)
		patched := k.patch(k.widgets("a", "status"), raw(`{"status":{"n":1}}`))
		k.same("as patched", w.expect("MODIFIED", "a").Object, patched.text)
		k.want(http.StatusOK, http.MethodDelete, k.widgets("a"), nil)
		gone := w.expect("DELETED", "a").Object
		k.same("the last status", at(gone, "status"), `{"n":1}`)
		k.true("with a resourceVersion of its own", str(gone, "metadata", "resourceVersion") != version(patched))
	}},
	{Name: "a watch from an object's resourceVersion misses nothing", run: func(k *kit) {
		made := k.widget("a")
		k.patch(k.widgets("a", "status"), raw(`{"status":{"n":1}}`))
		k.patch(k.widgets("a", "status"), raw(`{"status":{"n":2}}`))
		w := k.watch(k.widgets(), "resourceVersion", version(made))
		defer w.close()
		k.same("first", at(w.expect("MODIFIED", "a").Object, "status"), `{"n":1}`)
		k.same("second", at(w.expect("MODIFIED", "a").Object, "status"), `{"n":2}`)
	}},
	{Name: "a write that changes nothing is no event", run: func(k *kit) {
		made := k.widget("a")
		w := k.watch(k.widgets(), "resourceVersion", version(made))
		defer w.close()
		k.patch(k.widgets("a", "status"), raw(`{"status":{"n":1}}`), by("m"))
		k.patch(k.widgets("a", "status"), raw(`{"status":{"n":1}}`), by("m"))
		k.patch(k.widgets("a", "status"), raw(`{"status":{"n":2}}`), by("m"))
		k.same("first", at(w.expect("MODIFIED", "a").Object, "status"), `{"n":1}`)
		k.same("second", at(w.expect("MODIFIED", "a").Object, "status"), `{"n":2}`)
	}},
	{Name: "a watch without a resourceVersion begins with the present objects", run: func(k *kit) {
		k.widget("a")
		k.widget("b")
		w := k.watch(k.widgets())
		defer w.close()
		both := []string{str(w.next().Object, "metadata", "name"), str(w.next().Object, "metadata", "name")}
		k.true("both", strings.Join(both, " ") == "a b" || strings.Join(both, " ") == "b a")
		k.widget("c")
		w.expect("ADDED", "c")
	}},
	{Name: "a streaming list ends with an annotated bookmark", run: func(k *kit) {
		k.widget("a")
		k.widget("b")
		w := k.watch(k.widgets(), "sendInitialEvents", "true", "resourceVersionMatch", "NotOlderThan", "allowWatchBookmarks", "true")
		defer w.close()
		seen := map[string]bool{}
		var end event
		for end.Type != "BOOKMARK" {
			end = w.next()
			if end.Type == "ADDED" {
				seen[str(end.Object, "metadata", "name")] = true
			}
		}
		k.true("both objects first", len(seen) == 2 && seen["a"] && seen["b"])
		k.same("annotation", at(end.Object, "metadata", "annotations", "k8s.io/initial-events-end"), `"true"`)
		k.same("kind", end.Object["kind"], `"Widget"`)
		k.true("a resourceVersion", str(end.Object, "metadata", "resourceVersion") != "")
		k.widget("c")
		w.expect("ADDED", "c")
	}},
	{Name: "a streaming list that is empty ends with its bookmark", run: func(k *kit) {
		w := k.watch(k.widgets(), "sendInitialEvents", "true", "resourceVersionMatch", "NotOlderThan", "allowWatchBookmarks", "true")
		defer w.close()
		k.same("annotation", at(w.next().Object, "metadata", "annotations", "k8s.io/initial-events-end"), `"true"`)
	}},
	{Name: "a streaming list needs resourceVersionMatch", run: func(k *kit) {
		k.want(http.StatusUnprocessableEntity, http.MethodGet, k.widgets(), nil, query("watch", "1", "sendInitialEvents", "true"))
		k.want(http.StatusUnprocessableEntity, http.MethodGet, k.widgets(), nil, query("watch", "1", "resourceVersionMatch", "NotOlderThan", "resourceVersion", "5"))
	}},
	{Name: "objects enter and leave a watch by labels", run: func(k *kit) {
		made := k.widget("a")
		w := k.watch(k.widgets(), "resourceVersion", version(made), "labelSelector", "in=yes")
		defer w.close()
		k.patch(k.widgets("a"), raw(`{"metadata":{"labels":{"in":"yes"}}}`))
		w.expect("ADDED", "a")
		k.patch(k.widgets("a", "status"), raw(`{"status":{"n":1}}`))
		w.expect("MODIFIED", "a")
		out := k.patch(k.widgets("a"), raw(`{"metadata":{"labels":{"in":"no"}}}`))
		left := w.expect("DELETED", "a").Object
		k.same("with the labels of before", at(left, "metadata", "labels"), `{"in":"yes"}`)
		k.same("with the resourceVersion of the change", at(left, "metadata", "resourceVersion"), `"`+version(out)+`"`)
		k.patch(k.widgets("a", "status"), raw(`{"status":{"n":2}}`)) // unseen
		k.widget("b")
		k.patch(k.widgets("b"), raw(`{"metadata":{"labels":{"in":"yes"}}}`))
		w.expect("ADDED", "b")
	}},
	{Name: "a watch of one name", run: func(k *kit) {
		made := k.widget("a")
		w := k.watch(k.widgets(), "resourceVersion", version(made), "fieldSelector", "metadata.name=b")
		defer w.close()
		k.patch(k.widgets("a", "status"), raw(`{"status":{"n":1}}`))
		k.widget("b")
		w.expect("ADDED", "b")
	}},
	{Name: "a watch from a resourceVersion that is too old gets an ERROR event", run: func(k *kit) {
		w := k.watch(k.widgets(), "resourceVersion", "1")
		defer w.close()
		e := w.next()
		k.same("type", e.Type, `"ERROR"`)
		k.same("code", e.Object["code"], `410`)
		k.same("reason", e.Object["reason"], `"Expired"`)
		k.same("kind", e.Object["kind"], `"Status"`)
		w.ends()
	}},
	{Name: "a watch ends in order after timeoutSeconds", run: func(k *kit) {
		made := k.widget("a")
		w := k.watch(k.widgets(), "resourceVersion", version(made), "timeoutSeconds", "1")
		defer w.close()
		w.ends()
	}},
	{Name: "a finalizer's object is modified, then deleted", run: func(k *kit) {
		made := k.want(http.StatusCreated, http.MethodPost, k.widgets(), held("a"))
		w := k.watch(k.widgets(), "resourceVersion", version(made))
		defer w.close()
		k.want(http.StatusOK, http.MethodDelete, k.widgets("a"), nil)
		k.true("deletionTimestamp", str(w.expect("MODIFIED", "a").Object, "metadata", "deletionTimestamp") != "")
		k.patch(k.widgets("a"), raw(`{"metadata":{"finalizers":[]}}`))
		w.expect("DELETED", "a")
	}},
}

// schemaOf finds the schema of a kind in an OpenAPI document, by x-kubernetes-group-version-kind. Nil: it is not there.
func schemaOf(document answer, kind string) (all, found map[string]any) {
	all, _ = at(document.body, "components", "schemas").(map[string]any)
	for _, s := range all {
		candidate, _ := s.(map[string]any)
		kinds, _ := candidate["x-kubernetes-group-version-kind"].([]any)
		for _, gvk := range kinds {
			if m, _ := gvk.(map[string]any); str(m, "kind") == kind {
				return all, candidate
			}
		}
	}
	return all, nil
}

// resolve follows the reference of a property, if it is one.
func resolve(all map[string]any, property any) map[string]any {
	p, _ := property.(map[string]any)
	if parts, _ := p["allOf"].([]any); len(parts) == 1 {
		p, _ = parts[0].(map[string]any)
	}
	if to := str(p, "$ref"); to != "" {
		p, _ = all[strings.TrimPrefix(to, "#/components/schemas/")].(map[string]any)
	}
	return p
}

var discoveryCases = []Case{
	{Name: "a group and version names its resources", run: func(k *kit) {
		list := k.get("/apis/" + group + "/v1")
		k.same("kind", list.body["kind"], `"APIResourceList"`)
		served := map[string]map[string]any{}
		resources, _ := list.body["resources"].([]any)
		for _, r := range resources {
			m, _ := r.(map[string]any)
			served[str(m, "name")] = m
		}
		k.same("kind of widgets", served["widgets"]["kind"], `"Widget"`)
		k.same("namespaced", served["widgets"]["namespaced"], `true`)
		k.true("verbs of status", strings.Contains(canonical(served["widgets/status"]["verbs"]), `"patch"`))
		k.true("plains have no status", served["plains"] != nil && served["plains/status"] == nil)
		if k.kcp() {
			k.same("of an unknown version", k.get("/apis/" + group + "/v7").body["resources"], `[]`)
		} else {
			k.want(http.StatusNotFound, http.MethodGet, "/apis/"+group+"/v7", nil)
		}
	}},
	{Name: "the list of groups names ours", run: func(k *kit) {
		list := k.get("/apis")
		k.same("kind", list.body["kind"], `"APIGroupList"`)
		k.true("ours", strings.Contains(list.text, `"`+group+`/v1"`))
		k.same("of ours", str(k.get("/apis/"+group).body, "preferredVersion", "groupVersion"), `"`+group+`/v1"`)
		k.same("core", k.get("/api").body["versions"], `["v1"]`)
	}},
	{Name: "discovery in one document", Plain: true, run: func(k *kit) {
		const form = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
		var found any
		k.eventually("our group is there", func() bool {
			list := k.want(http.StatusOK, http.MethodGet, "/apis", nil, header("Accept", form+",application/json"))
			k.true("its form", strings.HasPrefix(list.header.Get("Content-Type"), "application/json;g=apidiscovery.k8s.io"))
			items, _ := list.body["items"].([]any)
			for _, item := range items {
				if g, _ := item.(map[string]any); str(g, "metadata", "name") == group {
					found = g["versions"]
				}
			}
			return found != nil
		})
		var versions []struct {
			Version   string
			Resources []struct {
				Resource, Scope string
				Subresources    []struct{ Subresource string }
			}
		}
		k.true("decodes", json.Unmarshal([]byte(canonical(found)), &versions) == nil && len(versions) == 1)
		for _, r := range versions[0].Resources {
			k.true("scope of "+r.Resource, r.Scope == "Namespaced")
			k.true("status of "+r.Resource, (len(r.Subresources) == 1 && r.Subresources[0].Subresource == "status") == (r.Resource == "widgets"))
		}
		k.true("both resources", len(versions[0].Resources) == 2)
	}},
	{Name: "each answer has a Date header", run: func(k *kit) {
		k.widget("a")
		missing := k.want(http.StatusNotFound, http.MethodGet, k.widgets("b"), nil)
		patched := k.patch(k.widgets("a", "status"), raw(`{"status":{"n":1}}`))
		for _, a := range []answer{k.get(k.widgets()), k.get("/readyz"), missing, patched} {
			at, err := http.ParseTime(a.header.Get("Date"))
			k.true("Date is a time", err == nil)
			k.true("Date is the present", time.Since(at).Abs() < 5*time.Minute)
		}
	}},
	{Name: "OpenAPI v3 has the schema of a kind", run: func(k *kit) {
		k.eventually("the group and version is in the index", func() bool {
			return str(k.get("/openapi/v3").body, "paths", "apis/"+group+"/v1", "serverRelativeURL") != ""
		})
		var kind map[string]any
		k.eventually("the kind is in the document", func() bool {
			_, kind = schemaOf(k.get("/openapi/v3/apis/"+group+"/v1"), "Widget")
			return kind != nil
		})
		k.same("type of status", at(kind, "properties", "status", "type"), `"object"`)
		k.same("unknown fields of status", at(kind, "properties", "status", "x-kubernetes-preserve-unknown-fields"), `true`)
	}},
	{Name: "version and readiness", run: func(k *kit) {
		k.true("a version", str(k.get("/version").body, "gitVersion") != "")
		k.true("ready", k.get("/readyz").text == "ok")
	}},
}
