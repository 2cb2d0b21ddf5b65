package providers

import (
	"strings"
	"time"

	"nightshift"
)

// A PromptCache is what is known of how a service caches prompts.
type PromptCache struct {
	Style string // CacheAutomatic or CacheMarker
	// Known is false where the format of the requests is all that says it.
	Known    bool
	Minimum  int64         // tokens of the shortest prefix that is cached
	Lifetime time.Duration // after the last use, where no marker says it
	Key      bool          // takes prompt_cache_key, which leads requests to one cache
	// AtEnd: a prompt is in the cache when the answer to it has ended, not before.
	AtEnd   bool
	Shortly bool   // markers live for 5 minutes alone
	Source  string // where that was read
}

// Styles of prompt caches: without being asked, or where cache_control stands.
const (
	CacheAutomatic = "automatic"
	CacheMarker    = "marker"
)

// A cacheRule is a line of the table: of a preset, and of models whose names hold
// a word; empty is all.
type cacheRule struct {
	preset, model string
	cache         PromptCache
}

const (
	cacheShort = 5 * time.Minute
	cacheLong  = time.Hour

	// Sonnet 4.6 is documented with 1,024, and was measured with 2,048 at
	// github.com/anthropics/anthropic-sdk-python/issues/1194.
	anthropicCaching = "platform.claude.com, prompt caching, as docs.litellm.ai and docs.orq.ai quote it (2026-10)"
	qwenCaching      = "alibabacloud.com/help/en/model-studio/context-cache (2026-06)"
	routerCaching    = "openrouter.ai/docs, prompt caching (2026)"
	geminiCaching    = "ai.google.dev/gemini-api/docs/caching (2026-10)"
	openAICaching    = "developers.openai.com, prompt caching (2026-10)"
	ownCaching       = "automatic prefix caching of the server"
)

// cacheRules are in order of precedence.
var cacheRules = []cacheRule{
	{"anthropic", "opus-5", marked(512, anthropicCaching)},
	{"anthropic", "fable-5", marked(512, anthropicCaching)},
	{"anthropic", "mythos-5", marked(512, anthropicCaching)},
	{"anthropic", "opus-4-5", marked(4096, anthropicCaching)},
	{"anthropic", "opus-4-6", marked(4096, anthropicCaching)},
	{"anthropic", "opus-4-7", marked(2048, anthropicCaching)},
	{"anthropic", "sonnet-4-6", marked(2048, anthropicCaching)},
	{"anthropic", "haiku-4-5", marked(4096, anthropicCaching)},
	{"anthropic", "haiku", marked(2048, anthropicCaching)},
	{"anthropic", "", marked(1024, anthropicCaching)},
	{"openrouter", "anthropic/", marked(1024, routerCaching)},
	{"openrouter", "qwen/", marked(1024, routerCaching)},
	{"openrouter", "", automatic(1024, cacheShort, false, routerCaching)},
	{"dashscope", "", PromptCache{Style: CacheMarker, Known: true, Minimum: 1024, Lifetime: cacheShort, AtEnd: true,
		Shortly: true, Source: qwenCaching}},
	{"openai", "", automatic(1024, cacheShort, true, openAICaching)},
	{"azure-openai", "", automatic(1024, cacheShort, true, "learn.microsoft.com, prompt caching")},
	{"deepseek", "", automatic(64, cacheLong, false, "api-docs.deepseek.com, context caching")},
	{"gemini", "2.5", automatic(2048, cacheShort, false, geminiCaching)},
	{"gemini", "", automatic(4096, cacheShort, false, geminiCaching)},
	{"vertex", "2.5", automatic(2048, cacheShort, false, geminiCaching)},
	{"vertex", "", automatic(4096, cacheShort, false, geminiCaching)},
	{"xai", "", automatic(1024, cacheShort, false, "docs.x.ai, prompt caching; no minimum is stated")},
	{"moonshot", "", automatic(256, cacheShort, false, "platform.moonshot.ai, context caching; no minimum is stated")},
	{"vllm", "", automatic(128, cacheLong, false, ownCaching)},
	{"sglang", "", automatic(128, cacheLong, false, ownCaching)},
	{"llama-cpp", "", automatic(128, cacheLong, false, ownCaching)},
	{"ollama", "", automatic(128, cacheLong, false, ownCaching)},
	{"lm-studio", "", automatic(128, cacheLong, false, ownCaching)},
}

func marked(minimum int64, source string) PromptCache {
	return PromptCache{Style: CacheMarker, Known: true, Minimum: minimum, Lifetime: cacheShort, Source: source}
}

func automatic(minimum int64, lifetime time.Duration, key bool, source string) PromptCache {
	return PromptCache{Style: CacheAutomatic, Known: true, Minimum: minimum, Lifetime: lifetime, Key: key, Source: source}
}

// CacheOf says how a service caches the prompts of a model. Of a service that the
// table does not know, Messages is taken to have markers, and all other formats to
// cache by themselves.
func CacheOf(preset string, protocol nightshift.Protocol, model string) PromptCache {
	for _, r := range cacheRules {
		if r.preset == preset && strings.Contains(strings.ToLower(model), r.model) {
			r.cache.Key = r.cache.Key && (protocol == nightshift.Chat || protocol == responses)
			return r.cache
		}
	}
	c := PromptCache{Style: CacheAutomatic, Minimum: 1024, Lifetime: cacheShort}
	if protocol == nightshift.Messages {
		c.Style = CacheMarker
	}
	return c
}

// TokensPerByte is what a text is taken to have before answers have told it.
const TokensPerByte = firstTokensPerByte
