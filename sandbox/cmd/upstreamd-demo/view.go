package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"
)

// frame is one snapshot of the demo.
type frame struct {
	elapsed time.Duration
	changes int // status writes that the simulator made in SyncTargets
	metrics metrics
	patches int // PATCH calls that reached the API servers
	targets []string
	rows    []row
}

// view displays frames until it is closed.
type view interface {
	draw(frame)
	close()
}

// openView draws a table in place on a terminal, and plain lines elsewhere.
func openView(out *os.File, plain bool) view {
	if plain || !term.IsTerminal(int(out.Fd())) {
		return &lines{out: out}
	}
	fmt.Fprint(out, enterScreen)
	return &table{out: out}
}

const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // alternate screen, hidden cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
	dim, normal = "\x1b[2m", "\x1b[0m"
)

// table displays one page of Deployments, and turns the page every few seconds if they do not fit.
type table struct{ out *os.File }

const pageTime = 5 * time.Second

func (t *table) draw(f frame) {
	width, height, err := term.GetSize(int(t.out.Fd()))
	if err != nil {
		width, height = 80, 24
	}
	fmt.Fprint(t.out, page(f, width, height))
}

// page renders a frame for a screen of the given size.
func page(f frame, width, height int) string {
	const around = 5 // lines that are not rows
	perPage := max(1, height-around)
	pages := max(1, (len(f.rows)+perPage-1)/perPage)
	at := int(f.elapsed/pageTime) % pages
	rows := f.rows[at*perPage : min(len(f.rows), (at+1)*perPage)]

	var b strings.Builder
	b.WriteString(home)
	line := func(style, text string) {
		if cut := []rune(text); len(cut) > width {
			text = string(cut[:width])
		}
		b.WriteString(style + text + normal + clearLine + "\n")
	}
	line("", headline(f))
	line("", "")
	line("", columns("WORKSPACE OBJECT", f.targets, "PUBLISHED", "AGE"))
	for _, r := range rows {
		style := ""
		if r.behind {
			style = dim
		}
		line(style, columns(r.object, r.ready, r.published, age(r.changed)))
	}
	line(dim, fmt.Sprintf("page %d of %d · ready/wanted replicas · dim: pending · Ctrl-C ends the load and checks", at+1, pages))
	b.WriteString(clearBelow)
	return b.String()
}

func (t *table) close() { fmt.Fprint(t.out, leaveScreen) }

// lines prints the progress and the latest published statuses every few seconds.
type lines struct {
	out  io.Writer
	next time.Duration
}

const lineTime = 5 * time.Second

func (l *lines) draw(f frame) {
	if f.elapsed < l.next {
		return
	}
	l.next = f.elapsed + lineTime
	fmt.Fprintln(l.out, headline(f))
	latest := slices.Clone(f.rows)
	slices.SortStableFunc(latest, func(a, b row) int { return b.changed.Compare(a.changed) })
	for _, r := range latest[:min(3, len(latest))] {
		var from []string
		for n, ready := range r.ready {
			from = append(from, f.targets[n]+" "+ready)
		}
		fmt.Fprintf(l.out, "      %s: %s; published %s, age %s\n", r.object, strings.Join(from, ", "), r.published, age(r.changed))
	}
}

func (l *lines) close() {}

func headline(f frame) string {
	behind := 0
	for _, r := range f.rows {
		if r.behind {
			behind++
		}
	}
	return fmt.Sprintf("%4ds  status changes %d (%.0f/s), events %.0f, PATCH calls %d, suppressed %.0f, coalesced %.0f, pending %d of %d",
		int(f.elapsed.Seconds()), f.changes, float64(f.changes)/max(1, f.elapsed.Seconds()), f.metrics.events, f.patches,
		f.metrics.suppressed, f.metrics.coalesced, behind, len(f.rows))
}

func columns(object string, ready []string, published, age string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-32s", object)
	for _, r := range ready {
		fmt.Fprintf(&b, "%12s", r)
	}
	fmt.Fprintf(&b, "%12s%8s", published, age)
	return b.String()
}

func age(since time.Time) string {
	if since.IsZero() {
		return "-"
	}
	return time.Since(since).Round(100 * time.Millisecond).String()
}
