package simulator

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"nightshift/providers/simulator/internal/answers"
	"nightshift/providers/simulator/internal/jsontext"
	"nightshift/providers/simulator/internal/ledger"
	"nightshift/providers/simulator/testdata/simtest"
)

// shapes are the ways to ask for the same thing.
var shapes = []struct{ path, extra string }{
	{messagesPath, ""}, {messagesPath, `"stream":true,`},
	{chatPath, ""}, {chatPath, `"stream":true,"stream_options":{"include_usage":true},`},
	{envelopePath, ""}, {envelopePath, `"stream":true,`},
	{"/anthropic/v1/messages", ""}, {"/openai/v1/chat/completions", ""}, {"/chat/completions", ""},
	{"/api/paas/v4/chat/completions", ""},
}

var sure = 1.0

func TestAnswersInEveryShape(t *testing.T) {
	cfg := Config{Answers: knows(t, "What is 17 + 25?", "42"), Models: map[string]Model{"sage": {Skill: &sure}}}
	everyWay(t, cfg, func(t *testing.T, c *caller) {
		texts := map[string]bool{}
		for _, s := range shapes {
			a := parse(t, s.path, c.post(s.path, simple("sage", "What is 17 + 25?\nEnd with 'Answer: <number>'.", s.extra)))
			texts[a.Text] = true
			if !strings.HasSuffix(a.Text, "Answer: 42") {
				t.Errorf("%s %s: text %q", s.path, s.extra, a.Text)
			}
			if !a.Finished || a.Model != "sage" || a.ID == "" {
				t.Errorf("%s %s: finished %v, model %q, id %q", s.path, s.extra, a.Finished, a.Model, a.ID)
			}
			want := map[bool]string{true: "end_turn", false: "stop"}[strings.HasSuffix(s.path, "/messages")]
			if s.path == envelopePath {
				want = ""
			}
			if a.Stop != want {
				t.Errorf("%s %s: stop %q, want %q", s.path, s.extra, a.Stop, want)
			}
			if (a.Usage != nil) != (s.path != envelopePath) {
				t.Errorf("%s %s: usage %v", s.path, s.extra, a.Usage)
			}
		}
		if len(texts) != 1 {
			t.Errorf("the shapes differ: %v", texts)
		}
		l := c.Ledger()
		if l.Delivered != int64(len(shapes)) || l.Billed != l.DeliveredTokens {
			t.Errorf("ledger: %+v", l)
		}
	})
}

func TestUsageIsCounted(t *testing.T) {
	c := inProcess(Config{})
	m := parse(t, messagesPath, c.post(messagesPath, simple("sim-large", "What is 17 + 25?", `"stream":true,`)))
	h := parse(t, chatPath, c.post(chatPath, simple("sim-large", "What is 17 + 25?", "")))
	l := c.Ledger()
	if in := m.in("input_tokens") + h.in("prompt_tokens"); in != l.Billed.Input || in == 0 {
		t.Errorf("input %d, ledger %d", in, l.Billed.Input)
	}
	if out := m.in("output_tokens") + h.in("completion_tokens"); out != l.Billed.Output || out == 0 {
		t.Errorf("output %d, ledger %d", out, l.Billed.Output)
	}
	if h.in("total_tokens") != h.in("prompt_tokens")+h.in("completion_tokens") {
		t.Errorf("total: %v", h.Usage)
	}
}

func TestMaxTokensTruncates(t *testing.T) {
	c := inProcess(Config{})
	body := `{"model":"m",%s"max_tokens":5,"messages":[{"role":"user","content":"Write an essay about volcanoes ` +
		`and glaciers."}]}`
	for _, s := range shapes[:4] {
		a := parse(t, s.path, c.post(s.path, strings.Replace(body, "%s", s.extra, 1)))
		stop := map[string]string{messagesPath: "max_tokens", chatPath: "length"}[s.path]
		out := max(a.in("output_tokens"), a.in("completion_tokens"))
		if a.Stop != stop || out != 5 || answers.CountTokens(a.Text) != 5 {
			t.Errorf("%s: stop %q, %d tokens, text %q", s.path, a.Stop, out, a.Text)
		}
	}
}

