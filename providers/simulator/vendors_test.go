package simulator

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

func (c *caller) get(t *testing.T, path string, headers ...string) got {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, c.base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return got{resp.StatusCode, resp.Header, string(b), err}
}

// Models have the fields that both vendors' libraries require.
func TestModels(t *testing.T) {
	type model struct {
		ID, Type, Object, OwnedBy string
		DisplayName               string `json:"display_name"`
		CreatedAt                 string `json:"created_at"`
		Created                   int64
	}
	whole := func(m model, id string) bool {
		return m.ID == id && m.Type == "model" && m.Object == "model" && m.DisplayName != "" && m.Created > 0 &&
			strings.HasSuffix(m.CreatedAt, "Z")
	}
	c := inProcess(Config{OnlyModels: true, Models: map[string]Model{"org/one": {}}})
	var list struct {
		Data []model
		Last string `json:"last_id"`
	}
	decode(t, c.get(t, "/v1/models").body, &list)
	if len(list.Data) == 0 || list.Last != list.Data[len(list.Data)-1].ID {
		t.Errorf("list %+v", list)
	}
	for _, m := range list.Data {
		var one model
		decode(t, c.get(t, "/v1/models/"+m.ID).body, &one)
		if !whole(m, m.ID) || one != m {
			t.Errorf("%+v in the list, %+v alone", m, one)
		}
	}
	if g := c.get(t, "/v1/models/nope"); g.status != 404 || !strings.Contains(g.body, `"model_not_found"`) {
		t.Errorf("an unknown model: %d %s", g.status, g.body)
	}
	if g := inProcess(Config{}).get(t, "/v1/models/any"); g.status != 200 {
		t.Errorf("a server that answers as any model: %d %s", g.status, g.body)
	}
}

func TestErrorsHaveRequestIDs(t *testing.T) {
	c := inProcess(Config{})
	seen := map[string]bool{}
	for _, g := range []got{
		c.get(t, "/v1/nothing", "Anthropic-Version", "2023-06-01"),
		c.post("/v1/nothing", "{}", "Anthropic-Version", "2023-06-01"),
		c.post("/v1/messages/count_tokens", `{"model":"m"}`),
	} {
		var e struct {
			RequestID string `json:"request_id"`
		}
		decode(t, g.body, &e)
		if !strings.HasPrefix(e.RequestID, "req_") || g.header.Get("Request-Id") != e.RequestID || seen[e.RequestID] {
			t.Errorf("%d %s, header %q", g.status, g.body, g.header.Get("Request-Id"))
		}
		seen[e.RequestID] = true
	}
}

type logprobs struct {
	Content []struct {
		Token   string
		Logprob float64
		Top     []struct {
			Token   string
			Logprob float64
		} `json:"top_logprobs"`
	}
}

// A stream has the same log probabilities as the whole answer, each in the
// chunk of its text.
func TestLogprobsInStreams(t *testing.T) {
	c := inProcess(Config{})
	const ask = `"logprobs":true,"top_logprobs":2,`
	var whole struct {
		Choices []struct {
			Message  struct{ Content string }
			Logprobs logprobs
		}
	}
	decode(t, c.post(chatPath, simple("m", "Tell me about rain.", ask)).body, &whole)
	var streamed logprobs
	for line := range strings.Lines(c.post(chatPath, simple("m", "Tell me about rain.", ask+`"stream":true,`)).body) {
		data, ok := strings.CutPrefix(strings.TrimSpace(line), "data: {")
		if !ok {
			continue
		}
		var chunk struct {
			Choices []struct {
				Delta    struct{ Content string }
				Logprobs *logprobs
			}
		}
		decode(t, "{"+data, &chunk)
		for _, ch := range chunk.Choices {
			text := ""
			if ch.Logprobs != nil {
				for _, token := range ch.Logprobs.Content {
					text += token.Token
				}
				streamed.Content = append(streamed.Content, ch.Logprobs.Content...)
			}
			if text != ch.Delta.Content {
				t.Fatalf("chunk %q has log probabilities of %q", ch.Delta.Content, text)
			}
		}
	}
	a, _ := json.Marshal(whole.Choices[0].Logprobs)
	b, _ := json.Marshal(streamed)
	if string(a) != string(b) || len(streamed.Content) == 0 {
		t.Errorf("whole %s\nstreamed %s", a, b)
	}
	for _, token := range streamed.Content {
		if len(token.Top) != 2 || token.Top[0].Token != token.Token || token.Top[0].Logprob != token.Logprob ||
			token.Top[1].Logprob >= token.Logprob {
			t.Fatalf("alternatives of %q: %v", token.Token, token.Top)
		}
	}
	for extra, want := range map[string]string{`"top_logprobs":2,`: "only allowed when",
		`"logprobs":true,"top_logprobs":21,`: "between 0 and 20"} {
		if g := c.post(chatPath, simple("m", "Hi", extra)); g.status != 400 || !strings.Contains(g.body, want) {
			t.Errorf("%s: %d %s", extra, g.status, g.body)
		}
	}
}

func TestCustomTools(t *testing.T) {
	c := inProcess(Config{})
	const tools = `"tools":[{"type":"custom","custom":{"name":"run_code","description":"Runs code"}}],` +
		`"tool_choice":{"type":"custom","custom":{"name":"run_code"}},`
	type call struct {
		ID, Type string
		Custom   struct{ Name, Input string }
	}
	var whole struct {
		Choices []struct {
			Message struct {
				Calls []call `json:"tool_calls"`
			}
		}
	}
	decode(t, c.post(chatPath, simple("m", "Print 1", tools)).body, &whole)
	calls := whole.Choices[0].Message.Calls
	if len(calls) != 1 || calls[0].Type != "custom" || calls[0].Custom.Name != "run_code" ||
		calls[0].Custom.Input != "Print 1" || calls[0].ID == "" {
		t.Fatalf("%+v", calls)
	}
	input := ""
	for line := range strings.Lines(c.post(chatPath, simple("m", "Print 1", tools+`"stream":true,`)).body) {
		data, ok := strings.CutPrefix(strings.TrimSpace(line), "data: {")
		if !ok {
			continue
		}
		var chunk struct {
			Choices []struct {
				Delta struct {
					Calls []call `json:"tool_calls"`
				}
			}
		}
		decode(t, "{"+data, &chunk)
		for _, ch := range chunk.Choices {
			for _, piece := range ch.Delta.Calls {
				input += piece.Custom.Input
			}
		}
	}
	if input != "Print 1" {
		t.Errorf("streamed input %q", input)
	}
}

func TestSearchResults(t *testing.T) {
	c := inProcess(Config{})
	body := func(block string) string {
		return `{"model":"m","max_tokens":50,"messages":[{"role":"user","content":[` + block + `{"type":"text",` +
			`"text":"What does it say?"}]}]}`
	}
	const result = `{"type":"search_result","source":"https://a.test/x","title":"Weather",` +
		`"content":[{"type":"text","text":"It will rain in Lisbon tomorrow."}],"citations":{"enabled":true}},`
	with := parse(t, messagesPath, c.post(messagesPath, body(result)))
	without := parse(t, messagesPath, c.post(messagesPath, body("")))
	if with.in("input_tokens") < without.in("input_tokens")+8 {
		t.Errorf("%d input tokens with a search result, %d without", with.in("input_tokens"), without.in("input_tokens"))
	}
}
