package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// format prints a figure in the unit that its name ends in.
func format(figure string, v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case strings.Contains(figure, "Millis"):
		return short(v) + " ms"
	case strings.Contains(figure, "Micros"):
		return short(v) + " µs"
	case strings.Contains(figure, "MiB"):
		return short(v) + " MiB"
	case strings.Contains(figure, "Bytes"):
		return short(v/1024) + " KiB"
	case strings.HasSuffix(figure, "Seconds"):
		return short(v) + " s"
	case strings.Contains(figure, "PerCPUSecond"):
		return short(v) + "/CPU s"
	case strings.Contains(figure, "PerSecond"):
		return short(v) + "/s"
	case strings.Contains(figure, "OverServerCPU"):
		return short(v*100) + " %"
	}
	return short(v)
}

// short prints three digits, and all of those before the point with commas.
func short(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100:
		return thousands(int64(math.Round(v)))
	case a >= 10:
		return trim(fmt.Sprintf("%.1f", v))
	default:
		return trim(fmt.Sprintf("%.2f", v))
	}
}

func trim(s string) string {
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Median is that of values; NaN of none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	mid := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[mid]
	}
	return (sorted[mid-1] + sorted[mid]) / 2
}
