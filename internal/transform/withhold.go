package transform

// withhold returns v without the value at path.
func withhold(v any, path []string) any {
	name, rest := path[0], path[1:]
	switch v := v.(type) {
	case map[string]any:
		for member := range v {
			switch {
			case name != "*" && name != member:
			case len(rest) == 0:
				delete(v, member)
			default:
				v[member] = withhold(v[member], rest)
			}
		}
	case []any:
		if name == "*" && len(rest) == 0 {
			return []any{}
		}
		for i := range v {
			if name == "*" {
				v[i] = withhold(v[i], rest)
			}
		}
	}
	return v
}
