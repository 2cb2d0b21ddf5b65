package plan

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nightshift/providers/pricing"
)

const batchPlan = `dataset: {path: rows.jsonl}
models:
  - {name: a, endpoint: simulator, model: m, mode: batch, price: {input: 1, output: 2, services: {batch: 0.5}}}
  - {name: b, endpoint: simulator, model: n, batch: {max_requests: 5, then: live, min_requests: 0}}
batch:
  max_requests: 20_000
  max_bytes: 100MB
  max_enqueued_tokens: 2e6
  window: 7d
  poll: 10s..5m
  deadline: 36h
  then: fail
  min_requests: 9
  remote: delete
`

// Every key of the batch block arrives; a model's own goes before it.
func TestBatchKeys(t *testing.T) {
	r := resolve(t, batchPlan)
	want := BatchSettings{
		MaxRequests: 20_000, MaxBytes: 100_000_000, MaxEnqueuedTokens: 2_000_000, Window: "7d",
		PollFirst: 10 * time.Second, PollMost: 5 * time.Minute, Deadline: 36 * time.Hour,
		Then: ThenFail, MinRequests: 9, DeleteRemote: true,
	}
	if d := cmp.Diff(want, r.Models[0].Batch); r.Models[0].Mode != ModeBatch || d != "" {
		t.Errorf("mode %q\n%s", r.Models[0].Mode, d)
	}
	want.MaxRequests, want.Then, want.MinRequests = 5, ThenLive, 0
	if d := cmp.Diff(want, r.Models[1].Batch); r.Models[1].Mode != ModeLive || d != "" {
		t.Errorf("mode %q\n%s", r.Models[1].Mode, d)
	}
	plain := resolve(t, small).Models[0]
	if d := cmp.Diff(BatchSettings{Then: ThenNext, MinRequests: 50}, plain.Batch); plain.Mode != ModeLive || d != "" {
		t.Errorf("without any key: mode %q\n%s", plain.Mode, d)
	}
}

func TestBatchKeysRefused(t *testing.T) {
	for text, want := range map[string]string{
		"batch: {then: later}":        "batch.then",
		"batch: {remote: maybe}":      "batch.remote",
		"batch: {max_requests: -1}":   "batch.max_requests",
		"batch: {min_requests: -1}":   "batch.min_requests",
		"batch: {max_bytes: many}":    "100MB",
		"batch: {max_bytes: 1e30GB}":  "100MB",
		"batch: {window: soon!}":      "24h",
		"batch: {window: 0}":          "24h",
		"batch: {poll: 5m..10s}":      "10s..5m",
		"batch: {poll: 0}":            "duration",
		"batch: {deadline: -2d}":      "2d",
		"batch: {max_request: 5}":     "did you mean max_requests",
		"judges: {mode: batches}":     "did you mean batch",
		"judges: {batch: {then: no}}": "judges.batch.then",
	} {
		p, err := Parse("plan.yaml", []byte(small+text+"\n"))
		if err == nil {
			_, err = p.Resolve(keys)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q in it", text, err, want)
		}
	}
	_, err := parse(t, strings.Replace(small, "name: m,", "name: m, mode: night,", 1)).Resolve(keys)
	if err == nil || !strings.Contains(err.Error(), `plan.yaml:2:26: unknown models[0].mode "night"`) {
		t.Errorf("mode night: %v", err)
	}
}

// Batches carry requests for answers, not for log-probabilities.
func TestLikelihoodsDoNotGoInBatches(t *testing.T) {
	text := strings.Replace(small, "name: m,", "name: m, mode: batch,", 1) + "scorers: [{type: loglikelihood}]\n"
	_, err := parse(t, text).Resolve(keys)
	if err == nil || !strings.Contains(err.Error(), "plan.yaml:2:26: m is in mode batch, and its scorers need log-prob") {
		t.Errorf("mode batch with loglikelihood: %v", err)
	}
}

