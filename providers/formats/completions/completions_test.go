package completions_test

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers"
	"nightshift/providers/formats"
	"nightshift/providers/formats/completions"
)

var format = completions.Format{}

func param(name, value string) nightshift.Param {
	return nightshift.Param{Name: name, Value: json.RawMessage(value)}
}

func say(role nightshift.Role, text string) nightshift.Message {
	return nightshift.Message{Role: role, Text: text}
}

func user(text string) []nightshift.Message {
	return []nightshift.Message{say(nightshift.RoleUser, text)}
}

// A prompt goes out byte for byte, and the caps of a request are known, also the
// one that nobody set.
func TestEncode(t *testing.T) {
	for _, tc := range []struct {
		name    string
		req     nightshift.Request
		want    string
		most    int64 // output tokens
		choices int64
	}{
		{"a prompt", nightshift.Request{Messages: user(" Once\t\"upon\"\n<é> ")},
			`{"model":"m","prompt":" Once\t\"upon\"\n<é> "}`, 16, 1},
		{"the beginning of an answer",
			nightshift.Request{Messages: append(user("Q: 2+2\nA:"), say(nightshift.RoleAssistant, " fo"))},
			`{"model":"m","prompt":"Q: 2+2\nA: fo"}`, 16, 1},
		{"parameters",
			nightshift.Request{Messages: user("x"),
				Params: []nightshift.Param{param("max_tokens", "5"), param("n", "2"), param("best_of", "3"),
					param("echo", "true"), param("logprobs", "1"), param("stop", `["\n"]`), param("seed", "7")}},
			`{"model":"m","prompt":"x","max_tokens":5,"n":2,"best_of":3,"echo":true,"logprobs":1,"stop":["\n"],` +
				`"seed":7}`, 15, 2},
		{"nothing but the prompt's log-probabilities",
			nightshift.Request{Messages: user("x"), Params: []nightshift.Param{param("max_tokens", "0"), param("echo", "true")}},
			`{"model":"m","prompt":"x","max_tokens":0,"echo":true}`, 1, 1},
		{"a stream", nightshift.Request{Messages: user("x"), Stream: true},
			`{"model":"m","prompt":"x","stream":true,"stream_options":{"include_usage":true}}`, 16, 1},
		{"the row's own body",
			nightshift.Request{Body: json.RawMessage(`{"model":"m", "prompt":["a","b"],"n":2}`),
				BodyProtocol: nightshift.Completions},
			`{"model":"m", "prompt":["a","b"],"n":2}`, 64, 4},
		{"tokens", nightshift.Request{Body: json.RawMessage(`{"model":"m","prompt":[1,2,3]}`),
			BodyProtocol: nightshift.Completions}, `{"model":"m","prompt":[1,2,3]}`, 16, 1},
		{"a body of Chat",
			nightshift.Request{
				Body: json.RawMessage(`{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}],` +
					`"stop":"y"}`), BodyProtocol: nightshift.Chat},
			`{"model":"m","max_tokens":9,"prompt":"x","stop":["y"]}`, 9, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.req.Model = "m"
			p, err := formats.Encode(format, tc.req, true)
			if err != nil {
				t.Fatal(err)
			}
			if string(p.Body) != tc.want || p.MaxOutput != tc.most || p.Choices != tc.choices {
				t.Errorf("%s (at most %d, %d choices)\nwant %s (%d, %d)", p.Body, p.MaxOutput, p.Choices, tc.want,
					tc.most, tc.choices)
			}
		})
	}
}

func TestPromptIsMeasured(t *testing.T) {
	p, err := formats.Encode(format, nightshift.Request{Model: "m", Messages: user(strings.Repeat("word ", 100))}, false)
	if err != nil || p.InputText != 500 {
		t.Errorf("%d bytes of prompt, want 500 (%v)", p.InputText, err)
	}
}

