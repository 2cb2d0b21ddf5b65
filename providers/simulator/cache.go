package simulator

import (
	"time"

	"nightshift/providers/simulator/internal/ledger"
	"nightshift/providers/simulator/internal/requests"
)

// shortestCached is the least prefix that vendors cache, in tokens.
const shortestCached = 1024

// cached looks the prompt's cache marks up at the given time: how many tokens
// are read from the cache and how many newly written, by lifetime. With store,
// they are kept from then on, and what was read is kept longer.
func (s *Server) cached(a *requests.Request, now time.Time, store bool) (read, write5m, write1h int64) {
	if len(a.Marks) == 0 {
		return 0, 0, 0
	}
	shortest := s.cfg.CacheMinimum
	if shortest == 0 {
		shortest = shortestCached
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range a.Marks {
		if m.Tokens < shortest {
			continue
		}
		key, life := m.Prefix.With(a.Model), 5*time.Minute
		if m.Hour {
			life = time.Hour
		}
		if a.Protocol.LikeChat() {
			m.Tokens -= m.Tokens % 128 // as that vendor counts
		}
		upTo := int64(m.Tokens)
		switch {
		case now.Before(s.cache[key]):
			read = max(read, upTo)
		case a.Protocol != requests.Messages: // written free of charge
		case m.Hour:
			write1h = max(write1h, upTo-write5m-read)
		default:
			write5m = max(write5m, upTo-write1h-read)
		}
		if store {
			s.keep(key, now, now.Add(life))
		}
	}
	return read, max(0, write5m), max(0, write1h)
}

// keep remembers a prefix, and now and then forgets the expired ones.
func (s *Server) keep(key seed, now, until time.Time) {
	if len(s.cache) > 10_000 {
		for k, t := range s.cache {
			if t.Before(now) {
				delete(s.cache, k)
			}
		}
	}
	s.cache[key] = until
}

// uncached is the input that counts towards the limits.
func (x *exchange) uncached() int64 {
	if x.server.prompts != nil {
		read, _, _ := x.server.prompts.read(x)
		return int64(x.ask.InputTokens) - read
	}
	read, _, _ := x.server.cached(x.ask, x.start, false)
	return int64(x.ask.InputTokens) - read
}

// inputTokens splits the input of a request into its classes.
func (x *exchange) inputTokens() ledger.Tokens {
	var read, w5m, w1h int64
	if x.server.prompts != nil {
		read, w5m, w1h, x.entry.CacheReadable = x.server.prompts.take(x)
	} else {
		read, w5m, w1h = x.server.cached(x.ask, x.start, true)
	}
	return ledger.Tokens{Input: int64(x.ask.InputTokens) - read - w5m - w1h, CacheRead: read, CacheWrite5m: w5m,
		CacheWrite1h: w1h}
}
