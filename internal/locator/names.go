package locator

import (
	"strings"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// Objects that exist in every namespace on both sides go down under another name, lest they meet the cluster's own.
const (
	rootCA           = "kube-root-ca.crt"
	rootCADown       = "kcp-root-ca.crt"
	defaultToken     = "default-token"
	defaultTokenDown = "kcp-" + defaultToken
)

// NameDown is the name that an upstream object has downstream.
func NameDown(resource ref.Resource, name string) string {
	switch {
	case resource.Group != "":
	case resource.Resource == "configmaps" && name == rootCA:
		return rootCADown
	case resource.Resource == "secrets" && strings.HasPrefix(name, defaultToken):
		return "kcp-" + name
	}
	return name
}

// NameUp is the name that a downstream object has upstream.
func NameUp(resource ref.Resource, name string) string {
	up, ok := nameUp(resource, name)
	if !ok {
		return name
	}
	return up
}

// nameUp is false for a name that no upstream object comes down under: it is the cluster's own.
func nameUp(resource ref.Resource, name string) (string, bool) {
	switch {
	case resource.Group != "":
	case resource.Resource == "configmaps" && name == rootCADown:
		return rootCA, true
	case resource.Resource == "secrets" && strings.HasPrefix(name, defaultTokenDown):
		return strings.TrimPrefix(name, "kcp-"), true
	case NameDown(resource, name) != name:
		return "", false
	}
	return name, true
}
