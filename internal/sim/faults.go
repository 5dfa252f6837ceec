package sim

import (
	"net/http"
	"strings"
	"time"

	"github.com/upstreamd/upstreamd/internal/memapi"
)

// fault is one way in which a call may go wrong.
type fault struct {
	name  string
	where side
	share float64 // of the calls that it may hit, while it lasts
	hits  func(call) bool
	harm  func(draw) harm
}

// side is the servers with calls that a fault may hit.
type side int

const (
	anywhere side = iota
	atUpstream
	atTargets
)

// harm is the failure of one call.
type harm struct {
	server memapi.Fault  // injected into the API server
	late   time.Duration // on the way there; a client that gives up meanwhile does not call it back
	lost   bool          // the answer is, after the request was processed
	silent bool          // the request is not processed and never answered
	panics bool          // the connection's code panics
	poison bool          // the connection hands on an object that makes the actor behind it panic
	fails  victim        // an actor that fails then
	after  time.Duration // so much later
}

// onNetwork reports whether a harm is done on the way to a server. The others are done in the daemon.
func (h harm) onNetwork() bool { return !h.panics && !h.poison && h.fails == noActor }

func lists(c call) bool   { return c.verb == "list" || c.streaming }
func pages(c call) bool   { return c.verb == "list" }
func watches(c call) bool { return c.verb == "watch" }
func patches(c call) bool { return c.verb == "patch" }
func all(call) bool       { return true }
func streams(c call) bool { return c.streaming }
func reads(c call) bool   { return c.verb != "patch" }

// discovers reports whether a call is about discovery. Probes are not.
func discovers(c call) bool {
	return c.verb == "other" && strings.HasPrefix(strings.TrimPrefix(c.name, "/clusters/"+c.workspace), "/api")
}

// status answers with an error; the request is not processed.
func status(code int, after time.Duration) func(draw) harm {
	return func(draw) harm { return harm{server: memapi.Fault{Status: code, RetryAfter: after}} }
}

// watchFault ends or spoils a watch some time after it was opened.
func watchFault(kind memapi.WatchFaultKind) func(draw) harm {
	return func(d draw) harm {
		return harm{server: memapi.Fault{Watch: memapi.WatchFault{Kind: kind, Within: d.between(10*time.Millisecond, 20*time.Second)}}}
	}
}

// faults is the catalogue. Those of outages and of whole daemons are in plan.go.
var faults = []fault{
	{"connection refused", anywhere, 0.5, all, func(draw) harm { return harm{server: memapi.Fault{Refuse: true}} }},
	{"watch reset in the middle of an event", anywhere, 0.7, watches, watchFault(memapi.Reset)},
	{"watch closed", anywhere, 0.7, watches, watchFault(memapi.Finish)},
	{"watch expired (410)", anywhere, 0.7, watches, watchFault(memapi.Expire)},
	{"only bookmarks", anywhere, 0.4, watches, watchFault(memapi.OnlyBookmarks)},
	{"silent watch", anywhere, 0.4, watches, watchFault(memapi.Silence)},
	{"no streaming lists (422)", anywhere, 1, streams, status(http.StatusUnprocessableEntity, 0)},
	{"list expired (410)", anywhere, 0.5, lists, status(http.StatusGone, 0)},
	{"slow list", anywhere, 0.6, lists, func(d draw) harm { return harm{server: memapi.Fault{Delay: d.between(5*time.Second, 55*time.Second)}} }},
	{"list cut short", anywhere, 0.6, lists, func(d draw) harm { return harm{server: memapi.Fault{Truncate: 100 + d.upTo(3000)}} }},
	{"error on a further page of a list", anywhere, 0.6, func(c call) bool { return pages(c) && c.next }, status(http.StatusInternalServerError, 0)},
	{"too many requests (429)", anywhere, 0.7, all, func(d draw) harm {
		return harm{server: memapi.Fault{Status: http.StatusTooManyRequests, RetryAfter: time.Duration(1+d.upTo(8)) * time.Second}}
	}},
	{"internal error (500)", anywhere, 0.5, all, status(http.StatusInternalServerError, 0)},
	{"unavailable (503)", anywhere, 0.6, all, status(http.StatusServiceUnavailable, 0)},
	{"gateway timeout (504)", anywhere, 0.5, all, status(http.StatusGatewayTimeout, 0)},
	{"not found by a proxy (404)", anywhere, 0.5, reads, status(http.StatusNotFound, 0)},
	{"unauthorized (401)", anywhere, 1, all, status(http.StatusUnauthorized, 0)},
	{"forbidden for one kind (403)", anywhere, 1, func(c call) bool { return c.resource == "deployments" }, status(http.StatusForbidden, 0)},
	{"slow answer", anywhere, 0.3, all, func(d draw) harm { return harm{server: memapi.Fault{Hold: d.between(3*time.Second, 12*time.Second)}} }},
	{"redirect", anywhere, 0.4, all, func(draw) harm {
		return harm{server: memapi.Fault{Status: http.StatusTemporaryRedirect, Header: http.Header{"Location": {"http://elsewhere/"}}}}
	}},
	{"answer that is a web page", anywhere, 0.4, all, func(draw) harm {
		return harm{server: memapi.Fault{Status: http.StatusOK, Body: []byte("<html>please log in</html>")}}
	}},
	{"no answer", anywhere, 0.3, all, func(draw) harm { return harm{silent: true} }},
	{"conflict (409)", atUpstream, 0.8, patches, status(http.StatusConflict, 0)},
	{"no status subresource (404)", atUpstream, 0.5, patches, status(http.StatusNotFound, 0)},
	{"too large (413)", atUpstream, 0.4, patches, status(http.StatusRequestEntityTooLarge, 0)},
	{"invalid (422)", atUpstream, 0.4, patches, status(http.StatusUnprocessableEntity, 0)},
	{"answer lost after the write", atUpstream, 0.5, patches, func(draw) harm { return harm{lost: true} }},
	{"write late on the way", atUpstream, 0.5, patches, func(d draw) harm { return harm{late: d.between(time.Second, 9*time.Second)} }},
	{"write arrives after its caller gave up", atUpstream, 0.3, patches, func(d draw) harm {
		return harm{late: d.between(11*time.Second, 25*time.Second)}
	}},
	{"panic in a connection", anywhere, 0.1, all, func(draw) harm { return harm{panics: true} }},
	{"panic in an actor", anywhere, 0.1, all, func(draw) harm { return harm{poison: true} }},
}
