package report

import (
	"fmt"
	"html"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/upstreamd/upstreamd/bench/measure"
)

// plot is a chart of lines, as SVG.
type plot struct {
	title, x, y string
	logX        bool
	lines       []line
}

type line struct {
	name   string
	points []measure.Point
}

const (
	width, height            = 720, 400
	left, right, top, bottom = 70, 20, 40, 50
)

var colours = []string{"#1f6feb", "#d1495b", "#2e8b57", "#8a5cd1", "#c77c11", "#555555"}

func (p plot) svg() string {
	minX, maxX, maxY := math.Inf(1), math.Inf(-1), 0.0
	for _, l := range p.lines {
		for _, pt := range l.points {
			if p.logX && pt.X <= 0 {
				continue
			}
			minX, maxX, maxY = min(minX, pt.X), max(maxX, pt.X), max(maxY, pt.Y)
		}
	}
	if !p.logX {
		minX = 0
	} else {
		minX, maxX = math.Pow(10, math.Floor(math.Log10(minX))), math.Pow(10, math.Ceil(math.Log10(maxX)))
	}
	maxY = max(maxY, 1e-9)
	atX := func(v float64) float64 {
		if p.logX {
			v, lo, hi := math.Log10(max(v, minX)), math.Log10(minX), math.Log10(maxX)
			return left + (v-lo)/max(hi-lo, 1e-9)*(width-left-right)
		}
		return left + v/max(maxX, 1e-9)*(width-left-right)
	}
	atY := func(v float64) float64 { return height - bottom - v/maxY*(height-top-bottom) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`, width, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fff"/><text x="%d" y="22" font-size="15">%s</text>`, left, html.EscapeString(p.title))
	for _, v := range steps(maxY) {
		fmt.Fprintf(&b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#e3e3e3"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`,
			left, width-right, atY(v), atY(v), left-6, atY(v)+4, short(v))
	}
	for _, v := range p.ticksX(minX, maxX) {
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#e3e3e3"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>`,
			atX(v), atX(v), top, height-bottom, atX(v), height-bottom+16, short(v))
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`, (left+width-right)/2, height-12, html.EscapeString(p.x))
	fmt.Fprintf(&b, `<text transform="translate(16 %d) rotate(-90)" text-anchor="middle">%s</text>`, (top+height-bottom)/2, html.EscapeString(p.y))
	for i, l := range p.lines {
		colour := colours[i%len(colours)]
		var path strings.Builder
		for j, pt := range l.points {
			fmt.Fprintf(&path, "%c%.1f %.1f", "ML"[min(j, 1)], atX(pt.X), atY(pt.Y))
		}
		fmt.Fprintf(&b, `<path d="%s" fill="none" stroke="%s" stroke-width="2"/>`, path.String(), colour)
		fmt.Fprintf(&b, `<text x="%d" y="%d" fill="%s" text-anchor="end">%s</text>`, width-right-6, top+16+16*i, colour, html.EscapeString(l.name))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// steps are four to eight round values up to a limit.
func steps(limit float64) (out []float64) {
	step := math.Pow(10, math.Floor(math.Log10(limit)))
	for _, f := range []float64{.1, .2, .5, 1} {
		if limit/(step*f) <= 8 {
			step *= f
			break
		}
	}
	for v := 0.0; v <= limit*1.0001; v += step {
		out = append(out, v)
	}
	return out
}

func (p plot) ticksX(from, to float64) (out []float64) {
	if !p.logX {
		return steps(max(to, 1e-9))
	}
	for v := from; v <= to*1.0001; v *= 10 {
		out = append(out, v)
	}
	return out
}

// Plots writes the plots of a run into a folder: latencies and throughput of each scenario, and memory over objects. It returns the
// names of the files.
func (r *Run) Plots(folder string) (files []string, err error) {
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return nil, err
	}
	write := func(name string, p plot) error {
		if len(p.lines) == 0 {
			return nil
		}
		files = append(files, name)
		return os.WriteFile(filepath.Join(folder, name), []byte(p.svg()), 0o644) //nolint:gosec // to be read by anybody
	}
	for _, s := range r.Scenarios {
		latency := plot{title: s.Title + ": from change to PATCH", x: "ms", y: "share of changes", logX: true}
		throughput := plot{title: s.Title + ": PATCH calls over time", x: "s", y: "calls a second"}
		for _, one := range r.Results {
			if one.Scenario != s.Name || one.Round != 0 {
				continue
			}
			if len(one.Latency) > 0 {
				latency.lines = append(latency.lines, line{one.Subject, one.Latency})
			}
			if len(one.Throughput) > 0 {
				throughput.lines = append(throughput.lines, line{one.Subject, one.Throughput})
			}
		}
		if err := write(s.Name+"-latency.svg", latency); err != nil {
			return nil, err
		}
		if err := write(s.Name+"-throughput.svg", throughput); err != nil {
			return nil, err
		}
	}
	return files, write("memory.svg", r.memory())
}

// memory is the live heap over the number of downstream objects, of all scenarios that tell.
func (r *Run) memory() plot {
	p := plot{title: "Live heap over downstream objects", x: "objects", y: "MiB"}
	byName := map[string][]measure.Point{}
	for _, one := range r.Results {
		if heap, told := one.Figures["heapMiB"]; told && one.Round == 0 {
			byName[one.Subject] = append(byName[one.Subject], measure.Point{X: one.Figures["objects"], Y: heap})
		}
	}
	for _, name := range append([]string{"upstreamd"}, r.baselines()...) {
		if points := byName[name]; len(points) > 0 {
			points = append([]measure.Point{{}}, points...)
			sortByX(points)
			p.lines = append(p.lines, line{name, points})
		}
	}
	return p
}
