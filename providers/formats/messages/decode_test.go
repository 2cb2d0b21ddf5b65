package messages

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
	if r.RawStopReason != "" {
		add("stop", string(r.StopReason)+"/"+r.RawStopReason)
	}
	if r.StopSequence != "" {
		add("sequence", r.StopSequence)
	}
	if r.UsageRaw != nil {
		u := r.Usage
		counts := fmt.Sprintf("%v+%v+%v+%v/%v(%v)", u.Input, u.CacheRead, u.CacheWrite5m, u.CacheWrite1h, u.Output,
			u.Reasoning)
		add("usage", strings.ReplaceAll(counts, "unknown", "?"))
	}
	if r.Flags != nil {
		add("flags", r.Flags)
	}
	return strings.TrimSpace(b.String())
}

// msg is an answer with the given content and further fields.
func msg(content, more string) string {
	return `{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":` + content + `,` + more + `}`
}

const (
	ended = `"stop_reason":"end_turn","usage":{"input_tokens":10,"output_tokens":5}`
	hi    = `[{"type":"text","text":"Hi"}]`
)

func TestDecode(t *testing.T) {
	for _, tc := range []struct{ name, body, want string }{
		{"plain", msg(hi, ended), `text="Hi" stop=end/end_turn usage=10+?+?+?/5(?)`},
		{"texts join without a break",
			msg(`[{"type":"text","text":"a "},{"type":"server_tool_use","id":"s","name":"web_search","input":{}},`+
				`{"type":"web_search_tool_result","content":[]},{"type":"text","text":"b"}]`, ended),
			`text="a b" stop=end/end_turn usage=10+?+?+?/5(?)`},
		{"thoughts are kept apart",
			msg(`[{"type":"thinking","thinking":"one","signature":"x"},{"type":"text","text":"a"},`+
				`{"type":"thinking","thinking":"two","signature":"y"}]`, ended),
			`text="a" thinking="one\n\ntwo" stop=end/end_turn usage=10+?+?+?/5(?)`},
		{"empty thinking", msg(`[{"type":"thinking","thinking":"","signature":"x"},{"type":"text","text":""}]`, ended),
			`text="" thinking="" stop=end/end_turn usage=10+?+?+?/5(?)`},
		{"tool input as written",
			msg(`[{"type":"tool_use","id":"t","name":"f","input":{"b": 1.50,"a":[]}},{"type":"tool_use","id":"u",`+
				`"name":"g","input":{}},{"type":"tool_use","id":"v","name":"h"}]`,
				`"stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":2}`),
			`call=t:f:{"b": 1.50,"a":[]} call=u:g:{} call=v:h:{} stop=tool_use/tool_use usage=1+?+?+?/2(?)`},
		{"unknown blocks and fields",
			msg(`[{"type":"hologram","x":{}},{"type":"text","text":"a","citations":[{}]}]`, ended+`,"new":{"a":[1]}`),
			`text="a" stop=end/end_turn usage=10+?+?+?/5(?)`},
		{"content as a string", msg(`"Hi"`, ended), `text="Hi" stop=end/end_turn usage=10+?+?+?/5(?)`},
		{"no content at all", msg(`[]`, ended), `stop=end/end_turn usage=10+?+?+?/5(?) flags=[empty_answer]`},
		{"null content", msg(`null`, ended), `stop=end/end_turn usage=10+?+?+?/5(?) flags=[empty_answer]`},
		{"stop sequence",
			msg(hi, `"stop_reason":"stop_sequence","stop_sequence":"END","usage":{"input_tokens":1,"output_tokens":1}`),
			`text="Hi" stop=stop_sequence/stop_sequence sequence=END usage=1+?+?+?/1(?)`},
		{"max_tokens", msg(hi, `"stop_reason":"max_tokens","usage":{"input_tokens":1,"output_tokens":1}`),
			`text="Hi" stop=max_tokens/max_tokens usage=1+?+?+?/1(?)`},
		{"context window",
			msg(hi, `"stop_reason":"model_context_window_exceeded","usage":{"input_tokens":1,"output_tokens":1}`),
			`text="Hi" stop=context_window/model_context_window_exceeded usage=1+?+?+?/1(?)`},
		{"pause", msg(hi, `"stop_reason":"pause_turn","usage":{"input_tokens":1,"output_tokens":1}`),
			`text="Hi" stop=pause/pause_turn usage=1+?+?+?/1(?)`},
		{"compaction", msg(hi, `"stop_reason":"compaction","usage":{"input_tokens":1,"output_tokens":1}`),
			`text="Hi" stop=pause/compaction usage=1+?+?+?/1(?)`},
		{"refusal", msg(`[]`,
			`"stop_reason":"refusal","stop_details":{"type":"refusal","category":"cyber"},`+
				`"usage":{"input_tokens":1,"output_tokens":0}`), `stop=refusal/refusal usage=1+?+?+?/0(?)`},
		{"a word of the other format, in capitals",
			msg(hi, `"stop_reason":"LENGTH","usage":{"input_tokens":1,"output_tokens":1}`),
			`text="Hi" stop=max_tokens/LENGTH usage=1+?+?+?/1(?)`},
		{"unknown stop reason", msg(hi, `"stop_reason":"lunch","usage":{"input_tokens":1,"output_tokens":1}`),
			`text="Hi" stop=other/lunch usage=1+?+?+?/1(?) flags=[stop_reason_unknown]`},
		{"no stop reason", msg(hi, `"stop_reason":null,"usage":{"input_tokens":1,"output_tokens":1}`),
			`text="Hi" usage=1+?+?+?/1(?) flags=[stop_reason_missing]`},

		{"all of usage",
			msg(hi, `"stop_reason":"end_turn","usage":{"input_tokens":10,"cache_creation_input_tokens":7,`+
				`"cache_read_input_tokens":20,"cache_creation":{"ephemeral_5m_input_tokens":4,`+
				`"ephemeral_1h_input_tokens":3},"output_tokens":55,"output_tokens_details":{"thinking_tokens":21}}`),
			`text="Hi" stop=end/end_turn usage=10+20+4+3/55(21)`},
		{"written without a split counts as 5m",
			msg(hi, `"stop_reason":"end_turn","usage":{"input_tokens":10,"cache_creation_input_tokens":7,`+
				`"output_tokens":5}`), `text="Hi" stop=end/end_turn usage=10+?+7+?/5(?)`},
		{"a split that leaves something out",
			msg(hi, `"stop_reason":"end_turn","usage":{"input_tokens":10,"cache_creation_input_tokens":7,`+
				`"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":3},"output_tokens":5}`),
			`text="Hi" stop=end/end_turn usage=10+?+4+3/5(?) flags=[usage_inconsistent]`},
		{"closing think tag only", msg(`[{"type":"text","text":"2 and 2 is 5? No, 4.\n</think>\n\n4"}]`, ended),
			`text="4" thinking="2 and 2 is 5? No, 4." stop=end/end_turn usage=10+?+?+?/5(?) flags=[think_tags]`},
		{"think tags", msg(`[{"type":"text","text":"<think>2+2</think>4"}]`, ended),
			`text="4" thinking="2+2" stop=end/end_turn usage=10+?+?+?/5(?) flags=[think_tags]`},
		{"a number as text", msg(`[{"type":"text","text":42}]`, ended),
			`text="42" stop=end/end_turn usage=10+?+?+?/5(?) flags=[text_not_a_string]`},
		{"a number as content", msg(`42`, ended),
			`text="42" stop=end/end_turn usage=10+?+?+?/5(?) flags=[text_not_a_string]`},
		{"an object as content", msg(`{"a":1}`, ended),
			`text="{\"a\":1}" stop=end/end_turn usage=10+?+?+?/5(?) flags=[text_not_a_string]`},
		{"one block as content", msg(`{"type":"text","text":"Hi"}`, ended),
			`text="Hi" stop=end/end_turn usage=10+?+?+?/5(?)`},
		{"a block without a type", msg(`[{"text":"Hi"}]`, ended), `text="Hi" stop=end/end_turn usage=10+?+?+?/5(?)`},
		{"nothing, and nothing counted",
			msg(`[]`, `"stop_reason":"end_turn","usage":{"input_tokens":10,"output_tokens":0}`),
			`class=empty_response stop=end/end_turn usage=10+?+?+?/0(?)`},
		{"nothing, and zeros: LiteLLM's form of an upstream's error",
			msg(`[]`, `"stop_reason":"end_turn","usage":{"input_tokens":0,"output_tokens":0}`),
			`class=empty_response stop=end/end_turn usage=?+?+?+?/?(?) flags=[usage_missing]`},
		{"refused, and nothing counted",
			msg(`[]`, `"stop_reason":"refusal","usage":{"input_tokens":10,"output_tokens":0}`),
			`stop=refusal/refusal usage=10+?+?+?/0(?)`},
		{"no usage", msg(hi, `"stop_reason":"end_turn"`), `text="Hi" stop=end/end_turn flags=[usage_missing]`},
		{"null usage", msg(hi, `"stop_reason":"end_turn","usage":null`), `text="Hi" stop=end/end_turn flags=[usage_missing]`},
		{"0/0 beside text", msg(hi, `"stop_reason":"end_turn","usage":{"input_tokens":0,"output_tokens":0}`),
			`text="Hi" stop=end/end_turn usage=?+?+?+?/?(?) flags=[usage_missing]`},
		{"no input tokens", msg(hi, `"stop_reason":"end_turn","usage":{"input_tokens":0,"output_tokens":5}`),
			`text="Hi" stop=end/end_turn usage=?+?+?+?/5(?) flags=[usage_partial]`},
		{"everything from the cache",
			msg(hi, `"stop_reason":"end_turn","usage":{"input_tokens":0,"cache_read_input_tokens":9,`+
				`"output_tokens":5}`), `text="Hi" stop=end/end_turn usage=0+9+?+?/5(?)`},
		{"NaN", msg(hi, `"stop_reason":"end_turn","usage":{"input_tokens":NaN,"output_tokens":5}`),
			`text="Hi" stop=end/end_turn usage=?+?+?+?/5(?) flags=[usage_invalid usage_partial]`},
		{"1e999", msg(hi, `"stop_reason":"end_turn","usage":{"input_tokens":1e999,"output_tokens":5}`),
			`text="Hi" stop=end/end_turn usage=?+?+?+?/5(?) flags=[usage_invalid usage_partial]`},
		{"negative", msg(hi, `"stop_reason":"end_turn","usage":{"input_tokens":7,"output_tokens":-5}`),
			`text="Hi" stop=end/end_turn usage=7+?+?+?/?(?) flags=[usage_invalid usage_partial]`},
		{"over a thousand million",
			msg(hi, `"stop_reason":"end_turn","usage":{"input_tokens":7,"cache_read_input_tokens":1000000001,`+
				`"output_tokens":5}`), `text="Hi" stop=end/end_turn usage=7+?+?+?/5(?) flags=[usage_invalid]`},
		{"a text where a count should be",
			msg(hi, `"stop_reason":"end_turn","usage":{"input_tokens":"7","output_tokens":5.0}`),
			`text="Hi" stop=end/end_turn usage=?+?+?+?/5(?) flags=[usage_invalid usage_partial]`},
		{"llama.cpp and LiteLLM: an id of the other format says nothing of the counts",
			strings.Replace(
				msg(hi, `"stop_reason":"end_turn","usage":{"input_tokens":100,"cache_read_input_tokens":60,`+
					`"output_tokens":5}`), "msg_1", "chatcmpl-1", 1),
			`text="Hi" stop=end/end_turn usage=100+60+?+?/5(?)`},
		{"an OpenAI model behind new-api",
			msg(hi, `"stop_reason":"end_turn","usage":{"input_tokens":100,"cache_read_input_tokens":60,`+
				`"output_tokens":50,"billing_usage":{"source":"oai_chat","semantic":"openai",`+
				`"openai_usage":{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,`+
				`"prompt_tokens_details":{"cached_tokens":60},"completion_tokens_details":{"reasoning_tokens":30}}}}`),
			`text="Hi" stop=end/end_turn usage=40+60+?+?/50(30) flags=[usage_cache_included]`},
		{"an OpenAI model behind new-api, which took the written tokens off",
			msg(hi, `"stop_reason":"end_turn","usage":{"input_tokens":30,"cache_read_input_tokens":60,`+
				`"cache_creation_input_tokens":10,"output_tokens":5,"billing_usage":{"semantic":"openai",`+
				`"openai_usage":{"prompt_tokens":100,"completion_tokens":5,`+
				`"prompt_tokens_details":{"cached_tokens":60,"cache_write_tokens":10}}}}`),
			`text="Hi" stop=end/end_turn usage=30+60+10+?/5(?) flags=[usage_cache_included]`},
		{"a Claude model behind new-api",
			msg(hi, `"stop_reason":"end_turn","usage":{"input_tokens":100,"cache_read_input_tokens":60,`+
				`"output_tokens":5,"billing_usage":{"source":"claude","semantic":"anthropic"}}`),
			`text="Hi" stop=end/end_turn usage=100+60+?+?/5(?)`},
		{"compaction on top",
			msg(hi, `"stop_reason":"end_turn","usage":{"input_tokens":200,"output_tokens":20,`+
				`"iterations":[{"type":"compaction","input_tokens":55000,"output_tokens":196},{"type":"message",`+
				`"input_tokens":200,"output_tokens":20}]}`),
			`text="Hi" stop=end/end_turn usage=55200+?+?+?/216(?) flags=[usage_compaction]`},
		{"another model on top",
			msg(hi, `"stop_reason":"end_turn","usage":{"input_tokens":200,"output_tokens":20,`+
				`"iterations":[{"type":"advisor_message","model":"other","input_tokens":55000,"output_tokens":196}]}`),
			`text="Hi" stop=end/end_turn usage=200+?+?+?/20(?) flags=[usage_other_model]`},

		{"lone surrogate", msg(`[{"type":"text","text":"a\ud800b"}]`, ended),
			"text=\"a\uFFFDb\" stop=end/end_turn usage=10+?+?+?/5(?) flags=[text_repaired]"},
		{"invalid UTF-8", msg("[{\"type\":\"text\",\"text\":\"a\xffb\"}]", ended),
			"text=\"a\uFFFDb\" stop=end/end_turn usage=10+?+?+?/5(?) flags=[text_repaired]"},
		{"control characters", msg(`[{"type":"text","text":"\u0000\u001b[31m\u202e"}]`, ended),
			`text="\x00\x1b[31m\u202e" stop=end/end_turn usage=10+?+?+?/5(?)`},
		{"keys of another case", msg(hi, ended+`,"Content":[],"STOP_REASON":"refusal","Usage":null`),
			`text="Hi" stop=end/end_turn usage=10+?+?+?/5(?)`},
		{"duplicate key", `{"content":[],` + msg(hi, ended)[1:],
			`text="Hi" stop=end/end_turn usage=10+?+?+?/5(?) flags=[duplicate_keys]`},
		{"duplicate key that nobody reads", msg(hi, ended+`,"zz":1,"zz":2`),
			`text="Hi" stop=end/end_turn usage=10+?+?+?/5(?)`},
		{"tool arguments that are no object",
			msg(`[{"type":"tool_use","id":"t","name":"f","input":"oops"}]`,
				`"stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":2}`),
			`call=t:f:oops stop=tool_use/tool_use usage=1+?+?+?/2(?) flags=[tool_arguments_words]`},

		{"nothing of the format", `{"id":"batch_1","type":"message_batch"}`, `class=bad_response flags=[usage_missing]`},
		{"not JSON", `{"id":`, `class=bad_response`},
		{"too deep", strings.Repeat(`{"content":[`, 101) + strings.Repeat(`]}`, 101), `class=bad_response`},
	} {
		if got := show(Decode([]byte(tc.body))); got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", tc.name, got, tc.want)
		}
	}
}