// What has roles, tools or images is refused by name.
func TestUntranslatable(t *testing.T) {
	image := nightshift.Message{
		Raw: json.RawMessage(`{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/y.png"}}]}`)}
	tools := json.RawMessage(`{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}],` +
		`"tools":[{"type":"function","function":{"name":"f"}}]}`)
	for _, tc := range []struct {
		name string
		req  nightshift.Request
		want string
	}{
		{"system", nightshift.Request{System: "Be brief.", Messages: user("x")},
			"a system prompt cannot be said in the Completions format"},
		{"turns", nightshift.Request{
			Messages: append(user("x"), say(nightshift.RoleAssistant, "y"), say(nightshift.RoleUser, "z"))}, "role assistant"},
		{"image", nightshift.Request{Messages: []nightshift.Message{image}}, "role user) that is not plain text"},
		{"tools", nightshift.Request{Body: tools, BodyProtocol: nightshift.Chat}, "tools"},
		{"a Completions body elsewhere",
			nightshift.Request{Body: json.RawMessage(`{"model":"m","prompt":[1,2],"max_tokens":3}`),
				BodyProtocol: nightshift.Completions}, "prompt that is not one text"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.req.Model = "m"
			var to formats.Format = format
			if tc.req.BodyProtocol == nightshift.Completions {
				to, _ = formats.Of(nightshift.Chat)
			}
			_, err := formats.Encode(to, tc.req, false)
			var e *nightshift.Error
			if !errors.As(err, &e) || e.Class != nightshift.ClassUntranslatable || !strings.Contains(e.Error(), tc.want) {
				t.Errorf("%v, want untranslatable: %s", err, tc.want)
			}
		})
	}
}

// A body of this format says the same in another.
func TestTranslatedToChat(t *testing.T) {
	to, _ := formats.Of(nightshift.Chat)
	body := json.RawMessage(`{"model":"m","prompt":["x"],"max_tokens":3,"stop":"\n","n":1,"echo":false}`)
	p, err := formats.Encode(to, nightshift.Request{Body: body, BodyProtocol: nightshift.Completions}, false)
	if want := `{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":3,"stop":["\n"]}`; err != nil ||
		string(p.Body) != want {
		t.Errorf("%s (%v), want %s", p.Body, err, want)
	}
	_, err = formats.Encode(to,
		nightshift.Request{Body: json.RawMessage(`{"model":"m","prompt":"x"}`), BodyProtocol: nightshift.Completions}, false)
	if err == nil || !strings.Contains(err.Error(), "16 is the default of this format only") {
		t.Errorf("%v: a default of this format was dropped in silence", err)
	}
}

