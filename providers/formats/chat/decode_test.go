package chat

import (
	"fmt"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers/formats/internal/testdata/answertest"
)

// Decode reads a whole answer.
func Decode(body []byte) (nightshift.Response, *nightshift.Error) {
	return answertest.Decode(Format{}, body)
}

// show writes what a response holds in one line, leaving out what it does not.
func show(r nightshift.Response, err *nightshift.Error) string {
	var b strings.Builder
	add := func(name string, v any) { fmt.Fprintf(&b, "%s=%v ", name, v) }
	if err != nil {
		add("class", err.Class)
	}
	if r.Text != nil {
		add("text", fmt.Sprintf("%q", *r.Text))
	}
	if r.Thinking != nil {
		add("thinking", fmt.Sprintf("%q", *r.Thinking))
	}
	for _, c := range r.ToolCalls {
		add("call", c.ID+":"+c.Name+":"+c.Arguments)
	}
	if r.RawStopReason != "" || r.StopReason != "" {
		add("stop", string(r.StopReason)+"/"+r.RawStopReason)
	}
	for _, c := range r.Choices {
		add(fmt.Sprintf("[%d]", c.Index), fmt.Sprintf("%q(%s%v)", c.Text, c.StopReason, c.ToolCalls))
	}
	if r.UsageRaw != nil {
		u := r.Usage
		counts := fmt.Sprintf("%v+%v+%v/%v(%v)", u.Input, u.CacheRead, u.CacheWrite5m, u.Output, u.Reasoning)
		add("usage", strings.ReplaceAll(counts, "unknown", "?"))
	}
	if r.Flags != nil {
		add("flags", r.Flags)
	}
	return strings.TrimSpace(b.String())
}

// one is an answer with one choice, which has the given message and finish
// reason, and the usage used.
func one(message, finish string) string {
	return `{"id":"c1","object":"chat.completion","model":"gpt","choices":[{"index":0,` +
		`"message":` + message + `,"finish_reason":` + finish + `}],"usage":` + used + `}`
}

const (
	used = `{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}`
	hi   = `{"role":"assistant","content":"Hi"}`
	hi10 = ` usage=10+?+?/5(?)`
)

// with is an answer with the given usage.
func with(usage string) string { return strings.Replace(one(hi, `"stop"`), used, usage, 1) }

