package growth

import (
	"errors"
	"fmt"
	"time"

	"github.com/upstreamd/upstreamd/internal/patch"
	"github.com/upstreamd/upstreamd/internal/ref"
)

var deployments = ref.Resource{Group: "apps", Version: "v1", Resource: "deployments"}

// queue is one message of the writer while many workspaces have a write that waits: a write is put into the queue, and the next one that
// is allowed is taken out. Allowed is the workspace of that message, or none.
func queue(workspaces int, allowed bool) (step func(), err error) {
	q := patch.NewQueue[int]()
	now := time.Unix(1_700_000_000, 0)
	key := func(workspace string, object int) patch.Key {
		return patch.Key{Resource: deployments, Upstream: ref.Upstream{
			Workspace: ref.Workspace(workspace), Namespace: "default", Name: fmt.Sprintf("web-%d", object),
		}}
	}
	for i := range workspaces {
		q.Put(key(fmt.Sprintf("waiting-%d", i), 0), patch.Normal, "us-east1", i, now)
	}
	const open = "open"
	objects := [...]patch.Key{key(open, 0), key(open, 1), key(open, 2), key(open, 3)}
	n := 0
	message := func() bool {
		n++
		written := objects[n%len(objects)]
		q.Put(written, patch.Normal, "us-east1", n, now)
		_, ok := q.Next(now, func(k patch.Key) bool { return allowed && k.Upstream.Workspace == open })
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
