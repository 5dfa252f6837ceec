// Package contract checks the behaviour of API servers that upstreamd and its tests rely on. The same cases run against the server in
// memory, a real kube-apiserver and a real kcp, so that the server in memory cannot drift from real ones.
package contract

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// Server is one API server under test.
type Server struct {
	// Config leads, with all rights, to a plain API server or to one workspace of a kcp.
	Config *rest.Config
	// BuiltIn: workload kinds are the compiled-in ones of a kube-apiserver.
	BuiltIn bool
	// Workspaces are nil where there are no logical clusters.
	Workspaces *Workspaces
	// Differs are the names of cases that fail on purpose, each with the reason. One that does not fail is reported: the list stays true.
	Differs map[string]string
}

// Workspaces are two logical clusters that are bound to one APIExport of the resource Gadgets.
type Workspaces struct {
	Config  *rest.Config // without a /clusters suffix
	A, B    Workspace
	Virtual string // URL of the export's virtual workspace, without a /clusters suffix
}

// Workspace is a logical cluster.
type Workspace struct{ Name, Path string }

// Case checks one behaviour.
type Case struct {
	Name string
	// BuiltIn: the case needs the compiled-in kinds of a kube-apiserver. Workspaces: it needs logical clusters. Plain: it needs a server
	// without them.
	BuiltIn, Workspaces, Plain bool
	run                        func(*kit)
}

// Cases are all cases, in the order in which they run.
func Cases() []Case {
	return slices.Concat(statusCases, writeCases, managerCases, listCases, watchCases, discoveryCases, builtInCases, workspaceCases)
}

// missing is the property that a case needs and the server lacks; empty: the case applies.
func (c Case) missing(s Server) string {
	switch {
	case c.BuiltIn && !s.BuiltIn:
		return "the compiled-in kinds of a kube-apiserver"
	case c.Workspaces && s.Workspaces == nil:
		return "logical clusters"
	case c.Plain && s.Workspaces != nil:
		return "a server without logical clusters"
	}
	return ""
}

// patience is the time limit of one case.
const patience = 30 * time.Second

// Run runs all cases that apply to the server.
func Run(t *testing.T, s Server) {
	plain, err := newCaller(s.Config)
	if err != nil {
		t.Fatal(err)
	}
	setup := &kit{ctx: t.Context(), server: s, caller: plain}
	if err := setup.do(func(k *kit) { k.install() }); err != nil {
		t.Fatalf("installing the kinds that the cases use: %v", err)
	}
	known := map[string]bool{}
	ran := 0
	for i, c := range Cases() {
		if known[c.Name] {
			t.Errorf("two cases are called %q", c.Name)
		}
		known[c.Name] = true
		t.Run(strings.ReplaceAll(c.Name, " ", "_"), func(t *testing.T) {
			if needs := c.missing(s); needs != "" {
				t.Skip("needs " + needs)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			k := &kit{ctx: ctx, server: s, caller: plain, ns: fmt.Sprintf("contract-%d-%d", time.Now().UnixNano(), i)}
			err := k.do(func(k *kit) {
				k.want(http.StatusCreated, "POST", "/api/v1/namespaces", object("", k.ns, nil))
				c.run(k)
			})
			ran++
			switch why, differs := s.Differs[c.Name]; {
			case differs && err == nil:
				t.Errorf("listed as different (%s), but it is not", why)
			case differs:
				t.Logf("differs by design: %s\n%v", why, err)
			case err != nil:
				t.Error(err)
			}
		})
	}
	for name := range s.Differs {
		if !known[name] {
			t.Errorf("no case is called %q", name)
		}
	}
	t.Logf("%d of %d cases apply to this server, %d differ by design", ran, len(known), len(s.Differs))
}

// kit is the environment of one case. The first failed check ends the case.
type kit struct {
	*caller

	ctx    context.Context
	server Server
	ns     string // a namespace of the case's own
	err    error
}

// do runs f in a goroutine of its own, so that fail can end it.
func (k *kit) do(f func(*kit)) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(k)
	}()
	<-done
	return k.err
}

func (k *kit) fail(format string, args ...any) {
	k.err = fmt.Errorf(format, args...)
	runtime.Goexit()
}

// kcp reports whether the server has logical clusters.
func (k *kit) kcp() bool { return k.server.Workspaces != nil }

// same fails unless got, as JSON, is want.
func (k *kit) same(name string, got any, want string) {
	if g, w := canonical(got), canonical(raw(want)); g != w {
		k.fail("%s: got %s, want %s", name, g, w)
	}
}

func (k *kit) true(claim string, ok bool) {
	if !ok {
		k.fail("not true: %s", claim)
	}
}

// eventually repeats check until it succeeds, for effects that a server has asynchronously.
func (k *kit) eventually(claim string, check func() bool) {
	for !check() {
		select {
		case <-k.ctx.Done():
			k.fail("not true in time: %s", claim)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
