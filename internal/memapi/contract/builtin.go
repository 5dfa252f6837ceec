package contract

import (
	"net/http"
	"strings"
)

func (k *kit) path(groupVersion, resource string, more ...string) string {
	return strings.Join(append([]string{groupVersion, "namespaces", k.ns, resource}, more...), "/")
}

func (k *kit) deployments(more ...string) string {
	return k.path("/apis/apps/v1", "deployments", more...)
}
func (k *kit) jobs(more ...string) string     { return k.path("/apis/batch/v1", "jobs", more...) }
func (k *kit) services(more ...string) string { return k.path("/api/v1", "services", more...) }
func (k *kit) pods(more ...string) string     { return k.path("/api/v1", "pods", more...) }

const template raw = `{"metadata":{"labels":{"app":"a"}},"spec":{"containers":[{"name":"c","image":"i"}]}}`

// make makes the object a of the compiled-in kind at a path.
func (k *kit) make(path string, spec raw) answer {
	return k.want(http.StatusCreated, http.MethodPost, path, `{"metadata":{"name":"a"},"spec":`+spec+`}`)
}

func (k *kit) deployment() answer {
	return k.make(k.deployments(), `{"replicas":3,"selector":{"matchLabels":{"app":"a"}},"template":`+template+`}`)
}

func (k *kit) job() answer {
	never := raw(strings.Replace(string(template), `"spec":{`, `"spec":{"restartPolicy":"Never",`, 1))
	return k.make(k.jobs(), `{"managedBy":"upstreamd.dev/test","template":`+never+`}`)
}

func (k *kit) pod() answer {
	return k.make(k.pods(), `{"containers":[{"name":"c","image":"i"}]}`)
}

func (k *kit) service(kind string) answer {
	return k.make(k.services(), `{"type":"`+raw(kind)+`","ports":[{"port":80}]}`)
}

// refused fails unless the status is invalid, at this field.
func (k *kit) refused(path string, status raw, field string) {
	s := k.want(http.StatusUnprocessableEntity, http.MethodPatch, path, raw(`{"status":`)+status+raw(`}`)).status()
	k.true("reason Invalid", s.Reason == "Invalid" && s.Details != nil)
	for _, cause := range s.Details.Causes {
		if cause.Field == field {
			return
		}
	}
	k.fail("no cause is about %s: %v", field, s.Details.Causes)
}

