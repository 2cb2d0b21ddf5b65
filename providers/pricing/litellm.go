package pricing

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"nightshift/internal/pattern"
)

// readLiteLLM reads LiteLLM's model_prices_and_context_window.json: an object
// of model names, dollars per token. Entries that are not priced by input and
// output tokens (images, audio, embeddings by character) are skipped. The
// file has no date of its own.
func readLiteLLM(name string, b []byte) (*Table, error) {
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(b, &entries); err != nil {
		return nil, fmt.Errorf("%s: not a JSON object of prices by model: %w", name, err)
	}
	t := &Table{}
	for model, raw := range entries {
		if model == "sample_spec" {
			continue
		}
		p, ok, err := readEntry(model, raw)
		if err != nil {
			return nil, fmt.Errorf("%s: model %q: %w", name, model, err)
		}
		if ok {
			t.prices = append(t.prices, p)
		}
	}
	if len(t.prices) == 0 {
		return nil, fmt.Errorf("%s: no model in it has input_cost_per_token and output_cost_per_token", name)
	}
	slices.SortFunc(t.prices, byName)
	return build(t), nil
}

func byName(a, b Price) int {
	if c := strings.Compare(a.Provider, b.Provider); c != 0 {
		return c
	}
	return strings.Compare(a.Model, b.Model)
}

// An entry is the fields of one model; only numbers and texts are looked at.
type entry map[string]json.RawMessage

// readEntry reads one model; ok is false when it is not priced by token.
func readEntry(name string, raw json.RawMessage) (p Price, ok bool, err error) {
	var e entry
	if json.Unmarshal(raw, &e) != nil {
		return p, false, nil // not an object: notes some copies carry
	}
	p.Provider = canonical(e.text("litellm_provider"))
	p.Model = strings.TrimPrefix(name, e.text("litellm_provider")+"/")
	p.Mode = e.text("mode")
	p.MaxInput, p.MaxOutput = e.tokens("max_input_tokens"), e.tokens("max_output_tokens")
	rates, ok, err := e.rates("")
	if err != nil || !ok {
		return p, false, err
	}
	p.Rates = *rates
	if err := errors.Join(e.long(&p), e.services(&p), e.search(&p)); err != nil {
		return p, false, err
	}
	return unlisted(p), true, nil
}

func (e entry) text(key string) (s string) {
	_ = json.Unmarshal(e[key], &s) // anything else is not a text
	return s
}

// tokens reads a count that the file writes as a number or as a text.
func (e entry) tokens(key string) int64 {
	text := strings.Trim(string(bytes.TrimSpace(e[key])), `"`)
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f < 0 || f > 1e12 {
		return 0
	}
	return int64(f)
}

// rate reads dollars per token as dollars per million; nil when absent.
func (e entry) rate(key string) (*Rate, error) {
	text := strings.Trim(string(bytes.TrimSpace(e[key])), `"`)
	if text == "" || text == "null" {
		return nil, nil
	}
	n, err := scaled(text, 1_000_000_000_000_000, maxRate/1e6)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", key, text, err)
	}
	r := Rate(n)
	return &r, nil
}

// rates reads the rates whose keys end in suffix; ok is false when input or
// output is absent.
func (e entry) rates(suffix string) (r *Rates, ok bool, err error) {
	in, err1 := e.rate("input_cost_per_token" + suffix)
	out, err2 := e.rate("output_cost_per_token" + suffix)
	read, err3 := e.rate("cache_read_input_token_cost" + suffix)
	write, err4 := e.rate("cache_creation_input_token_cost" + suffix)
	write1h, err5 := e.rate("cache_creation_input_token_cost_above_1hr" + suffix)
	audioIn, err6 := e.rate("input_cost_per_audio_token" + suffix)
	audioOut, err7 := e.rate("output_cost_per_audio_token" + suffix)
	imageIn, err8 := e.rate("input_cost_per_image_token" + suffix)
	imageOut, err9 := e.rate("output_cost_per_image_token" + suffix)
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7, err8, err9); err != nil {
		return nil, false, err
	}
	if in == nil || out == nil {
		return nil, false, nil
	}
	return &Rates{*in, *out, read, write, write1h, audioIn, audioOut, imageIn, imageOut}, true, nil
}

var longKey = pattern.Late(`^input_cost_per_token_above_(\d+)k_tokens$`)

// long reads the tiers for long prompts.
func (e entry) long(p *Price) error {
	for key := range e {
		m := longKey().FindStringSubmatch(key)
		if m == nil {
			continue
		}
		thousands, err := strconv.ParseInt(m[1], 10, 32)
		if err != nil {
			return err
		}
		rates, ok, err := e.rates("_above_" + m[1] + "k_tokens")
		if err != nil {
			return err
		}
		if ok {
			p.Long = append(p.Long, Long{thousands * 1000, ratios(*rates, p.Rates)})
		}
	}
	slices.SortFunc(p.Long, func(a, b Long) int { return int(a.Above - b.Above) })
	return nil
}

// services reads the service tiers that have rates of their own.
func (e entry) services(p *Price) error {
	for name, suffix := range map[string]string{"batch": "_batches", "flex": "_flex", "priority": "_priority"} {
		rates, ok, err := e.rates(suffix)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if p.Services == nil {
			p.Services = map[string]Factors{}
		}
		p.Services[name] = ratios(*rates, p.Rates)
	}
	return errors.Join(e.factor(&p.Services, "fast", e.fast()),
		e.factor(&p.Regions, "us", e["regional_processing_uplift_multiplier_us"]))
}

// fast is the multiplier of the provider's fast mode; nil without one.
func (e entry) fast() json.RawMessage {
	var own map[string]json.RawMessage
	if json.Unmarshal(e["provider_specific_entry"], &own) != nil {
		return nil
	}
	return own["fast"]
}

// factor reads a multiplier of every class.
func (e entry) factor(to *map[string]Factors, name string, raw json.RawMessage) error {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	return setFactor(to, name, string(raw))
}

// search reads the price of one web search, the highest where it depends on
// the size of what is read.
func (e entry) search(p *Price) error {
	var sizes map[string]json.Number
	if json.Unmarshal(e["search_context_cost_per_query"], &sizes) != nil {
		return nil
	}
	for _, v := range sizes {
		usd, err := ParseUSD(v.String())
		if err != nil {
			return fmt.Errorf("search_context_cost_per_query: %w", err)
		}
		if p.Search == nil || usd > *p.Search {
			p.Search = &usd
		}
	}
	return nil
}

// ratios are the multipliers that lead from base to rates. A cache class that
// rates do not list follows the input.
func ratios(rates, base Rates) Factors {
	in := ratio(rates.Input, base.Input, One)
	f := Factors{Input: in, CacheRead: in, CacheWrite: in, Output: ratio(rates.Output, base.Output, One)}
	if rates.CacheRead != nil {
		f.CacheRead = ratio(*rates.CacheRead, base.cacheRead(), in)
	}
	if rates.CacheWrite5m != nil && *rates.CacheWrite5m != 0 {
		f.CacheWrite = ratio(*rates.CacheWrite5m, base.cacheWrite5m(), in)
	}
	return f
}

// ratio is a/b, or otherwise when b is 0.
func ratio(a, b Rate, otherwise Factor) Factor {
	if b == 0 {
		return otherwise
	}
	f := (float64(a)/float64(b))*million + 0.5
	return Factor(min(f, maxFactor*million))
}
