package messages

import (
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers/formats/internal/testdata/answertest"
)

// play gives the events of a script, one a line, to a stream.
func play(script string) (*stream, nightshift.Response, *nightshift.Error) {
	s := newStream()
	for line := range strings.Lines(script) {
		if _, err := s.Event([]byte(strings.TrimSpace(line))); err != nil {
			break
		}
	}
	resp, err := s.End()
	return s, resp, err
}

const (
	start = `{"type":"message_start","message":{"id":"m1","model":"claude","content":[],"stop_reason":null,` +
		`"usage":{"input_tokens":25,"cache_read_input_tokens":3,"output_tokens":1}}}` + "\n"
	open0   = `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}` + "\n"
	hello   = `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}      }` + "\n"
	there   = `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" there"}}` + "\n"
	close0  = `{"type":"content_block_stop","index":0}` + "\n"
	stopped = `{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},` +
		`"usage":{"output_tokens":15,"input_tokens":null}}` + "\n"
	end     = `{"type":"message_stop"}` + "\n"
	good    = start + open0 + hello + there + close0 + stopped + end
	answer1 = `text="Hello there" stop=end/end_turn usage=25+3+?+?/15(?)`
)

func TestStream(t *testing.T) {
	for _, tc := range []struct{ name, script, want string }{
		{"as it should be", good, answer1},
		{"pings anywhere",
			`{"type":"ping"}` + "\n" + start + `{"type": "ping"}` +
				"\n" + open0 + hello + there + close0 + `{"type":"ping"}` + "\n" + stopped + end + `{"type":"ping"}`, answer1},
		{"no type in the JSON",
			strings.NewReplacer(`"type":"message_start",`, "", `"type":"content_block_start",`, "",
				`"type":"content_block_delta",`, "", `"type":"message_delta",`, "").Replace(good), answer1},
		{"without message_stop", start + open0 + hello + there + close0 + stopped, answer1 + ` flags=[no_message_stop]`},
		{"[DONE] instead of message_stop", start + open0 + hello + there + close0 + stopped + "[DONE]",
			answer1 + ` flags=[no_message_stop]`},
		{"a block left open", start + open0 + hello + there + stopped + end, answer1 + ` flags=[block_not_closed]`},
		{"no message_start", open0 + hello + there + close0 + stopped + end,
			`text="Hello there" stop=end/end_turn usage=?+?+?+?/15(?) flags=[usage_partial no_message_start]`},
		{"no block start", start + hello + there + close0 + stopped + end, answer1},
		{"text in the block start",
			start + `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"Hello"}}` +
				"\n" + there + close0 + stopped + end, answer1},
		{"interleaved blocks",
			start + open0 + `{"type":"content_block_start","index":1,"content_block":{"type":"thinking",` +
				`"thinking":""}}` + "\n" + hello +
				`{"type":"content_block_delta","index":1,"delta":{"type":"thinking_delta","thinking":"hm"}}` + "\n" + there +
				`{"type":"content_block_delta","index":1,"delta":{"type":"signature_delta","signature":"x"}}` +
				"\n" + close0 + stopped + end,
			`text="Hello there" thinking="hm" stop=end/end_turn usage=25+3+?+?/15(?) flags=[block_not_closed]`},
		{"tool calls",
			start + `{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}
			{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":""}}
			{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}
			{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"1}"}}
			{"type":"content_block_stop","index":0}
			{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"u","name":"g","input":{}}}
			{"type":"content_block_stop","index":1}
			{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"v","name":"h","input":{"x":2}}}
			{"type":"content_block_stop","index":2}
			{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":9}}
			` + end, `call=t:f:{"a":1} call=u:g:{} call=v:h:{"x":2} stop=tool_use/tool_use usage=25+3+?+?/9(?)`},
		{"usage grows",
			start + open0 + hello + there + close0 + strings.Replace(stopped, `"input_tokens":null`,
				`"input_tokens":900,"cache_read_input_tokens":4`, 1) + end,
			`text="Hello there" stop=end/end_turn usage=900+4+?+?/15(?)`},
		{"usage twice, the last one counts",
			start + open0 + hello + there + close0 + `{"type":"message_delta","delta":{},"usage":{"output_tokens":7}}` +
				"\n" + stopped + end, answer1},
		{"the cache counts shrink",
			start + open0 + hello + there + close0 + strings.Replace(stopped, `"input_tokens":null`,
				`"input_tokens":25,"cache_read_input_tokens":0`, 1) + end, answer1 + ` flags=[usage_inconsistent]`},
		{"the input shrinks",
			start + open0 + hello + there + close0 + strings.Replace(stopped, `"input_tokens":null`, `"input_tokens":0`,
				1) + end, answer1 + ` flags=[usage_inconsistent]`},
		{"the input is sorted anew",
			start + open0 + hello + there + close0 + strings.Replace(stopped, `"input_tokens":null`,
				`"input_tokens":8,"cache_read_input_tokens":20`, 1) + end,
			`text="Hello there" stop=end/end_turn usage=8+20+?+?/15(?) flags=[usage_inconsistent]`},
		{"the split of the written shrinks",
			strings.Replace(start, `"cache_read_input_tokens":3`,
				`"cache_creation_input_tokens":9,"cache_creation":{"ephemeral_5m_input_tokens":2,`+
					`"ephemeral_1h_input_tokens":7}`, 1) + open0 + hello + there + close0 +
				strings.Replace(stopped, `"input_tokens":null`,
					`"input_tokens":25,"cache_creation_input_tokens":0,`+
						`"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0}`, 1) + end,
			`text="Hello there" stop=end/end_turn usage=25+?+2+7/15(?) flags=[usage_inconsistent]`},
		{"the output shrinks",
			start + open0 + hello + there + close0 + stopped + strings.Replace(stopped, `:15`, `:3`, 1) + end,
			answer1 + ` flags=[usage_inconsistent]`},
		{"usage after [DONE]",
			start + open0 + hello + there + close0 + `{"type":"message_delta","delta":{"stop_reason":"end_turn"}}` +
				"\n[DONE]\n" + `{"type":"message_delta","delta":{},"usage":{"output_tokens":15}}`,
			answer1 + ` flags=[no_message_stop]`},
		{"usage in message_stop",
			start + open0 + hello + there + close0 + `{"type":"message_delta","delta":{"stop_reason":"end_turn"}}` +
				"\n" + `{"type":"message_stop","usage":{"output_tokens":15}}`, answer1},
		{"usage inside the delta",
			start + open0 + hello + there + close0 + `{"type":"message_delta","delta":{"stop_reason":"end_turn",` +
				`"usage":{"output_tokens":15}}}` + "\n" + end, answer1},

		{"a thinking delta in a text block",
			start + open0 + `{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta",` +
				`"thinking":"hm"}}` + "\n" + hello + there + close0 + stopped + end,
			`text="Hello there" thinking="hm" stop=end/end_turn usage=25+3+?+?/15(?) flags=[block_mismatch]`},
		{"a text delta in a thinking block",
			start + strings.ReplaceAll(open0, `text`, `thinking`) + `{"type":"content_block_delta","index":0,` +
				`"delta":{"type":"thinking_delta","thinking":"hm"}}` + "\n" + hello + there + close0 + stopped + end,
			`text="Hello there" thinking="hm" stop=end/end_turn usage=25+3+?+?/15(?) flags=[block_mismatch]`},
		{"a text delta in a tool block",
			start + `{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t",` +
				`"name":"f","input":{}}}` + "\n" + hello + there + `{"type":"content_block_delta","index":0,` +
				`"delta":{"type":"input_json_delta","partial_json":"{}"}}` +
				"\n" + close0 + strings.Replace(stopped, "end_turn", "tool_use", 1) + end,
			`text="Hello there" call=t:f:{} stop=tool_use/tool_use usage=25+3+?+?/15(?) flags=[block_mismatch]`},
		{"arguments in a text block",
			start + open0 + hello + there + `{"type":"content_block_start","index":1,` +
				`"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}` + "\n" +
				`{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta",` +
				`"partial_json":"{\"x\":1}"}}` +
				"\n" + close0 + strings.Replace(close0, "0", "1", 1) + strings.Replace(stopped, "end_turn", "tool_use",
				1) + end, `text="Hello there" call=t:f:{"x":1} stop=tool_use/tool_use usage=25+3+?+?/15(?) flags=[block_mismatch]`},
		{"deltas without a type",
			start + open0 + strings.Replace(hello+there, `"type":"text_delta",`, "", 2) + close0 + stopped + end, answer1},
		{"a block without a type", start + `{"type":"content_block_start","index":0,"content_block":{"text":""}}` +
			"\n" + hello + there + close0 + stopped + end, answer1},
		{"input of a server's own tool",
			start + open0 + hello + there + close0 + `{"type":"content_block_start","index":1,` +
				`"content_block":{"type":"server_tool_use","id":"s","name":"web_search","input":{}}}` + "\n" +
				`{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{}"}}` +
				"\n" + strings.Replace(close0, "0", "1", 1) + stopped + end, answer1},
		{"numbers as text and arguments",
			start + open0 + `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":7}}` +
				"\n" + close0 +
				`{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}
			{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"x\":"}}
			{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":5}}
			{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"}"}}
			{"type":"content_block_stop","index":1}` + "\n" + strings.Replace(stopped, "end_turn", "tool_use", 1) + end,
			`text="7" call=t:f:{"x":5} stop=tool_use/tool_use usage=25+3+?+?/15(?) flags=[text_not_a_string]`},
		{"the word null as stop reason",
			start + open0 + hello + `{"type":"message_delta","delta":{"stop_reason":"null"},` +
				`"usage":{"output_tokens":3}}` + "\n" + there + close0 + stopped + end, answer1},
		{"the word none as stop reason, cut",
			start + open0 + hello + `{"type":"message_delta","delta":{"stop_reason":"None"},` +
				`"usage":{"output_tokens":3}}` + "\n" + end, `class=cut text="Hello" usage=25+3+?+?/3(?)`},
		{"max_tokens, then end_turn",
			start + open0 + hello + there + close0 + strings.Replace(stopped, "end_turn", "max_tokens", 1) + stopped +
				end, `text="Hello there" stop=max_tokens/max_tokens usage=25+3+?+?/15(?) flags=[stop_reason_conflict]`},
		{"an empty error object in every event",
			strings.ReplaceAll(good, `{"type":`, `{"error":{"type":"","message":""},"type":`), answer1},
		{"an empty error alone", start + open0 + hello + `{"error":{}}` + "\n" + there + close0 + stopped + end, answer1},
		{"closing think tag only",
			start + open0 + `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta",` +
				`"text":"2+2\n</th"}}` + "\n" + `{"type":"content_block_delta","index":0,` +
				`"delta":{"type":"text_delta","text":"ink>\n\n4"}}` + "\n" + close0 + stopped + end,
			`text="4" thinking="2+2" stop=end/end_turn usage=25+3+?+?/15(?) flags=[think_tags]`},

		{"an upstream's failure passed on as an end",
			start + open0 + hello + close0 + strings.Replace(stopped, `"output_tokens":15`, `"output_tokens":0`, 1) +
				end, `class=cut text="Hello" stop=end/end_turn usage=25+3+?+?/?(?) flags=[usage_partial]`},
		{"no usage at all, and zeros for it",
			strings.Replace(start, `"input_tokens":25,"cache_read_input_tokens":3,"output_tokens":1`,
				`"input_tokens":0,"output_tokens":0`, 1) + open0 + hello + there + close0 + strings.Replace(stopped,
				`"output_tokens":15`, `"output_tokens":0`, 1) + end,
			`text="Hello there" stop=end/end_turn usage=?+?+?+?/?(?) flags=[usage_missing]`},
		{"neither message_stop nor a count of the output",
			start + open0 + hello + there + close0 + `{"type":"message_delta","delta":{"stop_reason":"end_turn"}}`,
			`class=cut text="Hello there" stop=end/end_turn usage=25+3+?+?/?(?) flags=[usage_partial no_message_stop]`},
		{"neither message_stop nor the block's end", start + open0 + hello + there + stopped,
			`class=cut text="Hello there" stop=end/end_turn usage=25+3+?+?/15(?) flags=[no_message_stop block_not_closed]`},
		{"an upstream's error that a gateway swallowed",
			start + strings.Replace(stopped, `"output_tokens":15`, `"output_tokens":0`, 1) + end,
			`class=empty_response stop=end/end_turn usage=25+3+?+?/0(?)`},
		{"start counts of zero",
			strings.Replace(good, `"input_tokens":25,"cache_read_input_tokens":3`, `"input_tokens":0`, 1),
			`text="Hello there" stop=end/end_turn usage=?+?+?+?/15(?) flags=[usage_partial]`},
		{"no total of output tokens", strings.Replace(good, `"output_tokens":15,`, ``, 1),
			`text="Hello there" stop=end/end_turn usage=25+3+?+?/?(?) flags=[usage_partial]`},
		{"the same start twice", start + start + open0 + hello + there + close0 + stopped + end, answer1},
		{"unknown events and deltas",
			start + `{"type":"weather","error":null}` + "\n" + open0 + hello + `{"type":"content_block_delta",` +
				`"index":0,"delta":{"type":"mood_delta"}}` + "\n" + there + close0 + stopped + end, answer1},
		{"events after the end", good + hello + end, answer1 + ` flags=[events_after_end]`},
		{"error after the end of the answer",
			start + open0 + hello + there + close0 + stopped + `{"type":"error","error":{"type":"api_error",` +
				`"message":"late"}}`, answer1 + ` flags=[no_message_stop error_after_end]`},
		{"garbage after the end of the answer",
			start + open0 + hello + there + close0 + stopped + "{\"type\":\"mess\n" + end, answer1 + ` flags=[malformed_event]`},
		{"the whole answer as one event", msg(hi, ended),
			`text="Hi" stop=end/end_turn usage=10+?+?+?/5(?) flags=[not_streamed]`},
		{"another upstream begins anew",
			start + open0 + hello + strings.NewReplacer("m1", "m2", "Hello", "Bye").Replace(good),
			`text="Bye there" stop=end/end_turn usage=25+3+?+?/15(?) flags=[stream_restarted]`},
		{"a second answer after the first",
			start + open0 + hello + there + close0 + stopped + strings.NewReplacer("m1", "m2", "Hello",
				"Bye").Replace(good), answer1 + ` flags=[no_message_stop second_answer events_after_end]`},
		{"text to repair",
			start + open0 + `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\ud83d"}}` +
				"\n" + close0 + stopped + end, "text=\"\uFFFD\" stop=end/end_turn usage=25+3+?+?/15(?) flags=[text_repaired]"},

		{"cut in the text", start + open0 + hello, `class=cut text="Hello" usage=25+3+?+?/?(?) flags=[usage_partial]`},
		{"cut in the middle of an event", start + open0 + hello + there[:40],
			`class=cut text="Hello" usage=25+3+?+?/?(?) flags=[usage_partial]`},
		{"message_stop but no stop reason", start + open0 + hello + close0 + end,
			`class=cut text="Hello" usage=25+3+?+?/?(?) flags=[usage_partial]`},
		{"a stop reason in message_start proves nothing",
			strings.Replace(start, `"stop_reason":null`, `"stop_reason":"end_turn"`, 1) + open0 + hello,
			`class=cut text="Hello" usage=25+3+?+?/?(?) flags=[usage_partial]`},
		{"[DONE] after a cut stream", start + open0 + hello + "[DONE]",
			`class=cut text="Hello" usage=25+3+?+?/?(?) flags=[usage_partial]`},
		{"an unreadable event in the middle", start + open0 + "{\"type\":\n" + hello + there + close0 + stopped + end,
			`class=bad_response text="" usage=25+3+?+?/?(?) flags=[usage_partial]`},
		{"too deep", start + strings.Repeat("[", 300), `class=bad_response usage=25+3+?+?/?(?) flags=[usage_partial]`},
		{"nothing", "", `class=empty_response flags=[usage_missing]`},
		{"overloaded",
			start + open0 + hello + `{"type":"error","error":{"details":null,"type":"overloaded_error",` +
				`"message":"Overloaded"},"request_id":"r"}`,
			`class=overloaded text="Hello" usage=25+3+?+?/?(?) flags=[usage_partial]`},
		{"a bare error line",
			start + open0 + hello + `{"error":{"message":"quota","type":"insufficient_quota",` +
				`"code":"insufficient_quota"}}`, `class=quota text="Hello" usage=25+3+?+?/?(?) flags=[usage_partial]`},
		{"an error in a list", `[{"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED"}}]`,
			`class=rate_limit flags=[usage_missing]`},
		{"an error first of all",
			`{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}`,
			`class=auth flags=[usage_missing]`},
		{"the server broke off",
			start + open0 + hello + close0 + strings.Replace(stopped, "end_turn", "error", 1) + end,
			`class=server text="Hello" stop=other/error usage=25+3+?+?/15(?) flags=[stop_reason_unknown]`},
	} {
		_, resp, err := play(tc.script)
		if got := show(resp, err); got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", tc.name, got, tc.want)
		}
	}
}

