package contract

import "net/http"

// statusCases are about the status of custom resources, as an APIExport's are too.
var statusCases = []Case{
	{Name: "a merge patch on status changes status only", run: func(k *kit) {
		before := k.widget("a")
		after := k.patch(k.widgets("a", "status"), raw(`{"status":{"n":1}}`))
		k.same("status", at(after.body, "status"), `{"n":1}`)
		k.same("spec", at(after.body, "spec"), `{"size":1}`)
		k.true("a new resourceVersion", version(after) != version(before))
		k.same("a GET", k.get(k.widgets("a")).body, after.text)
	}},
	{Name: "the same patch again changes nothing", run: func(k *kit) {
		k.widget("a")
		first := k.patch(k.widgets("a", "status"), raw(`{"status":{"n":1,"list":[{"a":"b"}]}}`), by("m"))
		again := k.patch(k.widgets("a", "status"), raw(`{"status":{"list":[{"a":"b"}],"n":1}}`), by("m"))
		k.same("the object", again.body, first.text)
	}},
	{Name: "a merge patch merges objects and replaces lists", run: func(k *kit) {
		k.widget("a")
		k.patch(k.widgets("a", "status"), raw(`{"status":{"deep":{"x":1,"y":[1,2]},"z":0}}`))
		after := k.patch(k.widgets("a", "status"), raw(`{"status":{"deep":{"y":[3]}}}`))
		k.same("status", at(after.body, "status"), `{"deep":{"x":1,"y":[3]},"z":0}`)
	}},
	{Name: "null removes a field of status", run: func(k *kit) {
		k.widget("a")
		k.patch(k.widgets("a", "status"), raw(`{"status":{"x":1,"y":2}}`))
		after := k.patch(k.widgets("a", "status"), raw(`{"status":{"x":null,"never":null}}`))
		k.same("status", at(after.body, "status"), `{"y":2}`)
	}},
	{Name: "null removes the status", run: func(k *kit) {
		k.widget("a")
		k.patch(k.widgets("a", "status"), raw(`{"status":{"x":1}}`))
		after := k.patch(k.widgets("a", "status"), raw(`{"status":null}`))
		k.true("no status", at(after.body, "status") == nil)
	}},
	{Name: "zeros and false are stored as sent", run: func(k *kit) {
		k.widget("a")
		after := k.patch(k.widgets("a", "status"), raw(`{"status":{"replicas":0,"flag":false,"empty":"","none":[],"nothing":{}}}`))
		k.same("status", at(after.body, "status"), `{"replicas":0,"flag":false,"empty":"","none":[],"nothing":{}}`)
	}},
	{Name: "a wrong uid in a status merge patch is ignored", run: func(k *kit) {
		before := k.widget("a")
		after := k.patch(k.widgets("a", "status"), raw(`{"metadata":{"uid":"00000000-0000-0000-0000-000000000000"},"status":{"n":1}}`))
		k.same("status", at(after.body, "status"), `{"n":1}`)
		k.true("the uid stays", uid(after) == uid(before))
	}},
	{Name: "a stale resourceVersion in a status patch is a conflict", run: func(k *kit) {
		before := k.widget("a")
		k.patch(k.widgets("a", "status"), raw(`{"status":{"n":1}}`))
		stale := raw(`{"metadata":{"resourceVersion":"` + version(before) + `"},"status":{"n":2}}`)
		refused := k.want(http.StatusConflict, http.MethodPatch, k.widgets("a", "status"), stale)
		k.true("reason Conflict", refused.status().Reason == "Conflict" && refused.status().Kind == "Status")
		k.same("status", at(k.get(k.widgets("a")).body, "status"), `{"n":1}`)
	}},
	{Name: "a stale patch that changes nothing is a conflict too", run: func(k *kit) {
		before := k.widget("a")
		k.patch(k.widgets("a", "status"), raw(`{"status":{"n":1}}`))
		k.want(http.StatusConflict, http.MethodPatch, k.widgets("a", "status"), raw(`{"metadata":{"resourceVersion":"`+version(before)+`"},"status":{"n":1}}`))
	}},
	{Name: "a current resourceVersion in a status patch is taken", run: func(k *kit) {
		before := k.widget("a")
		after := k.patch(k.widgets("a", "status"), raw(`{"metadata":{"resourceVersion":"`+version(before)+`"},"status":{"n":2}}`))
		k.true("a new resourceVersion", version(after) != version(before))
	}},
	{Name: "PUT on status takes a minimal object", run: func(k *kit) {
		before := k.widget("a")
		minimal := named("Widget", "a", `"status":{"n":1}`).with("namespace", k.ns).with("resourceVersion", version(before))
		after := k.want(http.StatusOK, http.MethodPut, k.widgets("a", "status"), minimal)
		k.same("status", at(after.body, "status"), `{"n":1}`)
		k.same("spec", at(after.body, "spec"), `{"size":1}`)
		k.true("the uid stays", uid(after) == uid(before))
	}},
	{Name: "labels and annotations in a status patch are ignored", run: func(k *kit) {
		before := k.widget("a")
		after := k.patch(k.widgets("a", "status"), raw(`{"metadata":{"labels":{"x":"y"},"annotations":{"x":"y"}},"status":{"n":1}}`))
		k.true("no labels", at(after.body, "metadata", "labels") == nil)
		k.true("no such annotation", at(after.body, "metadata", "annotations", "x") == nil)
		k.true("written", version(after) != version(before))
	}},
	{Name: "spec in a status patch is ignored", run: func(k *kit) {
		k.widget("a")
		after := k.patch(k.widgets("a", "status"), raw(`{"spec":{"size":2},"status":{"n":1}}`))
		k.same("spec", at(after.body, "spec"), `{"size":1}`)
		k.same("generation", at(after.body, "metadata", "generation"), `1`)
	}},
	{Name: "a status patch without status changes nothing", run: func(k *kit) {
		before := k.settled("a")
		after := k.patch(k.widgets("a", "status"), raw(`{"spec":{"size":2},"metadata":{"labels":{"a":"b"}}}`))
		k.same("the object", after.body, before.text)
	}},
	{Name: "status of an object that is not there is not found, with its name", run: func(k *kit) {
		missing := k.want(http.StatusNotFound, http.MethodPatch, k.widgets("a", "status"), raw(`{"status":{"n":1}}`))
		s := missing.status()
		k.true("details name the object", s.Reason == "NotFound" && s.Details != nil && s.Details.Name == "a" && s.Details.Kind == "widgets")
	}},
	{Name: "status of a kind without the subresource is not found", run: func(k *kit) {
		plains := "/apis/" + group + "/v1/namespaces/" + k.ns + "/plains"
		k.want(http.StatusCreated, http.MethodPost, plains, named("Plain", "a", ""))
		k.want(http.StatusNotFound, http.MethodPatch, plains+"/a/status", raw(`{"status":{"n":1}}`))
		k.true("nothing written", at(k.get(plains+"/a").body, "status") == nil)
	}},
	{Name: "a kind without the subresource has its status in the object", run: func(k *kit) {
		plains := "/apis/" + group + "/v1/namespaces/" + k.ns + "/plains"
		made := k.want(http.StatusCreated, http.MethodPost, plains, named("Plain", "a", `"status":{"n":1}`))
		k.same("status", at(made.body, "status"), `{"n":1}`)
		after := k.patch(plains+"/a", raw(`{"status":{"n":2}}`))
		k.same("generation", at(after.body, "metadata", "generation"), `2`)
	}},
	{Name: "a resource that is not served is not found, without a name", run: func(k *kit) {
		missing := k.want(http.StatusNotFound, http.MethodGet, "/apis/"+group+"/v1/namespaces/"+k.ns+"/gizmos/a/status", nil)
		k.true("no details.name", missing.status().Details == nil || missing.status().Details.Name == "")
		unknown := k.call(http.MethodGet, "/apis/no.such.group/v1/gizmos", nil)
		k.true("not found, or denied by a kcp of 2026-08", unknown.code == http.StatusNotFound || k.kcp() && unknown.code == http.StatusForbidden)
	}},
}
