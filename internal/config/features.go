package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/component-base/featuregate"
)

// Features are the gates for features that are not stable yet, with their defaults. There is none at present; AllAlpha and AllBeta are
// always known.
func Features() map[featuregate.Feature]featuregate.FeatureSpec {
	return map[featuregate.Feature]featuregate.FeatureSpec{}
}

// Gates opens and closes the known gates by set.
func Gates(known map[featuregate.Feature]featuregate.FeatureSpec, set map[string]bool) (featuregate.FeatureGate, error) {
	gates := featuregate.NewFeatureGate()
	if err := gates.Add(known); err != nil {
		return nil, fmt.Errorf("registering the feature gates: %w", err)
	}
	if err := gates.SetFromMap(set); err != nil {
		return nil, fmt.Errorf("setting the feature gates: %w", err)
	}
	return gates, nil
}

// validateGates refuses gates that are not known, and gates that can no longer be moved.
func validateGates(path *field.Path, known map[featuregate.Feature]featuregate.FeatureSpec, set map[string]bool) field.ErrorList {
	gates := featuregate.NewFeatureGate()
	if err := gates.Add(known); err != nil {
		return field.ErrorList{field.InternalError(path, err)}
	}
	all := gates.GetAll()
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, string(name))
	}
	slices.Sort(names)
	var errs field.ErrorList
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if !slices.Contains(names, name) {
			errs = append(errs, field.Forbidden(path.Key(name), "there is no such feature gate; "+suggest(name, names)))
			continue
		}
		if _, err := Gates(known, map[string]bool{name: set[name]}); err != nil { // each alone: a refused one stays in the set it was put in
			errs = append(errs, field.Invalid(path.Key(name), set[name], errors.Unwrap(err).Error()+": remove it"))
		}
	}
	return errs
}
