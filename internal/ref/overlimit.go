package ref

import "fmt"

// Limit names a bound on the data that one server may send.
type Limit string

// The limits, as logs and metrics call them.
const (
	LimitObjectSize Limit = "ObjectSize" // bytes of one object or event, or of a line that does not end
	LimitListSize   Limit = "ListSize"   // bytes of one list, all its pages together
	LimitObjects    Limit = "Objects"    // objects of one kind at a time
	LimitKept       Limit = "Kept"       // bytes of heap that these objects take
	LimitMemory     Limit = "Memory"     // likewise, as a part of those for all SyncTargets
	LimitPages      Limit = "Pages"      // pages of one list
	LimitListTime   Limit = "ListTime"   // seconds that one list takes
	LimitCompressed Limit = "Compressed" // none are taken
)

// OverLimit is the error of a list or watch that was given up because the server exceeded a limit. It is retried after a long pause;
// until then the objects known before stay, and are stale.
type OverLimit struct {
	Limit Limit
	Most  int64
}

func (e *OverLimit) Error() string {
	switch e.Limit {
	case LimitObjectSize:
		return fmt.Sprintf("more than %d bytes in one object", e.Most)
	case LimitListSize:
		return fmt.Sprintf("more than %d bytes in one list", e.Most)
	case LimitObjects:
		return fmt.Sprintf("more than %d objects", e.Most)
	case LimitKept:
		return fmt.Sprintf("objects that take more than %d bytes of memory", e.Most)
	case LimitMemory:
		return fmt.Sprintf("objects that take more than %d bytes of memory, while all SyncTargets together take too much", e.Most)
	case LimitPages:
		return fmt.Sprintf("more than %d pages in one list", e.Most)
	case LimitListTime:
		return fmt.Sprintf("a list that takes longer than %d s", e.Most)
	case LimitCompressed:
		return "a compressed answer"
	}
	return fmt.Sprintf("limit %s (%d)", e.Limit, e.Most)
}
