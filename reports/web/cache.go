package web

import (
	"container/list"
	"sync"
)

// A cache keeps values up to a number of bytes; those that were not asked for
// longest go first. It is safe for concurrent use.
type cache struct {
	most int64

	mu    sync.Mutex
	used  int64
	by    map[any]*list.Element
	order list.List // latest used first
}

type kept struct {
	key, value any
	bytes      int64
}

func newCache(most int64) *cache { return &cache{most: most, by: map[any]*list.Element{}} }

// get returns the value of a key, nil when it is not kept.
func (c *cache) get(key any) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.by[key]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*kept).value
}

func (c *cache) put(key, value any, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(c.by[key])
	c.by[key] = c.order.PushFront(&kept{key, value, bytes})
	c.used += bytes
	for c.used > c.most && c.order.Len() > 1 {
		c.drop(c.order.Back())
	}
}

func (c *cache) drop(e *list.Element) {
	if e == nil {
		return
	}
	k := c.order.Remove(e).(*kept)
	delete(c.by, k.key)
	c.used -= k.bytes
}
