package front

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ServeHTTP answers requests to workspaces and to the front itself.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/livez", "/readyz", "/healthz":
		_, _ = w.Write([]byte("ok"))
		return
	}
	workspace, path, ok := split(r.URL.Path)
	if !ok {
		writeStatus(w, http.StatusNotFound, metav1.StatusReasonNotFound, "the front serves /clusters/<workspace>/… only, not "+r.URL.Path)
		return
	}
	if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
		writeStatus(w, http.StatusUnauthorized, metav1.StatusReasonUnauthorized, "Unauthorized")
		return
	}
	f.serveWorkspace(w, r, parse(workspace, path, r))
}

func (f *Front) serveWorkspace(w http.ResponseWriter, r *http.Request, call Call) {
	f.mu.Lock()
	f.calls[call]++
	backend, observe, intercept := f.backends[call.Workspace], f.observe, f.intercept
	f.mu.Unlock()

	recorder := &recorder{ResponseWriter: w}
	if observe != nil {
		started := time.Now()
		defer func() {
			observe(Request{
				Call: call, Agent: r.UserAgent(), FieldManager: r.URL.Query().Get("fieldManager"),
				Code: recorder.code, Started: started, Took: time.Since(started),
			})
		}()
	}
	switch {
	case intercept != nil && intercept(recorder, r, call):
	case backend == nil:
		writeStatus(recorder, http.StatusForbidden, metav1.StatusReasonForbidden, "workspace access not permitted: "+call.Workspace)
	default:
		backend.proxy.ServeHTTP(recorder, r)
	}
}

// split splits "/clusters/root:team-a/api/v1" into the workspace and the API server's path.
func split(path string) (workspace, rest string, ok bool) {
	after, ok := strings.CutPrefix(path, "/clusters/")
	if !ok {
		return "", "", false
	}
	workspace, rest, _ = strings.Cut(after, "/")
	return workspace, "/" + rest, workspace != ""
}

func writeStatus(w http.ResponseWriter, code int, reason metav1.StatusReason, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(metav1.Status{ // fails only if the client has disconnected
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure, Reason: reason, Message: message, Code: int32(code),
	})
}

// recorder records the answer's status code. Unwrap lets http.ResponseController flush and hijack through it.
type recorder struct {
	http.ResponseWriter
	code int
}

func (r *recorder) WriteHeader(code int) {
	if r.code == 0 && code >= 200 {
		r.code = code
	}
	r.ResponseWriter.WriteHeader(code)
}

func (r *recorder) Write(content []byte) (int, error) {
	if r.code == 0 {
		r.code = http.StatusOK
	}
	return r.ResponseWriter.Write(content)
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
