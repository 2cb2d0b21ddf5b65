package chat

import (
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers/formats/internal/answer"
	"nightshift/providers/formats/internal/testdata/answertest"
)

// play gives the events of a script, one a line, to a stream.
type options = answer.StreamOptions

func play(opt options, script string) (nightshift.Response, *nightshift.Error) {
	s := newStream(opt)
	for line := range strings.Lines(script) {
		if _, err := s.Event([]byte(strings.TrimSpace(line))); err != nil {
			break
		}
	}
	return s.End()
}

// chunk is a chunk with one choice.
func chunk(delta, finish string) string {
	return `{"id":"c1","model":"gpt","choices":[{"index":0,"delta":` + delta + `,"finish_reason":` + finish + `}]}` + "\n"
}

// text is a chunk with a piece of text.
func text(s string) string { return chunk(`{"content":"`+s+`"}`, "null") }

// tool is a chunk with a piece of a tool call.
func tool(call string) string { return chunk(`{"tool_calls":[`+call+`]}`, "null") }

const (
	role = `{"id":"c1","model":"gpt","choices":[{"index":0,"delta":{"role":"assistant","content":""},` +
		`"finish_reason":null}],"usage":null}` + "\n"
	stop  = `{"id":"c1","model":"gpt","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n"
	calls = `{"id":"c1","model":"gpt","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}` + "\n"
	usage = `{"id":"c1","choices":[],"usage":` + used + `}` + "\n"
	done  = "[DONE]\n"
)

func TestStream(t *testing.T) {
	hello := text("Hel") + text("lo")
	good := role + hello + stop + usage + done
	const answer = `text="Hello" stop=end/stop usage=10+?+?/5(?)`
	for _, tc := range []struct{ name, script, want string }{
		{"as it should be", good, answer},
		{"[DONE] with spaces", role + hello + stop + usage + "[DONE]  ", answer},
		{"without [DONE]", role + hello + stop + usage, answer + ` flags=[no_done_marker]`},
		{"usage on the finish chunk", role + hello + strings.Replace(stop, `}]}`, `}],"usage":`+used+`}`, 1) + done, answer},
		{"usage on every chunk",
			role + strings.ReplaceAll(hello, `}]`,
				`}],"usage":{"prompt_tokens":10,"completion_tokens":1,"total_tokens":11}`) + stop + usage + done, answer},
		{"usage that shrinks",
			role + hello + stop + strings.Replace(usage, `"completion_tokens":5`, `"completion_tokens":99`, 1) + usage +
				done, `text="Hello" stop=end/stop usage=10+?+?/99(?) flags=[usage_inconsistent]`},
		{"zeros after the count",
			role + hello + stop + usage + `{"id":"c1","choices":[],"usage":{"prompt_tokens":0,` +
				`"completion_tokens":0,"total_tokens":0}}` + "\n" + done, answer},
		{"another id, then a role at the end",
			role + strings.ReplaceAll(hello, "c1", "c2") + `{"id":"c2","choices":[{"index":0,` +
				`"delta":{"role":"assistant","content":""},"finish_reason":null}]}` + "\n" + stop + usage + done, answer},
		{"another id and a role with the finish reason",
			role + hello + strings.Replace(chunk(`{"role":"assistant","content":""}`, `"stop"`), "c1", "c2", 1) +
				usage + done, answer},
		{"input that shrinks",
			role + strings.Replace(text("Hel"), `}]}`,
				`}],"usage":{"prompt_tokens":1000,"completion_tokens":1,`+
					`"prompt_tokens_details":{"cached_tokens":900}}}`, 1) + text("lo") + stop + `{"choices":[],` +
				`"usage":{"prompt_tokens":0,"completion_tokens":5,"total_tokens":5}}` + "\n" + done,
			`text="Hello" stop=end/stop usage=100+900+?/5(?) flags=[usage_inconsistent]`},
		{"details that the last usage leaves out",
			role + strings.Replace(text("Hel"), `}]}`,
				`}],"usage":{"prompt_tokens":1000,"completion_tokens":1,`+
					`"prompt_tokens_details":{"cached_tokens":900}}}`, 1) + text("lo") + stop + `{"choices":[],` +
				`"usage":{"prompt_tokens":1000,"completion_tokens":5,"prompt_tokens_details":null}}` + "\n" + done,
			`text="Hello" stop=end/stop usage=100+900+?/5(?)`},
		{"usage inside the choice", role + hello + strings.Replace(stop, `"stop"`, `"stop","usage":`+used, 1) + done, answer},
		{"usage inside two choices that differ",
			strings.ReplaceAll(role+text("b"), `"index":0`, `"index":1`) +
				strings.Replace(
					strings.Replace(stop, `"stop"`, `"stop","usage":{"prompt_tokens":9,"completion_tokens":9}`, 1),
					`"index":0`, `"index":1`, 1) + role + text("a") + strings.Replace(stop, `"stop"`,
				`"stop","usage":`+used, 1) + done, `text="a" stop=end/stop [0]="a"(end[]) [1]="b"(end[]) flags=[usage_missing]`},
		{"usage after [DONE]", role + hello + stop + done + usage, answer},
		{"usage after [DONE], beside more",
			role + hello + stop + done + strings.Replace(text("x"), `}]}`, `}],"usage":`+used+`}`, 1),
			answer + ` flags=[events_after_end]`},
		{"an empty error object in every chunk",
			strings.ReplaceAll(role+hello+stop+usage, `"id":"c1"`,
				`"id":"c1","error":{"message":"","type":"","param":"","code":null}`) + done, answer},
		{"an empty error alone", role + hello + `{"error":{}}` + "\n" + `{"id":"c1","error":[]}` +
			"\n" + stop + usage + done, answer},
		{"an empty error in a choice",
			role + hello + strings.Replace(stop, `"index":0`, `"index":0,"error":{"code":0}`, 1) + usage + done, answer},
		{"numbers in the text",
			role + text("costs ") + chunk(`{"content":7}`, "null") + text(" dollars") + stop + usage + done,
			`text="costs 7 dollars" stop=end/stop usage=10+?+?/5(?) flags=[text_not_a_string]`},
		{"numbers in reasoning and arguments",
			chunk(`{"reasoning_content":"step "}`, "null") + chunk(`{"reasoning_content":1}`, "null") +
				tool(`{"index":0,"id":"t","function":{"name":"f","arguments":"{\"x\":"}}`) +
				tool(`{"index":0,"function":{"arguments":5}}`) + tool(`{"index":0,"function":{"arguments":"}"}}`) +
				calls + usage + done,
			`thinking="step 1" call=t:f:{"x":5} stop=tool_use/tool_calls usage=10+?+?/5(?) flags=[text_not_a_string]`},
		{"an object within the arguments",
			tool(`{"index":0,"id":"t","function":{"name":"f","arguments":"{\"x\":"}}`) +
				tool(`{"index":0,"function":{"arguments":{}}}`) + tool(`{"index":0,"function":{"arguments":"}"}}`) +
				calls + usage + done, `call=t:f:{"x":{}} stop=tool_use/tool_calls usage=10+?+?/5(?) flags=[text_not_a_string]`},
		{"the word null as finish reason",
			role + chunk(`{"content":"Hel"}`, `"null"`) + chunk(`{"content":"lo"}`, `"None"`) + stop + usage + done, answer},
		{"the word null as finish reason, cut", role + chunk(`{"content":"Hel"}`, `"NULL"`) + done,
			`class=cut text="Hel" flags=[usage_missing]`},
		{"length, then stop", role + hello + strings.Replace(stop, `"stop"`, `"length"`, 1) + stop + usage + done,
			`text="Hello" stop=max_tokens/length usage=10+?+?/5(?) flags=[stop_reason_conflict]`},
		{"content_filter, then stop",
			role + hello + strings.Replace(stop, `"stop"`, `"content_filter"`, 1) + stop + usage + done,
			`text="Hello" stop=content_filter/content_filter usage=10+?+?/5(?) flags=[stop_reason_conflict]`},
		{"stop, then length", role + hello + stop + strings.Replace(stop, `"stop"`, `"length"`, 1) + usage + done,
			`text="Hello" stop=max_tokens/length usage=10+?+?/5(?)`},
		{"length, then an error",
			role + hello + strings.Replace(stop, `"stop"`, `"length"`, 1) + strings.Replace(stop, `"stop"`, `"error"`,
				1) + done, `class=server text="Hello" stop=other/error flags=[usage_missing]`},
		{"other names of the reasoning",
			role + chunk(`{"thinking":"2"}`, "null") + chunk(`{"reasoning_text":"+"}`, "null") +
				chunk(`{"thought":"2"}`, "null") + text("4") + stop + usage + done,
			`text="4" thinking="2+2" stop=end/stop usage=10+?+?/5(?)`},
		{"closing think tag only, in two pieces", role + text(`2+2\n</th`) + text(`ink>\n\n4`) + stop + usage + done,
			`text="4" thinking="2+2" stop=end/stop usage=10+?+?/5(?) flags=[think_tags]`},
		{"an upstream's error that a gateway swallowed", chunk(`{}`, `"stop"`) + chunk(`{}`, "null") + done,
			`class=empty_response stop=end/stop flags=[usage_missing]`},
		{"Groq's twice",
			role + hello + strings.Replace(stop, `}]}`, `}],"x_groq":{"usage":`+used+`}}`, 1) + usage + done, answer},
		{"no usage", role + hello + stop + done, `text="Hello" stop=end/stop flags=[usage_missing]`},
		{"Azure's first chunk", `{"id":"","model":"","object":"","choices":[],"prompt_filter_results":[]}` +
			"\n" + good, answer},
		{"finish reason twice, then null", role + hello + stop + stop + chunk(`{"content":""}`, "null") + usage + done,
			answer},
		{"text on the finish chunk", role + text("Hel") + chunk(`{"content":"lo"}`, `"stop"`) + usage + done, answer},
		{"null and absent deltas", role + chunk(`null`, "null") + `{"choices":[{"index":0}]}` + "\n" + `{"id":"c1"}` +
			"\n" + hello + stop + usage + done, answer},
		{"no index, and -1",
			strings.NewReplacer(`"index":0,`, ``).Replace(role+text("Hel")) + strings.Replace(text("lo"), `"index":0`,
				`"index":-1`, 1) + stop + usage + done, answer},
		{"ids that change",
			strings.Replace(role, "c1", "c0", 1) + hello + strings.Replace(stop, "c1", "c9", 1) + usage + done, answer},
		{"roles on every chunk",
			role + chunk(`{"role":"assistant","content":"Hel"}`, "null") + chunk(`{"role":"assistant","content":"lo"}`,
				"null") + stop + usage + done, answer},
		{"cumulative messages beside deltas",
			role + strings.Replace(text("Hel"), `"delta"`, `"message":{"content":"Hel"},"delta"`, 1) +
				strings.Replace(text("lo"), `"delta"`, `"message":{"content":"Hello"},"delta"`, 1) + stop + usage + done, answer},
		{"the whole answer as one event", one(`{"role":"assistant","content":"Hello"}`, `"stop"`) + "\n" + done,
			answer + ` flags=[not_streamed]`},
		{"after the end", good + text("x") + done, answer + ` flags=[events_after_end]`},
		{"an error after the finish reason",
			role + hello + stop + `{"choices":[{"index":0,"delta":{"content":""},"finish_reason":null}],` +
				`"error":{"code":400,"message":"Token limit reached"}}` + "\n" + usage + done, answer + ` flags=[error_after_end]`},
		{"null error beside choices",
			role + hello + strings.Replace(stop, `"choices"`, `"error":null,"choices"`, 1) + usage + done, answer},
		{"garbage after the finish reason", role + hello + stop + "{\"id\"\n" + usage + done,
			answer + ` flags=[malformed_event]`},
		{"reasoning",
			role + chunk(`{"content":null,"reasoning_content":"2+"}`, "null") +
				chunk(`{"content":null,"reasoning_content":"2"}`, "null") +
				chunk(`{"content":"4","reasoning_content":null}`, "null") + stop + usage + done,
			`text="4" thinking="2+2" stop=end/stop usage=10+?+?/5(?)`},
		{"think tags over several chunks",
			role + text("<thi") + text("nk>2+2</think>") + text("4") + stop + usage + done,
			`text="4" thinking="2+2" stop=end/stop usage=10+?+?/5(?) flags=[think_tags]`},
		{"a refusal",
			chunk(`{"role":"assistant","content":null,"refusal":"N"}`, "null") + chunk(`{"refusal":"o."}`, "null") +
				stop + usage + done, `text="No." stop=refusal/stop usage=10+?+?/5(?)`},
		{"nothing but a count", role + stop + usage + done, `text="" stop=end/stop usage=10+?+?/5(?) flags=[empty_answer]`},
		{"two choices",
			strings.ReplaceAll(role+text("b")+stop, `"index":0`, `"index":1`) + role + text("a") + stop + usage + done,
			`text="a" stop=end/stop [0]="a"(end[]) [1]="b"(end[]) usage=10+?+?/5(?)`},
		{"a second answer", role + hello + stop + strings.ReplaceAll(role+text("No")+stop, "c1", "c2") + usage + done,
			answer + ` flags=[second_answer]`},
		{"another upstream begins anew",
			role + hello + strings.ReplaceAll(role+text("Bye")+stop, "c1", "c2") + usage + done,
			`text="Bye" stop=end/stop usage=10+?+?/5(?) flags=[stream_restarted]`},

		{"tool calls",
			role + tool(`{"index":0,"id":"t","type":"function","function":{"name":"f","arguments":""}}`) +
				tool(`{"index":0,"function":{"arguments":"{\"a\":"}}`) +
				tool(`{"index":1,"id":"u","function":{"name":"g","arguments":null}}`) +
				tool(`{"index":0,"function":{"arguments":"1}"}}`) + calls + usage + done,
			`text="" call=t:f:{"a":1} call=u:g:{} stop=tool_use/tool_calls usage=10+?+?/5(?)`},
		{"the first index is 1",
			tool(`{"index":1,"id":"t","function":{"name":"f","arguments":"{"}}`) +
				tool(`{"index":1,"function":{"arguments":"}"}}`) + calls + usage + done,
			`call=t:f:{} stop=tool_use/tool_calls usage=10+?+?/5(?)`},
		{"no index: an id begins a call",
			tool(`{"id":"t","function":{"name":"f","arguments":"{"}}`) + tool(`{"function":{"arguments":"}"}}`) +
				tool(`{"id":"u","function":{"name":"f","arguments":"{}"}}`) + calls + usage + done,
			`call=t:f:{} call=u:f:{} stop=tool_use/tool_calls usage=10+?+?/5(?)`},
		{"whole calls, all with index 0",
			tool(`{"index":0,"id":"t","function":{"name":"f","arguments":"{}"}}`) +
				tool(`{"index":0,"id":"u","function":{"name":"f","arguments":"{\"a\":1}"}}`) + calls + usage + done,
			`call=t:f:{} call=u:f:{"a":1} stop=tool_use/tool_calls usage=10+?+?/5(?)`},
		{"whole calls, no ids, all with index 0",
			tool(`{"index":0,"id":"","function":{"name":"f","arguments":"{\"a\":1}"}}`) +
				tool(`{"index":0,"id":"","function":{"name":"f","arguments":"{\"a\":2}"}}`) + calls + usage + done,
			`call=:f:{"a":1} call=:f:{"a":2} stop=tool_use/tool_calls usage=10+?+?/5(?)`},
		{"a name in pieces",
			tool(`{"index":0,"id":"t","function":{"name":"edit_ex","arguments":""}}`) +
				tool(`{"index":0,"function":{"name":"isting_file","arguments":""}}`) +
				tool(`{"index":0,"function":{"arguments":"{\"p\":1}"}}`) + calls + usage + done,
			`call=t:edit_existing_file:{"p":1} stop=tool_use/tool_calls usage=10+?+?/5(?)`},
		{"a name in pieces, with the id",
			tool(`{"index":0,"id":"t","function":{"name":"edit_ex","arguments":""}}`) +
				tool(`{"index":0,"id":"t","function":{"name":"isting_file","arguments":"{}"}}`) + calls + usage + done,
			`call=t:edit_existing_file:{} stop=tool_use/tool_calls usage=10+?+?/5(?)`},
		{"a name as far as it has come",
			tool(`{"index":0,"id":"t","function":{"name":"edit_ex"}}`) +
				tool(`{"index":0,"function":{"name":"edit_existing_file","arguments":"{}"}}`) + calls + usage + done,
			`call=t:edit_existing_file:{} stop=tool_use/tool_calls usage=10+?+?/5(?)`},
		{"the old function call's name in pieces",
			chunk(`{"function_call":{"name":"ge","arguments":""}}`, "null") +
				chunk(`{"function_call":{"name":"t","arguments":"{}"}}`, "null") + calls + usage + done,
			`call=:get:{} stop=tool_use/tool_calls usage=10+?+?/5(?)`},
		{"a name that is repeated",
			tool(`{"index":0,"id":"t","function":{"name":"f","arguments":"{\"a\""}}`) +
				tool(`{"index":0,"id":"t","function":{"name":"f","arguments":":1}"}}`) + calls + usage + done,
			`call=t:f:{"a":1} stop=tool_use/tool_calls usage=10+?+?/5(?)`},
		{"an id that changes with every piece",
			tool(`{"index":0,"id":"t","function":{"name":"f","arguments":"{\"a\""}}`) +
				tool(`{"index":0,"id":"u","function":{"arguments":":1}"}}`) + calls + usage + done,
			`call=t:f:{"a":1} stop=tool_use/tool_calls usage=10+?+?/5(?)`},
		{"the old function call",
			chunk(`{"function_call":{"name":"f","arguments":"{"}}`, "null") +
				chunk(`{"function_call":{"arguments":"}"}}`, "null") + chunk(`{}`, `"function_call"`) + usage + done,
			`call=:f:{} stop=tool_use/function_call usage=10+?+?/5(?)`},

		{"cut in the text", role + hello, `class=cut text="Hello" flags=[usage_missing]`},
		{"cut in the middle of a chunk", role + hello + stop[:40], `class=cut text="Hello" flags=[usage_missing]`},
		{"[DONE] after a cut", role + hello + usage + done, `class=cut text="Hello" usage=10+?+?/5(?)`},
		{"one of two choices cut",
			role + text("a") + stop + strings.ReplaceAll(role+text("b"), `"index":0`, `"index":1`) + done,
			`class=cut text="a" stop=end/stop [0]="a"(end[]) [1]="b"([]) flags=[usage_missing]`},
		{"an unreadable chunk in the middle", role + text("Hel") + "{\"id\":\n" + text("lo") + stop + done,
			`class=bad_response text="Hel" flags=[usage_missing]`},
		{"an unreadable chunk before [DONE]", role + text("Hel") + "{\"id\":\n" + done,
			`class=bad_response text="Hel" flags=[usage_missing]`},
		{"nothing", "", `class=empty_response flags=[usage_missing]`},
		{"only [DONE]", done, `class=cut flags=[usage_missing]`},
		{"an error chunk",
			role + hello + `{"error":{"message":"Tool call validation failed","type":"invalid_request_error",` +
				`"code":"tool_use_failed"}}`, `class=invalid_request text="Hello" flags=[usage_missing]`},
		{"an error as a text", role + hello + `{"error":"overloaded, try again"}`,
			`class=overloaded text="Hello" flags=[usage_missing]`},
		{"MiniMax's error", role + `{"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}`,
			`class=quota text="" flags=[usage_missing]`},
		{"an error in a list", role + `[{"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED"}}]`,
			`class=rate_limit text="" flags=[usage_missing]`},
		{"finish reason error with an error",
			role + hello + `{"choices":[{"index":0,"delta":{},"finish_reason":"error"}],"error":{"code":429,` +
				`"message":"slow down"}}`, `class=rate_limit text="Hello" stop=other/error flags=[usage_missing]`},
		{"finish reason error alone", role + hello + chunk(`{}`, `"error"`) + done,
			`class=server text="Hello" stop=other/error flags=[usage_missing]`},
		{"an error inside a choice",
			role + hello + `{"choices":[{"index":0,"delta":{},"finish_reason":"error","error":{"code":502,` +
				`"message":"upstream"}}]}`, `class=server text="Hello" stop=other/error flags=[usage_missing]`},
	} {
		if got := show(play(options{}, tc.script)); got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", tc.name, got, tc.want)
		}
	}
}

