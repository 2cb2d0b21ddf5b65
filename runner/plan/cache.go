package plan

import (
	"cmp"
	"time"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/formats"
	"nightshift/providers/pricing"
)

// Values of a model's cache.
const (
	CacheOff   = "off"
	CacheOrder = "order"
	cacheAuto  = "auto"
	cache5m    = "5m"
	Cache1h    = "1h"
)

const cacheStep = 256 // tokens that a longer prefix has more than the one within it

var cacheWords = []string{cacheAuto, CacheOff, CacheOrder, cache5m, Cache1h}

// Caching is how the rows of a model are sent for the sake of its prompt cache.
type Caching struct {
	Mode   string // CacheOff, CacheOrder, cacheAuto, cache5m or Cache1h
	Marker string // cache5m or Cache1h: of the markers that are added; empty for none
	Key    bool   // prompt_cache_key is added
	providers.PromptCache
	price *pricing.Price
}

// caching works out what a model's cache: means for its service.
func (r *resolver) caching(path string, m *ResolvedModel, mode string) {
	c := Caching{Mode: cmp.Or(mode, CacheOff), price: m.Price,
		PromptCache: providers.CacheOf(m.Preset, m.Endpoint.Protocol, m.ModelID)}
	ownWords := c.Mode == cache5m || c.Mode == Cache1h
	switch {
	case c.Mode == CacheOff || c.Mode == CacheOrder:
	case !formats.Writes(m.Endpoint.Protocol):
		r.at(path+".cache", "leave cache: out", "%s makes vectors, whose requests are not cached", m.Name)
	case !ownWords:
		c.Key = c.PromptCache.Key
		if c.Style == providers.CacheMarker && takesMarkers(m.Endpoint.Protocol) && c.price != nil {
			c.Marker = cache5m
		}
	case c.Known && c.Style == providers.CacheAutomatic || !takesMarkers(m.Endpoint.Protocol):
		r.at(path+".cache", "write cache: auto", "%s has no cache markers, whose lifetime %s would be: %s caches by itself",
			m.Name, c.Mode, m.Endpoint.Name)
	case c.Mode == Cache1h && c.Shortly:
		r.at(path+".cache", "write cache: 5m", "%s keeps what markers name for 5 minutes, not for 1h", m.Endpoint.Name)
	default:
		c.Marker = c.Mode
	}
	switch c.Marker {
	case cache5m:
		c.Lifetime = 5 * time.Minute
	case Cache1h:
		c.Lifetime = time.Hour
	}
	m.Cache = c
}

// takesMarkers reports whether requests of a format can hold cache markers.
func takesMarkers(p nightshift.Protocol) bool {
	return p == nightshift.Messages || p == nightshift.Chat
}

// Pays reports whether a prefix that so many rows share is worth it: where a
// marker is set of its own accord, only when writing it once and reading it for
// the others costs less than sending it each time.
func (c Caching) Pays(rows int) bool {
	if rows < 2 || c.Mode != cacheAuto || c.Marker == "" {
		return rows >= 2
	}
	size, none, n := nightshift.Tokens(1000), nightshift.Tokens(0), nightshift.NanoUSD(rows)
	cost := func(u nightshift.Usage) nightshift.NanoUSD {
		u.Output = none
		cost, _ := pricing.Cost(*c.price, u)
		return cost
	}
	write := cost(nightshift.Usage{Input: none, CacheWrite5m: size})
	read := cost(nightshift.Usage{Input: none, CacheRead: size})
	return write+(n-1)*read < n*cost(nightshift.Usage{Input: size})
}

// Bytes are the bytes of the shortest prefix, and those that a longer one has
// more, as far as an estimate can tell.
func (c Caching) Bytes() (minimum, step int64) {
	bytes := func(tokens float64) int64 { return int64(tokens / providers.TokensPerByte) }
	return bytes(float64(c.Minimum)), bytes(cacheStep)
}