func TestSizesAndSpans(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "5000": 5000, "100MB": 1e8, "100 mb": 1e8, "1.5k": 1500,
		"64MiB": 64 << 20, "2G": 2e9, "1GiB": 1 << 30} {
		var got Size
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("size %q: %d, %v", text, got, err)
		}
	}
	for text, want := range map[string]time.Duration{"0": 0, "2d": 48 * time.Hour, "1.5d": 36 * time.Hour,
		"90m": 90 * time.Minute} {
		var got Span
		if err := got.UnmarshalText([]byte(text)); err != nil || time.Duration(got) != want {
			t.Errorf("span %q: %v, %v", text, time.Duration(got), err)
		}
	}
	for _, text := range []string{"24h", "7d", "background", "168h"} {
		var got Window
		if err := got.UnmarshalText([]byte(text)); err != nil || string(got) != text {
			t.Errorf("window %q: %q, %v", text, got, err)
		}
	}
}

// A run may begin live and end in batches, or the other way round: neither mode
// nor any key of batch: is part of its identity.
func TestBatchesAreOutsideTheIdentity(t *testing.T) {
	_, want := resolve(t, small).Identity()
	all := map[string]string{
		"mode": strings.Replace(small, "name: m,", "name: m, mode: batch,", 1), "judges": small + "judges: {mode: batch}\n",
		"own": strings.Replace(small, "name: m,", "name: m, batch: {max_requests: 7},", 1),
	}
	for _, key := range []string{"max_requests: 1", "max_bytes: 1MB", "max_enqueued_tokens: 5", "window: 12h", "poll: 5s",
		"deadline: 1h", "then: live", "min_requests: 1", "remote: delete"} {
		all[key] = small + "batch: {" + key + "}\n"
	}
	for name, text := range all {
		if _, got := resolve(t, text).Identity(); got != want {
			t.Errorf("%s makes another run of it", name)
		}
	}
	p := apply(t, small, options{"batch": {"true"}})
	r, err := p.Resolve(keys)
	if err != nil {
		t.Fatal(err)
	}
	if _, got := r.Identity(); got != want || r.Models[0].Mode != ModeBatch {
		t.Errorf("--batch: mode %q, same run %v", r.Models[0].Mode, got == want)
	}
}

// The flag and the variable set the mode of all models and judges.
func TestBatchFlag(t *testing.T) {
	text := batchPlan + `judges: {batch: {max_requests: 3}}
scorers:
  - {type: judge_grade, name: one, model: b, template: "{answer}", params: {max_tokens: 9}}
  - {type: judge_grade, name: two, model: b, template: "{answer}", params: {max_tokens: 9}, mode: live}
`
	modes := func(p *Plan) string {
		r, err := p.Resolve(keys)
		if err != nil {
			t.Fatal(err)
		}
		list := []string{r.Models[0].Mode, r.Models[1].Mode}
		for _, s := range r.Scorers {
			list = append(list, s.Judge.Mode)
			if s.Judge.Batch.MaxRequests != 3 || s.Judge.Batch.Then != ThenLive {
				t.Errorf("%s: %+v", s.Judge.Name, s.Judge.Batch)
			}
		}
		return strings.Join(list, " ")
	}
	if got := modes(parse(t, text)); got != "batch live live live" {
		t.Errorf("by the plan: %s", got)
	}
	if got := modes(parse(t, strings.Replace(text, "judges: {", "judges: {mode: batch, ", 1))); got != "batch live "+
		"batch live" {
		t.Errorf("judges by the plan: %s", got)
	}
	if got := modes(apply(t, text, options{"batch": {"true"}})); got != "batch batch batch batch" {
		t.Errorf("--batch: %s", got)
	}
	if got := modes(apply(t, text, options{"batch": {"false"}})); got != "live live live live" {
		t.Errorf("--batch=false: %s", got)
	}
	p := parse(t, text)
	if err := p.ApplyEnvironment(env("NIGHTSHIFT_BATCH", "1")); err != nil || modes(p) != "batch batch batch batch" {
		t.Errorf("NIGHTSHIFT_BATCH=1: %v", err)
	}
	p = parse(t, small)
	err := p.ApplyEnvironment(env("NIGHTSHIFT_BATCH", "maybe"))
	if err == nil || !strings.HasPrefix(err.Error(), `NIGHTSHIFT_BATCH: "maybe" is neither`) {
		t.Errorf("NIGHTSHIFT_BATCH=maybe: %v", err)
	}
	p = &Plan{} // the variable counts for models that flags name after it
	if err := p.ApplyEnvironment(env("NIGHTSHIFT_BATCH", "1")); err != nil {
		t.Fatal(err)
	}
	if err := p.Apply(options{"dataset": {"a"}, "model": {"simulator/m"}, "max-tokens": {"9"}}); err != nil {
		t.Fatal(err)
	}
	if r, err := p.Resolve(keys); err != nil || r.Models[0].Mode != ModeBatch {
		t.Errorf("a model of a flag: %v", err)
	}
}