// TestBlocksAsChoices: new-api of 2025 puts the number of Claude's content
// block into the choice's index. Where one choice was asked for they are one
// answer; two whole answers are never joined.
func TestBlocksAsChoices(t *testing.T) {
	second := strings.NewReplacer(`"index":0`, `"index":1`)
	thinks, says := chunk(`{"reasoning_content":"2+2"}`, "null"), second.Replace(text("4"))
	for _, tc := range []struct {
		name         string
		asked        int64
		script, want string
	}{
		{"one answer", 1, thinks + says + stop + usage + done,
			`text="4" thinking="2+2" stop=end/stop usage=10+?+?/5(?) flags=[choices_joined]`},
		{"one answer that is cut", 1, thinks + says, `class=cut text="4" thinking="2+2" flags=[usage_missing]`},
		{"a tool call as the second block", 1,
			text("Let me see.") +
				second.Replace(tool(`{"index":0,"id":"t","function":{"name":"f","arguments":"{}"}}`)) + calls + usage +
				done, `text="Let me see." call=t:f:{} stop=tool_use/tool_calls usage=10+?+?/5(?) flags=[choices_joined]`},
		{"two whole answers", 1, text("a") + stop + second.Replace(text("b")+stop) + usage + done,
			`text="a" stop=end/stop [0]="a"(end[]) [1]="b"(end[]) usage=10+?+?/5(?)`},
		{"two were asked for", 2, thinks + says + stop + usage + done,
			`class=cut thinking="2+2" stop=end/stop [0]=""(end[]) [1]="4"([]) usage=10+?+?/5(?)`},
	} {
		if got := show(play(options{Choices: tc.asked}, tc.script)); got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", tc.name, got, tc.want)
		}
	}
}

