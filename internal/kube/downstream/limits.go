package downstream

import (
	"cmp"
	"time"

	"github.com/upstreamd/upstreamd/internal/kube/lean"
)

// DefaultLimits bound the input of one kind from one SyncTarget. The largest clusters that Kubernetes supports hold 150,000 Pods.
func DefaultLimits() lean.Limits {
	return lean.Limits{
		Object:   4 << 20, // etcd takes 1.5 MiB
		List:     4 << 30,
		Objects:  200_000,
		Kept:     2 << 30, // 150,000 Pods take about that
		Pages:    5_000,   // of 500 objects; some may be empty
		ListTime: 10 * time.Minute,
	}
}

func limitsOf(l lean.Limits) lean.Limits {
	d := DefaultLimits()
	return lean.Limits{
		Object:   cmp.Or(l.Object, d.Object),
		List:     cmp.Or(l.List, d.List),
		Objects:  cmp.Or(l.Objects, d.Objects),
		Kept:     cmp.Or(l.Kept, d.Kept),
		Pages:    cmp.Or(l.Pages, d.Pages),
		ListTime: cmp.Or(l.ListTime, d.ListTime),
	}
}
