package simulator

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nightshift/providers/simulator/internal/jsontext"
	"nightshift/providers/simulator/testdata/simtest"
)

const responsesPath = "/v1/responses"

// A response is an answer in the Responses format as a client reads it.
type response struct {
	ID, Status string
	Error      *struct{ Code, Message string }
	Incomplete *struct{ Reason string } `json:"incomplete_details"`
	Output     []struct {
		Type, ID, Name, Arguments string
		CallID                    string `json:"call_id"`
		Content                   []struct{ Type, Text, Refusal string }
		Summary                   []struct{ Text string }
		Sealed                    string `json:"encrypted_content"`
	}
	Usage *struct {
		Input         int64 `json:"input_tokens"`
		Output        int64 `json:"output_tokens"`
		Total         int64 `json:"total_tokens"`
		OutputDetails struct {
			Reasoning int64 `json:"reasoning_tokens"`
		} `json:"output_tokens_details"`
	}
}

func (r response) text() (text string) {
	for _, it := range r.Output {
		for _, p := range it.Content {
			text += p.Text + p.Refusal
		}
	}
	return text
}

// kinds are the types of the items.
func (r response) kinds() string {
	var kinds []string
	for _, it := range r.Output {
		kinds = append(kinds, it.Type)
	}
	return strings.Join(kinds, " ")
}

func askResponse(question, more string) string {
	return fmt.Sprintf(`{"model":"sim-large",%s"input":%s}`, more, jsontext.Quote(question))
}

func readResponse(t *testing.T, g got) (r response) {
	t.Helper()
	if err := json.Unmarshal([]byte(g.body), &r); err != nil || g.err != nil {
		t.Fatalf("%s: %v, %v", g.body, err, g.err)
	}
	return r
}

// readEvents checks the frame of a stream and returns its last response and
// the text of its deltas.
func readEvents(t *testing.T, body string) (last response, text string) {
	t.Helper()
	for i, block := range strings.Split(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		name, data, _ := strings.Cut(block, "\n")
		var ev struct {
			Type     string
			Number   int `json:"sequence_number"`
			Delta    string
			Response *response
		}
		if err := json.Unmarshal([]byte(strings.TrimPrefix(data, "data: ")), &ev); err != nil {
			t.Fatalf("%s: %v", block, err)
		}
		if name != "event: "+ev.Type || ev.Number != i {
			t.Errorf("event %d: %s, type %s, number %d", i, name, ev.Type, ev.Number)
		}
		if ev.Type == "response.output_text.delta" {
			text += ev.Delta
		}
		if ev.Response != nil {
			last = *ev.Response
		}
	}
	return last, text
}

// Whole and streamed, an answer is the same, and the ledger has its tokens.
func TestResponses(t *testing.T) {
	everyWay(t, Config{}, func(t *testing.T, c *caller) {
		const question = "Describe a harbour at night."
		g := c.post(responsesPath, askResponse(question, `"instructions":"Be brief.","max_output_tokens":300,`))
		whole := readResponse(t, g)
		last, text := readEvents(t,
			c.post(responsesPath,
				askResponse(question, `"instructions":"Be brief.","max_output_tokens":300,"stream":true,`)).body)
		if whole.Status != "completed" || whole.text() == "" || whole.text() != last.text() || text != last.text() ||
			whole.kinds() != "message" {
			t.Errorf("%+v\n%+v", whole, last)
		}
		l := c.Prompts()
		if want := l.Billed.InputTotal(); whole.Usage.Input+last.Usage.Input != want ||
			whole.Usage.Output+last.Usage.Output != l.Billed.Output {
			t.Errorf("usage %+v and %+v, ledger %+v", whole.Usage, last.Usage, l.Billed)
		}
		if n := l.Prompts[simtest.Key("sim-large", "Be brief.", question)]; n.Delivered != 2 {
			t.Errorf("%+v", l.Prompts)
		}
	})
}

