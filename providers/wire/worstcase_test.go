package wire_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/formats"
	"nightshift/providers/limits"
	"nightshift/providers/simulator"
	"nightshift/providers/wire"
)

// A budget holds in every format: no request uses more than its worst case, and
// all of them together no more than the budget. The requests are drawn at
// random and written for Chat; what a format cannot say is left out.
func TestBudgetHoldsInEveryFormat(t *testing.T) {
	for _, f := range formats.All {
		if _, texts := f.(formats.TextsFormat); texts {
			continue
		}
		for _, stream := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, streamed %v", f.Protocol(), stream), func(t *testing.T) {
				t.Parallel()
				boundsWhatIsBilled(t, f, stream)
			})
		}
	}
}

func boundsWhatIsBilled(t *testing.T, f formats.Format, stream bool) {
	const rows, tokens = 300, 60_000
	server := simulator.New(simulator.Config{Seed: 5})
	w := simulated(t, f.Protocol(), server)
	budget := &limits.Budget{Tokens: tokens}
	client := &providers.Client{Endpoint: "e", Budget: budget, Routes: []providers.ClientRoute{{Wire: w}}}
	r := rand.New(rand.NewPCG(11, 7))
	sent, before := 0, int64(0)
	for i := range rows {
		req := nightshift.Request{
			Key: fmt.Sprint(i), Stream: stream, BodyProtocol: nightshift.Chat, Body: drawBody(r),
		}
		p, err := w.Prepare(req)
		if err != nil {
			continue
		}
		_, err = client.Complete(t.Context(), req)
		if errors.Is(err, nightshift.ErrBudget) {
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", p.Body, err)
		}
		sent++
		ledger := server.Ledger()
		used := ledger.Billed.Total() - before
		before = ledger.Billed.Total()
		if worst := providers.WorstInput(p) + p.MaxOutput; used > worst {
			t.Errorf("%d tokens, at worst %d: %s", used, worst, p.Body)
		}
	}
	if billed := server.Ledger().Billed.Total(); billed > tokens || sent < 20 {
		t.Errorf("%d tokens for %d rows, in a budget of %d", billed, sent, tokens)
	}
}

// simulated is a wire to a simulator, in a format.
func simulated(t *testing.T, protocol nightshift.Protocol, server *simulator.Server) *wire.Wire {
	t.Helper()
	w, err := wire.New(wire.Config{
		Endpoint: providers.Endpoint{
			Name: "e", Protocol: protocol, BaseURL: providers.SimulatorURL, IncludeUsage: true,
			Auth: providers.Auth{Scheme: providers.AuthNone},
		},
		Transport: server.Transport(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// drawBody draws a Chat body: with texts of several scripts, with turns, tools,
// several choices and images as they come, and with a cap.
func drawBody(r *rand.Rand) json.RawMessage {
	body := map[string]any{"model": "sim-large", "max_tokens": 16 + r.IntN(200)}
	some := func(n int) bool { return r.IntN(n) == 0 }
	var messages []any
	plain := some(3) // one text and nothing else, which every format can say
	if !plain && some(2) {
		messages = append(messages, map[string]any{"role": "system", "content": drawText(r)})
	}
	for turn := range r.IntN(4) {
		if !plain {
			role := []string{"user", "assistant"}[turn%2]
			messages = append(messages, map[string]any{"role": role, "content": drawText(r)})
			if role == "user" {
				messages = append(messages, map[string]any{"role": "assistant", "content": drawText(r)})
			}
		}
	}
	messages = append(messages, map[string]any{"role": "user", "content": drawText(r)})
	body["messages"] = messages
	if !plain && some(3) {
		body["tools"] = []any{map[string]any{"type": "function", "function": map[string]any{
			"name": "look", "description": drawText(r), "parameters": map[string]any{
				"type": "object", "properties": map[string]any{"place": map[string]any{"type": "string"}},
			},
		}}}
	}
	if some(3) {
		body["n"] = 1 + r.IntN(4)
	}
	raw, _ := json.Marshal(body)
	return raw
}

func drawText(r *rand.Rand) string {
	words := []string{"harbour", "night", "日本語の文", "Ελληνικά", "🚢🚢", "x", "0123456789", "{\"role\":1}", "\n\t", "naïve"}
	var b strings.Builder
	for range 1 + r.IntN(40) {
		b.WriteString(words[r.IntN(len(words))] + " ")
	}
	return b.String()
}
