package responses

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers/formats/internal/answer"
	"nightshift/providers/formats/internal/testdata/answertest"
)

// decode reads a whole answer.
func decode(body string) (nightshift.Response, *nightshift.Error) {
	return answertest.Decode(Format{}, []byte(body))
}

// stream reads the data of events to the end.
func readStream(events ...string) (nightshift.Response, *nightshift.Error) {
	s := Format{}.NewStream(answer.StreamOptions{})
	for _, data := range events {
		if _, err := s.Event([]byte(data)); err != nil {
			break
		}
	}
	return s.End()
}

const used = `"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":2,"cache_write_tokens":3},` +
	`"output_tokens":7,` +
	`"output_tokens_details":{"reasoning_tokens":4},"total_tokens":17}`

// whole is an answer with a status, further members, and items.
func whole(status, more, items string) string {
	return `{"id":"r","object":"response","model":"m","status":"` + status + `",` + more + `"output":[` + items + `],` +
		used + `}`
}

const (
	hello   = `{"type":"message","role":"assistant","content":[{"type":"output_text","text":"Hello"}]}`
	refused = `{"type":"message","role":"assistant","content":[{"type":"refusal","refusal":"No."}]}`
	call    = `{"type":"function_call","id":"fc","call_id":"c","name":"f","arguments":"{\"a\":1}"}`
)

// brief is an answer in a line.
func brief(r nightshift.Response, err *nightshift.Error) string {
	show := func(s *string) string {
		if s == nil {
			return "-"
		}
		return fmt.Sprintf("%q", *s)
	}
	if err != nil {
		return strings.TrimSpace(fmt.Sprintf("error %s %s", err.Class, err.Code))
	}
	text := fmt.Sprintf("%s %s (%s)", show(r.Text), r.StopReason, r.RawStopReason)
	if r.Thinking != nil {
		text += " thinking " + show(r.Thinking)
	}
	for _, c := range r.ToolCalls {
		text += fmt.Sprintf(" %s:%s(%s)", c.ID, c.Name, c.Arguments)
	}
	return strings.TrimSpace(text + " " + strings.Join(r.Flags, ","))
}

func saying(phase, text string) string {
	return fmt.Sprintf(`{"type":"message","phase":%q,"role":"assistant","content":[{"type":"output_text","text":%q}]}`,
		phase, text)
}

