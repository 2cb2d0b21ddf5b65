package pricing

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nightshift"
)

func TestEmbeddedTable(t *testing.T) {
	table := Embedded()
	if table.ID() != "litellm-2026-08-01" || table.Date() != time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC) {
		t.Errorf("id %q, date %v", table.ID(), table.Date())
	}
	if age, ok := table.Age(time.Date(2026, 8, 31, 0, 0, 0, 0, time.UTC)); !ok || age != 30*24*time.Hour {
		t.Errorf("age %v, %v", age, ok)
	}
	for _, p := range table.All() {
		if p.CacheRead != nil && *p.CacheRead > p.Input {
			t.Errorf("%s: reading a cache costs more than input", p.Model)
		}
		if p.Output < p.Input && p.Provider != "zhipu" {
			t.Errorf("%s: output is cheaper than input; are the columns right?", p.Model)
		}
	}
}

// The embedded table holds the facts it was made of, unchanged.
func TestEmbeddedTableHasTheFacts(t *testing.T) {
	path := filepath.Join("..", "..", "..", "shared", "data", "prices.csv")
	f, err := os.Open(path)
	if err != nil {
		t.Skip("needs ../shared/data/prices.csv beside the repository")
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comment = '#'
	if _, err := r.Read(); err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		n++
		p, id, ok := Embedded().Lookup(row[0], row[1], "")
		if !ok || id != "litellm-2026-08-01/"+row[0]+"/"+row[1] {
			t.Errorf("%s/%s: found %q, %v", row[0], row[1], id, ok)
			continue
		}
		if p.Input != usd(t, row[2]) || p.Output != usd(t, row[3]) {
			t.Errorf("%s: %v, %v; the facts say %s, %s", row[1], p.Input, p.Output, row[2], row[3])
		}
		if row[4] != "" && row[4] != "0" && p.cacheRead() != usd(t, row[4]) {
			t.Errorf("%s: cache read %v; the facts say %s", row[1], p.cacheRead(), row[4])
		}
		if row[5] != "" && row[5] != "0" && p.cacheWrite5m() != usd(t, row[5]) {
			t.Errorf("%s: cache write %v; the facts say %s", row[1], p.cacheWrite5m(), row[5])
		}
		if (row[5] == "" || row[5] == "0") && p.cacheWrite5m() != p.Input {
			t.Errorf("%s: unlisted cache writes cost %v", row[1], p.cacheWrite5m())
		}
	}
	if makers := Embedded().Sources()[0]; n != makers.Len() || n == 0 {
		t.Errorf("%d prices in the facts, %d in the table", n, makers.Len())
	}
}

// Every service that has a preset and a price list of its own is in the table.
func TestEmbeddedTableHasHosts(t *testing.T) {
	for _, c := range []struct{ provider, model, want string }{
		{"mistral", "mistral-large-2512", "litellm-2026-11-20/mistral/mistral-large-2512"},
		{"xai", "grok-4.5", "litellm-2026-11-20/xai/grok-4.5"},
		{"groq", "openai/gpt-oss-120b", "litellm-2026-11-20/groq/openai/gpt-oss-120b"},
		{"together", "deepseek-ai/DeepSeek-V3", "litellm-2026-11-20/together/deepseek-ai/DeepSeek-V3"},
		{"together_ai", "deepseek-ai/DeepSeek-V3", "litellm-2026-11-20/together/deepseek-ai/DeepSeek-V3"},
		{"fireworks", "accounts/fireworks/models/deepseek-v3p1",
			"litellm-2026-11-20/fireworks/accounts/fireworks/models/deepseek-v3p1"},
		{"moonshot", "kimi-k3", "litellm-2026-11-20/moonshot/kimi-k3"},
		{"perplexity", "sonar", "litellm-2026-11-20/perplexity/sonar"},
		{"openrouter", "openai/gpt-5", "genai-prices-2026-11-10/openrouter/openai/gpt-5"},
		{"azure-openai", "gpt-4o", "litellm-2026-11-20/azure-openai/gpt-4o"},
	} {
		p, id, ok := Embedded().Lookup(c.provider, c.model, "")
		if !ok || id != c.want || p.Input == 0 || p.Output == 0 {
			t.Errorf("%s/%s: %q, %v, %v", c.provider, c.model, id, p.Input, ok)
		}
	}
	for _, source := range Embedded().Sources() {
		if _, dated := source.Age(time.Now()); !dated {
			t.Errorf("%s does not say when it was true", source.ID())
		}
	}
}

