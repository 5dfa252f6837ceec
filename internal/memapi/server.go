package memapi

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

// Server is the API server. It is an http.Handler, safe for concurrent use.
type Server struct {
	options Options
	closing chan struct{} // closed by Close
	closed  sync.Once
	running sync.WaitGroup // requests of Transport
	schemas schemas
	calls   calls

	mu         sync.Mutex
	version    uint64 // the newest resourceVersion
	tables     map[schema.GroupVersionResource]*table
	workspaces map[string]string // paths by name
	paths      map[string]string // names by path
	exports    map[exportKey]*export
	lists      pages
}

// firstVersion leaves room for resource versions that are too old from the first moment on.
const firstVersion = 100

// New makes a server with one plain cluster, and no workspaces yet.
func New(options Options) *Server {
	s := &Server{
		options:    options.withDefaults(),
		closing:    make(chan struct{}),
		version:    firstVersion,
		tables:     map[schema.GroupVersionResource]*table{},
		workspaces: map[string]string{},
		paths:      map[string]string{},
		exports:    map[exportKey]*export{},
	}
	for _, r := range s.options.Resources {
		s.AddResource(r)
	}
	s.createDefaultNamespace("")
	return s
}

// Close ends all watches, and waits for the requests that came through Transport.
func (s *Server) Close() {
	s.closed.Do(func() { close(s.closing) })
	s.running.Wait()
}

// Config leads a client to the server through memory. Append "/clusters/<name>" to its Host for a workspace.
func (s *Server) Config() *rest.Config {
	return &rest.Config{Host: s.options.URL, Transport: s.Transport(), QPS: -1}
}

// AddResource serves one more kind, everywhere.
func (s *Server) AddResource(r Resource) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addResource(r)
}

func (s *Server) addResource(r Resource) {
	if _, there := s.tables[r.GroupVersionResource]; !there {
		s.tables[r.GroupVersionResource] = newTable(r, s.version)
	}
}

// RemoveResource stops serving a kind: its objects are gone, and its watches end.
func (s *Server) RemoveResource(r schema.GroupVersionResource) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeResource(r)
}

func (s *Server) removeResource(r schema.GroupVersionResource) {
	t := s.tables[r]
	if t == nil {
		return
	}
	for _, o := range t.all() {
		s.remove(t, o, Write{Verb: "delete"})
	}
	delete(s.tables, r)
	t.retire()
}

// Withhold stops serving a kind for now, or serves it again, as an APIService that is recreated or a version that is not served does:
// requests are answered 404, discovery lacks the kind, and its watches end. Its objects stay, and can be changed through Cluster.
func (s *Server) Withhold(r schema.GroupVersionResource, withheld bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tables[r]; t != nil {
		t.withhold(withheld)
	}
}

// Compact forgets the past: watches from older resource versions and pages of older lists are answered 410 Gone.
func (s *Server) Compact() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++ // versions that were just read are too old now
	s.lists = pages{}
	for _, t := range s.tables {
		t.compact(s.version)
	}
}

// ResourceVersion is the newest one.
func (s *Server) ResourceVersion() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}

// served are the resources that a cluster has, in the order of their names.
func (s *Server) served(p place) []Resource {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Resource
	for _, t := range s.tables {
		if !t.withheld && s.serves(t, p) {
			all = append(all, t.Resource)
		}
	}
	slices.SortFunc(all, func(a, b Resource) int {
		return slices.Compare([]string{a.Group, a.Version, a.Resource}, []string{b.Group, b.Version, b.Resource})
	})
	return all
}

// now is the time by the server's own clock.
func (s *Server) now() time.Time { return time.Now().Add(s.options.Skew).UTC() }

// uid is unique among servers of different names, and the same in every run.
func (s *Server) uid(version uint64) string {
	h := hash(s.options.Name, version)
	return fmt.Sprintf("%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

var _ http.Handler = (*Server)(nil)
