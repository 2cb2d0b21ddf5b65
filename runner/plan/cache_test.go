package plan

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// someKey is an environment that has every key and nothing else.
func someKey(name string) string {
	if strings.HasSuffix(name, "_KEY") {
		return "a-key-0123456789"
	}
	return ""
}

// TestCacheValues: what cache: means at services of each kind.
func TestCacheValues(t *testing.T) {
	const price = "price: {input: 3, output: 15, cache_read: 0.3, cache_write_5m: 3.75, cache_write_1h: 6}"
	for _, tc := range []struct {
		endpoint, model, cache string
		marker                 string
		key                    bool
		lifetime               time.Duration
		problem                string
	}{
		{"preset: anthropic", "claude-opus-4-6", "auto", "5m", false, 5 * time.Minute, ""},
		{"preset: anthropic", "claude-opus-4-6", "1h", "1h", false, time.Hour, ""},
		{"preset: anthropic", "claude-opus-4-6", "order", "", false, 5 * time.Minute, ""},
		{"preset: anthropic", "claude-opus-4-6", "off", "", false, 5 * time.Minute, ""},
		{"preset: openai", "gpt-5", "auto", "", true, 5 * time.Minute, ""},
		{"preset: openai, protocol: responses", "gpt-5", "auto", "", true, 5 * time.Minute, ""},
		{"preset: openai", "gpt-5", "order", "", false, 5 * time.Minute, ""},
		{"preset: openai", "gpt-5", "1h", "", false, 0, "has no cache markers"},
		{"preset: openrouter", "anthropic/claude-opus-4.6", "auto", "5m", false, 5 * time.Minute, ""},
		{"preset: openrouter", "deepseek/deepseek-v3", "auto", "", false, 5 * time.Minute, ""},
		{"preset: dashscope", "qwen3-max", "auto", "5m", false, 5 * time.Minute, ""},
		{"preset: dashscope", "qwen3-max", "1h", "", false, 0, "for 5 minutes"},
		{`protocol: chat, base_url: "https://gateway.example/v1", auth: none`,
			"m", "auto", "", false, 5 * time.Minute, ""},
		{`protocol: messages, base_url: "https://gateway.example", auth: none`,
			"m", "auto", "5m", false, 5 * time.Minute, ""},
	} {
		t.Run(fmt.Sprintf("%s %s %s", tc.endpoint, tc.model, tc.cache), func(t *testing.T) {
			p, err := Parse("plan.yaml", fmt.Appendf(nil, `version: 1
dataset: {path: rows.jsonl}
models: [{name: m, endpoint: e, model: %q, cache: %q, params: {max_tokens: 9}, %s}]
endpoints: {e: {%s}}
`, tc.model, tc.cache, price, tc.endpoint))
			if err != nil {
				t.Fatal(err)
			}
			r, err := p.Resolve(someKey)
			if tc.problem != "" {
				if err == nil || !strings.Contains(err.Error(), tc.problem) {
					t.Errorf("error %v, want %q", err, tc.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			c := r.Models[0].Cache
			if c.Marker != tc.marker || c.Key != tc.key || c.Lifetime != tc.lifetime {
				t.Errorf("marker %q, key %v, lifetime %v", c.Marker, c.Key, c.Lifetime)
			}
		})
	}
}

// TestCachePays: a marker of its own accord is set where reading pays for writing.
func TestCachePays(t *testing.T) {
	for _, tc := range []struct {
		prices string
		rows   int
		pays   bool
	}{
		{"cache_read: 0.3, cache_write_5m: 3.75", 2, true},
		{"cache_read: 0.3, cache_write_5m: 3.75", 1, false},
		{"cache_read: 0.3, cache_write_5m: 6", 2, false},
		{"cache_read: 0.3, cache_write_5m: 6", 3, true},
		{"cache_read: 3, cache_write_5m: 3.75", 1000, false},
	} {
		p, err := Parse("plan.yaml", fmt.Appendf(nil, `version: 1
dataset: {path: rows.jsonl}
models: [{endpoint: anthropic, model: claude-opus-4-6, cache: auto, params: {max_tokens: 9},
  price: {input: 3, output: 15, %s}}]
`, tc.prices))
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.Resolve(someKey)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Models[0].Cache.Pays(tc.rows); got != tc.pays {
			t.Errorf("%s, %d rows: pays %v", tc.prices, tc.rows, got)
		}
	}
}
