package front

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestParse(t *testing.T) {
	const w = "root:team-a"
	for _, test := range []struct {
		method, url string
		want        Call
	}{
		{"GET", "/api/v1/pods", Call{Verb: "list", Version: "v1", Resource: "pods"}},
		{"GET", "/api/v1/pods?watch=true", Call{Verb: "watch", Version: "v1", Resource: "pods"}},
		{"GET", "/api/v1/namespaces/default/pods?watch=1", Call{Verb: "watch", Version: "v1", Resource: "pods", Namespace: "default"}},
		{"GET", "/api/v1/namespaces", Call{Verb: "list", Version: "v1", Resource: "namespaces"}},
		{"GET", "/api/v1/namespaces/default", Call{Verb: "get", Version: "v1", Resource: "namespaces", Name: "default"}},
		{"PATCH", "/api/v1/namespaces/default/status", Call{Verb: "patch", Version: "v1", Resource: "namespaces", Name: "default", Subresource: "status"}},
		{"PATCH", "/apis/apps/v1/namespaces/default/deployments/web/status?fieldManager=x",
			Call{Verb: "patch", Group: "apps", Version: "v1", Resource: "deployments", Namespace: "default", Name: "web", Subresource: "status"}},
		{"POST", "/apis/apps/v1/namespaces/default/deployments", Call{Verb: "create", Group: "apps", Version: "v1", Resource: "deployments", Namespace: "default"}},
		{"PUT", "/api/v1/namespaces/n/services/s", Call{Verb: "update", Version: "v1", Resource: "services", Namespace: "n", Name: "s"}},
		{"DELETE", "/api/v1/namespaces/n/pods/p", Call{Verb: "delete", Version: "v1", Resource: "pods", Namespace: "n", Name: "p"}},
		{"DELETE", "/api/v1/namespaces/n/pods", Call{Verb: "deletecollection", Version: "v1", Resource: "pods", Namespace: "n"}},
		{"GET", "/apis/apps/v1", Call{Verb: "get"}},
		{"GET", "/api", Call{Verb: "get"}},
		{"GET", "/readyz", Call{Verb: "get"}},
		{"GET", "/", Call{Verb: "get"}},
	} {
		test.want.Workspace = w
		request := httptest.NewRequest(test.method, "/clusters/"+w+test.url, http.NoBody)
		workspace, path, ok := split(request.URL.Path)
		if !ok || workspace != w {
			t.Errorf("%s: split gives %q, %v", test.url, workspace, ok)
		}
		if got := parse(workspace, path, request); got != test.want {
			t.Errorf("%s %s:\n got %+v\nwant %+v", test.method, test.url, got, test.want)
		}
	}
	for _, path := range []string{"/", "/clusters", "/clusters/", "/api/v1", "/services/apiexport"} {
		if workspace, _, ok := split(path); ok {
			t.Errorf("%s names the workspace %q", path, workspace)
		}
	}
}

func TestCalls(t *testing.T) {
	patchA := Call{Workspace: "a", Verb: "patch", Resource: "pods", Name: "x", Subresource: "status"}
	patchB := Call{Workspace: "b", Verb: "patch", Resource: "pods", Name: "x", Subresource: "status"}
	watch := Call{Workspace: "a", Verb: "watch", Resource: "pods"}
	calls := Calls{patchA: 3, patchB: 2, watch: 1}
	for match, want := range map[Call]int{
		{}: 6, {Workspace: "a"}: 4, {Verb: "patch"}: 5, {Verb: "patch", Workspace: "b"}: 2, {Name: "y"}: 0, patchA: 3,
	} {
		if got := calls.Count(match); got != want {
			t.Errorf("%+v: got %d, want %d", match, got, want)
		}
	}
	if got := calls.Writes().Total(); got != 5 {
		t.Errorf("got %d writes, want 5", got)
	}
	since := calls.Since(Calls{patchA: 1, patchB: 2})
	if since[patchA] != 2 || since[watch] != 1 || len(since) != 2 {
		t.Errorf("got %v", since)
	}
}
