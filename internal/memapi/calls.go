package memapi

import (
	"maps"
	"sync"
)

// Call is the key under which a request is counted.
type Call struct {
	Cluster     string // the logical cluster's name, "*", or "" for the plain one
	Virtual     bool   // through the virtual workspace of an APIExport
	Verb        string // get, list, watch, create, update, patch, delete, deletecollection; empty: discovery and the like
	Resource    string // plural name with its group: "deployments.apps", "pods"
	Subresource string
	Code        int // of the answer; 0: there was none
}

// Calls counts requests.
type Calls map[Call]int

// Total is how many calls match. A nil match is all.
func (c Calls) Total(match func(Call) bool) int {
	n := 0
	for call, count := range c {
		if match == nil || match(call) {
			n += count
		}
	}
	return n
}

// Since subtracts the calls of an earlier count.
func (c Calls) Since(earlier Calls) Calls {
	after := Calls{}
	for call, n := range c {
		if n -= earlier[call]; n > 0 {
			after[call] = n
		}
	}
	return after
}

type calls struct {
	mu     sync.Mutex
	counts Calls
}

func (c *calls) add(call Call, code int) {
	call.Code = code
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = Calls{}
	}
	c.counts[call]++
}

// Calls are the requests that have been answered, or cut off without an answer. A watch counts once its answer begins.
func (s *Server) Calls() Calls {
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	return maps.Clone(s.calls.counts)
}

func (x *exchange) call() Call {
	cluster := x.cluster
	if cluster == "" {
		cluster = x.asked
	}
	return Call{
		Cluster: cluster, Virtual: x.virtual, Verb: x.verb, Resource: x.gvr().GroupResource().String(), Subresource: x.subresource,
	}
}
