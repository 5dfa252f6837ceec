package ref

import (
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
)

// Position is a fact's place in time. Epochs grow with every list, over all sources of a process.
type Position struct {
	Epoch           uint64
	UID             types.UID
	ResourceVersion string
}

// Before reports whether p is certainly older than q. Versions that cannot be compared are not.
func (p Position) Before(q Position) bool {
	if p.Epoch != q.Epoch {
		return p.Epoch < q.Epoch
	}
	return Newer(q.ResourceVersion, p.ResourceVersion)
}

// Newer reports whether resourceVersion a is certainly newer than b.
func Newer(a, b string) bool {
	if a == b {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err == nil && order > 0
}
