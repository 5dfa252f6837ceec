package contract

import "net/http"

// entry is the managedFields entry of a manager for a subresource; nil if there is none.
func entry(o map[string]any, manager, subresource string) map[string]any {
	entries, _ := at(o, "metadata", "managedFields").([]any)
	for _, e := range entries {
		m, _ := e.(map[string]any)
		if m["manager"] == manager && str(m, "subresource") == subresource {
			return m
		}
	}
	return nil
}

func fieldsOf(o map[string]any, manager string) any {
	return at(entry(o, manager, "status"), "fieldsV1")
}

var managerCases = []Case{
	{Name: "a status patch leaves an entry in managedFields", run: func(k *kit) {
		k.widget("a", by("maker"))
		after := k.patch(k.widgets("a", "status"), raw(`{"status":{"n":1,"m":{"x":"y"}}}`), by("m"))
		e := entry(after.body, "m", "status")
		k.same("operation", e["operation"], `"Update"`)
		k.same("apiVersion", e["apiVersion"], `"`+group+`/v1"`)
		k.same("fieldsType", e["fieldsType"], `"FieldsV1"`)
		k.true("a time", str(e, "time") != "")
		k.same("fields", e["fieldsV1"], `{"f:status":{".":{},"f:m":{".":{},"f:x":{}},"f:n":{}}}`)
		k.same("the maker's fields", at(entry(after.body, "maker", ""), "fieldsV1"), `{"f:spec":{".":{},"f:size":{}}}`)
	}},
	{Name: "a manager that changes a field is its only owner", run: func(k *kit) {
		k.widget("a")
		k.patch(k.widgets("a", "status"), raw(`{"status":{"x":1,"y":1}}`), by("one"))
		after := k.patch(k.widgets("a", "status"), raw(`{"status":{"x":2,"y":1}}`), by("two"))
		k.same("of one", fieldsOf(after.body, "one"), `{"f:status":{".":{},"f:y":{}}}`)
		k.same("of two", fieldsOf(after.body, "two"), `{"f:status":{"f:x":{}}}`)
	}},
	{Name: "a manager without fields has no entry", run: func(k *kit) {
		k.widget("a")
		k.patch(k.widgets("a", "status"), raw(`{"status":{"x":1}}`), by("one"))
		k.patch(k.widgets("a", "status"), raw(`{"status":{"y":1}}`), by("two"))
		after := k.patch(k.widgets("a", "status"), raw(`{"status":{"y":null}}`), by("three"))
		k.true("no entry of two", entry(after.body, "two", "status") == nil)
		k.true("no entry of three, which set nothing", entry(after.body, "three", "status") == nil)
		k.same("of one", fieldsOf(after.body, "one"), `{"f:status":{".":{},"f:x":{}}}`)
	}},
	{Name: "lists of custom resources have one owner", run: func(k *kit) {
		k.widget("a")
		k.patch(k.widgets("a", "status"), raw(`{"status":{"conditions":[{"type":"A","status":"True"}]}}`), by("one"))
		after := k.patch(k.widgets("a", "status"), raw(`{"status":{"conditions":[{"type":"A","status":"True"},{"type":"B","status":"True"}]}}`), by("two"))
		k.same("of one", fieldsOf(after.body, "one"), `{"f:status":{}}`)
		k.same("of two", fieldsOf(after.body, "two"), `{"f:status":{"f:conditions":{}}}`)
	}},
	{Name: "the same manager has an entry for the object and one for its status", run: func(k *kit) {
		k.widget("a", by("m"))
		after := k.patch(k.widgets("a", "status"), raw(`{"status":{"n":1}}`), by("m"))
		k.true("both", entry(after.body, "m", "") != nil && entry(after.body, "m", "status") != nil)
	}},
	{Name: "the User-Agent names a manager that does not name itself", run: func(k *kit) {
		made := k.widget("a", header("User-Agent", "some-agent/v1.2 (linux)"))
		k.true("an entry some-agent", entry(made.body, "some-agent", "") != nil)
	}},
	{Name: "labels and annotations have owners", run: func(k *kit) {
		k.widget("a", by("one"))
		after := k.patch(k.widgets("a"), raw(`{"metadata":{"labels":{"l":"1"},"annotations":{"a.b/c":"1"}}}`), by("two"))
		annotations := `{".":{},"f:a.b/c":{}}`
		if k.kcp() { // the map exists already: it holds the annotation of the logical cluster
			annotations = `{"f:a.b/c":{}}`
		}
		k.same("of two", at(entry(after.body, "two", ""), "fieldsV1"), `{"f:metadata":{"f:annotations":`+annotations+`,"f:labels":{".":{},"f:l":{}}}}`)
	}},
	{Name: "PUT on status owns the changed fields", run: func(k *kit) {
		k.widget("a")
		now := k.patch(k.widgets("a", "status"), raw(`{"status":{"x":1,"y":1}}`), by("one"))
		wanted := named("Widget", "a", `"status":{"y":2}`).with("resourceVersion", version(now))
		after := k.want(http.StatusOK, http.MethodPut, k.widgets("a", "status"), wanted, by("two"))
		k.same("of one", fieldsOf(after.body, "one"), `{"f:status":{}}`)
		k.same("of two", fieldsOf(after.body, "two"), `{"f:status":{"f:y":{}}}`)
	}},
}
