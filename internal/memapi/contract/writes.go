package contract

import (
	"net/http"
	"strings"
)

var writeCases = []Case{
	{Name: "create drops status and begins with generation 1", run: func(k *kit) {
		made := k.want(http.StatusCreated, http.MethodPost, k.widgets(), named("Widget", "a", `"spec":{"size":1},"status":{"n":1}`))
		k.true("no status", at(made.body, "status") == nil)
		k.same("generation", at(made.body, "metadata", "generation"), `1`)
		k.true("uid, resourceVersion and creationTimestamp", uid(made) != "" && version(made) != "" && str(made.body, "metadata", "creationTimestamp") != "")
		k.same("kind", at(made.body, "kind"), `"Widget"`)
		k.same("apiVersion", at(made.body, "apiVersion"), `"`+group+`/v1"`)
	}},
	{Name: "create refuses a name that is taken", run: func(k *kit) {
		k.widget("a")
		refused := k.want(http.StatusConflict, http.MethodPost, k.widgets(), named("Widget", "a", ""))
		k.true("reason AlreadyExists", refused.status().Reason == "AlreadyExists")
	}},
	{Name: "create refuses a namespace that is not there", run: func(k *kit) {
		refused := k.want(http.StatusNotFound, http.MethodPost, "/apis/"+group+"/v1/namespaces/"+k.ns+"-not/widgets", named("Widget", "a", ""))
		k.true("details name the namespace", refused.status().Details.Name == k.ns+"-not" && refused.status().Details.Kind == "namespaces")
	}},
	{Name: "create refuses an object of another namespace", run: func(k *kit) {
		k.want(http.StatusBadRequest, http.MethodPost, k.widgets(), named("Widget", "a", "").with("namespace", "default"))
	}},
	{Name: "create refuses an object without a name", run: func(k *kit) {
		k.want(http.StatusUnprocessableEntity, http.MethodPost, k.widgets(), raw(`{"apiVersion":"`+group+`/v1","kind":"Widget","metadata":{}}`))
	}},
	{Name: "create makes a name from generateName", run: func(k *kit) {
		made := k.want(http.StatusCreated, http.MethodPost, k.widgets(), raw(`{"apiVersion":"`+group+`/v1","kind":"Widget","metadata":{"generateName":"some-"}}`))
		k.true("a longer name", strings.HasPrefix(str(made.body, "metadata", "name"), "some-") && len(str(made.body, "metadata", "name")) == 10)
	}},
	{Name: "a body that is not JSON is a bad request", run: func(k *kit) {
		k.widget("a")
		k.want(http.StatusBadRequest, http.MethodPost, k.widgets(), raw(`{"metadata":`))
		k.want(http.StatusBadRequest, http.MethodPatch, k.widgets("a", "status"), raw(`{"status":`))
	}},
	{Name: "PUT ignores status and bumps the generation", run: func(k *kit) {
		made := k.widget("a")
		k.patch(k.widgets("a", "status"), raw(`{"status":{"n":1}}`))
		now := k.get(k.widgets("a"))
		wanted := named("Widget", "a", `"spec":{"size":2},"status":{"n":9}`).with("resourceVersion", version(now)).with("labels", map[string]any{"l": "1"})
		after := k.want(http.StatusOK, http.MethodPut, k.widgets("a"), wanted)
		k.same("spec", at(after.body, "spec"), `{"size":2}`)
		k.same("status", at(after.body, "status"), `{"n":1}`)
		k.same("labels", at(after.body, "metadata", "labels"), `{"l":"1"}`)
		k.same("generation", at(after.body, "metadata", "generation"), `2`)
		k.true("the uid stays", uid(after) == uid(made))
		k.same("creationTimestamp", at(after.body, "metadata", "creationTimestamp"), canonical(at(made.body, "metadata", "creationTimestamp")))
	}},
	{Name: "labels and status do not bump the generation", run: func(k *kit) {
		k.widget("a")
		k.patch(k.widgets("a"), raw(`{"metadata":{"labels":{"x":"y"}}}`))
		k.patch(k.widgets("a", "status"), raw(`{"status":{"n":1}}`))
		k.same("generation", at(k.get(k.widgets("a")).body, "metadata", "generation"), `1`)
	}},
	{Name: "PUT of the present object changes nothing", run: func(k *kit) {
		made := k.settled("a")
		after := k.want(http.StatusOK, http.MethodPut, k.widgets("a"), made.body)
		k.same("resourceVersion", version(after), `"`+version(made)+`"`)
	}},
	{Name: "PUT with a stale resourceVersion is a conflict", run: func(k *kit) {
		made := k.widget("a")
		k.patch(k.widgets("a", "status"), raw(`{"status":{"n":1}}`))
		k.want(http.StatusConflict, http.MethodPut, k.widgets("a"), made.body)
		k.want(http.StatusConflict, http.MethodPut, k.widgets("a", "status"), made.body)
	}},
	{Name: "PUT of a custom resource needs a resourceVersion", run: func(k *kit) {
		k.widget("a")
		k.want(http.StatusUnprocessableEntity, http.MethodPut, k.widgets("a"), named("Widget", "a", `"spec":{"size":3}`))
	}},
	{Name: "PUT with another uid is a conflict", run: func(k *kit) {
		made := k.widget("a")
		other := named("Widget", "a", `"status":{"n":1}`).with("resourceVersion", version(made)).with("uid", stranger)
		refused := k.want(http.StatusConflict, http.MethodPut, k.widgets("a", "status"), other)
		k.true("names the precondition", strings.Contains(refused.status().Message, "Precondition failed: UID"))
	}},
	{Name: "PUT under another name is a bad request", run: func(k *kit) {
		k.widget("a")
		k.want(http.StatusBadRequest, http.MethodPut, k.widgets("a"), named("Widget", "b", `"spec":{"size":3}`))
	}},
	{Name: "a patch of another name is a bad request", run: func(k *kit) {
		k.widget("a")
		k.want(http.StatusBadRequest, http.MethodPatch, k.widgets("a", "status"), raw(`{"metadata":{"name":"b"},"status":{"n":1}}`))
	}},
	{Name: "an object without a kind is a bad request", run: func(k *kit) {
		k.want(http.StatusBadRequest, http.MethodPost, k.widgets(), raw(`{"metadata":{"name":"a"}}`))
		k.want(http.StatusBadRequest, http.MethodPost, k.widgets(), raw(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}`))
	}},
	{Name: "PUT of a missing object is not found", run: func(k *kit) {
		k.want(http.StatusNotFound, http.MethodPut, k.widgets("a"), named("Widget", "a", "").with("resourceVersion", "5"))
	}},
	{Name: "a merge patch leaves status alone", run: func(k *kit) {
		k.widget("a")
		k.patch(k.widgets("a", "status"), raw(`{"status":{"n":1}}`))
		after := k.patch(k.widgets("a"), raw(`{"spec":{"color":"red"},"status":{"n":2}}`))
		k.same("spec", at(after.body, "spec"), `{"size":1,"color":"red"}`)
		k.same("status", at(after.body, "status"), `{"n":1}`)
		k.same("generation", at(after.body, "metadata", "generation"), `2`)
	}},
	{Name: "a merge patch removes labels", run: func(k *kit) {
		k.widget("a")
		k.patch(k.widgets("a"), raw(`{"metadata":{"labels":{"x":"y","z":"1"}}}`))
		after := k.patch(k.widgets("a"), raw(`{"metadata":{"labels":{"x":null}}}`))
		k.same("labels", at(after.body, "metadata", "labels"), `{"z":"1"}`)
	}},
	{Name: "a patch of an unknown type is refused", run: func(k *kit) {
		k.widget("a")
		k.want(http.StatusUnsupportedMediaType, http.MethodPatch, k.widgets("a", "status"), raw(`{}`), header("Content-Type", "application/json"))
	}},
	{Name: "server-side apply on status merges with other owners", run: func(k *kit) {
		k.widget("a")
		k.patch(k.widgets("a", "status"), raw(`{"status":{"x":1}}`), by("one"))
		after := k.patch(k.widgets("a", "status"), named("Widget", "a", `"status":{"y":2}`), by("two"), header("Content-Type", applyPatch))
		k.same("status", at(after.body, "status"), `{"x":1,"y":2}`)
	}},
	{Name: "a JSON patch with a failing test is invalid", run: func(k *kit) {
		k.widget("a")
		test := raw(`[{"op":"test","path":"/metadata/uid","value":"no"}]`)
		k.want(http.StatusUnprocessableEntity, http.MethodPatch, k.widgets("a", "status"), test, header("Content-Type", jsonPatch))
	}},
	{Name: "a body that is too large is refused", run: func(k *kit) {
		k.widget("a")
		large := raw(`{"status":{"s":"` + strings.Repeat("x", 3<<20) + `"}}`)
		refused := k.want(http.StatusRequestEntityTooLarge, http.MethodPatch, k.widgets("a", "status"), large)
		k.true("reason RequestEntityTooLarge", refused.status().Reason == "RequestEntityTooLarge")
	}},
	{Name: "delete answers with the uid, then the object is not found", run: func(k *kit) {
		made := k.widget("a")
		done := k.want(http.StatusOK, http.MethodDelete, k.widgets("a"), nil).status()
		k.true("a Status of success with the uid", done.Status == "Success" && done.Details != nil && string(done.Details.UID) == uid(made) && done.Details.Name == "a")
		gone := k.want(http.StatusNotFound, http.MethodGet, k.widgets("a"), nil).status()
		k.true("details name the object", gone.Details != nil && gone.Details.Name == "a")
	}},
	{Name: "a finalizer holds a deleted object", run: func(k *kit) {
		k.want(http.StatusCreated, http.MethodPost, k.widgets(), held("a"))
		k.want(http.StatusOK, http.MethodDelete, k.widgets("a"), nil)
		held := k.get(k.widgets("a"))
		k.true("deletionTimestamp", str(held.body, "metadata", "deletionTimestamp") != "")
		k.same("generation", at(held.body, "metadata", "generation"), `2`)
		k.patch(k.widgets("a", "status"), raw(`{"status":{"n":1}}`))  // it can still be written
		k.want(http.StatusOK, http.MethodDelete, k.widgets("a"), nil) // and deleted again
		k.patch(k.widgets("a"), raw(`{"metadata":{"finalizers":null}}`))
		k.want(http.StatusNotFound, http.MethodGet, k.widgets("a"), nil)
	}},
	{Name: "delete with another uid as precondition is a conflict", run: func(k *kit) {
		made := k.widget("a")
		body := func(uid string) raw { return raw(`{"preconditions":{"uid":"` + uid + `"}}`) }
		k.want(http.StatusConflict, http.MethodDelete, k.widgets("a"), body(stranger))
		k.want(http.StatusOK, http.MethodDelete, k.widgets("a"), body(uid(made)))
	}},
	{Name: "an object made anew has another uid and starts over", run: func(k *kit) {
		first := k.widget("a")
		k.patch(k.widgets("a"), raw(`{"spec":{"size":5}}`))
		k.want(http.StatusOK, http.MethodDelete, k.widgets("a"), nil)
		second := k.widget("a")
		k.true("another uid", uid(first) != uid(second))
		k.same("generation", at(second.body, "metadata", "generation"), `1`)
		k.want(http.StatusConflict, http.MethodPatch, k.widgets("a", "status"), raw(`{"metadata":{"resourceVersion":"`+version(first)+`"},"status":{"n":1}}`))
	}},
}