// What a batch costs is known where the vendor says it for all its models, by
// class of tokens, and nowhere else.
func TestEmbeddedBatchPrices(t *testing.T) {
	half := Times(One / 2)
	cached := Factors{Input: One / 2, CacheRead: One, CacheWrite: One / 2, Output: One / 2}
	for _, c := range []struct {
		provider, model string
		want            Factors
		known           bool
	}{
		{"openai", "gpt-5", half, true}, {"anthropic", "claude-sonnet-4-6", half, true},
		{"gemini", "gemini-2.5-flash", cached, true}, {"mistral", "mistral-large-2512", half, true},
		{"groq", "openai/gpt-oss-120b", cached, true},
		{"fireworks", "accounts/fireworks/models/deepseek-v3p1", half, true},
		{"xai", "grok-4.3", Times(800_000), true}, {"xai", "grok-4.5", Factors{}, false},
		{"together", "deepseek-ai/DeepSeek-V3", Factors{}, false}, {"moonshot", "kimi-k3", Factors{}, false},
		{"zhipu", "glm-4.5", Factors{}, false}, {"openrouter", "openai/gpt-5", Factors{}, false},
	} {
		p, _, ok := Embedded().Lookup(c.provider, c.model, "")
		if got, known := p.Services[Batch]; !ok || known != c.known || got != c.want {
			t.Errorf("%s/%s: %+v, %v, %v", c.provider, c.model, got, known, ok)
		}
	}
	groq, _, _ := Embedded().Lookup("groq", "openai/gpt-oss-120b", "")
	if groq.Services["flex"] != Times(One) {
		t.Errorf("Groq's flex tier costs what the usual one does; this is %+v", groq.Services["flex"])
	}
}

