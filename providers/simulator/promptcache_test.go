package simulator

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nightshift/providers/simulator/internal/jsontext"
)

var handbook = strings.Repeat("The handbook says many things. ", 200) // some 1,600 tokens

// cacheAsk is a request of which the system prompt and the question are free.
func cacheAsk(path, system, question, more string) string {
	if path == messagesPath {
		return `{"model":"m","max_tokens":9,` + more + `"system":[{"type":"text","text":` + jsontext.Quote(system) +
			`,"cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":` + jsontext.Quote(question) + `}]}`
	}
	return `{"model":"m","max_tokens":9,` + more + `"messages":[{"role":"system","content":` + jsontext.Quote(system) +
		`},{"role":"user","content":` + jsontext.Quote(question) + `}]}`
}

func cacheReads(t *testing.T, c *caller, path, body, key string) int64 {
	t.Helper()
	before := c.Ledger().Billed
	parse(t, path, c.post(path, body, "X-Api-Key", key))
	return c.Ledger().Billed.CacheRead - before.CacheRead
}

// TestPromptCacheVisible: what a request writes can be read from its first token
// on, and as long as its lifetime after its last use, behind the same key.
func TestPromptCacheVisible(t *testing.T) {
	for _, path := range []string{messagesPath, chatPath} {
		synctest.Test(t, func(t *testing.T) {
			c := inProcess(Config{Cache: Cache{On: true}, Latency: Latency{FirstToken: 2 * time.Second, PerToken: time.Second}})
			ask := func(n int, key string) int64 {
				return cacheReads(t, c, path, cacheAsk(path, handbook, fmt.Sprint("Question ", n), ""), key)
			}
			var wg sync.WaitGroup
			for i, after := range []time.Duration{0, 1900 * time.Millisecond, 2100 * time.Millisecond} {
				wg.Go(func() {
					time.Sleep(after)
					parse(t, path, c.post(path, cacheAsk(path, handbook, fmt.Sprint("First ", i), ""), "X-Api-Key", "k"))
				})
			}
			wg.Wait()
			l := c.Ledger()
			one := l.Billed.CacheRead
			if one < 1000 || l.CacheReadable < 2*one {
				t.Errorf("%s: read %d of %d", path, one, l.CacheReadable)
			}
			if wrote := l.Billed.CacheWrite5m; path == messagesPath && wrote != 2*one || path == chatPath && wrote != 0 {
				t.Errorf("%s: wrote %d, one prefix is %d", path, wrote, one)
			}
			time.Sleep(4 * time.Minute)
			if got := ask(1, "k"); got != one {
				t.Errorf("%s: read %d, want %d", path, got, one)
			}
			time.Sleep(4 * time.Minute)
			if got := ask(2, "k"); got != one {
				t.Errorf("%s: a use does not keep it: read %d", path, got)
			}
			if got := ask(3, "other"); got != 0 {
				t.Errorf("%s: read %d of another key", path, got)
			}
			time.Sleep(6 * time.Minute)
			if got := ask(4, "k"); got != 0 {
				t.Errorf("%s: read %d after its lifetime", path, got)
			}
		})
	}
}

// TestPromptCacheShards: each of several servers has a cache of its own, and
// prompt_cache_key leads to one of them.
func TestPromptCacheShards(t *testing.T) {
	c := inProcess(Config{Cache: Cache{On: true, Servers: 2}})
	var reads []bool
	for i := range 4 {
		reads = append(reads, cacheReads(t, c, chatPath, cacheAsk(chatPath, handbook, fmt.Sprint(i), ""), "k") > 0)
	}
	if fmt.Sprint(reads) != "[false false true true]" {
		t.Errorf("in turns: %v", reads)
	}
	almanac := strings.ReplaceAll(handbook, "handbook", "almanac")
	for i := range 4 {
		body := cacheAsk(chatPath, almanac, fmt.Sprint(i), `"prompt_cache_key":"a",`)
		if got := cacheReads(t, c, chatPath, body, "k"); (got > 0) != (i > 0) {
			t.Errorf("with a key, request %d read %d", i, got)
		}
	}
}

// TestPromptCacheWithin: an automatic cache reads the beginning of a text that
// goes on otherwise, in whole blocks, and nothing below the minimum.
func TestPromptCacheWithin(t *testing.T) {
	c := inProcess(Config{Cache: Cache{On: true, Block: 128}})
	body := func(tail string) string { return cacheAsk(chatPath, "Short.", handbook+tail, "") }
	cacheReads(t, c, chatPath, body("What is it?"), "k")
	if got := cacheReads(t, c, chatPath, body("Who says so?"), "k"); got < 1024 || got%128 != 0 {
		t.Errorf("read %d", got)
	}
	short := handbook[:2000]
	cacheReads(t, c, chatPath, cacheAsk(chatPath, short, "One", ""), "k")
	if got := cacheReads(t, c, chatPath, cacheAsk(chatPath, short, "Two", ""), "k"); got != 0 {
		t.Errorf("read %d of a short prompt", got)
	}
}

func TestParseCache(t *testing.T) {
	got, err := ParseCache("style=marker,minimum=2048,lifetime=1h,servers=3,block=64")
	want := Cache{On: true, Style: cacheMarker, Minimum: 2048, Lifetime: time.Hour, Servers: 3, Block: 64}
	if got != want || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{"style=odd", "minimum=x", "ttl=5m"} {
		if _, err := ParseCache(bad); err == nil {
			t.Errorf("%s is read", bad)
		}
	}
}