func TestDecode(t *testing.T) {
	for _, tc := range []struct{ name, body, want string }{
		{"plain", one(hi, `"stop"`), `text="Hi" stop=end/stop` + hi10},
		{"null content", one(`{"content":null}`, `"length"`), `stop=max_tokens/length` + hi10},
		{"absent content", one(`{"reasoning":"hm"}`, `"length"`), `thinking="hm" stop=max_tokens/length` + hi10},
		{"empty content", one(`{"content":""}`, `"length"`), `text="" stop=max_tokens/length usage=10+?+?/5(?)`},
		{"silent failure", one(`{"content":""}`, `"stop"`), `text="" stop=end/stop` + hi10 + ` flags=[empty_answer]`},
		{"content in parts",
			one(`{"content":[{"type":"thinking","thinking":[{"type":"text","text":"2+"},{"type":"text",`+
				`"text":"2"}]},{"type":"text","text":"a"},{"type":"text","text":"b"}]}`, `"stop"`),
			`text="ab" thinking="2+2" stop=end/stop` + hi10},
		{"no message, filtered", `{"choices":[{"index":0,"finish_reason":"content_filter"}],"usage":` + used + `}`,
			`stop=content_filter/content_filter` + hi10},
		{"refusal", one(`{"content":null,"refusal":"No."}`, `"stop"`), `text="No." stop=refusal/stop` + hi10},
		{"empty refusal", one(`{"content":"Hi","refusal":""}`, `"stop"`), `text="Hi" stop=end/stop` + hi10},
		{"reasoning_content", one(`{"content":"4","reasoning_content":"2+2"}`, `"stop"`),
			`text="4" thinking="2+2" stop=end/stop` + hi10},
		{"reasoning twice",
			one(`{"content":"4","reasoning":"2+2","reasoning_content":"2+2",`+
				`"reasoning_details":[{"type":"reasoning.text","text":"2+2"}]}`, `"stop"`),
			`text="4" thinking="2+2" stop=end/stop` + hi10},
		{"reasoning_details",
			one(`{"content":"4","reasoning":null,"reasoning_details":[{"type":"reasoning.summary","summary":"a"},`+
				`{"type":"reasoning.encrypted","data":"x"},{"type":"reasoning.text","text":"b"}]}`, `"stop"`),
			`text="4" thinking="ab" stop=end/stop` + hi10},
		{"think tags", one(`{"content":"\n<think>\n2+2\n</think>\n\n4"}`, `"stop"`),
			`text="4" thinking="2+2" stop=end/stop` + hi10 + ` flags=[think_tags]`},
		{"think tags, cut off", one(`{"content":"<think>2+"}`, `"length"`),
			`text="" thinking="2+" stop=max_tokens/length` + hi10 + ` flags=[think_tags]`},
		{"think tags that are text", one(`{"content":"<think> is a tag"}`, `"stop"`),
			`text="<think> is a tag" stop=end/stop` + hi10},
		{"think tags later on", one(`{"content":"see <think>x</think>"}`, `"stop"`),
			`text="see <think>x</think>" stop=end/stop` + hi10},
		{"think tags beside reasoning", one(`{"content":"<think>x</think>y","reasoning":"z"}`, `"stop"`),
			`text="<think>x</think>y" thinking="z" stop=end/stop` + hi10},

		{"closing think tag only", one(`{"content":"2 and 2 is 5? No, 4.\n</think>\n\n4"}`, `"stop"`),
			`text="4" thinking="2 and 2 is 5? No, 4." stop=end/stop` + hi10 + ` flags=[think_tags]`},
		{"closing think tag only, beside reasoning", one(`{"content":"\n</think>\n\n4","reasoning":"2+2"}`, `"stop"`),
			`text="4" thinking="2+2" stop=end/stop` + hi10 + ` flags=[think_tags]`},
		{"a closing think tag that is spoken of", one("{\"content\":\"It ends with `</think>`.\"}", `"stop"`),
			"text=\"It ends with `</think>`.\" stop=end/stop" + hi10},
		{"Gemini's thought tags", one(`{"content":"<thought>2+2</thought>4"}`, `"stop"`),
			`text="4" thinking="2+2" stop=end/stop` + hi10 + ` flags=[think_tags]`},
		{"reasoning as thinking", one(`{"content":"4","thinking":"2+2"}`, `"stop"`),
			`text="4" thinking="2+2" stop=end/stop` + hi10},
		{"reasoning as an object", one(`{"content":"4","thinking":{"content":"2+2","signature":"x"}}`, `"stop"`),
			`text="4" thinking="2+2" stop=end/stop` + hi10},
		{"reasoning_text", one(`{"content":"4","reasoning_text":"2+2","reasoning_opaque":"x"}`, `"stop"`),
			`text="4" thinking="2+2" stop=end/stop` + hi10},
		{"thought", one(`{"content":"4","thought":"2+2"}`, `"stop"`), `text="4" thinking="2+2" stop=end/stop` + hi10},
		{"thought that is a mark", one(`{"content":"4","thought":true,"reasoning":false}`, `"stop"`),
			`text="4" stop=end/stop` + hi10},
		{"thinking_blocks",
			one(`{"content":"4","thinking_blocks":[{"type":"thinking","thinking":"2+2","signature":"x"}]}`, `"stop"`),
			`text="4" thinking="2+2" stop=end/stop` + hi10},

		{"a number as content", one(`{"content":42}`, `"stop"`),
			`text="42" stop=end/stop` + hi10 + ` flags=[text_not_a_string]`},
		{"a number that has its own form", one(`{"content":1.50}`, `"stop"`),
			`text="1.50" stop=end/stop` + hi10 + ` flags=[text_not_a_string]`},
		{"true as content", one(`{"content":true}`, `"stop"`),
			`text="true" stop=end/stop` + hi10 + ` flags=[text_not_a_string]`},
		{"an object as content", one(`{"content":{"a": 1,"type":"cat"}}`, `"stop"`),
			`text="{\"a\": 1,\"type\":\"cat\"}" stop=end/stop` + hi10 + ` flags=[text_not_a_string]`},
		{"a list as content", one(`{"content":[1,2]}`, `"stop"`),
			`text="[1,2]" stop=end/stop` + hi10 + ` flags=[text_not_a_string]`},
		{"one part as content", one(`{"content":{"type":"text","text":"Hi"}}`, `"stop"`), `text="Hi" stop=end/stop` + hi10},
		{"texts and numbers as parts", one(`{"content":["costs ",{"type":"text","text":7},8]}`, `"stop"`),
			`text="costs 78" stop=end/stop` + hi10 + ` flags=[text_not_a_string]`},
		{"a part without words", one(`{"content":[{"type":"image","data":"x"},{"type":"text","text":"Hi"}]}`, `"stop"`),
			`text="Hi" stop=end/stop` + hi10},
		{"numbers as reasoning and arguments",
			one(`{"reasoning_content":1,"tool_calls":[{"id":"a","function":{"name":"f","arguments":5}}]}`,
				`"tool_calls"`), `thinking="1" call=a:f:5 stop=tool_use/tool_calls` + hi10 + ` flags=[text_not_a_string]`},

		{"nothing, and nothing counted",
			strings.Replace(one(`{"content":null}`, `"stop"`), used, `{"prompt_tokens":7,"completion_tokens":0}`, 1),
			`class=empty_response stop=end/stop usage=7+?+?/0(?)`},
		{"nothing, and no usage", strings.Replace(one(`{"content":""}`, `"stop"`), used, `null`, 1),
			`class=empty_response text="" stop=end/stop flags=[usage_missing]`},
		{"nothing, and zeros",
			strings.Replace(one(`{}`, `"stop"`), used, `{"prompt_tokens":0,"completion_tokens":0}`, 1),
			`class=empty_response stop=end/stop usage=?+?+?/?(?) flags=[usage_missing]`},
		{"filtered, and no usage", strings.Replace(one(`{"content":null}`, `"content_filter"`), used, `null`, 1),
			`stop=content_filter/content_filter flags=[usage_missing]`},

		{"tool calls",
			one(`{"content":null,"tool_calls":[{"id":"t","type":"function","function":{"name":"f",`+
				`"arguments":"{\"a\":1}"}},{"id":"","type":"function","function":{"name":"g","arguments":"{}"}}]}`,
				`"tool_calls"`), `call=t:f:{"a":1} call=:g:{} stop=tool_use/tool_calls` + hi10},
		{"a forced tool says stop",
			one(`{"content":null,"tool_calls":[{"id":"t","function":{"name":"f","arguments":"{}"}}]}`, `"stop"`),
			`call=t:f:{} stop=tool_use/stop` + hi10},
		{"arguments as an object, null, absent, empty",
			one(`{"tool_calls":[{"id":"a","function":{"name":"f","arguments":{"x":1.0}}},{"id":"b",`+
				`"function":{"name":"f","arguments":null}},{"id":"c","function":{"name":"f"}},{"id":"d",`+
				`"function":{"name":"f","arguments":""}}]}`, `"tool_calls"`),
			`call=a:f:{"x":1.0} call=b:f:{} call=c:f:{} call=d:f:{} stop=tool_use/tool_calls` + hi10},
		{"arguments that are no JSON",
			one(`{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{\"x\":"}}]}`, `"length"`),
			`call=a:f:{"x": stop=max_tokens/length` + hi10 + ` flags=[tool_arguments_words]`},
		{"a custom tool",
			one(`{"tool_calls":[{"id":"a","type":"custom","custom":{"name":"f","input":"4 + 4"}}]}`, `"tool_calls"`),
			`call=a:f:4 + 4 stop=tool_use/tool_calls` + hi10},
		{"the old function call",
			one(`{"content":null,"function_call":{"name":"f","arguments":"{}"}}`, `"function_call"`),
			`call=:f:{} stop=tool_use/function_call` + hi10},

		{"choices out of order",
			`{"choices":[{"index":1,"message":{"content":"b"},"finish_reason":"length"},{"index":0,` +
				`"message":{"content":"a"},"finish_reason":"stop"}],"usage":` + used + `}`,
			`text="a" stop=end/stop [0]="a"(end[]) [1]="b"(max_tokens[])` + hi10},
		{"choices without index",
			`{"choices":[{"message":{"content":"a"},"finish_reason":"stop"},{"message":{"content":"b"},` +
				`"finish_reason":"stop"}],"usage":` + used + `}`,
			`text="a" stop=end/stop [0]="a"(end[]) [1]="b"(end[])` + hi10},
		{"no choices", `{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":0,"total_tokens":3}}`,
			`class=empty_response usage=3+?+?/0(?) flags=[no_choices]`},
		{"a bare envelope's answer",
			`{"id":"msg_1","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"}}]}`,
			`text="Hi" flags=[usage_missing stop_reason_missing]`},
		{"text completion", `{"choices":[{"index":0,"text":"Hi","finish_reason":"stop"}],"usage":` + used + `}`,
			`text="Hi" stop=end/stop` + hi10},

		{"eos", one(hi, `"eos"`), `text="Hi" stop=end/eos` + hi10},
		{"Gemini's words", one(hi, `"MAX_TOKENS"`), `text="Hi" stop=max_tokens/MAX_TOKENS` + hi10},
		{"Gemini's safety", one(hi, `"SAFETY"`), `text="Hi" stop=content_filter/SAFETY` + hi10},
		{"Zhipu's sensitive", one(hi, `"sensitive"`), `text="Hi" stop=content_filter/sensitive` + hi10},
		{"pause_turn passed through", one(hi, `"pause_turn"`), `text="Hi" stop=pause/pause_turn` + hi10},
		{"an empty word", one(hi, `""`), `text="Hi"` + hi10 + ` flags=[stop_reason_missing]`},
		{"an unknown word", one(hi, `"lunch"`), `text="Hi" stop=other/lunch` + hi10 + ` flags=[stop_reason_unknown]`},
		{"broken off", one(hi, `"insufficient_system_resource"`),
			`class=overloaded text="Hi" stop=other/insufficient_system_resource` + hi10 + ` flags=[stop_reason_unknown]`},
		{"broken off, with the reason",
			strings.Replace(one(hi, `"error"`), `"index":0`, `"index":0,"error":{"code":429,"message":"slow down"}`, 1),
			`class=rate_limit text="Hi" stop=other/error` + hi10 + ` flags=[stop_reason_unknown]`},

		{"cached inside the prompt",
			with(`{"prompt_tokens":1220,"completion_tokens":100,"total_tokens":1320,` +
				`"prompt_tokens_details":{"cached_tokens":1000,"cache_write_tokens":200},` +
				`"completion_tokens_details":{"reasoning_tokens":64}}`), `text="Hi" stop=end/stop usage=20+1000+200/100(64)`},
		{"DeepSeek's hit",
			with(`{"prompt_tokens":12,"completion_tokens":1,"total_tokens":13,"prompt_cache_hit_tokens":8,` +
				`"prompt_cache_miss_tokens":4}`), `text="Hi" stop=end/stop usage=4+8+?/1(?)`},
		{"Moonshot's cached", with(`{"prompt_tokens":12,"completion_tokens":1,"total_tokens":13,"cached_tokens":8}`),
			`text="Hi" stop=end/stop usage=4+8+?/1(?)`},
		{"DeepSeek's hit beside a zero in the details",
			with(`{"prompt_tokens":1000,"completion_tokens":20,"total_tokens":1020,` +
				`"prompt_tokens_details":{"cached_tokens":0},"prompt_cache_hit_tokens":900,` +
				`"prompt_cache_miss_tokens":100}`), `text="Hi" stop=end/stop usage=100+900+?/20(?)`},
		{"a count at the top beside a zero in the details",
			with(`{"prompt_tokens":1000,"completion_tokens":20,"prompt_tokens_details":{"cached_tokens":0},` +
				`"cache_read_input_tokens":900}`), `text="Hi" stop=end/stop usage=100+900+?/20(?)`},
		{"Moonshot's beside a zero in the details",
			with(`{"prompt_tokens":1000,"completion_tokens":20,"input_tokens_details":{"cached_tokens":0},` +
				`"cached_tokens":900}`), `text="Hi" stop=end/stop usage=100+900+?/20(?)`},
		{"two counts of the cached",
			with(`{"prompt_tokens":1000,"completion_tokens":20,"prompt_tokens_details":{"cached_tokens":800},` +
				`"cached_tokens":900}`), `text="Hi" stop=end/stop usage=100+900+?/20(?) flags=[usage_inconsistent]`},
		{"written at the top beside a zero in the details",
			with(`{"prompt_tokens":1000,"completion_tokens":20,"prompt_tokens_details":{"cache_write_tokens":0},` +
				`"cache_creation_input_tokens":900}`), `text="Hi" stop=end/stop usage=100+?+900/20(?)`},
		{"the other format's names beside zeros",
			with(`{"prompt_tokens":0,"completion_tokens":0,"input_tokens":1000,"output_tokens":20}`),
			`text="Hi" stop=end/stop usage=1000+?+?/20(?)`},
		{"usage inside the choice",
			strings.Replace(with(`null`), `"finish_reason":"stop"`, `"finish_reason":"stop","usage":`+used, 1),
			`text="Hi" stop=end/stop` + hi10},
		{"usage inside the choice and beside it",
			strings.Replace(with(`{"prompt_tokens":1,"completion_tokens":2}`), `"finish_reason":"stop"`,
				`"finish_reason":"stop","usage":`+used, 1), `text="Hi" stop=end/stop usage=1+?+?/2(?)`},
		{"details null",
			with(`{"prompt_tokens":12,"completion_tokens":1,"total_tokens":13,"prompt_tokens_details":null,` +
				`"completion_tokens_details":null}`), `text="Hi" stop=end/stop usage=12+?+?/1(?)`},
		{"cached larger than the prompt",
			with(`{"prompt_tokens":7,"completion_tokens":1,"total_tokens":8,` +
				`"prompt_tokens_details":{"cached_tokens":163}}`),
			`text="Hi" stop=end/stop usage=7+163+?/1(?) flags=[usage_cache_excluded]`},
		{"total larger by exactly the cached",
			with(`{"prompt_tokens":200,"completion_tokens":10,"total_tokens":310,` +
				`"prompt_tokens_details":{"cached_tokens":100}}`),
			`text="Hi" stop=end/stop usage=200+100+?/10(?) flags=[usage_cache_excluded]`},
		{"cached apart, and reasoning outside",
			with(`{"prompt_tokens":7,"completion_tokens":1,"total_tokens":191,` +
				`"prompt_tokens_details":{"cached_tokens":163},"completion_tokens_details":{"reasoning_tokens":20}}`),
			`text="Hi" stop=end/stop usage=7+163+?/21(20) flags=[usage_cache_excluded usage_reasoning_outside]`},
		{"reasoning outside, in the total",
			with(`{"prompt_tokens":165,"completion_tokens":2,"total_tokens":296,` +
				`"completion_tokens_details":{"reasoning_tokens":129}}`),
			`text="Hi" stop=end/stop usage=165+?+?/131(129) flags=[usage_reasoning_outside]`},
		{"thinking in the total only", with(`{"prompt_tokens":35,"completion_tokens":12,"total_tokens":109}`),
			`text="Hi" stop=end/stop usage=35+?+?/74(?) flags=[usage_reasoning_outside]`},
		{"reasoning larger than the completion",
			with(`{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11,` +
				`"completion_tokens_details":{"reasoning_tokens":25}}`),
			`text="Hi" stop=end/stop usage=9+?+?/27(25) flags=[usage_reasoning_outside]`},
		{"total smaller than its parts", with(`{"prompt_tokens":9,"completion_tokens":2,"total_tokens":5}`),
			`text="Hi" stop=end/stop usage=9+?+?/2(?) flags=[usage_inconsistent]`},
		{"no usage", with(`null`), `text="Hi" stop=end/stop flags=[usage_missing]`},
		{"0/0/0 beside text", with(`{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}`),
			`text="Hi" stop=end/stop usage=?+?+?/?(?) flags=[usage_missing]`},
		{"output alone", with(`{"prompt_tokens":0,"completion_tokens":5,"total_tokens":5}`),
			`text="Hi" stop=end/stop usage=?+?+?/5(?) flags=[usage_partial]`},
		{"NaN", with(`{"prompt_tokens":NaN,"completion_tokens":5,"total_tokens":15}`),
			`text="Hi" stop=end/stop usage=?+?+?/5(?) flags=[usage_invalid usage_partial]`},
		{"1e999", with(`{"prompt_tokens":10,"completion_tokens":1e999,"total_tokens":15}`),
			`text="Hi" stop=end/stop usage=10+?+?/?(?) flags=[usage_invalid usage_partial]`},
		{"negative", with(`{"prompt_tokens":-10,"completion_tokens":5,"total_tokens":-5}`),
			`text="Hi" stop=end/stop usage=?+?+?/5(?) flags=[usage_invalid usage_partial]`},
		{"over a thousand million", with(`{"prompt_tokens":10,"completion_tokens":1000000001,"total_tokens":15}`),
			`text="Hi" stop=end/stop usage=10+?+?/?(?) flags=[usage_invalid usage_partial]`},
		{"Groq's own place", strings.Replace(with(`null`), `"usage":null`, `"x_groq":{"usage":`+used+`}`, 1),
			`text="Hi" stop=end/stop` + hi10},
		{"the other format's names", with(`{"input_tokens":10,"output_tokens":5}`), `text="Hi" stop=end/stop` + hi10},
		{"-Infinity in logprobs",
			strings.Replace(one(hi, `"stop"`), `"index":0`,
				`"index":0,"logprobs":{"content":[{"token":"Hi","logprob":-Infinity}]}`, 1), `text="Hi" stop=end/stop` + hi10},

		{"lone surrogate", one(`{"content":"a\ud800b"}`, `"stop"`),
			"text=\"a\uFFFDb\" stop=end/stop" + hi10 + ` flags=[text_repaired]`},
		{"keys of another case", one(`{"content":"Hi","Content":"No","CONTENT":null,"Refusal":"No"}`, `"stop"`),
			`text="Hi" stop=end/stop` + hi10},
		{"duplicate key", one(`{"content":"No","content":"Hi"}`, `"stop"`),
			`text="Hi" stop=end/stop` + hi10 + ` flags=[duplicate_keys]`},
		{"padding before the answer", "\n\n   \n" + one(hi, `"stop"`), `text="Hi" stop=end/stop` + hi10},

		{"nothing of the format", `{"id":"file-1","object":"file"}`, `class=bad_response flags=[usage_missing]`},
		{"null choices", `{"choices":null}`, `class=bad_response flags=[usage_missing]`},
		{"not JSON", `{"choices":[`, `class=bad_response`},
		{"too deep", strings.Repeat(`{"choices":[`, 101) + strings.Repeat(`]}`, 101), `class=bad_response`},
	} {
		if got := show(Decode([]byte(tc.body))); got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", tc.name, got, tc.want)
		}
	}
}

