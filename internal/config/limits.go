package config

import (
	"fmt"
	"math"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Limits bounds the objects of one kind in one SyncTarget. Above a limit, the kind is quarantined there: its last state is stale, and it
// is listed again after a pause.
type Limits struct {
	Objects    int             `json:"objects"`
	Mebibytes  int             `json:"mebibytes"`  // of heap that these objects take: statuses, and the labels and annotations that are needed
	Quarantine metav1.Duration `json:"quarantine"` // the first pause; each further one is twice as long, up to ten times
	// TotalMebibytes is the heap for all kinds of all SyncTargets: beyond, those that take more than an equal part are quarantined. 0: half of
	// GOMEMLIMIT; if that is not set, there is no bound.
	TotalMebibytes int `json:"totalMebibytes"`
}

func defaultLimits() Limits {
	return Limits{Objects: 200_000, Mebibytes: 2048, Quarantine: seconds(60)}
}

// Total is the bound of all SyncTargets in bytes, under a memory limit of the process; 0: there is none.
func (l Limits) Total(memoryLimit int64) int64 {
	switch {
	case l.TotalMebibytes > 0:
		return int64(l.TotalMebibytes) << 20
	case memoryLimit == math.MaxInt64:
		return 0
	}
	return memoryLimit / 2
}

func (l Limits) validate(path *field.Path) field.ErrorList {
	errs := between(path.Child("quarantine"), l.Quarantine, time.Second, time.Hour)
	for _, f := range []struct {
		name            string
		is, least, most int
	}{{"objects", l.Objects, 1, 10_000_000}, {"mebibytes", l.Mebibytes, 1, 1 << 20}, {"totalMebibytes", l.TotalMebibytes, 0, 1 << 20}} {
		if f.is < f.least || f.is > f.most {
			errs = append(errs, field.Invalid(path.Child(f.name), f.is, fmt.Sprintf("must be between %d and %d", f.least, f.most)))
		}
	}
	return errs
}