func TestDecode(t *testing.T) {
	usage := `"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}`
	for _, tc := range []struct {
		name, body, text, sequence string
		stop                       nightshift.StopReason
		flag                       string
		choices                    []string
	}{
		{"vLLM's stop sequence",
			`{"choices":[{"index":0,"text":"a","finish_reason":"stop","stop_reason":"\n\n"}],` + usage + `}`, "a",
			"\n\n", nightshift.StopSequence, "", nil},
		{"vLLM's stop token",
			`{"choices":[{"index":0,"text":"a","finish_reason":"stop","stop_reason":128001}],` + usage + `}`, "a",
			"128001", nightshift.StopSequence, "", nil},
		{"null", `{"choices":[{"index":0,"text":"a","finish_reason":null}],` + usage + `}`, "a", "", "",
			"stop_reason_missing", nil},
		{"filtered", `{"choices":[{"text":"","finish_reason":"content_filter"}],` + usage + `}`, "", "",
			nightshift.StopContentFilter, "", nil},
		{"out of order",
			`{"choices":[{"index":1,"text":"b","finish_reason":"stop"},{"index":0,"text":"a",` +
				`"finish_reason":"length"}],` + usage + `}`, "a", "", nightshift.StopMaxTokens, "", []string{"a", "b"}},
		{"all are number 0",
			`{"choices":[{"index":0,"text":"a","finish_reason":"stop"},{"index":0,"text":"b",` +
				`"finish_reason":"stop"}],` + usage + `}`, "a", "", nightshift.StopEnd, "", []string{"a", "b"}},
		{"reasoning between tags", `{"choices":[{"text":"<think>x</think>y","finish_reason":"stop"}],` + usage + `}`,
			"y", "", nightshift.StopEnd, "think_tags", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root, err := rawjson.Scan([]byte(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			if f, ok := formats.Recognise(root); !ok || f.Protocol() != nightshift.Completions {
				t.Fatalf("recognised as %v", f)
			}
			var r nightshift.Response
			if err := format.Decode(&r, root); err != nil {
				t.Fatal(err)
			}
			var choices []string
			for _, c := range r.Choices {
				choices = append(choices, c.Text)
			}
			if *r.Text != tc.text || r.StopReason != tc.stop || r.StopSequence != tc.sequence ||
				!slices.Equal(choices, tc.choices) {
				t.Errorf("text %q, stop %s (%q), choices %q", *r.Text, r.StopReason, r.StopSequence, choices)
			}
			if tc.flag != "" && !slices.Contains(r.Flags, tc.flag) {
				t.Errorf("flags %v, want %s", r.Flags, tc.flag)
			}
		})
	}
}

func chunk(id, text, finish string) string {
	if finish != "null" {
		finish = `"` + finish + `"`
	}
	quoted, _ := json.Marshal(text)
	return `{"id":"` + id + `","object":"text_completion","choices":[{"index":0,` +
		`"text":` + string(quoted) + `,"finish_reason":` + finish + `}]}`
}

func TestStream(t *testing.T) {
	for _, tc := range []struct {
		name   string
		events []string
		text   string
		class  nightshift.ErrorClass
		flag   string
	}{
		{"whole", []string{chunk("a", "x", "null"), chunk("a", "y", "stop"), "[DONE]"}, "xy", "", ""},
		{"no reason", []string{chunk("a", "x", "null"), "[DONE]"}, "x", nightshift.ClassCut, ""},
		{"no end", []string{chunk("a", "x", "null")}, "x", nightshift.ClassCut, ""},
		{"begun anew",
			[]string{chunk("a", "x", "null"), chunk("a", "y", "null"), chunk("a", "z", "null"), chunk("b", "q", "null"),
				chunk("b", "r", "stop"), "[DONE]"}, "qr", "", "stream_restarted"},
		{"an id for each chunk",
			[]string{chunk("a", "x", "null"), chunk("b", "y", "null"), chunk("c", "z", "null"), chunk("d", "q", "stop"),
				"[DONE]"}, "xyzq", "", ""},
		{"a second answer",
			[]string{chunk("a", "x", "null"), chunk("a", "y", "stop"), chunk("b", "z", "stop"), "[DONE]"}, "xy", "",
			"second_answer"},
		{"an error",
			[]string{chunk("a", "x", "null"), `{"error":{"message":"overloaded","type":"server_error","code":503}}`},
			"x", nightshift.ClassOverloaded, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := format.NewStream(formats.StreamOptions{})
			for _, e := range tc.events {
				_, _ = s.Event([]byte(e))
			}
			r, err := s.End()
			var class nightshift.ErrorClass
			if err != nil {
				class = err.Class
			}
			if r.Text == nil || *r.Text != tc.text || class != tc.class {
				t.Errorf("%v, class %q, want %q, %q", r.Text, class, tc.text, tc.class)
			}
			if tc.flag != "" && !slices.Contains(r.Flags, tc.flag) {
				t.Errorf("flags %v, want %s", r.Flags, tc.flag)
			}
		})
	}
}

