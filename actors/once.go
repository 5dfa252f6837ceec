package actors

import (
	"sync"

	"github.com/rs/zerolog"
)

// once makes repeated trouble loud once and quiet afterwards: the first time a key is seen it is a warning, then debug output.
type once struct {
	mu   sync.Mutex
	keys map[string]struct{}
}

// onceLimit bounds the memory of once; when it is reached, it starts anew and may say a thing again.
const onceLimit = 4096

func newOnce() *once { return &once{keys: map[string]struct{}{}} }

func (o *once) level(key string) zerolog.Level {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, ok := o.keys[key]; ok {
		return zerolog.DebugLevel
	}
	if len(o.keys) >= onceLimit {
		clear(o.keys)
	}
	o.keys[key] = struct{}{}
	return zerolog.WarnLevel
}

// forget lets key be said again: the trouble was over.
func (o *once) forget(key string) {
	o.mu.Lock()
	delete(o.keys, key)
	o.mu.Unlock()
}
