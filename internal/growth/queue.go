package growth

import (
	"errors"
	"fmt"
	"time"

	"github.com/upstreamd/upstreamd/internal/patch"
	"github.com/upstreamd/upstreamd/internal/ref"
)

var deployments = ref.Resource{Group: "apps", Version: "v1", Resource: "deployments"}

const open = ref.Workspace("open")

// admission serves at most one workspace. The others wait for their host, or because they are slow.
type admission struct{ any bool }

func (admission) Group(w ref.Workspace, _ time.Time) patch.Group {
	return patch.Group{Host: "shard", Slow: w != open}
}
func (a admission) Open(g patch.Group, _ time.Time) bool     { return a.any && !g.Slow }
func (a admission) Free(_ patch.Group, w ref.Workspace) bool { return w == open }

func web(w ref.Workspace, object int) ref.Upstream {
	return ref.Upstream{Workspace: w, Namespace: "default", Name: fmt.Sprintf("web-%d", object)}
}

// queue is the use of the queue by one message of the writer while many workspaces have a write that waits: a write is put into the queue,
// and the next one is taken out, or if none may be sent, the same.
func queue(workspaces int, allowed bool) (step func(), err error) {
	q := patch.NewQueue[int](admission{allowed})
	now := time.Unix(1_700_000_000, 0)
	key := func(w ref.Workspace, object int) patch.Key {
		return patch.Key{Resource: deployments, Upstream: web(w, object)}
	}
	for i := range workspaces {
		q.Put(key(ref.Workspace(fmt.Sprintf("waiting-%d", i)), 0), patch.Normal, "us-east1", i, now)
	}
	objects := [...]patch.Key{key(open, 0), key(open, 1), key(open, 2), key(open, 3)}
	n := 0
	message := func() bool {
		n++
		written := objects[n%len(objects)]
		q.Put(written, patch.Normal, "us-east1", n, now)
		_, ok := q.Next(now)
		if !ok {
			q.Remove(written)
		}
		return ok
	}
	if message() != allowed || q.Len() != workspaces {
		return nil, errors.New("the queue does not hand out the write of the workspace that is allowed")
	}
	return func() { message() }, nil
}