// A model whose endpoint has no batch API cannot go in batches.
func TestBatchNeedsAnAPI(t *testing.T) {
	text := `dataset: {path: rows.jsonl}
models: [{endpoint: deepseek, model: deepseek-chat, params: {max_tokens: 5}}]
`
	p := apply(t, text, options{"batch": {"true"}})
	_, err := p.Resolve(keys)
	if err == nil || !strings.Contains(err.Error(), "no batch API of deepseek is known") ||
		!strings.HasPrefix(err.Error(), "--batch:") {
		t.Errorf("deepseek: %v", err)
	}
	own := strings.Replace(text, "endpoint: deepseek", "mode: batch, endpoint: deepseek", 1) +
		"endpoints: {deepseek: {batch_api: {dialect: openai}}}\n"
	if r := resolve(t, own); r.Models[0].Endpoint.Batch.Dialect != "openai" {
		t.Errorf("with batch_api: %+v", r.Models[0].Endpoint.Batch)
	}
}

// The flex tier is what the params ask for; its answers may take their time.
func TestFlexTier(t *testing.T) {
	for params, want := range map[string]string{
		"service_tier: flex": TierFlex, "serviceTier: flex": TierFlex, "service_tier: default": "default", "top_k: 5": "",
	} {
		m := resolve(t, strings.Replace(small, "params: {", "params: {"+params+", ", 1)).Models[0]
		if m.Tier() != want || (m.Endpoint.Timeouts.FirstByte == flexFirstByte) != (want == TierFlex) {
			t.Errorf("%q: tier %q, first byte within %v", params, m.Tier(), m.Endpoint.Timeouts.FirstByte)
		}
	}
}

// What a batch costs must be known where a budget in dollars is to hold.
func TestBatchPrice(t *testing.T) {
	text := strings.Replace(small, "name: m,", "name: m, mode: batch,", 1)
	r := resolve(t, text)
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], `"batch", which mode: batch is billed in, is not known`) {
		t.Errorf("notes %q", r.Notes)
	}
	_, err := parse(t, text+"budget: {usd: 1}\n").Resolve(keys)
	if err == nil || !strings.Contains(err.Error(), "services: {batch: …}") {
		t.Errorf("a budget in dollars: %v", err)
	}
	priced := strings.Replace(text, "output: 2", "output: 2, services: {batch: 0.5:0.5:1:0.5, flex: 0.4}", 1)
	m := resolve(t, priced+"budget: {usd: 1}\n").Models[0]
	want := map[string]pricing.Factors{
		"batch": {Input: pricing.One / 2, Output: pricing.One / 2, CacheRead: pricing.One, CacheWrite: pricing.One / 2},
		"flex":  pricing.Times(400_000),
	}
	if d := cmp.Diff(want, m.Price.Services); d != "" {
		t.Errorf("multipliers by class:\n%s", d)
	}
}
