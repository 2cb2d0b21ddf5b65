package simulator

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"nightshift/providers/simulator/internal/random"
	"nightshift/providers/simulator/internal/requests"
)

// Cache says how a prompt cache like those of the vendors behaves. Without On
// there is a simple one instead: it holds what cache marks name, and of Chat the
// messages before the last, shares it between all keys and shows it at once.
type Cache struct {
	On bool
	// Style is cacheMarker: prompts are written where cache_control stands, at a
	// price; or cacheAutomatic: all are, free of charge. "" is by the protocol:
	// Messages has markers, all others are automatic.
	Style    string
	Minimum  int           // shortest prefix that is cached, in tokens; 0 means 1024
	Block    int           // tokens read automatically are a multiple of it; 0 means 128
	Lifetime time.Duration // from the last use, where no marker says it; 0 means 5 min
	// Servers is how many servers stand behind one key, each with a cache of its
	// own; 0 means 1. prompt_cache_key says which; requests without one take turns.
	Servers int
}

// Styles of prompt caches.
const (
	cacheMarker    = "marker"
	cacheAutomatic = "automatic"
)

// mostPrefixes bounds what a cache and its oracle remember.
const mostPrefixes = 1 << 20

// ParseCache reads the text form of Cache.
func ParseCache(s string) (c Cache, err error) {
	err = c.UnmarshalText([]byte(s))
	return c, err
}

// UnmarshalText reads the form "on,style=marker,minimum=1024,block=128,
// lifetime=5m,servers=4". Any setting switches it on.
func (c *Cache) UnmarshalText(text []byte) error {
	*c = Cache{On: strings.TrimSpace(string(text)) != ""}
	return setters{
		"on": into(&c.On, strconv.ParseBool), "style": into(&c.Style, parseCacheStyle),
		"minimum": into(&c.Minimum, parseInt), "block": into(&c.Block, parseInt),
		"lifetime": into(&c.Lifetime, parseDuration), "servers": into(&c.Servers, parseInt),
	}.read("cache", string(text))
}

func parseCacheStyle(s string) (string, error) {
	if s != cacheMarker && s != cacheAutomatic {
		return "", fmt.Errorf("unknown style %q, have %s, %s", s, cacheMarker, cacheAutomatic)
	}
	return s, nil
}

// A promptCache is what the servers behind all keys have cached.
type promptCache struct {
	Cache
	mu      sync.Mutex
	entries map[seed]cachedPrefix
	seen    map[seed]struct{} // by the oracle, which forgets nothing
}

// A cachedPrefix can be read from the first token of the request that wrote it
// until its lifetime has passed since its last use.
type cachedPrefix struct {
	visible, until time.Time
	life           time.Duration
}

func (p cachedPrefix) readable(now time.Time) bool {
	return !now.Before(p.visible) && now.Before(p.until)
}

func newPromptCache(c Cache) *promptCache {
	if !c.On {
		return nil
	}
	for _, d := range []struct {
		n         *int
		otherwise int
	}{{&c.Minimum, shortestCached}, {&c.Block, 128}, {&c.Servers, 1}} {
		if *d.n == 0 {
			*d.n = d.otherwise
		}
	}
	if c.Lifetime == 0 {
		c.Lifetime = 5 * time.Minute
	}
	return &promptCache{Cache: c, entries: map[seed]cachedPrefix{}, seen: map[seed]struct{}{}}
}

// marked reports whether a request is cached by its markers.
func (c *promptCache) marked(a *requests.Request) bool {
	switch c.Style {
	case cacheMarker:
		return true
	case cacheAutomatic:
		return false
	}
	return a.Protocol == requests.Messages
}

// shard is what a request shares its prefixes with: the same model at the same
// server behind the same key.
func (c *promptCache) shard(x *exchange) seed {
	account := random.Start.With(x.key).With(x.ask.Model)
	server := x.number % uint64(c.Servers)
	if key := x.ask.CacheKey; key != "" {
		server = account.With(key).Bits() % uint64(c.Servers)
	}
	return account.WithInt(server)
}

// candidates are the steps up to which a request can be cached, longest last.
func (c *promptCache) candidates(a *requests.Request) []requests.Step {
	last := a.InputTokens
	if c.marked(a) {
		last = 0
		for _, m := range a.Marks {
			last = max(last, m.Tokens)
		}
	}
	return slices.DeleteFunc(slices.Clone(a.Steps), func(s requests.Step) bool {
		return s.Tokens < c.Minimum || s.Tokens > last
	})
}