func TestStopSequences(t *testing.T) {
	c := inProcess(Config{Answers: knows(t, "What is 17 + 25?", "42"), Models: map[string]Model{"sage": {Skill: &sure}}})
	prompt := "What is 17 + 25? Answer with one word."
	a := parse(t, messagesPath, c.post(messagesPath, simple("sage", prompt, `"stop_sequences":["x","2"],`)))
	if a.Text != "4" || a.Stop != "stop_sequence" || a.StopSequence != "2" {
		t.Errorf("text %q, stop %q %q", a.Text, a.Stop, a.StopSequence)
	}
	a = parse(t, chatPath, c.post(chatPath, simple("sage", prompt, `"stop":"2",`)))
	if a.Text != "4" || a.Stop != "stop" {
		t.Errorf("text %q, stop %q", a.Text, a.Stop)
	}
}

func TestToolsAreCalled(t *testing.T) {
	c := inProcess(Config{})
	schema := `{"type":"object","properties":{"location":{"type":"string"},"unit":{"type":"string",` +
		`"enum":["celsius","fahrenheit"]}},"required":["location","unit"]}`
	m := `"tools":[{"name":"get_weather","description":"Weather","input_schema":` + schema + `}],`
	h := `"tools":[{"type":"function","function":{"name":"get_weather","parameters":` + schema + `}}],`
	prompt := "What is the weather in Lisbon, in celsius?"
	for _, tc := range []struct{ path, extra, stop string }{
		{messagesPath, m, "tool_use"},
		{messagesPath, m + `"stream":true,`, "tool_use"},
		{messagesPath, m + `"tool_choice":{"type":"tool","name":"get_weather"},`, "tool_use"},
		{chatPath, h, "tool_calls"},
		{chatPath, h + `"stream":true,`, "tool_calls"},
		{chatPath, h + `"tool_choice":"required",`, "tool_calls"},
		{chatPath, h + `"tool_choice":{"type":"function","function":{"name":"get_weather"}},`, "stop"},
	} {
		a := parse(t, tc.path, c.post(tc.path, simple("m", prompt, tc.extra)))
		if a.Stop != tc.stop || len(a.Calls) != 1 {
			t.Fatalf("%s %s: stop %q, calls %v", tc.path, tc.extra, a.Stop, a.Calls)
		}
		call := a.Calls[0]
		if call.Name != "get_weather" || call.ID == "" || call.Arguments != `{"location":"Lisbon","unit":"celsius"}` {
			t.Errorf("%s %s: call %+v", tc.path, tc.extra, call)
		}
	}
	if a := parse(t, chatPath, c.post(chatPath, simple("m", prompt, h+`"tool_choice":"none",`))); len(a.Calls) > 0 ||
		a.Text == "" {
		t.Errorf("none: calls %v, text %q", a.Calls, a.Text)
	}
	after := `{"model":"m","max_tokens":99,` + m + `"messages":[{"role":"user","content":"Weather in Lisbon?"},` +
		`{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"get_weather","input":{}}]},` +
		`{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"19 degrees"}]}]}`
	if a := parse(t, messagesPath, c.post(messagesPath, after)); !strings.Contains(a.Text, "19 degrees") ||
		a.Stop != "end_turn" {
		t.Errorf("after the result: %q, stop %q", a.Text, a.Stop)
	}
}

func TestThinking(t *testing.T) {
	c := inProcess(Config{Models: map[string]Model{"thinker": {Reasoning: 70}}})
	for _, stream := range []string{"", `"stream":true,`} {
		a := parse(t, messagesPath,
			c.post(messagesPath,
				`{"model":"m",`+stream+`"max_tokens":3000,"thinking":{"type":"enabled","budget_tokens":1024},`+
					`"messages":[{"role":"user","content":"What is 2 + 2?"}]}`))
		if n := a.in("output_tokens_details", "thinking_tokens"); a.Thinking == "" ||
			n != int64(answers.CountTokens(a.Thinking)) || a.Text == "" {
			t.Errorf("thinking %q (%d), text %q", a.Thinking, n, a.Text)
		}
	}
	a := parse(t, chatPath, c.post(chatPath, simple("thinker", "What is 2 + 2?", "")))
	if n := a.in("completion_tokens_details", "reasoning_tokens"); n != 70 || a.Thinking != "" ||
		a.in("completion_tokens") != 70+int64(answers.CountTokens(a.Text)) {
		t.Errorf("hidden reasoning: %v, %q", a.Usage, a.Text)
	}
	a = parse(t, chatPath, c.post(chatPath, simple("m", "What is 2 + 2?", `"thinking":{"type":"enabled"},`)))
	if a.Thinking == "" {
		t.Error("the thinking extension shows no reasoning_content")
	}
	a = parse(t, chatPath,
		c.post(chatPath, `{"model":"thinker","max_tokens":50,"messages":[{"role":"user","content":"What is 2 + 2?"}]}`))
	if a.Text != "" || a.Stop != "length" || a.in("completion_tokens") != 50 {
		t.Errorf("reasoning that uses everything up: %q, stop %q, %v", a.Text, a.Stop, a.Usage)
	}
}

