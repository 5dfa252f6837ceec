package status

// extent is the size of a JSON text in terms of the heap that its parsed form takes.
type extent struct{ nodes, objects, depth int }

// measure counts in one pass and without allocation. It is exact for valid JSON; in other texts it counts anything that looks like a value.
func measure(raw []byte) extent {
	e := extent{nodes: 1}
	depth, opened := 0, false // opened: the last byte other than space opened an object or list
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case ' ', '\t', '\n', '\r':
			continue
		case '{', '[':
			if raw[i] == '{' {
				e.objects++
			}
			depth++
			e.depth = max(e.depth, depth)
			e.nodes++ // its first value, taken back if it has none
			opened = true
			continue
		case '}', ']':
			depth--
			if opened {
				e.nodes--
			}
		case ',':
			e.nodes++
		case '"':
			for i++; i < len(raw) && raw[i] != '"'; i++ {
				if raw[i] == '\\' {
					i++
				}
			}
		}
		opened = false
	}
	return e
}

// Bytes of heap: an object's header and its first eight slots; any value's slot in an object or list, its box, and the slack of growing.
const (
	heapOfObject = 336
	heapOfValue  = 48
)

// Heap estimates the heap that the parsed form of a JSON text takes, in bytes. The true heap is at most four times as much.
func Heap(raw []byte) int64 {
	e := measure(raw)
	return int64(e.objects)*heapOfObject + int64(e.nodes)*heapOfValue + int64(len(raw))
}
