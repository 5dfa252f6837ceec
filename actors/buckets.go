package actors

import (
	"strconv"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/upstreamd/upstreamd/internal/reconcile"
	"github.com/upstreamd/upstreamd/internal/ref"
)

// Buckets are the actors that decide on the objects of one resource.
type Buckets []*actor.PID

// BucketsOf are the buckets of an aggregator. Their names follow from its name, so that reports need not pass through it.
func BucketsOf(aggregator *actor.PID, n int) Buckets {
	buckets := make(Buckets, n)
	for i := range buckets {
		buckets[i] = actor.NewPID(aggregator.Address, aggregator.Id+"/"+bucketName(i))
	}
	return buckets
}

func bucketName(i int) string { return "bucket:" + strconv.Itoa(i) }

// Send sends a message to all buckets.
func (b Buckets) Send(ctx actor.Context, m any) {
	for _, pid := range b {
		ctx.Send(pid, m)
	}
}

// Of is the bucket of an upstream object.
func (b Buckets) Of(u ref.Upstream) *actor.PID {
	if len(b) == 1 {
		return b[0]
	}
	return b[reconcile.Bucket(u.Workspace, u.Namespace, len(b))]
}
