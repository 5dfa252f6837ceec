package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/watch"

	"github.com/upstreamd/upstreamd/internal/memapi"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// patience is the age that the observations behind a write may have: the longest coalescing window, and a little.
const patience = 3 * time.Second

// judge compares every write of upstreamd with the observations of its daemon.
type judge struct {
	world *world
	net   *network
	trace *trace

	mu     sync.Mutex
	wrong  []string
	writes int // PATCH calls that were sent
	denied int // those that were refused for good
	others int // writes of other managers to any store
}

// sent is a write on its way.
type sent struct {
	life    *life
	call    call
	version string // the resourceVersion that it was decided on
	called  time.Time
	status  string
}

func (j *judge) fail(format string, args ...any) {
	text := fmt.Sprintf("%v: %s", time.Since(j.trace.begin), fmt.Sprintf(format, args...))
	j.trace.note("WRONG: %s", text)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.wrong = append(j.wrong, text)
}

// sent records a write that leaves its daemon. called is when the product asked for that.
func (j *judge) sent(l *life, c call, body []byte, called time.Time) *sent {
	_, leased := l.elector.holds()
	var patch struct {
		Metadata map[string]string
		Status   json.RawMessage
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &patch) != nil || json.Unmarshal(body, &members) != nil || len(members) != 2 || len(patch.Status) == 0 ||
		len(patch.Metadata) != 1 || patch.Metadata["resourceVersion"] == "" {
		j.fail("%s: a patch that is not one of status on a resourceVersion: %s", c, body)
	}
	if !leased {
		j.fail("%s: sent by %s without the lease", c, l.name)
	}
	isDenied := j.net.denies != nil && j.net.denies(c) != 0
	j.mu.Lock()
	defer j.mu.Unlock()
	if isDenied {
		j.denied++
	} else {
		j.writes++
	}
	return &sent{life: l, call: c, version: patch.Metadata["resourceVersion"], called: called, status: string(patch.Status)}
}

// answered records the answer to a write.
func (j *judge) answered(s *sent, code int, body []byte) {
	var o wireObject
	if code != 200 || json.Unmarshal(body, &o) != nil || o.Metadata.ResourceVersion != s.version {
		return
	}
	j.fail("%s: a write that changes nothing", s.call)
}

// wrote checks a change of the upstream store. It runs under the store's lock.
func (j *judge) wrote(w memapi.Write) {
	if w.Manager != ref.FieldManager {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.others++
		return
	}
	s := j.net.writing
	k := kindOf(w.Resource.Resource)
	if s == nil || k == nil || w.Type != watch.Modified || w.Subresource != "status" || w.Verb != "patch" {
		j.fail("a write of upstreamd that is no patch of a status: %+v", w)
		return
	}
	before, after := k.tokens(w.Old.Status), k.tokens(w.New.Status)
	j.trace.note("published by %s: %s: %v", s.life.name, s.call, after)
	if !sameButStatus(w.Old, w.New) {
		j.fail("%s: more than the status was changed: %s became %s", s.call, w.Old.JSON(), w.New.JSON())
	}
	if j.world.changing(s.called) {
		return // placement is in flux for a moment
	}
	placed := j.world.placedBy(w.Old)
	if len(placed) == 0 && len(after) > 0 { // our fields may be removed
		j.fail("%s: written although no SyncTarget is placed", s.call)
	}
	if maps.Equal(before, after) {
		return
	}
	for target, token := range after {
		if !slices.Contains(placed, target) && token != "" {
			j.fail("%s: %s of SyncTarget %d, which is not placed", s.call, token, target)
		}
	}
	j.checkObserved(s, k, placed, before, after, w.Old)
}

// checkObserved compares published tokens with the observations of the daemon.
func (j *judge) checkObserved(s *sent, k *kind, placed []int, before, published map[int]string, old *memapi.Object) {
	summarised := bytes.Contains(old.Status, []byte("SyncTargets reporting"))
	o := j.world.find(k, s.call)
	if o == nil {
		j.fail("%s: the object was never created", s.call)
		return
	}
	since := max(patience, s.life.disturbed(s.called))
	one := k == pods // the status of one of them
	fits := false
	var why []string
	for _, target := range placed {
		known, plural, below := s.life.observations(target), k.resource.Resource, j.world.downNamespace(o, target)
		tokens, listed := known.possible(plural, below, o.name, s.called, since)
		if !listed && summarised && before[target] == "" && published[target] == "" && known.wasStale(plural, s.called) {
			continue // it held no share of the published status: while it is stale, it is not waited for
		}
		if !listed && !one {
			j.fail("%s: published by %s although SyncTarget %d was never listed", s.call, s.life.name, target)
		}
		if published[target] == "" && known.outlived(plural, below, o.name, old.Meta.CreationTimestamp.Time, s.called, since) {
			fits = true // the copy of an object before this one need not count
			continue
		}
		if slices.Contains(tokens, published[target]) && (!one || published[target] != "" || len(published) == 0) {
			if fits = true; (!one || published[target] != "") && !known.inOrder(plural, below, o.name, published[target], s.called, since) {
				j.fail("%s: %s published %q of SyncTarget %d after a later report", s.call, s.life.name, published[target], target)
			}
			continue
		}
		why = append(why, fmt.Sprintf("%q of SyncTarget %d, which reported %q", published[target], target, tokens))
	}
	if one && fits {
		return
	}
	if len(why) > 0 {
		j.fail("%s: published by %s: %s", s.call, s.life.name, strings.Join(why, "; "))
	}
}

func sameButStatus(a, b *memapi.Object) bool {
	return bytes.Equal(withoutStatus(a), withoutStatus(b))
}

// withoutStatus is an object without the fields that a status patch changes.
func withoutStatus(o *memapi.Object) []byte {
	var members map[string]any
	if err := o.Unmarshal(&members); err != nil {
		return []byte(err.Error())
	}
	delete(members, "status")
	if meta, ok := members["metadata"].(map[string]any); ok {
		delete(meta, "resourceVersion")
		delete(meta, "managedFields")
	}
	text, _ := json.Marshal(members)
	return text
}

// verdict is all failures so far.
func (j *judge) verdict() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.wrong)
}

func (j *judge) sends() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.writes
}
