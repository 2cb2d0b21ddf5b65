package simulator

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"nightshift/providers/simulator/internal/jsontext"
	"nightshift/providers/simulator/internal/ledger"
	"nightshift/providers/simulator/internal/requests"
)

// readUsage works usage out by the rules for clients: cached tokens included
// on Chat and excluded on Messages, reasoning found in a total that is larger
// than its parts. It is the test's own.
func readUsage(path string, a answer) (tokens ledger.Tokens, known bool) {
	at := func(path ...string) int64 { return max(0, a.in(path...)) }
	if a.Usage == nil {
		return ledger.Tokens{}, false
	}
	if path == messagesPath {
		tokens = ledger.Tokens{
			Input: at("input_tokens"), CacheRead: at("cache_read_input_tokens"), Output: at("output_tokens"),
			CacheWrite5m: at("cache_creation", "ephemeral_5m_input_tokens"),
			CacheWrite1h: at("cache_creation", "ephemeral_1h_input_tokens"),
			Reasoning:    at("output_tokens_details", "thinking_tokens"),
		}
		if a.in("cache_creation", "ephemeral_5m_input_tokens") < 0 {
			tokens.CacheWrite5m = at("cache_creation_input_tokens")
		}
		if list, ok := a.Usage["iterations"].([]any); ok {
			for _, it := range list {
				if m := it.(map[string]any); m["type"] == "compaction" {
					tokens.Input += int64(m["input_tokens"].(float64))
					tokens.Output += int64(m["output_tokens"].(float64))
				}
			}
		}
		return tokens, tokens.Total() > 0
	}
	prompt, completion, total := at("prompt_tokens"), at("completion_tokens"), at("total_tokens")
	cached := max(at("prompt_tokens_details", "cached_tokens"), at("prompt_cache_hit_tokens"), at("cached_tokens"))
	if total > prompt+completion {
		completion = total - prompt
	}
	reasoning := min(completion, at("completion_tokens_details", "reasoning_tokens"))
	if strings.Contains(fmt.Sprint(a.Usage["completion_tokens_details"]), "reasoning_tokens") &&
		at("completion_tokens_details", "reasoning_tokens") > completion {
		reasoning = -1 // more than there is: its share is not known
	}
	return ledger.Tokens{Input: prompt - cached, CacheRead: cached, Output: completion, Reasoning: reasoning}, total > 0
}

// TestUsageModes reads every mode, streamed and not, with a cached prefix and
// with thinking, and compares what a client can know with the ledger.
func TestUsageModes(t *testing.T) {
	long := strings.Repeat("The handbook says many things about lighthouses. ", 200)
	for _, mode := range UsageModes(false) {
		t.Run(mode, func(t *testing.T) {
			for _, path := range []string{messagesPath, chatPath} {
				for _, stream := range []string{"", `"stream":true,"stream_options":{"include_usage":true},`, `"stream":true,`} {
					c := inProcess(Config{Usage: []string{mode}, Models: map[string]Model{"m": {Reasoning: 30}}})
					var sum ledger.Tokens
					known := true
					for i := range 3 {
						a := parse(t, path, c.post(path, usageRequest(path, long, stream, i)))
						u, ok := readUsage(path, a)
						known = known && ok
						sum.Add(u, 1)
					}
					truth := c.Ledger().Billed
					if !slices.Contains(UsageModes(true), mode) {
						if applies(mode, path) && known && sum == truth {
							t.Errorf("%s %s: a client knows the truth, though it should not", path, stream)
						}
						continue
					}
					if !known && path == chatPath && stream == `"stream":true,` {
						continue // not asked for
					}
					if !known {
						t.Errorf("%s %s: usage unknown", path, stream)
					}
					if mode == "reasoning_over" || mode == "reasoning_in_total" {
						sum.Reasoning, truth.Reasoning = 0, 0
					}
					if sum != truth {
						t.Errorf("%s %s: client %+v, ledger %+v", path, stream, sum, truth)
					}
				}
			}
		})
	}
}

// usageRequest has a prefix that is cached, marked on Messages.
func usageRequest(path, long, stream string, i int) string {
	question := fmt.Sprintf(`"messages":[%%s{"role":"user","content":"What is %d + 2?"}]}`, i)
	if path == chatPath {
		return `{"model":"m","max_tokens":300,` + stream + fmt.Sprintf(question,
			`{"role":"system","content":`+jsontext.Quote(long)+`},`)
	}
	stream = strings.ReplaceAll(stream, `"stream_options":{"include_usage":true},`, "")
	ttl := []string{"5m", "1h", "5m"}[i]
	return `{"model":"m","max_tokens":300,` + stream + `"system":[{"type":"text","text":` + jsontext.Quote(long+ttl) +
		`,"cache_control":{"type":"ephemeral","ttl":"` + ttl + `"}}],` + fmt.Sprintf(question, "")
}

func applies(mode, path string) bool {
	for _, m := range usageModes {
		if m.name == mode {
			return m.protocol == "" || (m.protocol == requests.Chat) == (path == chatPath)
		}
	}
	return false
}

func TestUsageModesShowThemselves(t *testing.T) {
	for _, tc := range []struct{ mode, path, want, not string }{
		{"every_chunk", chatPath,
			`"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],` +
				`"usage":{"prompt_tokens"`, `"choices":[]`},
		{"finish_chunk", chatPath, `"finish_reason":"stop"}],"usage":{"prompt_tokens"`, `"choices":[]`},
		{"groq", chatPath, `"x_groq":{"usage":{`, ""},
		{"deepseek", chatPath, `"prompt_cache_hit_tokens":0,"prompt_cache_miss_tokens":`, "prompt_tokens_details"},
		{"moonshot", chatPath, `,"cached_tokens":0`, "prompt_tokens_details"},
		{"null_details", chatPath, `"prompt_tokens_details":null`, ""},
		{"cost", chatPath, `"cost":0.0`, ""},
		{"zero", chatPath, `"total_tokens":0`, ""},
		{"absent", chatPath, `[DONE]`, "prompt_tokens"},
		{"start_zero", messagesPath, `"usage":{"input_tokens":0,"cache_creation`, ""},
		{"delta_output_only", messagesPath, `"usage":{"output_tokens":`, ""},
		{"split_absent", messagesPath, "cache_creation_input_tokens", "ephemeral_5m"},
		{"iterations", messagesPath, `"iterations":[{"type":"compaction"`, ""},
	} {
		c := inProcess(Config{Usage: []string{tc.mode}})
		g := c.post(tc.path, simple("m", "What is 2 + 2?", `"stream":true,"stream_options":{"include_usage":true},`))
		if !strings.Contains(g.body, tc.want) || tc.not != "" && strings.Contains(g.body, tc.not) {
			t.Errorf("%s: want %s and not %s in %s", tc.mode, tc.want, tc.not, g.body)
		}
	}
}
