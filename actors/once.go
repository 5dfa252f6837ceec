package actors

import (
	"sync"

	"github.com/rs/zerolog"
)

// once gives the log level of a repeated problem: a warning for the first occurrence of its key, debug output afterwards.
type once struct {
	mu   sync.Mutex
	keys map[string]struct{}
}

// onceLimit bounds the keys. When it is reached, all are forgotten, and a problem may be logged again.
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

// forget makes the next occurrence of a key a warning again: the problem was over.
func (o *once) forget(key string) {
	o.mu.Lock()
	delete(o.keys, key)
	o.mu.Unlock()
}
