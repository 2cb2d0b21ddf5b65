package answer

import (
	"maps"

	"nightshift/internal/rawjson"
)

// outputFields are the fields of a usage object that count what was written;
// those of inputFields count what was read.
var (
	inputFields = fields("input_tokens", "prompt_tokens", "input_tokens_details", "prompt_tokens_details",
		"cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation", "cached_tokens", "cache_write_tokens",
		"prompt_cache_hit_tokens", "prompt_cache_miss_tokens", "claude_cache_creation_5_m_tokens",
		"claude_cache_creation_1_h_tokens")
	outputFields = fields("output_tokens", "completion_tokens", "output_tokens_details", "completion_tokens_details",
		"reasoning_tokens")
)

func fields(names ...string) map[string]bool {
	set := map[string]bool{}
	for _, name := range names {
		set[name] = true
	}
	return set
}

// A UsageMerge joins the usage objects of one stream, each of which states
// what has been used so far. Fields that are absent or null in a later one
// keep their value. Counts cannot shrink: where a later object counts less
// input or output in all, the earlier fields of that kind are kept.
type UsageMerge struct {
	// Read is how many input tokens an object counts in all, caches included.
	Read func(usage rawjson.Value) int64
	// Wrote is how many output tokens it counts; nil where the earlier count
	// was no total yet.
	Wrote func(usage rawjson.Value) int64
}

// Join returns the members of both objects, and whether anything shrank.
func (m UsageMerge) Join(earlier, later rawjson.Value) (joined []byte, shrank bool) {
	joined = overlay(earlier, later, nil)
	read := shrinks(earlier, later, inputFields)
	wrote := m.Wrote != nil && shrinks(earlier, later, outputFields)
	if !read && !wrote {
		return joined, false
	}
	doc := rawjson.Borrow()
	defer doc.Return()
	sum, err := doc.Scan(joined)
	if err != nil {
		return joined, true
	}
	keep := map[string]bool{}
	if read && m.Read(sum) < m.Read(earlier) {
		maps.Copy(keep, inputFields)
	}
	if wrote && m.Wrote(sum) < m.Wrote(earlier) {
		maps.Copy(keep, outputFields)
	}
	if len(keep) == 0 {
		return joined, true
	}
	keep["total_tokens"] = true // it belongs to neither
	return overlay(earlier, later, keep), true
}

// shrinks reports whether any count of these fields is smaller in b.
func shrinks(a, b rawjson.Value, names map[string]bool) bool {
	for f := a.First(); f.Exists(); f = f.Next() {
		if key := f.Key(); names[key] && smaller(f, b.Get(key)) {
			return true
		}
	}
	return false
}

func smaller(a, b rawjson.Value) bool {
	if a.Kind() == rawjson.Object {
		for f := a.First(); f.Exists(); f = f.Next() {
			if smaller(f, b.Get(f.Key())) {
				return true
			}
		}
		return false
	}
	n, known := a.Int()
	m, stated := b.Int()
	return known && stated && m < n
}

// overlay returns the members of a, in their order, with those of b that are
// not null in their place, and then the ones that only b has. Of the members
// named in keep only a's are taken, but the total, which is left out.
func overlay(a, b rawjson.Value, keep map[string]bool) []byte {
	out := []byte{'{'}
	put := func(key string, member rawjson.Value) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(rawjson.AppendString(out, key), ':')
		out = append(out, member.JSON()...)
	}
	for c := a.First(); c.Exists(); c = c.Next() {
		key := c.Key()
		newer := b.Get(key)
		switch {
		case keep != nil && key == "total_tokens":
		case newer.Set() && !keep[key]:
			put(key, newer)
		default:
			put(key, c)
		}
	}
	for c := b.First(); c.Exists(); c = c.Next() {
		if key := c.Key(); !a.Get(key).Exists() && !keep[key] {
			put(key, c)
		}
	}
	return append(out, '}')
}
