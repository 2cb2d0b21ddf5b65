package simulator

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"nightshift/providers/simulator/internal/answers"
	"nightshift/providers/simulator/internal/jsontext"
)

const completionsPath = "/v1/completions"

// A completionAnswer is what a client reads of a whole answer.
type completionAnswer struct {
	Object  string
	Choices []struct {
		Text         *string
		Index        int
		FinishReason string `json:"finish_reason"`
		Logprobs     *struct {
			Tokens  []string
			Values  []*float64 `json:"token_logprobs"`
			Offsets []int      `json:"text_offset"`
		}
		PromptLogprobs []map[string]struct {
			Logprob float64
			Token   string `json:"decoded_token"`
		} `json:"prompt_logprobs"`
	}
	Usage struct {
		Prompt     int64 `json:"prompt_tokens"`
		Completion int64 `json:"completion_tokens"`
	}
}

func complete(t *testing.T, c *caller, body string) (a completionAnswer) {
	t.Helper()
	got := c.post(completionsPath, body)
	if got.status != 200 || json.Unmarshal([]byte(got.body), &a) != nil {
		t.Fatalf("%d %s", got.status, got.body)
	}
	return a
}

func TestCompletionCaps(t *testing.T) {
	for _, tc := range []struct {
		name, body        string
		prompt, completed int64
		choices           int
	}{
		{"sixteen unless it is said otherwise", `{"model":"m","prompt":"Tell me of lighthouses"}`, 4 + 2, 16, 1},
		{"said otherwise", `{"model":"m","prompt":"Tell me of lighthouses","max_tokens":5}`, 6, 5, 1},
		{"best_of is billed in full",
			`{"model":"m","prompt":"Tell me of lighthouses","max_tokens":5,"n":2,"best_of":3}`, 6, 15, 2},
		{"several prompts", `{"model":"m","prompt":["Tell me of lighthouses","Tell me of ships"],"max_tokens":5,"n":2}`,
			6 + 4, 20, 4},
		{"nothing but the prompt",
			`{"model":"m","prompt":"Tell me of lighthouses","max_tokens":0,"echo":true,"logprobs":1}`, 6, 0, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := inProcess(Config{})
			a := complete(t, c, tc.body)
			if a.Object != "text_completion" || a.Usage.Prompt != tc.prompt || a.Usage.Completion != tc.completed ||
				len(a.Choices) != tc.choices {
				t.Errorf("%+v", a)
			}
			if l := c.Ledger(); l.DeliveredTokens.Output != tc.completed || l.DeliveredTokens.InputTotal() != tc.prompt {
				t.Errorf("the ledger has %+v", l.DeliveredTokens)
			}
			for i, choice := range a.Choices {
				if choice.Index != i || choice.FinishReason != "length" {
					t.Errorf("choice %d: %+v", i, choice)
				}
			}
		})
	}
}

// The log-probabilities of a prompt are those that a test can compute.
func TestCompletionLogprobs(t *testing.T) {
	const prompt = "Question: how tall?\nAnswer: 10 m"
	a := complete(t, inProcess(Config{}),
		`{"model":"m","prompt":`+jsontext.Quote(prompt)+`,"max_tokens":0,"echo":true,"logprobs":1}`)
	choice, want := a.Choices[0], answers.Model{Name: "m"}.Logprobs(prompt)
	if *choice.Text != prompt || strings.Join(choice.Logprobs.Tokens, "") != prompt ||
		len(want) != len(choice.Logprobs.Values) {
		t.Fatalf("%q in tokens %q", *choice.Text, choice.Logprobs.Tokens)
	}
	for i, p := range choice.Logprobs.Values {
		if (p == nil) != (i == 0) || p != nil && math.Abs(*p-want[i].Logprob) > 1e-9 ||
			choice.Logprobs.Offsets[i] != want[i].At {
			t.Errorf("token %d %q: %v at %d, want %v", i, choice.Logprobs.Tokens[i], p, choice.Logprobs.Offsets[i], want[i])
		}
	}
	a = complete(t, inProcess(Config{}),
		`{"model":"m","prompt":`+jsontext.Quote(prompt)+`,"max_tokens":1,"prompt_logprobs":0}`)
	for i, candidates := range a.Choices[0].PromptLogprobs {
		for _, c := range candidates {
			if c.Token != want[i].Text || math.Abs(c.Logprob-want[i].Logprob) > 1e-9 {
				t.Errorf("prompt_logprobs, token %d: %+v, want %v", i, c, want[i])
			}
		}
	}
	none := inProcess(Config{Models: map[string]Model{"m": {NoPromptLogprobs: true}}})
	a = complete(t, none, `{"model":"m","prompt":`+jsontext.Quote(prompt)+`,"max_tokens":1,"echo":true,"logprobs":1}`)
	if n := len(a.Choices[0].Logprobs.Values); n != 1 {
		t.Errorf("%d log-probabilities of a model that gives none of the prompt, want that of its answer", n)
	}
}

