package front

import (
	"maps"
	"net/http"
	"strings"
)

// Call describes a request in the API server's terms. Parts that a request lacks are empty.
type Call struct {
	Workspace   string
	Verb        string // get, list, watch, create, update, patch, delete, deletecollection; for other paths the method in lower case
	Group       string
	Version     string
	Resource    string // empty: discovery, health and the like
	Namespace   string
	Name        string
	Subresource string
}

// Calls counts requests by call, from their arrival.
type Calls map[Call]int

// Count sums the calls that match: an empty field of match matches everything.
func (c Calls) Count(match Call) int {
	count := 0
	for call, n := range c {
		if match.fits(call) {
			count += n
		}
	}
	return count
}

// Writes returns the calls that may change an object.
func (c Calls) Writes() Calls {
	writes := maps.Clone(c)
	maps.DeleteFunc(writes, func(call Call, _ int) bool { return call.Reads() })
	return writes
}

// Since returns the calls after an earlier snapshot.
func (c Calls) Since(earlier Calls) Calls {
	later := Calls{}
	for call, n := range c {
		if more := n - earlier[call]; more > 0 {
			later[call] = more
		}
	}
	return later
}

// Total sums all calls.
func (c Calls) Total() int { return c.Count(Call{}) }

// Reads reports whether the call cannot change an object.
func (c Call) Reads() bool {
	switch c.Verb {
	case "get", "list", "watch", "head", "options":
		return true
	}
	return false
}

func (c Call) fits(call Call) bool {
	for _, field := range [][2]string{
		{c.Workspace, call.Workspace}, {c.Verb, call.Verb}, {c.Group, call.Group}, {c.Version, call.Version}, {c.Resource, call.Resource},
		{c.Namespace, call.Namespace}, {c.Name, call.Name}, {c.Subresource, call.Subresource},
	} {
		if field[0] != "" && field[0] != field[1] {
			return false
		}
	}
	return true
}

// parse returns the call of a request to a workspace; path is the request path without /clusters/<name>, in the form of the
// Kubernetes API: /api/v1 or /apis/<group>/<version>, then [namespaces/<namespace>/]<resource>[/<name>[/<subresource>]].
func parse(workspace, path string, r *http.Request) Call {
	call := Call{Workspace: workspace, Verb: strings.ToLower(r.Method)}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case parts[0] == "api" && len(parts) > 2:
		call.Version, parts = parts[1], parts[2:]
	case parts[0] == "apis" && len(parts) > 3:
		call.Group, call.Version, parts = parts[1], parts[2], parts[3:]
	default:
		return call
	}
	if parts[0] == "namespaces" && len(parts) > 2 && parts[2] != "status" && parts[2] != "finalize" {
		call.Namespace, parts = parts[1], parts[2:]
	}
	call.Resource = parts[0]
	if len(parts) > 1 {
		call.Name = parts[1]
	}
	if len(parts) > 2 {
		call.Subresource = strings.Join(parts[2:], "/")
	}
	call.Verb = verb(r, call.Name != "")
	return call
}

func verb(r *http.Request, named bool) string {
	watch := r.URL.Query().Get("watch")
	switch {
	case r.Method == http.MethodGet && (watch == "true" || watch == "1"):
		return "watch"
	case r.Method == http.MethodGet && !named:
		return "list"
	case r.Method == http.MethodPost:
		return "create"
	case r.Method == http.MethodPut:
		return "update"
	case r.Method == http.MethodDelete && !named:
		return "deletecollection"
	}
	return strings.ToLower(r.Method) // get, patch, delete
}
