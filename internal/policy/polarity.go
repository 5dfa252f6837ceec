package policy

import "slices"

// Polarity is the meaning of a condition type's status.
type Polarity int

// The polarities.
const (
	UnknownPolarity Polarity = iota // statuses are published only if all SyncTargets agree on them
	Positive                        // True is good, and an absent condition is no good news
	Negative                        // True is bad, and an absent condition is healthy
	InProgress                      // True means that work is under way, an absent condition that none is
	Terminal                        // True ends the object for ever
)

// polarities are those of condition types in common use, by the type or its last word. Progressing is not among them: projects differ in its
// meaning.
var polarities = map[Polarity][]string{
	Positive: {"Ready", "Available", "Healthy", "Synced", "Accepted", "Programmed", "ResolvedRefs", "Established", "Scheduled", "Initialized",
		"Admitted", "QuotaReserved"},
	Negative: {"Failure", "Error", "Pressure", "Unavailable", "Degraded", "Stalled", "Conflicted", "Detached", "OverlappingTLSConfig",
		"PartiallyInvalid", "InvalidRequest", "InvalidSpec", "Denied", "Evicted", "DisruptionTarget"},
	InProgress: {"Reconciling", "Issuing", "RollingOut", "ScalingUp", "ScalingDown", "Remediating", "Deleting", "Terminating", "Paused", "Suspended"},
	Terminal:   {"Complete", "Completed", "Succeeded", "Finished", "Failed"},
}

var dictionary = invert(polarities)

func invert(types map[Polarity][]string) map[string]Polarity {
	inverted := map[string]Polarity{}
	for polarity, names := range types {
		for _, name := range names {
			inverted[name] = polarity
		}
	}
	return inverted
}

// Polarity returns the polarity of a condition type: by the lists of the policy, else by the dictionary.
func (c *ConditionsSpec) Polarity(kind string) Polarity {
	for polarity, types := range c.lists() {
		if slices.Contains(types, kind) {
			return Polarity(polarity)
		}
	}
	return commonPolarity(kind)
}

// lists are the types of each polarity.
func (c *ConditionsSpec) lists() [Terminal + 1][]string {
	return [Terminal + 1][]string{Positive: c.Positive, Negative: c.Negative, InProgress: c.InProgress, Terminal: c.Terminal}
}

// commonPolarity looks up the exact name, then the last CamelCase word. A word that negates makes the polarity unknown.
func commonPolarity(kind string) Polarity {
	upper := func(i int) bool { return kind[i] >= 'A' && kind[i] <= 'Z' }
	start, word := 0, ""
	for i := 1; i <= len(kind); i++ {
		if i < len(kind) && (!upper(i) || upper(i-1) && (i+1 == len(kind) || upper(i+1))) {
			continue // within a word or an acronym
		}
		word, start = kind[start:i], i
		if slices.Contains([]string{"Not", "No", "Non", "Un"}, word) {
			return UnknownPolarity
		}
	}
	if p, known := dictionary[kind]; known {
		return p
	}
	return dictionary[word]
}
