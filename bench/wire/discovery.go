package wire

import (
	"fmt"
	"net/http"
	"strings"
)

const (
	coreResources = `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"v1","resources":[` +
		`{"name":"namespaces","singularName":"namespace","namespaced":false,"kind":"Namespace","verbs":["get","list","watch","create","update","patch","delete"]},` +
		`{"name":"configmaps","singularName":"configmap","namespaced":true,"kind":"ConfigMap","verbs":["get","list","watch","create","update","patch","delete"]}]}`
	appsResources = `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"apps/v1","resources":[` +
		`{"name":"deployments","singularName":"deployment","namespaced":true,"group":"apps","version":"v1",` +
		`"kind":"Deployment","verbs":["get","list","watch","create","update","patch","delete"]},` +
		`{"name":"deployments/status","singularName":"","namespaced":true,"group":"apps","version":"v1","kind":"Deployment","verbs":["get","patch","update"]}]}`
)

func group(name string) string {
	return fmt.Sprintf(`{"name":%q,"versions":[{"groupVersion":"%s/v1","version":"v1"}],"preferredVersion":{"groupVersion":"%s/v1","version":"v1"}}`, name, name, name)
}

// discovery answers requests that do not depend on objects. With kcp, groups of kcp are named, so that clients expect statuses to be stored as sent.
func discovery(path string, kcp bool) (answer, bool) {
	switch path {
	case "/readyz", "/livez", "/healthz":
		return answer{code: http.StatusOK, body: []byte("ok")}, true
	case "/version":
		return ok([]byte(`{"major":"1","minor":"37","gitVersion":"v1.37.2"}`)), true
	case "/api":
		return ok([]byte(`{"kind":"APIVersions","versions":["v1"]}`)), true
	case "/api/v1":
		return ok([]byte(coreResources)), true
	case "/apis/apps/v1":
		return ok([]byte(appsResources)), true
	case "/apis":
		groups := []string{group("apps")}
		if kcp {
			groups = append(groups, group("apis.kcp.io"))
		}
		return ok([]byte(`{"kind":"APIGroupList","apiVersion":"v1","groups":[` + strings.Join(groups, ",") + `]}`)), true
	}
	return answer{}, false
}
