package plan

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nightshift/providers/pricing"
)

// A plan's own price table serves endpoints of every kind.
func TestOwnPrices(t *testing.T) {
	const custom = "{protocol: chat, base_url: 'http://127.0.0.1:9', auth: none%s}"
	for _, tc := range []struct {
		name, csv, endpoint, model string
		id                         string // "" when no price is found
		note                       string
	}{
		{"by the endpoint's name", "provider,model,input,output\nc,x,1,2\n", "", "x", "mine/c/x", ""},
		{"without the column provider", "model,input,output\nx,1,2\n", "", "x", "mine/x", ""},
		{"an empty provider", "provider,model,input,output\n,x,1,2\n", "", "x", "mine/x", ""},
		{"by prices:", "provider,model,input,output\nshop,x,1,2\n", ", prices: shop", "x", "mine/shop/x", ""},
		{"of another provider", "provider,model,input,output\nshop,x,1,2\n", "", "x", "",
			"has it for provider shop: name that in prices: on the endpoint"},
		{"not in it", "model,input,output\ny,1,2\n", "", "x", "", "--prices FILE"},
		{"the endpoint's row before the general one", "provider,model,input,output\n,x,5,5\nc,x,1,2\n", "", "x",
			"mine/c/x", ""},
		{"a list price is not the gateway's", "model,input,output\ny,1,2\n", "", "gpt-5", "", "not known"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "mine.csv"), tc.csv)
			write(t, filepath.Join(dir, "plan.yaml"),
				"dataset: {path: a}\nprices: mine.csv\nmodels: [{endpoint: c, model: "+tc.model+"}]\n"+
					"endpoints: {c: "+strings.Replace(custom, "%s", tc.endpoint, 1)+"}\n")
			p, err := Load(filepath.Join(dir, "plan.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			r, err := p.Resolve(keys)
			if err != nil {
				t.Fatal(err)
			}
			m, notes := r.Models[0], strings.Join(r.Notes, "\n")
			if m.PriceID != tc.id || (m.Price != nil) != (tc.id != "") || !strings.Contains(notes, tc.note) {
				t.Errorf("price %q %v, notes %q; want %q and %q", m.PriceID, m.Price, notes, tc.id, tc.note)
			}
			if tc.id != "" && (m.Price.Input != pricing.Rate(1e9) || notes != "") {
				t.Errorf("input %v, notes %q", m.Price.Input, notes)
			}
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A server of one's own costs nothing, unless the plan says what.
func TestLocalPresetsAreFree(t *testing.T) {
	for _, preset := range []string{"ollama", "vllm", "llama-cpp", "lm-studio", "vllm-messages"} {
		r := resolve(t,
			"dataset: {path: a}\nbudget: {usd: 1}\nmodels: [{endpoint: "+preset+", model: llama3, params: {max_tokens: 5}}]\n")
		m := r.Models[0]
		if m.Price == nil || m.Price.Input != 0 || m.Price.Output != 0 ||
			m.PriceID != strings.TrimSuffix(preset, "-messages") || len(r.Notes) != 0 {
			t.Errorf("%s: price %v from %q, notes %q", preset, m.Price, m.PriceID, r.Notes)
		}
	}
	r := resolve(t, "dataset: {path: a}\nmodels: [{endpoint: vllm, model: llama3, price: {input: 1, output: 2}}]\n")
	if m := r.Models[0]; m.PriceID != "plan" || m.Price.Input != pricing.Rate(1e9) {
		t.Errorf("the plan's own price: %v from %q", m.Price, m.PriceID)
	}
	r = resolve(t, "dataset: {path: a}\nmodels: [{endpoint: litellm, model: gpt-5}]\n")
	if m := r.Models[0]; m.Price != nil {
		t.Errorf("a proxy is not free: %v", m.Price)
	}
}