func TestDoneMarkerOnly(t *testing.T) {
	script := role + text("4") + usage
	if got := show(play(options{DoneMarkerOnly: true}, script+done)); got != `text="4" usage=10+?+?/5(?) `+
		`flags=[stop_reason_missing]` {
		t.Errorf("with [DONE]: %s", got)
	}
	if got := show(play(options{DoneMarkerOnly: true}, script)); got != `class=cut text="4" usage=10+?+?/5(?)` {
		t.Errorf("without [DONE]: %s", got)
	}
}

// TestStreamContent: the progress clock counts what is content, and only that.
func TestStreamContent(t *testing.T) {
	s := newStream(options{})
	for _, tc := range []struct {
		event   string
		content bool
	}{
		{role, false}, {text("a"), true}, {text(""), false}, {`{"id":"c1","choices":[]}`, false}, {`{"id":"c1"}`, false},
		{chunk(`{"reasoning":"hm"}`, "null"), true}, {tool(`{"index":0,"function":{"arguments":"{"}}`), true},
		{stop, false}, {usage, false}, {done, false}, {text("late"), false},
	} {
		if got, err := s.Event([]byte(tc.event)); got != tc.content || err != nil {
			t.Errorf("Event(%.60s) = %v, %v; want %v", tc.event, got, err, tc.content)
		}
	}
	if !s.Done() {
		t.Error("not Done after [DONE]")
	}
}

// FuzzStream: no panic, nothing insane, and no answer without a finish reason.
func FuzzStream(f *testing.F) {
	f.Add([]byte(role+text("a")+stop+usage+done), false)
	f.Add([]byte(role+text("a")+done), true)
	f.Add([]byte(tool(`{"index":0,"id":"t","function":{"name":"f","arguments":{}}}`)+tool(`{}`)+`{"error":"x"}`), false)
	f.Fuzz(func(t *testing.T, script []byte, doneOnly bool) {
		resp, err := play(options{DoneMarkerOnly: doneOnly}, string(script))
		answertest.CheckSane(t, resp, err)
		if err == nil && !doneOnly && resp.RawStopReason == "" {
			t.Fatalf("an answer without a finish reason: %+v", resp)
		}
	})
}

func BenchmarkStream(b *testing.B) {
	script := []string{role}
	for range 100 {
		script = append(script, text("Hello"))
	}
	script = append(script, stop, usage, done)
	events := make([][]byte, len(script))
	for i, e := range script {
		events[i] = []byte(e)
	}
	b.ReportAllocs()
	for b.Loop() {
		s := newStream(options{})
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