func TestSeveralChoices(t *testing.T) {
	c := inProcess(Config{})
	for _, stream := range []string{"", `"stream":true,"stream_options":{"include_usage":true},`} {
		a := parse(t, chatPath, c.post(chatPath, simple("m", "Tell a story about a lighthouse.", `"n":3,`+stream)))
		sum := 0
		for _, text := range a.Choices {
			sum += answers.CountTokens(text)
		}
		if len(a.Choices) != 3 || a.Choices[0] == a.Choices[1] || a.in("completion_tokens") != int64(sum) {
			t.Errorf("choices %q, usage %v", a.Choices, a.Usage)
		}
	}
}

func TestJSONModes(t *testing.T) {
	c := inProcess(Config{Answers: knows(t, "What is 17 + 25?", "42"), Models: map[string]Model{"sage": {Skill: &sure}}})
	schema := `{"type":"object","properties":{"answer":{"type":"integer"},"sure":{"type":"boolean"}},` +
		`"required":["answer","sure"]}`
	for _, tc := range []struct{ path, extra, want string }{
		{chatPath, `"response_format":{"type":"json_object"},`, `{"answer":42}`},
		{chatPath, `"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":` + schema + `}},`,
			`{"answer":42,"sure":true}`},
		{messagesPath, `"output_config":{"format":{"type":"json_schema","schema":` + schema + `}},`,
			`{"answer":42,"sure":true}`},
	} {
		if a := parse(t, tc.path, c.post(tc.path, simple("sage", "What is 17 + 25?", tc.extra))); a.Text != tc.want {
			t.Errorf("%s: %q, want %q", tc.path, a.Text, tc.want)
		}
	}
}

// pixel is a PNG of one pixel.
const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

func TestImagesCost(t *testing.T) {
	c := inProcess(Config{})
	plain := parse(t, messagesPath,
		c.post(messagesPath,
			`{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"What is this?"}]}]}`))
	image := parse(t, messagesPath,
		c.post(messagesPath,
			`{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"What is `+
				`this?"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"`+pixel+`"}}]}]}`))
	if image.in("input_tokens") != plain.in("input_tokens")+1 {
		t.Errorf("an image of one pixel: %d, without it %d", image.in("input_tokens"), plain.in("input_tokens"))
	}
	tile := parse(t, chatPath,
		c.post(chatPath,
			`{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"What is this?"},`+
				`{"type":"image_url","image_url":{"url":"data:image/png;base64,`+pixel+`"}}]}]}`))
	if tile.in("prompt_tokens") != plain.in("input_tokens")+255 {
		t.Errorf("one tile: %d, without it %d", tile.in("prompt_tokens"), plain.in("input_tokens"))
	}
	bad := c.post(messagesPath,
		`{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[{"type":"image",`+
			`"source":{"type":"base64","data":"bm90IGFuIGltYWdl"}}]}]}`)
	if bad.status != 400 {
		t.Errorf("not an image: status %d", bad.status)
	}
}

