package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"nightshift"
	"nightshift/internal/words"
	"nightshift/providers"
	"nightshift/providers/pricing"
	"nightshift/providers/wire"
	"nightshift/runner/plan"
	"nightshift/runner/session"
)

// modelsFlags are the flags of `models`.
type modelsFlags struct {
	plan, protocol, auth, keyEnv, prices string
	asJSON                               bool
}

func (a *app) modelsCommand() *cobra.Command {
	var f modelsFlags
	c := &cobra.Command{
		Use:   "models ENDPOINT [WORD…]",
		Short: "List the models that an endpoint offers, with their limits and the prices we know",
		Long: `Asks an endpoint for its list of models (GET …/models) and prints it, with context
length and longest answer where the list tells them, and prices in dollars per
million tokens where they are known. ENDPOINT is a preset, an endpoint of the
plan that --plan names, or a URL. Each WORD must be a part of the model's name.

A price in brackets is what the list itself states. A gateway lists what it may
route, which is not always what works. A URL takes its key with --api-key-env.

Exit codes: 0 listed, 2 the endpoint is not known or its key is not set, 4 the
endpoint gives no list.`,
		Example: `  nightshift models openai
  nightshift models anthropic sim
  nightshift models openai --plan tonight.yaml --json | jq '.[].id'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.models(c.Context(), args[0], args[1:], f) },
	}
	s := c.Flags()
	s.StringVar(&f.plan, "plan", "", "`PLAN` whose endpoints are meant")
	s.StringVar(&f.protocol, "protocol", "", "wire format of the endpoint, where it speaks several")
	s.StringVar(&f.auth, "auth", "", "for a URL: how its key is sent (bearer, x-api-key, raw, header:NAME or none)")
	s.StringVar(&f.keyEnv, "api-key-env", "", "for a URL: environment `VARIABLE` that holds its key")
	s.StringVar(&f.prices, "prices", "", "price table `FILE`: our CSV or LiteLLM's JSON")
	s.BoolVar(&f.asJSON, "json", false, "print as JSON")
	return c
}

func (a *app) models(ctx context.Context, name string, search []string, f modelsFlags) error {
	endpoint, err := a.endpointOf(f, name)
	if err != nil {
		return aboutEndpoint(err, "ENDPOINT")
	}
	list, err := session.Models(ctx, endpoint)
	if wrong := (*nightshift.Error)(nil); errors.As(err, &wrong) && wrong.Class == nightshift.ClassAuth &&
		endpoint.Endpoint.Auth.Scheme == providers.AuthNone {
		return fmt.Errorf("%w: name its key's variable with --api-key-env", err)
	}
	if err != nil {
		return err
	}
	all := len(list)
	list = slices.DeleteFunc(list, func(m wire.Model) bool {
		return slices.ContainsFunc(search, func(word string) bool {
			return !strings.Contains(strings.ToLower(m.ID), strings.ToLower(word))
		})
	})
	priced := make([]pricedModel, len(list))
	for i, m := range list {
		priced[i].Model = m
		if price, id, ok := endpoint.PriceOf(m.ID); ok {
			priced[i].Price, priced[i].PriceID = &price.Rates, id
		}
	}
	if f.asJSON {
		return a.printJSON(priced)
	}
	return a.printModels(priced, all)
}

// endpointOf is the endpoint of that name.
func (a *app) endpointOf(f modelsFlags, name string) (plan.ResolvedModel, error) {
	p, name, err := f.load(name)
	if err != nil {
		return plan.ResolvedModel{}, err
	}
	return p.Endpoint(name, a.getenv)
}

// aboutEndpoint names the argument or flag where a plan's mistakes name the flags
// that it stands for. A key that is not set is no mistake of either.
func aboutEndpoint(err error, named string) error {
	var mistakes *plan.Errors
	if !errors.As(err, &mistakes) {
		return err
	}
	for i, p := range mistakes.Problems {
		switch {
		case p.Key && p.Flag == "--model":
			mistakes.Problems[i].Flag = ""
		case p.Flag == "--model" || p.Flag == "--base-url":
			mistakes.Problems[i].Flag = named
		}
	}
	return mistakes
}

// load makes the plan that has the endpoint, and the endpoint's name in it.
func (f modelsFlags) load(name string) (*plan.Plan, string, error) {
	flags := map[string][]string{}
	for flag, value := range map[string]string{"protocol": f.protocol, "auth": f.auth, "api-key-env": f.keyEnv,
		"prices": f.prices} {
		if value != "" {
			flags[flag] = []string{value}
		}
	}
	if strings.Contains(name, "://") {
		flags["base-url"] = []string{strings.TrimSuffix(strings.TrimRight(name, "/"), "/models")}
		if f.keyEnv != "" && f.auth == "" {
			flags["auth"] = []string{"bearer"}
		}
		return plan.BareEndpoint(flags)
	}
	p := &plan.Plan{}
	if f.plan != "" {
		loaded, err := plan.Load(f.plan)
		if err != nil {
			return nil, "", unreadable(f.plan, err)
		}
		p = loaded
	}
	flags["model"] = []string{name + "/-"}
	return p, name, p.Apply(flags)
}

// A pricedModel is a listed model with the price that we know.
type pricedModel struct {
	wire.Model
	Price   *pricing.Rates `json:"price"` // dollars per million tokens; null when not known
	PriceID string         `json:"price_id,omitempty"`
}

func (a *app) printModels(list []pricedModel, all int) error {
	w := tabwriter.NewWriter(a.out, 2, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "context\tanswer\tinput\toutput\t  model")
	for _, m := range list {
		input, output := bracketed(m.InputUSD), bracketed(m.OutputUSD)
		if m.Price != nil {
			input, output = m.Price.Input.String(), m.Price.Output.String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t  %s\n", orDash(limit(m.MaxInput)), orDash(limit(m.MaxOutput)), orDash(input),
			orDash(output), words.Visible(m.ID))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.err, "%d of %d models; limits in tokens, prices in dollars per million tokens, - is "+
		"not known\n", len(list), all)
	return err
}

// limit is a number of tokens, empty when it is not known.
func limit(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// bracketed is a price that the list states; empty without one.
func bracketed(usd *float64) string {
	if usd == nil {
		return ""
	}
	return "(" + strconv.FormatFloat(*usd, 'g', 6, 64) + ")"
}
