package locator

import (
	"crypto/sha256"
	"maps"
	"math/big"
	"slices"
	"strings"

	"github.com/upstreamd/upstreamd/internal/ref"
)

// Names of kcp's labels and annotations, and of ours.
const (
	// PlacementPrefix, followed by a SyncTarget's key, is the label on an upstream object that places it there.
	PlacementPrefix = "state.workload.kcp.io/"
	// LegacyPlacementPrefix is its form in older versions of kcp.
	LegacyPlacementPrefix = "state.workload.kcp.dev/"

	placed = "Sync" // the label's value for "take it there"; empty: not yet; "Upsync": not ours
)

// Target is the SyncTarget that objects come from, as the configuration knows it.
type Target struct {
	Name       ref.SyncTarget
	Cluster    string          // logical cluster of the SyncTarget object, name or path, as locators write it
	UID        string          // of the SyncTarget object; empty: not checked
	Workspaces []ref.Workspace // those that it is bound to; All: to each
}

// All among a Target's Workspaces binds it to every one. It names none: the style Prefix, which knows only names, finds none by it.
const All ref.Workspace = "*"

// Key is the SyncTarget's key in labels.
func (t Target) Key() string { return Key(t.Cluster, string(t.Name)) }

// Bound reports whether the SyncTarget is bound to the workspace.
func (t Target) Bound(w ref.Workspace) bool {
	return slices.Contains(t.Workspaces, w) && w != All || w != "" && w != All && slices.Contains(t.Workspaces, All)
}

// Key is the key by which labels name a SyncTarget: the base62 form (0-9a-zA-Z) of the SHA-224 of "<cluster>:<name>".
func Key(cluster, name string) string { return sum(cluster+":"+name, 62) }

// PlacementLabel is the label that places an upstream object on the SyncTarget with this key.
func PlacementLabel(key string) string { return PlacementPrefix + key }

// Placed reports whether an upstream object's labels place it on the SyncTarget with this key.
func Placed(labels map[string]string, key string) bool {
	if state, ok := labels[PlacementPrefix+key]; ok {
		return state == placed
	}
	return labels[LegacyPlacementPrefix+key] == placed
}

// PlacedKeys are the keys of the SyncTargets that an upstream object's labels place it on, sorted.
func PlacedKeys(labels map[string]string) []string {
	keys := map[string]struct{}{}
	for label := range labels {
		key, ok := strings.CutPrefix(label, PlacementPrefix)
		if !ok {
			key, ok = strings.CutPrefix(label, LegacyPlacementPrefix)
		}
		if ok && Placed(labels, key) {
			keys[key] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

// sum is the SHA-224 of s, read as one big-endian number and written in the given base.
func sum(s string, base int) string {
	hash := sha256.Sum224([]byte(s))
	return new(big.Int).SetBytes(hash[:]).Text(base)
}
