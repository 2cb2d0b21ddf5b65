package stats_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/pricing"
	"nightshift/providers/wire"
)

// A costCase is the bill of one answer: the server's usage object and prices.
type costCase struct {
	Provider   string              `json:"provider"`
	Batch      bool                `json:"batch"`
	Usage      map[string]any      `json:"usage"`
	Prices     map[string]*float64 `json:"price_per_million"`
	Multiplier *float64            `json:"batch_multiplier"`
}

// costUSD bills an answer the way a run does: the usage object is decoded by
// its wire format, and the classes are priced.
func costUSD(in input) (results, error) {
	var c costCase
	if err := json.Unmarshal(in.raw, &c); err != nil {
		return nil, err
	}
	u, err := c.decode()
	if err != nil {
		return nil, err
	}
	if c.Batch {
		u.ServiceTier = "batch"
	}
	r := results{"usd": math.NaN(), "input_tokens": float64(u.Input.N()), "cache_read_tokens": float64(u.CacheRead.N()),
		"cache_write_tokens": float64(u.CacheWrite5m.N() + u.CacheWrite1h.N()), "output_tokens": float64(u.Output.N())}
	price, known, err := c.price()
	if err != nil || !known {
		return r, err
	}
	if cost, ok := pricing.Cost(price, u); ok {
		r["usd"] = cost.Dollars()
	}
	return r, nil
}

func (c costCase) decode() (nightshift.Usage, error) {
	answer := map[string]any{"usage": c.Usage}
	protocol := nightshift.Chat
	switch c.Provider {
	case "anthropic":
		protocol = nightshift.Messages
		answer["type"], answer["role"], answer["stop_reason"] = "message", "assistant", "end_turn"
		answer["content"] = []any{map[string]any{"type": "text", "text": "x"}}
	case "gemini":
		answer["usage"] = geminiAsChat(c.Usage)
		fallthrough
	default:
		answer["choices"] = []any{map[string]any{"finish_reason": "stop",
			"message": map[string]any{"role": "assistant", "content": "x"}}}
	}
	body, err := json.Marshal(answer)
	if err != nil {
		return nightshift.Usage{}, err
	}
	w, err := wire.New(wire.Config{Transport: canned(body), Endpoint: providers.Endpoint{
		Name: "canned", Protocol: protocol, BaseURL: "http://127.0.0.1",
		Auth: providers.Auth{Scheme: providers.AuthNone},
	}})
	if err != nil {
		return nightshift.Usage{}, err
	}
	x := w.Send(context.Background(), providers.Prepared{Body: []byte("{}")})
	if x.Err != nil {
		return nightshift.Usage{}, x.Err
	}
	return x.Response.Usage, nil
}

// canned is a transport that has one answer to everything.
type canned []byte

func (c canned) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(c)),
		Request: req}, nil
}

// geminiAsChat writes Gemini's counts as its Chat Completions endpoint does:
// same numbers, other names.
func geminiAsChat(usage map[string]any) map[string]any {
	n := func(name string) float64 {
		v, _ := usage[name].(float64)
		return v
	}
	total := n("totalTokenCount")
	if total == 0 {
		total = n("promptTokenCount") + n("candidatesTokenCount") + n("thoughtsTokenCount")
	}
	return map[string]any{
		"prompt_tokens": n("promptTokenCount"), "completion_tokens": n("candidatesTokenCount"), "total_tokens": total,
		"prompt_tokens_details":     map[string]any{"cached_tokens": n("cachedContentTokenCount")},
		"completion_tokens_details": map[string]any{"reasoning_tokens": n("thoughtsTokenCount")},
	}
}

// price builds the price of the case; known is false when input or output has
// none.
func (c costCase) price() (p pricing.Price, known bool, err error) {
	for name, to := range map[string]func(pricing.Rate){
		"input":          func(r pricing.Rate) { p.Input = r },
		"output":         func(r pricing.Rate) { p.Output = r },
		"cache_read":     func(r pricing.Rate) { p.CacheRead = &r },
		"cache_write":    func(r pricing.Rate) { p.CacheWrite5m = &r },
		"cache_write_5m": func(r pricing.Rate) { p.CacheWrite5m = &r },
		"cache_write_1h": func(r pricing.Rate) { p.CacheWrite1h = &r },
	} {
		dollars := c.Prices[name]
		if dollars == nil {
			continue
		}
		rate, err := pricing.ParseRate(strconv.FormatFloat(*dollars, 'f', -1, 64))
		if err != nil {
			return p, false, fmt.Errorf("%s: %w", name, err)
		}
		to(rate)
	}
	if c.Multiplier != nil {
		factor, err := pricing.ParseFactor(strconv.FormatFloat(*c.Multiplier, 'f', -1, 64))
		if err != nil {
			return p, false, err
		}
		p.Services = map[string]pricing.Factors{"batch": pricing.Times(factor)}
	}
	return p, c.Prices["input"] != nil && c.Prices["output"] != nil, nil
}