// Cache writes that last an hour have a price of their own; gateways in front
// of Claude split them in several places.
func TestCacheWritesOfAnHour(t *testing.T) {
	const split = `{"ephemeral_5m_input_tokens":500,"ephemeral_1h_input_tokens":4500}`
	for _, usage := range []string{
		`"prompt_tokens_details":{"cache_creation_tokens":5000,"cache_creation_token_details":` + split +
			`},"cache_creation_input_tokens":5000`,
		`"prompt_tokens_details":{"cache_write_tokens":5000,"cache_creation":` + split + `}`,
		`"prompt_tokens_details":{"cache_write_tokens":5000,"ephemeral_5m_input_tokens":500,` +
			`"ephemeral_1h_input_tokens":4500}`,
		`"cache_creation_input_tokens":5000,"cache_creation":` + split,
		`"input_tokens_details":{"cache_write_tokens":5000},"claude_cache_creation_5_m_tokens":500,` +
			`"claude_cache_creation_1_h_tokens":4500`,
		`"prompt_tokens_details":{"cache_creation":` + split + `}`,
	} {
		r, _ := Decode([]byte(with(`{"prompt_tokens":6000,"completion_tokens":10,"total_tokens":6010,` + usage + `}`)))
		if u := r.Usage; u.Input.N() != 1000 || u.CacheWrite5m.N() != 500 || u.CacheWrite1h.N() != 4500 || r.Flags != nil {
			t.Errorf("%s: %+v %v", usage, u, r.Flags)
		}
	}
	r, _ := Decode(
		[]byte(with(
			`{"prompt_tokens":6000,"completion_tokens":10,"cache_creation_input_tokens":5000,` +
				`"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0}}`)))
	if u := r.Usage; u.CacheWrite5m.N() != 5000 || u.Input.N() != 1000 {
		t.Errorf("a split that counts nothing: %+v", u)
	}
}