func TestDecode(t *testing.T) {
	for _, tc := range []struct{ name, body, want string }{
		{"text", whole("completed", "", hello), `"Hello" end (completed)`},
		{"several messages", whole("completed", "", hello+`,`+hello), `"HelloHello" end (completed)`},
		{"a final answer beside commentary",
			whole("completed", "", saying("commentary", "Let me see.")+`,`+saying("final_answer", "4")), `"4" end (completed)`},
		{"an answer without a phase beside commentary",
			whole("completed", "", saying("commentary", "Let me see.")+`,`+hello), `"Hello" end (completed)`},
		{"commentary beside a call", whole("completed", "", saying("commentary", "Let me see.")+`,`+call),
			`"Let me see." tool_use (completed) c:f({"a":1})`},
		{"refusal", whole("completed", "", refused), `"No." refusal (completed)`},
		{"the reasoning comes last",
			whole("completed", "",
				hello+`,{"type":"reasoning","summary":[{"type":"summary_text","text":"a"},{"type":"summary_text","text":"b"}]}`),
			`"Hello" end (completed) thinking "a\n\nb"`},
		{"reasoning itself before its summary",
			whole("completed", "",
				`{"type":"reasoning","content":[{"type":"reasoning_text","text":"all"}],`+
					`"summary":[{"type":"summary_text","text":"short"}]},`+hello),
			`"Hello" end (completed) thinking "all"`},
		{"reasoning without words", whole("completed", "", `{"type":"reasoning","summary":[]},`+hello),
			`"Hello" end (completed)`},
		{"a call whose arguments are an object",
			whole("completed", "", `{"type":"function_call","call_id":"c","name":"f","arguments":{"a":1}}`),
			`- tool_use (completed) c:f({"a":1})`},
		{"a call without arguments",
			whole("completed", "", `{"type":"function_call","call_id":"c","name":"f","arguments":""}`),
			`- tool_use (completed) c:f({})`},
		{"a custom tool takes words",
			whole("completed", "", `{"type":"custom_tool_call","call_id":"c","name":"f","input":"ls -l"}`),
			`- tool_use (completed) c:f(ls -l)`},
		{"a shell of the client's",
			whole("completed", "", `{"type":"local_shell_call","call_id":"c","action":{"command":["ls"]}}`),
			`- tool_use (completed) c:local_shell_call({"command":["ls"]})`},
		{"a shell of the server's",
			whole("completed", "",
				`{"type":"shell_call","call_id":"c","action":{}},{"type":"shell_call_output","call_id":"c",`+
					`"output":[]},`+hello), `"Hello" end (completed)`},
		{"the server's own tools",
			whole("completed", "",
				`{"type":"mcp_call","name":"f","arguments":"{}","output":"x"},{"type":"code_interpreter_call",`+
					`"code":"1"},`+hello), `"Hello" end (completed)`},
		{"cut", whole("incomplete", `"incomplete_details":{"reason":"max_output_tokens"},`, hello),
			`"Hello" max_tokens (max_output_tokens)`},
		{"cut inside a call",
			whole("incomplete", `"incomplete_details":{"reason":"max_output_tokens"},`,
				`{"type":"function_call","call_id":"c","name":"f","arguments":"{\"a"}`),
			`- max_tokens (max_output_tokens) c:f({"a) tool_arguments_words`},
		{"filtered", whole("incomplete", `"incomplete_details":{"reason":"content_filter"},`, hello),
			`"Hello" content_filter (content_filter)`},
		{"filtered beside the model",
			whole("completed", `"content_filters":[{"blocked":false},{"blocked":true}],`, hello),
			`"Hello" content_filter (completed)`},
		{"incomplete for no reason", whole("incomplete", "", hello), `"Hello" other (incomplete) stop_reason_unknown`},
		{"called complete at the cap", whole("completed", `"max_output_tokens":7,`, hello),
			`"Hello" end (completed) cap_reached`},
		{"an unknown status", whole("paused", "", hello), `"Hello" other (paused) stop_reason_unknown`},
		{"no status", `{"output":[` + hello + `],` + used + `}`, `"Hello"  () stop_reason_missing`},
		{"nothing but tokens", whole("completed", "", ""), `- end (completed) empty_answer`},
		{"failed without a word", whole("failed", `"error":null,`, ""), `error server failed`},
		{"failed for a limit",
			whole("failed", `"error":{"code":"rate_limit_exceeded","message":"Rate limit reached"},`, ""),
			`error rate_limit rate_limit_exceeded`},
		{"failed for what it asks",
			whole("failed", `"error":{"code":"context_length_exceeded","message":"too long"},`, ""),
			`error context_length context_length_exceeded`},
		{"cancelled", whole("cancelled", "", ""), `error server cancelled`},
		{"queued", `{"id":"r","object":"response","status":"queued","output":[],"usage":null}`,
			`error bad_response not_ready`},
		{"in progress", `{"id":"r","object":"response","status":"in_progress","output":[],"usage":null}`,
			`error bad_response not_ready`},
		{"no output", `{"id":"r","object":"response","status":"completed"}`, `error bad_response no_output`},
		{"nothing at all", `{"id":"r","object":"response","status":"completed","output":[]}`, `error empty_response`},
		{"think tags",
			whole("completed", "", `{"type":"message","content":[{"type":"output_text","text":"<think>hm</think>4"}]}`),
			`"4" end (completed) thinking "hm" think_tags`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := brief(decode(tc.body))
			if got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	for _, tc := range []struct{ name, status, items, usage, want string }{
		{"all", "completed", hello,
			`{"input_tokens":10,"input_tokens_details":{"cached_tokens":2,"cache_write_tokens":3},` +
				`"output_tokens":7,"output_tokens_details":{"reasoning_tokens":4},"total_tokens":17}`,
			`{"input":5,"cache_read":2,"cache_write_5m":3,"output":7,"reasoning":4}`},
		{"searches", "completed",
			`{"type":"web_search_call","action":{"type":"search"}},{"type":"web_search_call",` +
				`"action":{"type":"open_page"}},{"type":"web_search_call","status":"failed","action":{"type":"search"}},` + hello,
			`{"input_tokens":10,"output_tokens":7}`, `{"input":10,"output":7,"searches":1}`},
		{"xAI", "completed", hello,
			`{"input_tokens":10,"output_tokens":7,"num_server_side_tools_used":2,"cost_in_usd_ticks":3206000}`,
			`{"input":10,"output":7,"searches":2,"reported_cost":320600}`},
		{"OpenRouter", "completed", hello, `{"input_tokens":10,"output_tokens":7,"cost":0.000025}`,
			`{"input":10,"output":7,"reported_cost":25000}`},
		{"no output counted beside words", "completed", hello, `{"input_tokens":10,"output_tokens":0}`,
			`{"input":10} usage_partial`},
		{"no output counted at the cap", "incomplete", "",
			`{"input_tokens":10,"output_tokens":0,"output_tokens_details":{"reasoning_tokens":0}}`,
			`{"input":10} usage_partial`},
		{"nothing counted", "completed", hello, `{"input_tokens":0,"output_tokens":0,"total_tokens":0}`, `{} usage_missing`},
		{"none", "completed", hello, `null`, `{} usage_missing`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := decode(`{"status":"` + tc.status + `","incomplete_details":{"reason":"max_output_tokens"},` +
				`"output":[` + tc.items + `],"usage":` + tc.usage + `}`)
			counts, _ := json.Marshal(r.Usage)
			if got := strings.TrimSpace(string(counts) + " " + strings.Join(r.Flags, ",")); got != tc.want || err != nil {
				t.Errorf("%s, %v\nwant %s", got, err, tc.want)
			}
		})
	}
	for tier, want := range map[string]string{"auto": "", "default": "", "flex": "flex", "priority": "priority"} {
		if r, _ := decode(whole("completed", `"service_tier":"`+tier+`",`, hello)); r.Usage.ServiceTier != want {
			t.Errorf("tier %s: %q, want %q", tier, r.Usage.ServiceTier, want)
		}
	}
}

const (
	created = `{"type":"response.created","response":{"id":"r","model":"m","status":"in_progress","output":[],` +
		`"usage":null}}`
	added   = `{"type":"response.output_item.added","output_index":0,"item":{"type":"message","id":"a","content":[]}}`
	pieces2 = `{"type":"response.output_text.delta","output_index":0,"content_index":0,"item_id":"other",` +
		`"delta":"Hel"}` + "\n" +
		`{"type":"response.output_text.delta","output_index":0,"content_index":0,"item_id":"again","delta":"lo"}`
	itemEnd = `{"type":"response.output_item.done","output_index":0,"item":` + hello + `}`
)

// ended is the last event: its name, and the response in it.
func ended(name, response string) string {
	return `{"type":"response.` + name + `","response":` + response + `}`
}

func TestStream(t *testing.T) {
	begun := created + "\n" + added + "\n" + pieces2
	for _, tc := range []struct{ name, events, want string }{
		{"usual", begun + "\n" + itemEnd + "\n" + ended("completed", whole("completed", "", hello)),
			`"Hello" end (completed)`},
		{"no output at the end", begun + "\n" + itemEnd + "\n" + ended("completed", whole("completed", "", "")),
			`"Hello" end (completed)`},
		{"pieces alone", begun + "\n" + ended("completed", whole("completed", "", "")), `"Hello" end (completed)`},
		{"the end alone", created + "\n" + ended("completed", whole("completed", "", hello)), `"Hello" end (completed)`},
		{"an empty whole after the pieces",
			begun + "\n" + `{"type":"response.output_text.done","output_index":0,"content_index":0,"text":""}` +
				"\n" + ended("completed", whole("completed", "", "")), `"Hello" end (completed)`},
		{"another whole after the pieces",
			begun + "\n" + ended("completed", whole("completed", "", strings.Replace(hello, "Hello", "Help", 1))),
			`"Help" end (completed) text_replaced`},
		{"the status before the name",
			begun + "\n" +
				"" + ended("completed",
				whole("incomplete", `"incomplete_details":{"reason":"max_output_tokens"},`, hello)),
			`"Hello" max_tokens (max_output_tokens)`},
		{"the name where there is no status", begun + "\n" + ended("incomplete", `{"id":"r","output":[],`+used+`}`),
			`"Hello" other (incomplete) stop_reason_unknown`},
		{"[DONE] after the end", begun + "\n" + ended("completed", whole("completed", "", hello)) + "\n[DONE]",
			`"Hello" end (completed)`},
		{"[DONE] alone", begun + "\n[DONE]", `error cut`},
		{"cut", begun + "\n" + itemEnd, `error cut`},
		{"cut in the background", strings.Replace(begun, `"status"`, `"background":true,"status"`, 1), `error cut not_ready`},
		{"nothing", "", `error empty_response`},
		{"a flat error", begun + "\n" + `{"type":"error","code":"server_is_overloaded","message":"busy","param":null}`,
			`error overloaded server_is_overloaded`},
		{"a nested error",
			begun + "\n" + `{"type":"error","error":{"type":"server_error","code":"server_error","message":"sorry"}}`,
			`error server server_error`},
		{"failed under 200",
			begun + "\n" +
				"" + ended("failed",
				`{"status":"failed","error":{"code":"insufficient_quota","message":"no"},"output":[]}`),
			`error quota insufficient_quota`},
		{"failed without a word", begun + "\n" + ended("failed", `{"status":"failed","error":null,"output":[]}`),
			`error server failed`},
		{"an error after the end", begun + "\n" + ended("completed", whole("completed", "", hello)) + "\n" +
			`{"type":"error","code":"server_error","message":"x"}`, `"Hello" end (completed) error_after_end`},
		{"another answer after the end",
			begun + "\n" + ended("completed", whole("completed", "", hello)) + "\n" + created,
			`"Hello" end (completed) second_answer`},
		{"begun again",
			strings.ReplaceAll(begun, `"r"`, `"q"`) + "\n" + begun + "\n" +
				"" + ended("completed", whole("completed", "", hello)), `"Hello" end (completed) stream_restarted`},
		{"events of the future", begun + "\n" + `{"type":"response.hologram.delta","output_index":0,"delta":"x"}` +
			"\n" + ended("completed", whole("completed", "", hello)), `"Hello" end (completed)`},
		{"unnumbered", created + "\n" + `{"type":"response.output_text.delta","delta":"Hello"}` +
			"\n" + ended("completed", whole("completed", "", "")), `"Hello" end (completed)`},
		{"a refusal", created + "\n" + `{"type":"response.refusal.delta","output_index":0,"delta":"No"}` + "\n" +
			`{"type":"response.refusal.done","output_index":0,"refusal":"No."}` +
			"\n" + ended("completed", whole("completed", "", "")), `"No." refusal (completed) text_replaced`},
		{"a call", created + "\n" + `{"type":"response.output_item.added","output_index":0,` +
			`"item":{"type":"function_call","call_id":"c","name":"f","arguments":""}}` + "\n" +
			`{"type":"response.function_call_arguments.delta","output_index":0,"delta":"{\"a\":"}` + "\n" +
			`{"type":"response.function_call_arguments.delta","output_index":0,"delta":"1}"}` + "\n" +
			ended("completed", whole("completed", "", "")), `- tool_use (completed) c:f({"a":1})`},
		{"the whole answer as an event", whole("completed", "", hello), `"Hello" end (completed) not_streamed`},
		{"the last output lacks the reasoning",
			created + "\n" + `{"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning",` +
				`"content":[{"type":"reasoning_text","text":"hm"}]}}` + "\n" +
				`{"type":"response.output_item.done","output_index":1,"item":` + hello + `}` +
				"\n" + ended("completed", whole("completed", "", hello)), `"Hello" end (completed) thinking "hm"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var events []string
			if tc.events != "" {
				events = strings.Split(tc.events, "\n")
			}
			if got := brief(readStream(events...)); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

// A cut stream keeps its text, and nothing is known of its usage.
func TestCutKeepsText(t *testing.T) {
	r, err := readStream(append([]string{created, added}, strings.Split(pieces2, "\n")...)...)
	if err == nil || r.Text == nil || *r.Text != "Hello" || r.Usage.Known() || r.StopReason != "" || !err.MaybeBilled {
		t.Errorf("%+v, %v", r, err)
	}
}

// Reasoning counts as the first content, signs of life do not.
func TestFirstContent(t *testing.T) {
	s := newStream()
	for _, tc := range []struct {
		data    string
		content bool
	}{
		{created, false}, {`{"type":"response.in_progress","response":{}}`, false}, {added, false},
		{`{"type":"response.reasoning_summary_text.delta","output_index":1,"summary_index":0,"delta":"hm"}`, true},
		{`{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"a"}`, true},
		{`{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":""}`, false},
	} {
		if content, err := s.Event([]byte(tc.data)); content != tc.content || err != nil {
			t.Errorf("%s: content %v, %v", tc.data, content, err)
		}
	}
}

// A further turn puts encrypted reasoning back with what followed it; without,
// the text says it all.
func TestRepeat(t *testing.T) {
	sealed := `{"type":"reasoning","id":"rs","summary":[],"encrypted_content":"gAAA"}`
	r, _ := decode(whole("completed", "", sealed+`,`+hello))
	if len(r.Repeat) != 2 || string(r.Repeat[0].Raw) != sealed || string(r.Repeat[1].Raw) != hello {
		t.Errorf("%s", r.Repeat)
	}
	for _, body := range []string{whole("completed", "", hello), whole("completed", "", sealed+`,`+call)} {
		if r, _ := decode(body); r.Repeat != nil {
			t.Errorf("%s: %v", body, r.Repeat)
		}
	}
	r, err := readStream(created, `{"type":"response.output_item.done","output_index":0,"item":`+sealed+`}`,
		`{"type":"response.output_item.done","output_index":1,"item":`+hello+`}`,
		ended("completed", whole("completed", "", "")))
	if err != nil || len(r.Repeat) != 2 || string(r.Repeat[0].Raw) != sealed {
		t.Errorf("streamed: %v, %v", r.Repeat, err)
	}
}

// FuzzDecode: whatever comes, there is no panic, and what was read can be
// written down.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(whole("completed", "", hello+`,`+call+`,`+refused)))
	f.Add([]byte(
		whole("failed", `"error":{"code":7},`,
			`{"type":"reasoning","summary":"x","encrypted_content":"\ud800"},7,null,{"content":[7]}`)))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decode(string(data))
		answertest.CheckSane(t, r, err)
	})
}

// FuzzStream does so for streams, one event a line.
func FuzzStream(f *testing.F) {
	f.Add(strings.Join([]string{created, added, pieces2, itemEnd, ended("completed", whole("completed", "", hello)),
		"[DONE]"}, "\n"))
	f.Add(`{"type":"response.output_text.delta","output_index":-9223372036854775808,"delta":{"text":7}}` +
		"\n" + ended("failed", `7`))
	f.Add(`{"type":"response.output_item.done","output_index":99999999999,"item":[]}` +
		"\n" + ended("completed", `{"output":[[],{}]}`))
	f.Fuzz(func(t *testing.T, text string) {
		r, err := readStream(strings.Split(text, "\n")...)
		answertest.CheckSane(t, r, err)
	})
}