// builtInCases are about the compiled-in kinds of a kube-apiserver.
var builtInCases = []Case{
	{Name: "zero counters and empty lists vanish", BuiltIn: true, run: func(k *kit) {
		k.deployment()
		after := k.patch(k.deployments("a", "status"), raw(`{"status":{"replicas":2,"readyReplicas":0,"conditions":[]}}`))
		k.same("replicas", at(after.body, "status", "replicas"), `2`)
		k.true("the zero and the empty list are gone", at(after.body, "status", "readyReplicas") == nil && at(after.body, "status", "conditions") == nil)
	}},
	{Name: "a Deployment's status begins empty", BuiltIn: true, run: func(k *kit) {
		k.same("status", at(k.deployment().body, "status"), `{}`)
	}},
	{Name: "the same patch again changes nothing though values vanish", BuiltIn: true, run: func(k *kit) {
		k.deployment()
		first := k.patch(k.deployments("a", "status"), raw(`{"status":{"replicas":2,"readyReplicas":0}}`), by("m"))
		again := k.patch(k.deployments("a", "status"), raw(`{"status":{"replicas":2,"readyReplicas":0}}`), by("m"))
		k.same("the object", again.body, first.text)
	}},
	{Name: "times that are not set appear as null", BuiltIn: true, run: func(k *kit) {
		k.deployment()
		after := k.patch(k.deployments("a", "status"), raw(`{"status":{"conditions":[{"type":"Available","status":"True"}]}}`))
		k.same("conditions", at(after.body, "status", "conditions"), `[{"type":"Available","status":"True","lastTransitionTime":null,"lastUpdateTime":null}]`)
	}},
	{Name: "unknown fields are pruned with a warning", BuiltIn: true, run: func(k *kit) {
		k.deployment()
		after := k.patch(k.deployments("a", "status"), raw(`{"status":{"replicas":1,"bogus":1}}`))
		k.true("pruned", at(after.body, "status", "bogus") == nil)
		k.true("warned", strings.Contains(strings.Join(after.header.Values("Warning"), " "), `unknown field \"status.bogus\"`))
	}},
	{Name: "a patch with a value of the wrong type is invalid", BuiltIn: true, run: func(k *kit) {
		k.deployment()
		k.refused(k.deployments("a", "status"), `{"replicas":"two"}`, "patch")
		k.refused(k.deployments("a", "status"), `"two"`, "patch")
	}},
	{Name: "condition types may have a domain", BuiltIn: true, run: func(k *kit) {
		k.deployment()
		after := k.patch(k.deployments("a", "status"), raw(`{"status":{"conditions":[{"type":"upstreamd.dev/Aggregated","status":"True"}]}}`))
		k.true("taken", strings.Contains(after.text, "upstreamd.dev/Aggregated"))
	}},
	{Name: "more available than ready replicas are refused", BuiltIn: true, run: func(k *kit) {
		k.deployment()
		k.refused(k.deployments("a", "status"), `{"replicas":3,"readyReplicas":1,"availableReplicas":2}`, "status.availableReplicas")
		k.refused(k.deployments("a", "status"), `{"replicas":3,"updatedReplicas":4}`, "status.updatedReplicas")
		k.refused(k.deployments("a", "status"), `{"replicas":-1}`, "status.replicas")
	}},
	{Name: "observedGeneration may be anything and go back", BuiltIn: true, run: func(k *kit) {
		k.deployment()
		k.patch(k.deployments("a", "status"), raw(`{"status":{"observedGeneration":7}}`))
		after := k.patch(k.deployments("a", "status"), raw(`{"status":{"observedGeneration":2}}`))
		k.same("observedGeneration", at(after.body, "status", "observedGeneration"), `2`)
	}},
	{Name: "entries of keyed lists have owners", BuiltIn: true, run: func(k *kit) {
		k.deployment()
		k.patch(k.deployments("a", "status"), raw(`{"status":{"replicas":1,"conditions":[{"type":"A","status":"True"}]}}`), by("one"))
		after := k.patch(k.deployments("a", "status"), raw(`{"status":{"conditions":[{"type":"A","status":"True"},{"type":"B","status":"True"}]}}`), by("two"))
		const all = `{".":{},"f:lastTransitionTime":{},"f:lastUpdateTime":{},"f:status":{},"f:type":{}}`
		k.same("of one", fieldsOf(after.body, "one"), `{"f:status":{"f:conditions":{".":{},"k:{\"type\":\"A\"}":`+all+`},"f:replicas":{}}}`)
		k.same("of two", fieldsOf(after.body, "two"), `{"f:status":{"f:conditions":{"k:{\"type\":\"B\"}":`+all+`}}}`)
	}},
	{Name: "a wrong uid in a Deployment's status patch", BuiltIn: true, run: func(k *kit) {
		k.deployment()
		patch := raw(`{"metadata":{"uid":"` + stranger + `"},"status":{"replicas":1}}`)
		k.want(http.StatusUnprocessableEntity, http.MethodPatch, k.deployments("a", "status"), patch)
	}},
	{Name: "PUT of a Deployment's status needs no resourceVersion", BuiltIn: true, run: func(k *kit) {
		made := k.deployment()
		k.want(http.StatusOK, http.MethodPut, k.deployments("a", "status"), made.body)
		delete(made.body["metadata"].(map[string]any), "resourceVersion") //nolint:forcetypeassert // an object
		made.body["status"] = map[string]any{"replicas": 1}
		after := k.want(http.StatusOK, http.MethodPut, k.deployments("a", "status"), made.body)
		k.same("replicas", at(after.body, "status", "replicas"), `1`)
	}},
	{Name: "a Deployment's generation follows its spec", BuiltIn: true, run: func(k *kit) {
		k.same("at first", at(k.deployment().body, "metadata", "generation"), `1`)
		k.patch(k.deployments("a", "status"), raw(`{"status":{"replicas":1}}`))
		k.same("after spec", at(k.patch(k.deployments("a"), raw(`{"spec":{"replicas":4}}`)).body, "metadata", "generation"), `2`)
	}},
	{Name: "items of a list of Deployments have no kind", BuiltIn: true, run: func(k *kit) {
		k.deployment()
		list := k.get(k.deployments())
		k.same("kind of the list", list.body["kind"], `"DeploymentList"`)
		items, _ := list.body["items"].([]any)
		item, _ := items[0].(map[string]any)
		k.true("no kind", len(items) == 1 && item["kind"] == nil && item["apiVersion"] == nil)
	}},
	{Name: "a Job's startTime is immutable", BuiltIn: true, run: func(k *kit) {
		k.job()
		k.patch(k.jobs("a", "status"), raw(`{"status":{"startTime":"2026-01-01T00:00:00Z"}}`))
		k.refused(k.jobs("a", "status"), `{"startTime":"2026-01-02T00:00:00Z"}`, "status.startTime")
	}},
	{Name: "a Job is complete only with SuccessCriteriaMet", BuiltIn: true, run: func(k *kit) {
		k.job()
		const times = `"startTime":"2026-01-01T00:00:00Z","completionTime":"2026-01-01T00:01:00Z","succeeded":1`
		const complete = `{"type":"Complete","status":"True"}`
		k.refused(k.jobs("a", "status"), `{`+times+`,"conditions":[`+complete+`]}`, "status.conditions")
		k.patch(k.jobs("a", "status"), raw(`{"status":{`+times+`,"conditions":[{"type":"SuccessCriteriaMet","status":"True"},`+complete+`]}}`))
		k.refused(k.jobs("a", "status"), `{"conditions":[]}`, "status.conditions")
	}},
	{Name: "a complete Job has times and nothing active", BuiltIn: true, run: func(k *kit) {
		k.job()
		for _, field := range []string{"status.completionTime", "status.startTime", "status.active"} {
			const finished = `{"active":1,"conditions":[{"type":"SuccessCriteriaMet","status":"True"},{"type":"Complete","status":"True"}]}`
			k.refused(k.jobs("a", "status"), finished, field)
		}
	}},
	{Name: "a Job's counters do not shrink", BuiltIn: true, run: func(k *kit) {
		k.job()
		k.patch(k.jobs("a", "status"), raw(`{"status":{"succeeded":2,"failed":1}}`))
		k.refused(k.jobs("a", "status"), `{"succeeded":1}`, "status.succeeded")
		k.refused(k.jobs("a", "status"), `{"failed":0}`, "status.failed")
	}},
	{Name: "ingress of a Service that is no load balancer is refused", BuiltIn: true, run: func(k *kit) {
		k.service("ClusterIP")
		k.refused(k.services("a", "status"), `{"loadBalancer":{"ingress":[{"ip":"10.0.0.1"}]}}`, "status.loadBalancer.ingress")
	}},
	{Name: "ingress of a load balancer is taken", BuiltIn: true, run: func(k *kit) {
		k.service("LoadBalancer")
		after := k.patch(k.services("a", "status"), raw(`{"status":{"loadBalancer":{"ingress":[{"ip":"10.0.0.1"}]}}}`))
		k.same("ip", at(after.body, "status", "loadBalancer", "ingress").([]any)[0].(map[string]any)["ip"], `"10.0.0.1"`) //nolint:forcetypeassert // patched so
	}},
	{Name: "a Pod takes phases and containers that do not exist", BuiltIn: true, run: func(k *kit) {
		k.pod()
		const strange = `{"name":"stranger","ready":false,"restartCount":0,"image":"i","imageID":"","state":{"running":{}}}`
		after := k.patch(k.pods("a", "status"), raw(`{"status":{"phase":"Nonsense","containerStatuses":[`+strange+`]}}`))
		k.same("phase", at(after.body, "status", "phase"), `"Nonsense"`)
		container, _ := at(after.body, "status", "containerStatuses").([]any)[0].(map[string]any) //nolint:forcetypeassert // patched so
		k.same("lastState", container["lastState"], `{}`)
		k.same("state", container["state"], `{"running":{"startedAt":null}}`)
	}},
	{Name: "compiled-in kinds take metadata through their status", BuiltIn: true, run: func(k *kit) {
		k.pod()
		patch := raw(`{"metadata":{"labels":{"x":"y"},"annotations":{"x":"y"},"finalizers":["upstreamd.dev/hold"]},"status":{"phase":"Running"}}`)
		after := k.patch(k.pods("a", "status"), patch, by("m"))
		k.same("labels", at(after.body, "metadata", "labels"), `{"x":"y"}`)
		k.same("annotations", at(after.body, "metadata", "annotations"), `{"x":"y"}`)
		k.same("finalizers", at(after.body, "metadata", "finalizers"), `["upstreamd.dev/hold"]`)
		const meta = `{"f:annotations":{".":{},"f:x":{}},"f:finalizers":{".":{},"v:\"upstreamd.dev/hold\"":{}},"f:labels":{".":{},"f:x":{}}}`
		k.same("fields", fieldsOf(after.body, "m"), `{"f:metadata":`+meta+`,"f:status":{"f:phase":{}}}`)
		k.patch(k.pods("a"), raw(`{"metadata":{"finalizers":null}}`))
	}},
	{Name: "a Deployment takes annotations through its status, but no labels", BuiltIn: true, run: func(k *kit) {
		k.deployment()
		after := k.patch(k.deployments("a", "status"), raw(`{"metadata":{"labels":{"x":"y"},"annotations":{"x":"y"}}}`))
		k.true("no labels", at(after.body, "metadata", "labels") == nil)
		k.same("annotations", at(after.body, "metadata", "annotations"), `{"x":"y"}`)
		k.same("generation", at(after.body, "metadata", "generation"), `1`)
	}},
	{Name: "annotations bump a Deployment's generation", BuiltIn: true, run: func(k *kit) {
		k.deployment()
		k.same("labels do not", at(k.patch(k.deployments("a"), raw(`{"metadata":{"labels":{"x":"y"}}}`)).body, "metadata", "generation"), `1`)
		k.same("annotations do", at(k.patch(k.deployments("a"), raw(`{"metadata":{"annotations":{"x":"y"}}}`)).body, "metadata", "generation"), `2`)
	}},
	{Name: "OpenAPI v3 names the map keys of lists", BuiltIn: true, run: func(k *kit) {
		all, deployment := schemaOf(k.get("/openapi/v3/apis/apps/v1"), "Deployment")
		status := resolve(all, at(deployment, "properties", "status"))
		k.same("type", at(status, "properties", "replicas", "type"), `"integer"`)
		k.same("list type", at(status, "properties", "conditions", "x-kubernetes-list-type"), `"map"`)
		k.same("keys", at(status, "properties", "conditions", "x-kubernetes-list-map-keys"), `["type"]`)
		conditions, _ := at(status, "properties", "conditions").(map[string]any)
		item := resolve(all, conditions["items"])
		k.same("format of a time", resolve(all, at(item, "properties", "lastTransitionTime"))["format"], `"date-time"`)
	}},
	{Name: "a resource that a compiled-in group lacks is not found, without a name", BuiltIn: true, run: func(k *kit) {
		missing := k.want(http.StatusNotFound, http.MethodGet, k.path("/apis/apps/v1", "gizmos", "a"), nil).status()
		k.true("a Status without details.name", missing.Reason == "NotFound" && missing.Details != nil && missing.Details.Name == "")
	}},
	{Name: "status of a ConfigMap is not found, without a name", BuiltIn: true, run: func(k *kit) {
		k.want(http.StatusCreated, http.MethodPost, k.path("/api/v1", "configmaps"), raw(`{"metadata":{"name":"a"}}`))
		missing := k.want(http.StatusNotFound, http.MethodPatch, k.path("/api/v1", "configmaps", "a", "status"), raw(`{"status":{}}`))
		k.true("no details.name", missing.status().Reason == "NotFound" && missing.status().Details.Name == "")
	}},
}
