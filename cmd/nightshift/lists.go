package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"nightshift/internal/words"
	"nightshift/providers"
	"nightshift/providers/pricing"
	"nightshift/runner/plan"
)

func (a *app) presetsCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "presets [NAME]",
		Short: "List the endpoints that need no configuration, and the variables that hold their keys",
		Long: `Lists the endpoints that need no configuration, each with the protocols that it
speaks, its native one first: a plan that says no protocol gets that one. With a
NAME, where the requests of each protocol go, and what else is known.`,
		Example: "  nightshift presets\n  nightshift presets ccapi",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				return a.showPreset(args[0], asJSON)
			}
			if asJSON {
				return a.printJSON(providers.Presets())
			}
			return a.listPresets()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return c
}

// listPresets prints one line for each service.
func (a *app) listPresets() error {
	w := tabwriter.NewWriter(a.out, 2, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tPROTOCOLS\tBASE URL\tKEY")
	last := ""
	for _, p := range providers.Presets() {
		if p.Name == last {
			continue
		}
		last = p.Name
		var protocols []string
		for _, protocol := range providers.ProtocolsOf(p.Name) {
			protocols = append(protocols, string(protocol))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", p.Name, strings.Join(protocols, " "), orDash(p.BaseURL), orDash(p.Auth.Env))
	}
	return w.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of plans, for editors",
		Example: "  nightshift schema > nightshift.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.out.Write(plan.Schema())
			return err
		},
	}
}

// showPreset prints everything that is known of one preset.
func (a *app) showPreset(name string, asJSON bool) error {
	var found []providers.Preset
	var names []string
	for _, p := range providers.Presets() {
		if p.Name == name {
			found = append(found, p)
		}
		names = append(names, p.Name)
	}
	if found == nil {
		hint := "there are " + strings.Join(slices.Compact(names), ", ")
		if near := words.Near(name, slices.Compact(names)); near != "" {
			hint = "did you mean " + near + "?"
		}
		return usageError("no preset is called %s; %s", name, hint)
	}
	if asJSON {
		return a.printJSON(found)
	}
	for _, p := range found {
		w := tabwriter.NewWriter(a.out, 2, 8, 2, ' ', 0)
		fmt.Fprintf(w, "%s (%s)\t%s\n", p.Name, p.Protocol, p.Description)
		for _, f := range [][2]string{
			{"base URL", p.BaseURL}, {"path", p.Path}, {"requests go to", requestURL(p)},
			{"auth", p.Auth.Scheme}, {"key", strings.Join(p.KeyEnvs, ", ")},
			{"base URL from", strings.Join(p.BaseURLEnvs, ", ")}, {"rate headers", p.Dialect}, {"charged", p.Charging},
			{"cost", freeText(p)}, {"batches", batchText(p.Batch)}, {"know", p.Facts},
		} {
			if f[1] != "" {
				fmt.Fprintf(w, "  %s\t%s\n", f[0], f[1])
			}
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// requestURL is where a preset's requests go; empty where the plan has to say.
func requestURL(p providers.Preset) string {
	full, err := p.URL()
	if err != nil {
		return ""
	}
	return full
}

// batchText says what is known of a batch API; empty where there is none.
func batchText(b providers.BatchAPI) string {
	if b.Dialect == "" {
		return ""
	}
	parts := []string{"API " + b.Dialect}
	add := func(known bool, format string, args ...any) {
		if known {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(b.MaxRows > 0, "%s rows", words.Thousands(int64(b.MaxRows)))
	add(b.MaxBytes > 0, "%s MB", words.Thousands(b.MaxBytes/1e6))
	add(b.MaxEnqueued > 0, "%s tokens away at once", words.Thousands(b.MaxEnqueued))
	add(b.Window > 0, "within %d h", int(b.Window.Hours()))
	add(b.Keep > 0, "results kept %d days", int(b.Keep.Hours()/24))
	add(b.Discount > 0, "×%g of the live price", b.Discount)
	add(!b.Cancel, "no cancelling")
	return strings.Join(parts, ", ")
}

// freeText says of a server of one's own what its answers cost.
func freeText(p providers.Preset) string {
	if p.Free {
		return "$0, unless price: of a model or --prices says otherwise"
	}
	return ""
}

func (a *app) pricesCommand() *cobra.Command {
	var file string
	var asJSON, all bool
	c := &cobra.Command{
		Use:   "prices [WORD…]",
		Short: "List and search prices, in dollars per million tokens, with their age",
		Long: `Lists prices, in dollars per million tokens, of models that answer with text. Each
WORD must be part of the name of provider or model. An empty cache column means that
no price is listed; such tokens then cost the same as other input.

docs/prices.md describes a price table of your own; nightshift prices --csv prints
one to start from.`,
		Example: "  nightshift prices sonnet\n  nightshift prices mistral large\n  nightshift prices openai gpt-5 " +
			"--csv > my.csv\n  nightshift prices --prices my.csv",
	}
	var asCSV bool
	c.RunE = func(_ *cobra.Command, args []string) error {
		t := pricing.Embedded()
		if file != "" {
			own, err := pricing.Load(file)
			if err != nil {
				return usageError("--prices: %w", err)
			}
			t = own
		}
		found := t.Search(strings.Join(args, " "))
		if !all && file == "" && len(args) == 0 {
			found = slices.DeleteFunc(found, func(p pricing.Price) bool { return !p.Text() })
		}
		switch {
		case asJSON:
			return a.printJSON(found)
		case asCSV:
			return pricing.WriteCSV(a.out, "my-prices", t.Date(), found)
		}
		return a.printPrices(t, found)
	}
	c.Flags().StringVar(&file, "prices", "", "price table `FILE`: our CSV or LiteLLM's JSON")
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	c.Flags().BoolVar(&asCSV, "csv", false, "print as a price table of your own to begin with")
	c.Flags().BoolVar(&all, "all", false, "models for audio, images and the like too")
	return c
}

func (a *app) printPrices(t *pricing.Table, found []pricing.Price) error {
	if len(found) == 0 {
		fmt.Fprintf(a.err, "none of %d prices has these words in the names of provider and model; try fewer or shorter "+
			"ones, or write a table of your own: docs/prices.md\n", t.Len())
		return nil
	}
	w := tabwriter.NewWriter(a.out, 2, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "input\toutput\tcache read\tcache write\t  model")
	for _, p := range found {
		fmt.Fprintf(w, "%v\t%v\t%s\t%s\t  %s\n", p.Input, p.Output, listed(p.CacheRead), listed(p.CacheWrite5m),
			strings.TrimPrefix(p.Provider+"/"+p.Model, "/"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(a.err, "%d of %d prices, in dollars per million tokens\n", len(found), t.Len())
	for _, source := range t.Sources() {
		if age, dated := source.Age(time.Now()); dated {
			fmt.Fprintf(a.err, "%s: %d, %d days old\n", source.ID(), source.Len(), int(age.Hours()/24))
		}
	}
	return nil
}

// listed is a price that may be missing.
func listed(r *pricing.Rate) string {
	if r == nil {
		return ""
	}
	return r.String()
}
