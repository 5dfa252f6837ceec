// Command growth prints by how much the product's work takes longer among ten times as many things, and fails if that is more than it
// may be. Arguments pick cases by parts of their names.
package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/upstreamd/upstreamd/internal/growth"
)

func main() {
	cases, turns := growth.Cases()
	if parts := os.Args[1:]; len(parts) > 0 {
		other := func(name string) bool {
			return !slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(name, part) })
		}
		cases = slices.DeleteFunc(cases, func(c growth.Case) bool { return other(c.Name) })
		turns = slices.DeleteFunc(turns, func(t growth.Turn) bool { return other(t.Name) })
	}
	exceeded, err := growth.Thorough.Report(os.Stdout, cases, turns)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	case len(cases)+len(turns) == 0:
		fmt.Fprintln(os.Stderr, "no case has such a name")
		os.Exit(1)
	case len(exceeded) > 0:
		fmt.Fprintf(os.Stderr, "above the bound: %s\n", strings.Join(exceeded, "; "))
		os.Exit(1)
	}
}