func TestCacheMarks(t *testing.T) {
	c := inProcess(Config{CacheMinimum: 10})
	long := strings.Repeat("The handbook says many things. ", 20)
	body := `{"model":"m","max_tokens":20,"system":[{"type":"text","text":` + jsontext.Quote(long) +
		`,"cache_control":{"type":"ephemeral"%s}}],"messages":[{"role":"user","content":"Hello %d"}]}`
	first := parse(t, messagesPath, c.post(messagesPath, strings.NewReplacer("%s", "", "%d", "1").Replace(body)))
	second := parse(t, messagesPath, c.post(messagesPath, strings.NewReplacer("%s", "", "%d", "2").Replace(body)))
	wrote, read := first.in("cache_creation_input_tokens"), second.in("cache_read_input_tokens")
	if wrote <= 0 || wrote != read || second.in("cache_creation_input_tokens") != 0 ||
		first.in("cache_creation", "ephemeral_5m_input_tokens") != wrote {
		t.Errorf("wrote %v, read %v", first.Usage, second.Usage)
	}
	if first.in("input_tokens")+wrote != second.in("input_tokens")+read {
		t.Errorf("the sums differ: %v, %v", first.Usage, second.Usage)
	}
	hour := parse(t, messagesPath,
		c.post(messagesPath, strings.NewReplacer("%s", `,"ttl":"1h"`, "%d", "1", "handbook", "almanac").Replace(body)))
	if hour.in("cache_creation", "ephemeral_1h_input_tokens") != wrote {
		t.Errorf("one hour: %v", hour.Usage)
	}
	if l := c.Ledger(); l.Billed.CacheRead != read || l.Billed.CacheWrite5m != wrote || l.Billed.CacheWrite1h != wrote {
		t.Errorf("ledger: %+v", l.Billed)
	}
}

func TestErrorsInTheVendorsWords(t *testing.T) {
	cfg := Config{Keys: []string{"good"}, OnlyModels: true,
		Models: map[string]Model{"m": {Context: 100}, "claude-opus-5": {}, "gpt-5": {}}, MaxBody: 4000, Strict: true}
	everyWay(t, cfg, func(t *testing.T, c *caller) {
		for _, tc := range []struct {
			name, path, key, body string
			status                int
			kind, code            string
		}{
			{"bad key", messagesPath, "bad", simple("m", "Hi", ""), 401, "authentication_error", ""},
			{"bad key", chatPath, "bad", simple("m", "Hi", ""), 401, "invalid_request_error", "invalid_api_key"},
			{"no max_tokens", messagesPath, "good", `{"model":"m","messages":[{"role":"user","content":"Hi"}]}`, 400,
				"invalid_request_error", ""},
			{"no messages", chatPath, "good", `{"model":"m"}`, 400, "invalid_request_error", "missing_required_parameter"},
			{"empty messages", chatPath, "good", `{"model":"m","messages":[]}`, 400, "invalid_request_error", "empty_array"},
			{"unknown model", messagesPath, "good", simple("x", "Hi", ""), 404, "not_found_error", ""},
			{"unknown model", chatPath, "good", simple("x", "Hi", ""), 404, "invalid_request_error", "model_not_found"},
			{"no JSON", chatPath, "good", `{"model":`, 400, "invalid_request_error", ""},
			{"unknown role", messagesPath, "good",
				`{"model":"m","max_tokens":9,"messages":[{"role":"robot","content":"Hi"}]}`, 400, "invalid_request_error", ""},
			{"hot", messagesPath, "good", simple("m", "Hi", `"temperature":1.5,`), 400, "invalid_request_error", ""},
			{"too long", messagesPath, "good", simple("m", strings.Repeat("word ", 200), ""), 400, "invalid_request_error", ""},
			{"too long", chatPath, "good", simple("m", strings.Repeat("word ", 200), ""), 400, "invalid_request_error",
				"context_length_exceeded"},
			{"too large", messagesPath, "good", simple("m", strings.Repeat("word ", 2000), ""), 413, "request_too_large", ""},
			{"stream options without stream", chatPath, "good",
				simple("m", "Hi", `"stream_options":{"include_usage":true},`), 400, "invalid_request_error", "invalid_value"},
			{"temperature", messagesPath, "good", simple("claude-opus-5", "Hi", `"temperature":0,`), 400,
				"invalid_request_error", ""},
			{"max_tokens", chatPath, "good", simple("gpt-5", "Hi", ""), 400, "invalid_request_error", "unsupported_parameter"},
			{"budget", messagesPath, "good", simple("m", "Hi", `"thinking":{"type":"enabled","budget_tokens":5},`), 400,
				"invalid_request_error", ""},
		} {
			for _, key := range [][2]string{{"X-Api-Key", tc.key}, {"Authorization", "Bearer " + tc.key},
				{"Authorization", tc.key}, {"Api-Key", tc.key}} {
				g := c.post(tc.path, tc.body, key[0], key[1])
				var e struct {
					Type  string
					Error struct {
						Type, Message string
						Code          *string
					}
				}
				if g.err != nil {
					t.Fatal(g.err)
				}
				decode(t, g.body, &e)
				code := ""
				if e.Error.Code != nil {
					code = *e.Error.Code
				}
				if g.status != tc.status || e.Error.Type != tc.kind || code != tc.code || e.Error.Message == "" ||
					(e.Type == "error") != (tc.path == messagesPath) {
					t.Errorf("%s on %s with %s: %d %s", tc.name, tc.path, key[0], g.status, g.body)
				}
				if strings.Contains(g.body, tc.key) && tc.key == "bad" {
					t.Errorf("%s: the key is told: %s", tc.name, g.body)
				}
			}
		}
		if g := c.post(envelopePath, simple("m", "Hi", ""), "Authorization", "Bearer bad"); g.status != 401 ||
			!strings.Contains(g.body, `"success":false,"code":"401"`) {
			t.Errorf("envelope: %d %s", g.status, g.body)
		}
		if l := c.Ledger(); l.Billed != (ledger.Tokens{}) || l.Answered != 0 || l.Rejected != l.Received {
			t.Errorf("ledger: %+v", l)
		}
	})
}