func TestResponsesOfEveryKind(t *testing.T) {
	tools := `"tools":[{"type":"function","name":"weather","parameters":{"type":"object",` +
		`"properties":{"city":{"type":"string"}},"required":["city"]}}],`
	for _, tc := range []struct {
		name, more, fault string
		kinds, status     string
		reason            string
	}{
		{"a tool", tools + `"tool_choice":{"type":"function","name":"weather"},`, "", "function_call", "completed", ""},
		{"reasoning", `"reasoning":{"effort":"low","summary":"auto"},"include":["reasoning.encrypted_content"],`, "",
			"reasoning message", "completed", ""},
		{"cut", `"max_output_tokens":16,`, "", "message", "incomplete", "max_output_tokens"},
		{"a refusal", "", "refusal", "message", "completed", ""},
		{"filtered", "", "content_filter", "message", "incomplete", "content_filter"},
		{"a reason nobody knows", "", "unknown_stop", "message", "incomplete", "galactic_alignment"},
		{"nothing", "", "null_content", "", "completed", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := Config{}
			if tc.fault != "" {
				cfg.Faults = []Fault{{Kind: tc.fault, Share: 1}}
			}
			c := inProcess(cfg)
			question := "Tell me at length about the weather in Oslo and about harbours, ships, and the sea at night."
			whole := readResponse(t, c.post(responsesPath, askResponse(question, tc.more)))
			last, _ := readEvents(t, c.post(responsesPath, askResponse(question, tc.more+`"stream":true,`)).body)
			for _, r := range []response{whole, last} {
				reason := ""
				if r.Incomplete != nil {
					reason = r.Incomplete.Reason
				}
				if r.kinds() != tc.kinds || r.Status != tc.status || reason != tc.reason {
					t.Errorf("%s %s %s, want %s %s %s", r.kinds(), r.Status, reason, tc.kinds, tc.status, tc.reason)
				}
			}
			if tc.name == "reasoning" &&
				(whole.Output[0].Sealed == "" || len(whole.Output[0].Summary) == 0 || whole.Usage.OutputDetails.Reasoning == 0) {
				t.Errorf("%+v", whole)
			}
		})
	}
}

func TestResponsesRefused(t *testing.T) {
	c := inProcess(Config{})
	for _, tc := range []struct{ body, want string }{
		{askResponse("a", `"stop":"x",`), "Unknown parameter: 'stop'"},
		{askResponse("a", `"max_output_tokens":15,`), "integer_below_min_value"},
		{askResponse("a", `"previous_response_id":"resp_x",`), "previous_response_not_found"},
		{askResponse("a", `"background":true,"store":false,`), "store"},
		{`{"model":"m"}`, "Missing required parameter: 'input'"},
		{`{"model":"m","input":[{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}]}`,
			"No tool output found"},
		{`{"model":"m","input":[{"role":"user","content":"a"},{"type":"reasoning","id":"rs"}]}`, "required following item"},
		{`{"model":"m","input":[{"type":"hologram"}]}`, "hologram"},
		{`{"model":"m","input":[{"role":"user","content":[{"type":"text","text":"a"}]}]}`, "Invalid value: 'text'"},
	} {
		if g := c.post(responsesPath, tc.body); g.status != 400 || !strings.Contains(g.body, tc.want) {
			t.Errorf("%s: %d %s, want 400 with %q", tc.body, g.status, g.body, tc.want)
		}
	}
}

// An answer of the background is queued, made and there; it is billed once,
// and in part when it is cancelled.
func TestBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(
			Config{Latency: Latency{FirstToken: 10 * time.Second, Queue: 5 * time.Second, PerToken: time.Millisecond}})
		first := readResponse(t, c.post(responsesPath, askResponse("Describe a harbour.", `"background":true,`)))
		if first.Status != "queued" || first.Usage != nil || len(first.Output) > 0 {
			t.Fatalf("%+v", first)
		}
		for _, want := range []string{"in_progress", "completed", "completed"} {
			time.Sleep(8 * time.Second)
			r := readResponse(t, c.get(t, responsesPath+"/"+first.ID))
			if r.Status != want || (r.Usage != nil) != (want == "completed") {
				t.Errorf("%+v, want %s", r, want)
			}
		}
		l := c.Ledger()
		if l.Received != 1 || l.Answered != 1 || l.Polls != 3 || l.Billed.Output == 0 {
			t.Errorf("%+v", l)
		}
		second := readResponse(t, c.post(responsesPath, askResponse("Describe a town.", `"background":true,`)))
		time.Sleep(10 * time.Second)
		if r := readResponse(t, c.post(responsesPath+"/"+second.ID+"/cancel", "")); r.Status != "cancelled" {
			t.Errorf("%+v", r)
		}
		if m := c.Ledger(); m.Cancelled != 1 || m.Billed.Output >= 2*l.Billed.Output ||
			m.Billed.Output == l.Billed.Output || m.Delivered != 1 {
			t.Errorf("%+v", m)
		}
		if g := c.get(t, responsesPath+"/resp_unknown"); g.status != 404 {
			t.Errorf("%d %s", g.status, g.body)
		}
	})
}