// A table without the column provider stands for its models everywhere, and
// comes before the built-in prices.
func TestWithoutProvider(t *testing.T) {
	mine, err := Read("mine.csv", []byte("model,input,output\nx,1,2\ngpt-5,7,8\n"))
	if err != nil {
		t.Fatal(err)
	}
	both := Embedded().With(mine)
	for _, provider := range []string{"", "c", "openai"} {
		for model, want := range map[string]Rate{"x": 1e9, "gpt-5": 7e9, "gpt-5-2025-08-07": 7e9} {
			if p, id, ok := both.Lookup(provider, model, ""); !ok || p.Input != want || !strings.HasPrefix(id, "mine/") {
				t.Errorf("%q %s: %v from %q, %v", provider, model, p.Input, id, ok)
			}
		}
	}
	if _, id, ok := both.Lookup("openai", "gpt-4o", ""); !ok || strings.HasPrefix(id, "mine") {
		t.Errorf("a model that the file does not list: %q, %v", id, ok)
	}
	zai, err := Read("mine.csv", []byte("provider,model,input,output\nzai,glm-x,1,2\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, ok := zai.Lookup("zhipu", "glm-x", ""); !ok || !zai.Has("z.ai") {
		t.Error("another name of a provider is not found")
	}
}

func BenchmarkRead(b *testing.B) {
	for b.Loop() {
		for _, text := range [][]byte{embedded, embeddedHosts, embeddedOpenRouter} {
			if _, err := Read("prices.csv", text); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func TestEmbeddedRules(t *testing.T) {
	get := func(provider, model string) Price {
		t.Helper()
		p, _, ok := Embedded().Lookup(provider, model, "")
		if !ok {
			t.Fatalf("no price of %s", model)
		}
		return p
	}
	claude := get("anthropic", "claude-sonnet-4-6")
	if claude.cacheWrite1h() != usd(t, "6") || claude.Services["batch"] != Times(One/2) ||
		claude.Regions["us"] != Times(1_100_000) {
		t.Errorf("claude-sonnet-4-6: %+v", claude)
	}
	if *claude.Search != 10_000_000 {
		t.Errorf("a search costs %d nano-dollars, want a cent", *claude.Search)
	}
	if got := get("anthropic", "claude-sonnet-4-5").Long; len(got) != 1 || got[0].Above != 200_000 ||
		got[0].Output != 3*One/2 {
		t.Errorf("claude-sonnet-4-5 above 200k: %+v", got)
	}
	if got := get("openai", "gpt-5.4").Long; len(got) != 1 || got[0].Above != 272_000 {
		t.Errorf("gpt-5.4 above 272k: %+v", got)
	}
	if got := get("gemini", "gemini-2.5-flash").Long; got != nil {
		t.Errorf("gemini-2.5-flash has a long-prompt tier: %+v", got)
	}
	if got := get("openai", "gpt-audio"); *got.AudioInput != usd(t, "32") || *got.AudioOutput != usd(t, "64") ||
		got.ImageInput != nil {
		t.Errorf("gpt-audio: %+v", got.Rates)
	}
	if got := get("openai", "gpt-4o").Services["priority"]; got != Times(1_700_000) {
		t.Errorf("gpt-4o at priority: %+v", got)
	}
}

func TestLookup(t *testing.T) {
	cases := []struct{ provider, requested, served, want string }{
		{"anthropic", "claude-sonnet-4-6", "", "anthropic/claude-sonnet-4-6"},
		{"Anthropic", "Claude-Sonnet-4-6", "", "anthropic/claude-sonnet-4-6"},
		{"anthropic", "claude-sonnet-4-5-20250929", "", "anthropic/claude-sonnet-4-5-20250929"},
		{"anthropic", "claude-sonnet-4-6-20260101", "", "anthropic/claude-sonnet-4-6"},
		{"anthropic", "claude-sonnet-4-6@20260101", "", "anthropic/claude-sonnet-4-6"},
		{"openai", "gpt-5.6-2026-07-01", "", "openai/gpt-5.6"},
		{"openai", "my-alias", "gpt-5-2025-08-07", "openai/gpt-5-2025-08-07"},
		{"openai", "my-alias", "gpt-5-2099-01-01", "openai/gpt-5"},
		{"openai", "gpt-5", "gpt-5-mini", "openai/gpt-5"},
		{"gemini", "models/gemini-2.5-pro", "", "gemini/gemini-2.5-pro"},
		{"google", "gemini-2.5-pro", "", "gemini/gemini-2.5-pro"},
		{"zai", "glm-4.6", "", "zhipu/glm-4.6"},
		{"", "gpt-5", "", "openai/gpt-5"},
		{"", "anthropic/claude-sonnet-4-6", "", "anthropic/claude-sonnet-4-6"},
		{"openai", "gpt-3.5-turbo-9999", "", ""},
		{"anthropic", "gpt-5", "", ""},
		{"anthropic", "claude-sonnet-4-6-thinking", "", ""},
		{"corp", "gpt-5", "", ""},
		{"openai", "", "", ""},
		{"openai", "anthropic/claude-sonnet-4-6", "", ""},
	}
	for _, c := range cases {
		p, id, ok := Embedded().Lookup(c.provider, c.requested, c.served)
		got := strings.TrimPrefix(id, Embedded().ID()+"/")
		if ok != (c.want != "") || got != c.want {
			t.Errorf("Lookup(%q, %q, %q) = %q, %v; want %q", c.provider, c.requested, c.served, got, ok, c.want)
		}
		if !ok && (p.Input != 0 || id != "") {
			t.Errorf("Lookup(%q, %q) found nothing and returns %+v, %q", c.provider, c.requested, p, id)
		}
	}
}

func TestSameNameAtTwoProviders(t *testing.T) {
	table, err := Read("mine.csv", []byte("provider,model,input,output\na,m,1,2\nb,m,3,4\na,n,1,2\na,n,5,6\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, id, ok := table.Lookup("", "m", ""); ok {
		t.Errorf("an ambiguous name has the price %s", id)
	}
	if p, _, ok := table.Lookup("b", "m", ""); !ok || p.Input != 3e9 {
		t.Errorf("b's m: %v, %v", p, ok)
	}
	if p, _, ok := table.Lookup("", "n", ""); !ok || p.Input != 5e9 {
		t.Errorf("of two rows the later counts: %v, %v", p, ok)
	}
}

func TestCSV(t *testing.T) {
	table, err := Read("/x/mine.csv",
		[]byte("\xef\xbb\xbf# prices of 2026-11-02\nmodel, Output ,input,cache_write_5m,long,priority,"+
			"usd_per_1000_searches\nm,2,1,1.25,100:2:3 200:4:5,1.7,25\n"))
	if err != nil {
		t.Fatal(err)
	}
	if table.ID() != "mine-2026-11-02" {
		t.Errorf("id %q", table.ID())
	}
	p, id, ok := table.Lookup("", "m", "")
	if !ok || id != "mine-2026-11-02/m" {
		t.Fatalf("%q, %v", id, ok)
	}
	if p.Input != 1e9 || p.Output != 2e9 || p.cacheWrite5m() != 1_250_000_000 || len(p.Long) != 2 ||
		p.Services["priority"].Output != 1_700_000 || *p.Search != 25_000_000 {
		t.Errorf("%+v", p)
	}
	if cost, ok := Cost(p, tokens(201, 0, 0, 0, 1)); !ok || cost != 201*4_000+10_000 {
		t.Errorf("the highest threshold counts: %d", cost)
	}
}

func TestBadCSV(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "no prices in it",
		"model,input\nm,1\n":                 "no column output_usd_per_mtok",
		"model,input,output,colour\n":        `unknown column "colour"`,
		"model,input,output,input\n":         "appears twice",
		"model,input,output\nm,1\n":          "p.csv:2: 2 fields, the header has 3",
		"model,input,output\n\nm,,2\n":       "p.csv:3: input_usd_per_mtok is empty",
		"model,input,output\nm,-1,2\n":       "p.csv:2: input_usd_per_mtok: price \"-1\": below zero",
		"model,input,output,long\nm,1,2,x\n": "THRESHOLD:INPUT:OUTPUT",
		"[1]":                                "unknown column",
	} {
		_, err := Read("p.csv", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
	_, err := Read("p.csv", []byte("model,input,output\nm,x,2\nn,1,y\n"))
	if err == nil || !strings.Contains(err.Error(), "p.csv:2:") || !strings.Contains(err.Error(), "p.csv:3:") {
		t.Errorf("not all bad lines are told: %v", err)
	}
}

const litellm = `{
  "sample_spec": {"input_cost_per_token": 0.0, "output_cost_per_token": 0.0, "max_tokens": "a note"},
  "note": "not a model",
  "gpt-x": {
    "litellm_provider": "openai", "mode": "chat", "max_input_tokens": 128000, "max_output_tokens": "16384",
    "input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05, "cache_read_input_token_cost": 1.25e-06,
    "input_cost_per_token_batches": 1.25e-06, "output_cost_per_token_batches": 5e-06,
    "input_cost_per_token_priority": 4.25e-06, "output_cost_per_token_priority": 1.7e-05,
    "cache_read_input_token_cost_priority": 2.125e-06,
    "regional_processing_uplift_multiplier_us": 1.1, "provider_specific_entry": {"fast": 2.5},
    "search_context_cost_per_query": {"search_context_size_low": 0.03, "search_context_size_high": 0.05}
  },
  "gemini/gemini-y": {
    "litellm_provider": "gemini", "mode": "chat",
    "input_cost_per_token": 1.25e-06, "input_cost_per_token_above_200k_tokens": 2.5e-06,
    "output_cost_per_token": 1e-05, "output_cost_per_token_above_200k_tokens": 1.5e-05,
    "cache_read_input_token_cost": 0,
    "input_cost_per_audio_token": 1e-06, "output_cost_per_audio_token": 0, "output_cost_per_image_token": 3e-05
  },
  "claude-z": {
    "litellm_provider": "anthropic", "input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05,
    "cache_creation_input_token_cost": 3.75e-06, "cache_creation_input_token_cost_above_1hr": 6e-06,
    "cache_read_input_token_cost": 3e-07
  },
  "image": {"litellm_provider": "openai", "output_cost_per_image": 0.04},
  "ft": {"litellm_provider": "openai", "input_cost_per_token": null, "output_cost_per_token": 1e-6}
}`

func TestLiteLLM(t *testing.T) {
	table, err := Read("model_prices.json", []byte(litellm))
	if err != nil {
		t.Fatal(err)
	}
	if table.Len() != 3 || table.ID() != "model_prices" {
		t.Errorf("%d prices, id %q", table.Len(), table.ID())
	}
	gpt, _, _ := table.Lookup("openai", "gpt-x", "")
	if gpt.Input != usd(t, "2.5") || gpt.cacheRead() != usd(t, "1.25") || gpt.MaxOutput != 16384 ||
		gpt.MaxInput != 128000 {
		t.Errorf("gpt-x: %+v", gpt)
	}
	if gpt.Services["batch"] != Times(One/2) || gpt.Services["priority"] != Times(1_700_000) ||
		gpt.Services["fast"] != Times(2_500_000) || gpt.Regions["us"] != Times(1_100_000) {
		t.Errorf("gpt-x tiers: %+v %+v", gpt.Services, gpt.Regions)
	}
	if *gpt.Search != 50_000_000 {
		t.Errorf("a search costs %d", *gpt.Search)
	}
	gemini, _, ok := table.Lookup("gemini", "gemini-y", "")
	if !ok || len(gemini.Long) != 1 || gemini.Long[0] != (Long{200_000, Factors{2 * One, 2 * One, 2 * One, 3 * One / 2}}) {
		t.Errorf("gemini-y: %+v, %v", gemini.Long, ok)
	}
	if gemini.CacheRead != nil {
		t.Error("a cache-read price of 0 was believed")
	}
	if *gemini.AudioInput != usd(t, "1") || gemini.AudioOutput != nil || gemini.ImageInput != nil ||
		*gemini.ImageOutput != usd(t, "30") {
		t.Errorf("gemini-y, sound and pictures: %+v", gemini.Rates)
	}
	claude, _, _ := table.Lookup("anthropic", "claude-z", "")
	if claude.cacheWrite5m() != usd(t, "3.75") || claude.cacheWrite1h() != usd(t, "6") {
		t.Errorf("claude-z: %+v", claude)
	}
}

func TestBadLiteLLM(t *testing.T) {
	for text, want := range map[string]string{
		"{":  "not a JSON object",
		"{}": "no model in it",
		// dollars per million where per token is meant
		`{"m":{"input_cost_per_token":3,"output_cost_per_token":1}}`:      "above",
		`{"m":{"input_cost_per_token":-1,"output_cost_per_token":1}}`:     "below zero",
		`{"m":{"input_cost_per_token":"free","output_cost_per_token":1}}`: "not a number",
	} {
		_, err := Read("p.json", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", text, err, want)
		}
	}
}

func TestWith(t *testing.T) {
	mine, err := Read("mine.csv", []byte("# date: 2026-11-02\nprovider,model,input,output\nopenai,gpt-5,7,8\n"))
	if err != nil {
		t.Fatal(err)
	}
	both := Embedded().With(mine)
	if both.ID() != "mine-2026-11-02+litellm-2026-08-01" || both.Len() != Embedded().Len()+1 {
		t.Errorf("id %q, %d prices", both.ID(), both.Len())
	}
	if p, id, _ := both.Lookup("openai", "gpt-5", ""); p.Input != 7e9 || id != "mine-2026-11-02/openai/gpt-5" {
		t.Errorf("the file's price is not used: %v from %s", p.Input, id)
	}
	if p, id, _ := both.Lookup("anthropic", "claude-sonnet-4-6", ""); p.Input != 3e9 ||
		id != "litellm-2026-08-01/anthropic/claude-sonnet-4-6" {
		t.Errorf("the other prices are gone: %v from %s", p.Input, id)
	}
}

func TestWriteCSV(t *testing.T) {
	foreign, err := Read("p.json", []byte(litellm))
	if err != nil {
		t.Fatal(err)
	}
	odd := sonnet(t)
	odd.Model, odd.Provider = `a "quoted", name`, "corp"
	odd.Long = append(odd.Long, Long{500_000, Factors{3 * One, 1, 2, 3}})
	odd.Services["fast"] = Factors{1, 2, 3, 4}
	date := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
	prices := slices.Concat(Embedded().All(), foreign.All(), []Price{odd})
	var b bytes.Buffer
	if err := WriteCSV(&b, "my table", date, prices); err != nil {
		t.Fatal(err)
	}
	back, err := Read("x.csv", b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if back.ID() != "my-table" || back.Date() != date {
		t.Errorf("id %q, date %v", back.ID(), back.Date())
	}
	if d := cmp.Diff(prices, back.All()); d != "" {
		t.Errorf("prices changed on their way through CSV:\n%s", d)
	}
}

func TestSaved(t *testing.T) {
	for _, c := range []struct {
		usage nightshift.Usage
		want  nightshift.NanoUSD
	}{
		{tokens(100, 0, 0, 0, 5), 0},
		{tokens(0, 1000, 0, 0, 0), 3_000_000 - 300_000},
		{tokens(0, 0, 1000, 0, 0), 3_000_000 - 3_750_000},
	} {
		if got, ok := Saved(sonnet(t), c.usage); !ok || got != c.want {
			t.Errorf("Saved(%+v) = %d, %v; want %d", c.usage, got, ok, c.want)
		}
	}
	if _, ok := Saved(sonnet(t), nightshift.Usage{}); ok {
		t.Error("something is known of nothing")
	}
}

func TestSearch(t *testing.T) {
	if got := Embedded().Search("sonnet anthropic"); len(got) == 0 {
		t.Error("no sonnet")
	}
	for _, p := range Embedded().Search("GPT 5.4") {
		if !strings.Contains(p.Model, "5.4") {
			t.Errorf("%s does not match", p.Model)
		}
	}
	if got := Embedded().Search(""); len(got) != Embedded().Len() {
		t.Errorf("an empty query finds %d", len(got))
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(litellm))
	f.Add([]byte("provider,model,input,output,long\na,m,1,2,1:2:3\n"))
	f.Add([]byte(
		`{"m":{"litellm_provider":"x","input_cost_per_token":1e-9,"output_cost_per_token":0,` +
			`"input_cost_per_token_above_999999999999999999999k_tokens":1}}`))
	f.Add([]byte(
		`{"m":{"litellm_provider":{},"mode":[],"max_tokens":{},"input_cost_per_token":0,"output_cost_per_token":0,` +
			`"provider_specific_entry":{"fast":"x"}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		table, err := Read("fuzz", b)
		if err != nil {
			return
		}
		for _, p := range table.All() {
			cost, ok := Cost(p, tokens(1000, 10, 10, 10, 1000))
			if !ok || cost < 0 {
				t.Fatalf("%+v costs %d, %v", p, cost, ok)
			}
			if worst, _ := WorstCase(p, 1030, 1000, nightshift.Media{}); worst < cost {
				t.Fatalf("%+v: worst case %d below %d", p, worst, cost)
			}
		}
	})
}