// A model that knows the answer takes it for likelier than other texts.
func TestCompletionKnowsAnswers(t *testing.T) {
	file, err := answers.Read(strings.NewReader(`{"prompt":"The capital of France is","target":"Paris"}`), "x")
	if err != nil {
		t.Fatal(err)
	}
	skill := 1.0
	last := func(m answers.Model) float64 {
		tokens := m.Logprobs("The capital of France is Paris")
		return tokens[len(tokens)-1].Logprob
	}
	known, unknown := last(answers.Model{Name: "m", Skill: &skill, Known: file}), last(answers.Model{Name: "m"})
	if math.Abs(known-unknown/8) > 1e-6 {
		t.Errorf("known %v, unknown %v, want an eighth of that", known, unknown)
	}
}

// A stream says what a whole answer says.
func TestCompletionStream(t *testing.T) {
	const ask = `"model":"m","prompt":"Tell me of lighthouses","max_tokens":40,"echo":true,"logprobs":1`
	c := inProcess(Config{})
	whole := complete(t, c, "{"+ask+"}")
	streamed := c.post(completionsPath, "{"+ask+`,"stream":true,"stream_options":{"include_usage":true}}`)
	var text, finish string
	var tokens []string
	var usage int64
	events := strings.Split(strings.TrimSpace(streamed.body), "\n\n")
	for _, event := range events[:len(events)-1] {
		var chunk completionAnswer
		if err := json.Unmarshal([]byte(strings.TrimPrefix(event, "data: ")), &chunk); err != nil {
			t.Fatal(err)
		}
		for _, choice := range chunk.Choices {
			text += *choice.Text
			finish += choice.FinishReason
			if choice.Logprobs != nil {
				tokens = append(tokens, choice.Logprobs.Tokens...)
			}
		}
		usage += chunk.Usage.Completion
	}
	if events[len(events)-1] != "data: [DONE]" || text != *whole.Choices[0].Text ||
		finish != whole.Choices[0].FinishReason || usage != whole.Usage.Completion {
		t.Errorf("%q (%s, %d tokens), whole %q (%s)", text, finish, usage, *whole.Choices[0].Text,
			whole.Choices[0].FinishReason)
	}
	if !slices.Equal(tokens, whole.Choices[0].Logprobs.Tokens) {
		t.Errorf("tokens %q, whole %q", tokens, whole.Choices[0].Logprobs.Tokens)
	}
}

func TestCompletionRefusals(t *testing.T) {
	c := inProcess(Config{})
	for body, param := range map[string]string{
		`{"model":"m"}`:  "prompt",
		`{"prompt":"x"}`: "model",
		`{"model":"m","prompt":"x","max_tokens":0}`:               "max_tokens",
		`{"model":"m","prompt":"x","logprobs":9}`:                 "logprobs",
		`{"model":"m","prompt":"x","n":3,"best_of":2}`:            "best_of",
		`{"model":"m","prompt":"x","best_of":2,"stream":true}`:    "best_of",
		`{"model":"m","prompt":[1,2]}`:                            "prompt",
		`{"model":"m","prompt":"x","stop":["a","b","c","d","e"]}`: "stop",
	} {
		got := c.post(completionsPath, body)
		var e struct{ Error struct{ Type, Param string } }
		if err := json.Unmarshal([]byte(got.body), &e); err != nil || got.status != 400 || e.Error.Param != param {
			t.Errorf("%s: %d %s, want 400 for %s", body, got.status, got.body, param)
		}
	}
}