// The text to be scored is told from what stands before it whatever the server
// makes of the tokens.
func TestLoglikelihood(t *testing.T) {
	legacy := func(tokens, logprobs string) string {
		return `{"choices":[{"text":"x","finish_reason":"length","logprobs":{"tokens":` + tokens +
			`,"token_logprobs":` + logprobs + `,"text_offset":[]}}]}`
	}
	for _, tc := range []struct {
		name, before, text, body string
		sum                      float64
		tokens, bytes            int64
		class                    nightshift.ErrorClass
	}{
		{"plain", "The cat", " sat", legacy(`["The"," cat"," sat"]`, `[null,-1,-2.5]`), -2.5, 1, 4, ""},
		{"several tokens, and one that was written", "The cat", " sat down",
			legacy(`["The"," cat"," sat"," down","."]`, `[null,-1,-2.5,-0.25,-9]`), -2.75, 2, 9, ""},
		{"space at the end of what stands before", "A: ", "yes", legacy(`["A",":"," yes"]`, `[null,-1,-3]`), -3, 1, 4, ""},
		{"a token for the beginning", "A:", " yes", legacy(`["<s>","A",":"," yes"]`, `[null,-7,-1,-3]`), -3, 1, 4, ""},
		{"a space of its own", "A:", " yes", legacy(`["▁A",":","▁yes"]`, `[null,-1,-3]`), -3, 1, 4, ""},
		{"a token that reaches into the text", "an", "other", legacy(`["<s>","another"]`, `[null,-4]`), -4, 1, 5, ""},
		{"characters of several tokens", "é:", " 日本",
			legacy(`["é",":"," ","\ufffd","\ufffd","\ufffd","本"]`, `[null,-1,-2,-3,-4,-5,-6]`), -20, 5, 7, ""},
		{"characters of several tokens at the end", "x:", " 日",
			legacy(`["x",":"," ","bytes:\\xe6","bytes:\\x97","bytes:\\xa5"]`, `[null,-1,-2,-3,-4,-5]`), -14, 4, 4, ""},
		{"a text by itself", "", "One two", legacy(`["One"," two"]`, `[null,-2]`), -2, 1, 4, ""},
		{"a text by itself, after a token for the beginning", "", "One two",
			legacy(`["<s>","One"," two"]`, `[null,-3,-2]`), -5, 2, 7, ""},
		{"vLLM's prompt_logprobs, which do not tell the first token", "One:", " yes",
			`{"choices":[{"text":"","finish_reason":"length","prompt_logprobs":[null,{"25":{"logprob":-1,"rank":3,` +
				`"decoded_token":":"},"7":{"logprob":-0.1,"rank":1,"decoded_token":"!"}},{"9":{"logprob":-3,` +
				`"rank":2,"decoded_token":" yes"}}]}]}`, -3, 1, 4, ""},
		{"vLLM's prompt_logprobs, from the beginning", "A:", " yes",
			`{"choices":[{"text":"","finish_reason":"length","prompt_logprobs":[null,{"5":{"logprob":-2,"rank":3,` +
				`"decoded_token":"A"}},{"25":{"logprob":-1,"rank":3,"decoded_token":":"},"7":{"logprob":-0.1,` +
				`"rank":1,"decoded_token":"!"}},{"9":{"logprob":-3,"rank":2,"decoded_token":" yes"}}]}]}`, -3, 1, 4, ""},
		{"Together", "A:", " yes",
			`{"prompt":[{"text":"A: yes","logprobs":{"tokens":["A",":"," yes"],"token_logprobs":[null,-1,-3]}}],` +
				`"choices":[{"text":"","finish_reason":"length","logprobs":{"tokens":["!"],"token_logprobs":[-1]}}]}`,
			-3, 1, 4, ""},
		{"Chat's form", "A:", " yes",
			`{"choices":[{"text":"x","logprobs":{"content":[{"token":"A","logprob":0},{"token":":","logprob":-1},` +
				`{"token":" yes","logprob":-3}]}}]}`, -3, 1, 4, ""},

		{"null", "A:", " yes", `{"choices":[{"text":"x","finish_reason":"length","logprobs":null}]}`, 0, 0, 0,
			nightshift.ClassNoLogprobs},
		{"none at all", "A:", " yes", `{"choices":[{"text":"x","finish_reason":"length"}]}`, 0, 0, 0,
			nightshift.ClassNoLogprobs},
		{"those of the answer only", "A:", " yes", legacy(`["!"]`, `[-1]`), 0, 0, 0, nightshift.ClassNoLogprobs},
		{"tokens without numbers", "A:", " yes", legacy(`["A",":"," yes"]`, `[null,null,null]`), 0, 0, 0,
			nightshift.ClassNoLogprobs},
		{"another text", "A:", " yes", legacy(`["A",":"," no"]`, `[null,-1,-1]`), 0, 0, 0, nightshift.ClassBadResponse},
		{"half of the text", "A:", " yes", legacy(`["A",":"]`, `[null,-1]`), 0, 0, 0, nightshift.ClassBadResponse},
		{"nothing before it", "", "One", legacy(`["One"]`, `[null]`), 0, 0, 0, nightshift.ClassBadResponse},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req := nightshift.Request{Model: "m", Continuation: tc.text}
			if tc.before != "" {
				req.Messages = user(tc.before)
			}
			p, err := formats.Encode(format, req, false)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(p.Body), `"max_tokens":0,"echo":true,"logprobs":1`) || p.Scored == nil ||
				p.Scored.Prompt != tc.before+tc.text {
				t.Fatalf("body %s, scored %+v", p.Body, p.Scored)
			}
			root, err := rawjson.Scan([]byte(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			got, failure := format.Loglikelihood(root, *p.Scored)
			var class nightshift.ErrorClass
			if failure != nil {
				class = failure.Class
			}
			if class != tc.class {
				t.Fatalf("class %q (%v), want %q", class, failure, tc.class)
			}
			want := nightshift.Loglikelihood{Sum: tc.sum, Tokens: tc.tokens, Bytes: tc.bytes}
			if failure == nil && (math.Abs(got.Sum-want.Sum) > 1e-12 || got.Tokens != want.Tokens || got.Bytes != want.Bytes) {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}

// Parameters that ask for log-probabilities otherwise are left alone, and what
// would write an answer is refused.
func TestScoreParams(t *testing.T) {
	ask := func(params ...nightshift.Param) (providers.Prepared, error) {
		return formats.Encode(format,
			nightshift.Request{Model: "m", Messages: user("A:"), Continuation: " x", Params: params, Stream: true}, true)
	}
	p, err := ask(param("prompt_logprobs", "0"))
	if want := `{"model":"m","prompt":"A: x","prompt_logprobs":0,"max_tokens":1}`; err != nil || string(p.Body) != want {
		t.Errorf("%s (%v), want %s", p.Body, err, want)
	}
	p, err = ask(param("max_tokens", "1"), param("logprobs", "5"))
	if want := `{"model":"m","prompt":"A: x","max_tokens":1,"logprobs":5,"echo":true}`; err != nil ||
		string(p.Body) != want {
		t.Errorf("%s (%v), want %s", p.Body, err, want)
	}
	if _, err = ask(param("max_tokens", "64")); err == nil || !strings.Contains(err.Error(), "writes no answer") {
		t.Errorf("%v: an answer would be written", err)
	}
	chat, _ := formats.Of(nightshift.Chat)
	_, err = formats.Encode(chat, nightshift.Request{Model: "m", Messages: user("A:"), Continuation: " x"}, false)
	var e *nightshift.Error
	if !errors.As(err, &e) || e.Class != nightshift.ClassUntranslatable || !strings.Contains(e.Hint, "completions") {
		t.Errorf("%v: Chat has no log-probabilities of a given text", err)
	}
}

// No answer of a stranger makes the reader panic or find more than there is.
func FuzzLoglikelihood(f *testing.F) {
	f.Add("A:", " yes", `{"choices":[{"logprobs":{"tokens":["A",":"," yes"],"token_logprobs":[null,-1,-3]}}]}`)
	f.Add("é", "日本", `{"choices":[{"logprobs":{"tokens":["bytes:\\xc3","\ufffd","本"],"token_logprobs":[-1,-1,-3]}}]}`)
	f.Add("", "x", `{"choices":[{"prompt_logprobs":[null,{"1":{"logprob":-1,"decoded_token":"x"}}]}]}`)
	f.Fuzz(func(t *testing.T, before, text, body string) {
		root, err := rawjson.Scan([]byte(body))
		if err != nil || text == "" {
			return
		}
		l, failure := format.Loglikelihood(root, providers.Scored{Prompt: before + text, From: len(before)})
		if failure == nil && (l.Tokens < 1 || l.Bytes < 0 || l.Bytes > int64(len(before)+len(text))) {
			t.Errorf("%+v of %d bytes", l, len(text))
		}
		var r nightshift.Response
		_ = format.Decode(&r, root)
		s := format.NewStream(formats.StreamOptions{})
		_, _ = s.Event([]byte(body))
		_, _ = s.End()
	})
}