func TestOtherPaths(t *testing.T) {
	c := inProcess(Config{})
	if g := c.post("/v1/nothing", "{}"); g.status != 404 || !strings.Contains(g.body, "Invalid URL") {
		t.Errorf("unknown path: %d %s", g.status, g.body)
	}
	if g := c.post("//v1/messages", "{}"); g.status != 200 || !strings.HasPrefix(g.body, "<!DOCTYPE") {
		t.Errorf("two slashes: %d %s", g.status, g.body)
	}
	if g := c.post("/v1/messages/count_tokens",
		`{"model":"m","messages":[{"role":"user","content":"one two three"}]}`); g.body != "{\"input_tokens\":6}\n" {
		t.Errorf("count_tokens: %d %s", g.status, g.body)
	}
	c.post(messagesPath, simple("m", "Hi", ""))
	for path, want := range map[string]string{"/healthz": "ok", "/v1/models": `"id":"sim-large"`,
		"/ledger": `"delivered": 1`, "/ledger?prompts=1": simtest.Key("m", "", "Hi")} {
		resp, err := c.client.Get(c.base + path)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 10_000)
		n, _ := resp.Body.Read(b)
		resp.Body.Close()
		if !strings.Contains(string(b[:n]), want) {
			t.Errorf("%s = %s, want %s in it", path, b[:n], want)
		}
	}
	if resp, err := c.client.Do(&http.Request{Method: "DELETE", URL: mustURL(c.base + messagesPath)}); err != nil ||
		resp.StatusCode != 405 {
		t.Errorf("DELETE: %v, %v", resp, err)
	}
}

func TestLogprobs(t *testing.T) {
	c := inProcess(Config{})
	g := c.post(chatPath, simple("m", "What is 2 + 2?", `"logprobs":true,`))
	var m struct {
		Choices []struct {
			Message  struct{ Content string }
			Logprobs struct {
				Content []struct {
					Token   string
					Logprob float64
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(g.body), &m); err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, p := range m.Choices[0].Logprobs.Content {
		text += p.Token
		if p.Logprob > 0 {
			t.Errorf("logprob %v", p.Logprob)
		}
	}
	if text != m.Choices[0].Message.Content {
		t.Errorf("tokens give %q, text is %q", text, m.Choices[0].Message.Content)
	}
}

func TestMultiTurnAndSystem(t *testing.T) {
	c := inProcess(
		Config{Answers: knows(t, "What is the capital of France?", "Paris", "What is the capital of Japan?", "Tokyo"),
			Models: map[string]Model{"sage": {Skill: &sure}}})
	body := `{"model":"sage","max_tokens":99,"system":"Answer with one word.","messages":[{"role":"user",` +
		`"content":"What is the capital of France?"},{"role":"assistant","content":"Paris"},{"role":"user",` +
		`"content":"What is the capital of Japan?"}]}`
	if a := parse(t, messagesPath, c.post(messagesPath, body)); a.Text != "Tokyo" {
		t.Errorf("text %q", a.Text)
	}
	key := simtest.Key("sage", "Answer with one word.", "What is the capital of France?", "Paris",
		"What is the capital of Japan?")
	if n := c.Prompts().Prompts[key]; n.Delivered != 1 || n.Prompt != "What is the capital of Japan?" {
		t.Errorf("counter: %+v", n)
	}
}
