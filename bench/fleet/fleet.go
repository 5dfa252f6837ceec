// Package fleet describes the objects of a bench: Deployments as they are met in production (6 KB and more), copied from workspaces to
// SyncTargets. Every name, place and body follows from a number, so that a million objects cost the bench next to nothing, and
// the status to be published follows from the number of changes of each copy.
package fleet

import (
	"fmt"
	"strconv"
	"strings"
)

// Shape says how many objects there are, and where.
type Shape struct {
	Objects     int `json:"objects"`     // upstream
	Copies      int `json:"copies"`      // of each, on SyncTargets that follow each other
	SyncTargets int `json:"syncTargets"` //
	Workspaces  int `json:"workspaces"`  // 0: upstream is a plain hub, without logical clusters
	Namespaces  int `json:"namespaces"`  // in each workspace
	StatusBytes int `json:"statusBytes"` // about how large each copy's status is; 0: as it is, 0.7 KB
}

// Name is the workspace, namespace and name of an object.
type Name struct {
	Workspace string // empty on a plain hub
	Namespace string
	Name      string
}

// Copies of all objects are numbered too: copy c of object i is i*Copies + c.

// Total is the number of downstream objects.
func (s Shape) Total() int { return s.Objects * s.Copies }

// Object is the number of the object that a copy was made of.
func (s Shape) Object(number int) int { return number / s.Copies }

// SyncTarget is the number of the SyncTarget that holds a copy.
func (s Shape) SyncTarget(number int) int {
	return (number/s.Copies + number%s.Copies) % s.SyncTargets
}

// On lists the copies that a SyncTarget holds.
func (s Shape) On(target int) []int {
	var copies []int
	for number := range s.Total() {
		if s.SyncTarget(number) == target {
			copies = append(copies, number)
		}
	}
	return copies
}

// WorkspaceOf is the number of the workspace that an object is in.
func (s Shape) WorkspaceOf(object int) int {
	if s.Workspaces == 0 {
		return 0
	}
	return object % s.Workspaces
}

// WorkspaceNames are the names of all workspaces; none on a plain hub.
func (s Shape) WorkspaceNames() []string {
	names := make([]string, s.Workspaces)
	for w := range names {
		names[w] = workspaceName(w)
	}
	return names
}

func workspaceName(w int) string { return fmt.Sprintf("team%03d", w) }

// TargetNames are the names of all SyncTargets.
func (s Shape) TargetNames() []string {
	names := make([]string, s.SyncTargets)
	for t := range names {
		names[t] = fmt.Sprintf("cluster%03d", t)
	}
	return names
}

// NamespaceNames are the namespaces of each workspace.
func (s Shape) NamespaceNames() []string {
	names := make([]string, max(1, s.Namespaces))
	for n := range names {
		names[n] = fmt.Sprintf("bench%02d", n)
	}
	return names
}

// Upstream names an object.
func (s Shape) Upstream(object int) Name {
	n := Name{Name: objectName(object), Namespace: fmt.Sprintf("bench%02d", object/max(1, s.Workspaces)%max(1, s.Namespaces))}
	if s.Workspaces > 0 {
		n.Workspace = workspaceName(s.WorkspaceOf(object))
	}
	return n
}

// Downstream names the copies of an object on SyncTargets: namespaces carry the workspace in their prefix.
func (s Shape) Downstream(object int) Name {
	n := s.Upstream(object)
	if n.Workspace != "" {
		n.Namespace = DownNamespace(n.Workspace, n.Namespace)
	}
	n.Workspace = ""
	return n
}

// DownNamespace is the namespace on a SyncTarget that holds the copies of a workspace's namespace.
func DownNamespace(workspace, namespace string) string { return "kcp-" + workspace + "-" + namespace }

// UpstreamOf undoes DownNamespace, as the baselines do it.
func UpstreamOf(namespace string) (workspace, upstream string) {
	rest, ok := strings.CutPrefix(namespace, "kcp-")
	if !ok {
		return "", namespace
	}
	workspace, upstream, _ = strings.Cut(rest, "-")
	return workspace, upstream
}

const objectPrefix = "app"

func objectName(object int) string { return fmt.Sprintf("%s%07d", objectPrefix, object) }

// Find is the number of an object of that name; false if there is none.
func (s Shape) Find(name string) (object int, ok bool) {
	digits, ok := strings.CutPrefix(name, objectPrefix)
	if !ok {
		return 0, false
	}
	object, err := strconv.Atoi(digits)
	return object, err == nil && object >= 0 && object < s.Objects
}