// Sound and pictures are counted apart, since they have other prices.
func TestAudioAndImageTokens(t *testing.T) {
	r, _ := Decode(
		[]byte(with(
			`{"prompt_tokens":1020,"completion_tokens":600,"total_tokens":1620,` +
				`"prompt_tokens_details":{"text_tokens":20,"audio_tokens":900,"image_tokens":100,` +
				`"cached_tokens":0},"completion_tokens_details":{"audio_tokens":500,"image_tokens":0}}`)))
	u := r.Usage
	if u.AudioInput.N() != 900 || u.ImageInput.N() != 100 || u.AudioOutput.N() != 500 || u.ImageOutput.Known() ||
		u.Input.N() != 1020 || u.Output.N() != 600 {
		t.Errorf("%+v", u)
	}
}

func TestDecodeKeepsTheRest(t *testing.T) {
	r, err := Decode([]byte(`{"id":"c1","model":"served","system_fingerprint":"fp","service_tier":"flex",` +
		`"choices":[{"index":0,"message":` + hi + `,"finish_reason":"stop"}],
		"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,
			"cost":{"total_cost":0.00501},"num_sources_used":4}}`))
	if err != nil || r.ID != "c1" || r.ServedModel != "served" || r.Fingerprint != "fp" {
		t.Fatalf("%+v, %v", r, err)
	}
	u := r.Usage
	if u.ServiceTier != "flex" || u.Searches.N() != 4 || u.Reported == nil || *u.Reported != 5_010_000 {
		t.Errorf("usage %+v", u)
	}
	r, _ = Decode([]byte(with(`{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,"cost_in_usd_ticks":739000}`)))
	if r.Usage.Reported == nil || *r.Usage.Reported != 73_900 {
		t.Errorf("ticks: %v, want 73900", r.Usage.Reported)
	}
}

// FuzzDecode: whatever comes, there is no panic, counts are in range and
// texts are valid.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(one(hi, `"stop"`)))
	f.Add([]byte(
		one(`{"content":[{"type":"thinking"}],"tool_calls":[{"function":{"arguments":{"a":NaN}}},{}],`+
			`"function_call":{}}`, `7`)))
	f.Add([]byte(
		with(`{"prompt_tokens":7,"completion_tokens":0,"total_tokens":999999999,` +
			`"prompt_tokens_details":{"cached_tokens":1e9},"completion_tokens_details":{"reasoning_tokens":1e9}}`)))
	f.Fuzz(func(t *testing.T, data []byte) {
		resp, err := Decode(data)
		answertest.CheckSane(t, resp, err)
	})
}

func BenchmarkDecode(b *testing.B) {
	data := []byte(
		one(`{"role":"assistant","content":"`+strings.Repeat("The quick brown fox\\njumps. ", 64)+
			`","refusal":null,"annotations":[]}`, `"stop"`))
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}
