package measure

import "time"

// Quantile is that of sorted values; 0 of none.
func Quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	i := min(int(q*float64(len(sorted))), len(sorted)-1)
	return sorted[i]
}

// Point is a point of a curve.
type Point struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// Distribution is the share (Y, 0 to 1) of values that are at most so many milliseconds (X), finer towards the slow end.
func Distribution(sorted []time.Duration) []Point {
	if len(sorted) == 0 {
		return nil
	}
	var points []Point
	for _, q := range shares {
		points = append(points, Point{milliseconds(Quantile(sorted, q)), q})
	}
	return append(points, Point{milliseconds(sorted[len(sorted)-1]), 1})
}

var shares = func() (out []float64) {
	for q := 0.0; q < 0.9; q += 0.02 {
		out = append(out, q)
	}
	for q := 0.9; q < 0.99; q += 0.005 {
		out = append(out, q)
	}
	for q := 0.99; q < 0.9999; q += 0.0005 {
		out = append(out, q)
	}
	return out
}()

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
