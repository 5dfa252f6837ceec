package config

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Limits bounds the objects of one kind in one SyncTarget. Above a limit, the kind is quarantined there: its last state is stale, and it
// is listed again after a pause.
type Limits struct {
	Objects    int             `json:"objects"`
	Mebibytes  int             `json:"mebibytes"`  // kept of these objects: statuses, and the labels and annotations that are needed
	Quarantine metav1.Duration `json:"quarantine"` // the first pause; each further one is twice as long, up to ten times
}

func defaultLimits() Limits {
	return Limits{Objects: 200_000, Mebibytes: 512, Quarantine: seconds(60)}
}

func (l Limits) validate(path *field.Path) field.ErrorList {
	errs := between(path.Child("quarantine"), l.Quarantine, time.Second, time.Hour)
	for _, f := range []struct {
		name     string
		is, most int
	}{{"objects", l.Objects, 10_000_000}, {"mebibytes", l.Mebibytes, 1 << 20}} {
		if f.is < 1 || f.is > f.most {
			errs = append(errs, field.Invalid(path.Child(f.name), f.is, fmt.Sprintf("must be between 1 and %d", f.most)))
		}
	}
	return errs
}
