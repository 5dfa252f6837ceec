package transform

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
)

// bookkeeping says whether a label or annotation is the way down's own. No other field has such a name, so it goes wherever it stands.
func bookkeeping(key string) bool {
	domain, _, qualified := strings.Cut(key, "/")
	if !qualified {
		return false
	}
	switch domain {
	case "syncagent.kcp.io", "claimed.internal.apis.kcp.io":
		return true
	}
	switch key {
	case "kcp.io/cluster", "kcp.io/namespace-locator", "kcp.io/tenant-id", "kubectl.kubernetes.io/last-applied-configuration", "upstreamd.dev/upstream-generation":
		return true
	}
	return strings.HasSuffix(domain, ".workload.kcp.io") || strings.HasSuffix(domain, ".workload.kcp.dev")
}

// labelMap says whether m holds a user's labels or annotations, where no name means anything to us but those of bookkeeping.
func labelMap(name string, m map[string]any) bool {
	if name == "labels" || name == "annotations" || name == "matchLabels" {
		return true
	}
	if !strings.HasSuffix(name, "elector") {
		return false
	}
	for _, v := range m {
		if _, ok := v.(string); !ok {
			return false
		}
	}
	return true
}

// metadata removes the fields, labels and annotations that the API server and the spec syncer keep in an object's metadata.
func metadata(name string, m map[string]any) {
	if name != "metadata" {
		return
	}
	for _, field := range []string{"managedFields", "resourceVersion", "selfLink", "uid"} {
		delete(m, field)
	}
	if finalizers, ok := m["finalizers"].([]any); ok {
		m["finalizers"] = slices.DeleteFunc(finalizers, func(f any) bool {
			s, ok := f.(string)
			return ok && strings.HasPrefix(s, "workload.kcp.io/")
		})
	}
}

// selector strips a label selector in text form of terms on bookkeeping labels. Any other text stays as it is.
func selector(name, s string) string {
	if !strings.HasSuffix(name, "elector") || !strings.Contains(s, "kcp.") {
		return s
	}
	parsed, err := labels.Parse(s)
	if err != nil {
		return s
	}
	terms, _ := parsed.Requirements()
	kept := labels.NewSelector()
	for _, term := range terms {
		if !bookkeeping(term.Key()) {
			kept = kept.Add(term)
		}
	}
	if now, _ := kept.Requirements(); len(now) == len(terms) {
		return s
	}
	return kept.String()
}