// TestStreamContent: the progress clock counts what is content, and only that.
func TestStreamContent(t *testing.T) {
	s := newStream()
	for _, tc := range []struct {
		event   string
		content bool
	}{
		{`{"type":"ping"}`, false}, {start, false}, {open0, false}, {hello, true},
		{`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""}}`, false},
		{`{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"x"}}`, true},
		{`{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}`, true},
		{`{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{"}}`, true},
		{close0, false}, {stopped, false}, {end, false}, {hello, false},
	} {
		if got, err := s.Event([]byte(tc.event)); got != tc.content || err != nil {
			t.Errorf("Event(%.60s) = %v, %v; want %v", tc.event, got, err, tc.content)
		}
	}
	if !s.Done() {
		t.Error("not Done after message_stop")
	}
}

// TestStreamEqualsWhole: an answer reads the same either way.
func TestStreamEqualsWhole(t *testing.T) {
	_, streamed, err := play(good)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := Decode(
		[]byte(`{"id":"m1","type":"message","model":"claude","content":[{"type":"text","text":"Hello there"}],` +
			`"stop_reason":"end_turn","usage":{"input_tokens":25,"cache_read_input_tokens":3,"output_tokens":15}}`))
	if err != nil || show(streamed, nil) != show(whole, nil) || string(streamed.UsageRaw) != string(whole.UsageRaw) ||
		streamed.ID != whole.ID {
		t.Errorf("streamed %+v, whole %+v (%v)", streamed, whole, err)
	}
}

// FuzzStream: no panic, nothing insane, and without a stop reason never an
// answer.
func FuzzStream(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(start + open0 + hello + `{"type":"error","error":{"type":"overloaded_error"}}`))
	f.Add([]byte(hello + close0 + stopped + msg(hi, ended)))
	f.Fuzz(func(t *testing.T, script []byte) {
		_, resp, err := play(string(script))
		answertest.CheckSane(t, resp, err)
		if err == nil && resp.RawStopReason == "" && !strings.Contains(string(script), `content`) {
			t.Fatalf("an answer without a stop reason: %+v", resp)
		}
	})
}

func BenchmarkStream(b *testing.B) {
	script := []string{start, open0}
	for range 100 {
		script = append(script, hello)
	}
	script = append(script, close0, stopped, end)
	events := make([][]byte, len(script))
	for i, e := range script {
		events[i] = []byte(e)
	}
	b.ReportAllocs()
	for b.Loop() {
		s := newStream()
		for _, e := range events {
			if _, err := s.Event(e); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := s.End(); err != nil {
			b.Fatal(err)
		}
	}
}
