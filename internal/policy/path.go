package policy

import "strings"

// Path is a list of field names below status. "*" stands for every item of a list where a policy allows it.
type Path []string

// ParsePath splits a path at its dots; "\." is a dot within a name.
func ParsePath(s string) Path {
	var path Path
	var name strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == '.':
			name.WriteByte('.')
			i++
		case s[i] == '.':
			path = append(path, name.String())
			name.Reset()
		default:
			name.WriteByte(s[i])
		}
	}
	return append(path, name.String())
}

// String is the form that ParsePath reads.
func (p Path) String() string {
	escaped := make([]string, len(p))
	for i, name := range p {
		escaped[i] = strings.ReplaceAll(name, ".", `\.`)
	}
	return strings.Join(escaped, ".")
}

// parsePaths parses each path of a list.
func parsePaths[P ~[]string](list []string) []P {
	var paths []P
	for _, s := range list {
		paths = append(paths, P(ParsePath(s)))
	}
	return paths
}