func TestDecodeKeepsTheRest(t *testing.T) {
	r, err := Decode(
		[]byte(msg(hi,
			`"stop_reason":"end_turn","usage":{"input_tokens":1, "output_tokens":2,"service_tier":"batch",`+
				`"inference_geo":"us","server_tool_use":{"web_search_requests":3},"cost":0.000123,"new":NaN}`)))
	if err != nil || r.ID != "msg_1" || r.ServedModel != "claude" {
		t.Fatalf("%+v, %v", r, err)
	}
	u := r.Usage
	if u.ServiceTier != "batch" || u.Region != "us" || u.Searches.N() != 3 || u.Reported == nil || *u.Reported != 123_000 {
		t.Errorf("usage %+v", u)
	}
	if want := `{"input_tokens":1,"output_tokens":2,"service_tier":"batch","inference_geo":"us",` +
		`"server_tool_use":{"web_search_requests":3},"cost":0.000123,"new":null}`; string(r.UsageRaw) != want {
		t.Errorf("UsageRaw = %s, want %s", r.UsageRaw, want)
	}
}

// Fast mode has a price of its own, which the service tier does not tell.
func TestDecodeSpeed(t *testing.T) {
	for usage, want := range map[string]string{
		`"service_tier":"standard","speed":"fast"`: "fast",
		`"speed":"fast"`: "fast",
		`"service_tier":"standard","speed":"standard"`: "standard",
		`"service_tier":"batch","speed":null`:          "batch",
		`"service_tier":"standard","speed":1`:          "standard",
	} {
		r, err := Decode([]byte(msg(hi, `"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":2,`+usage+`}`)))
		if err != nil || r.Usage.ServiceTier != want {
			t.Errorf("%s: tier %q, %v; want %q", usage, r.Usage.ServiceTier, err, want)
		}
	}
}

// FuzzDecode: whatever comes, there is no panic, counts are in range and
// texts are valid.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(msg(hi, ended)))
	f.Add([]byte(
		msg(`[{"type":"tool_use","id":"t","name":"f","input":{"a":NaN}},{"type":"thinking","thinking":"\ud800"}]`,
			`"usage":{"input_tokens":-1,"iterations":[{"type":"compaction"}]}`)))
	f.Add([]byte(`{"content":"x","stop_reason":7,"usage":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		resp, err := Decode(data)
		answertest.CheckSane(t, resp, err)
	})
}

func BenchmarkDecode(b *testing.B) {
	data := []byte(msg(`[{"type":"text","text":"`+strings.Repeat("The quick brown fox\\njumps. ", 64)+`"}]`,
		`"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":10,"cache_creation_input_tokens":0,`+
			`"cache_read_input_tokens":0,"cache_creation":{"ephemeral_5m_input_tokens":0,`+
			`"ephemeral_1h_input_tokens":0},"output_tokens":400,"service_tier":"standard"}`))
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}