// read is how many tokens of a request are in the cache, and where that prefix
// stands; the index is -1 when there is none.
func (c *promptCache) read(x *exchange) (tokens int64, steps []requests.Step, at int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.longest(x, func(key seed) bool { return c.entries[key].readable(x.start) })
}

// longest finds the longest prefix that holds is true of. The lock is held.
func (c *promptCache) longest(x *exchange, holds func(seed) bool) (tokens int64, steps []requests.Step, at int) {
	steps, shard := c.candidates(x.ask), c.shard(x)
	for at = len(steps) - 1; at >= 0; at-- {
		if holds(keyOf(shard, steps[at])) {
			return int64(c.counted(x.ask, steps[at].Tokens)), steps, at
		}
	}
	return 0, steps, -1
}

func keyOf(shard seed, s requests.Step) seed { return shard.WithInt(uint64(s.Prefix)) }

// counted is a number of cached tokens as the vendors tell it.
func (c *promptCache) counted(a *requests.Request, tokens int) int {
	tokens = min(tokens, a.InputTokens)
	if c.marked(a) {
		return tokens
	}
	return tokens - tokens%c.Block
}

// take reads the cache for a request and writes it, for others from the first
// token of the answer on. readable is what an oracle would have read: as much as
// any earlier request shares, whenever that was and wherever a marker stood.
func (c *promptCache) take(x *exchange) (read, write5m, write1h, readable int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := x.start.Add(x.untilPrompt())
	shard := c.shard(x)
	read, steps, at := c.longest(x, func(key seed) bool { return c.entries[key].readable(x.start) })
	if at >= 0 {
		c.refresh(keyOf(shard, steps[at]), x.start)
	}
	if c.marked(x.ask) {
		write5m, write1h = c.writeMarks(x, shard, read, first)
	} else {
		for _, s := range steps {
			c.write(keyOf(shard, s), x.start, first, c.Lifetime)
		}
	}
	return read, write5m, write1h, c.oracle(x, shard)
}

// writeMarks writes what ends at each marker and is not in the cache yet.
func (c *promptCache) writeMarks(x *exchange, shard seed, read int64, first time.Time) (write5m, write1h int64) {
	before := read
	for _, m := range x.ask.Marks {
		life := 5 * time.Minute
		if m.Hour {
			life = time.Hour
		}
		if m.Tokens < c.Minimum {
			continue
		}
		c.write(keyOf(shard, requests.Step{Prefix: m.Prefix}), x.start, first, life)
		if more := int64(m.Tokens) - before; more > 0 {
			if m.Hour {
				write1h += more
			} else {
				write5m += more
			}
			before += more
		}
	}
	return write5m, write1h
}

// write makes a prefix readable from first on; one that is in the cache already
// stays readable for as long again.
func (c *promptCache) write(key seed, now, first time.Time, life time.Duration) {
	e, there := c.entries[key]
	switch {
	case there && e.readable(now):
		e.until, e.life = now.Add(max(life, e.life)), max(life, e.life)
	case there && now.Before(e.visible): // of a request that is on its way
		e.visible = earlier(e.visible, first)
		e.until, e.life = first.Add(max(life, e.life)), max(life, e.life)
	default:
		c.forget(now)
		e = cachedPrefix{visible: first, until: first.Add(life), life: life}
	}
	c.entries[key] = e
}

func (c *promptCache) refresh(key seed, now time.Time) {
	e := c.entries[key]
	e.until = now.Add(e.life)
	c.entries[key] = e
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// forget drops what has expired, when there is much.
func (c *promptCache) forget(now time.Time) {
	if len(c.entries) < mostPrefixes {
		return
	}
	for k, e := range c.entries {
		if now.After(e.until) {
			delete(c.entries, k)
		}
	}
}

// oracle is how much of a request any earlier one shares. The lock is held.
func (c *promptCache) oracle(x *exchange, shard seed) (readable int64) {
	known := false
	for i := len(x.ask.Steps) - 1; i >= 0; i-- {
		s := x.ask.Steps[i]
		if s.Tokens < c.Minimum {
			break
		}
		key := keyOf(shard, s)
		if _, there := c.seen[key]; there && !known {
			known, readable = true, int64(c.counted(x.ask, s.Tokens))
		}
		if len(c.seen) < mostPrefixes {
			c.seen[key] = struct{}{}
		}
	}
	return readable
}

// untilPrompt is how long the prompt is read: until the first token.
func (x *exchange) untilPrompt() time.Duration {
	l := x.server.cfg.Latency
	return x.scaled(l.Base + l.FirstToken)
}
