package main

import (
	"strings"

	"github.com/spf13/cobra"

	"nightshift/providers/pricing"
	"nightshift/reports"
	"nightshift/runner/store/bucket"
)

func (a *app) costCommand() *cobra.Command {
	var by []string
	var prices string
	var asJSON, asMarkdown bool
	c := &cobra.Command{
		Use:   "cost RUN|FILE…",
		Short: "Show tokens and cost by model, category, outcome, hour …; --prices prices again",
		Long: `Bills runs, finished or not, or their result files. Every request that used tokens
is counted once, with or without an answer. Judges have lines of their own. Unknown
costs are counted separately, and totals then read ≥.

--by takes one word or several:
` + wrap(strings.Join(reports.Dimensions, ", "), 80, 0) + `.
The mode is live or batch. The kinds of attempt are answer (gave the answer on
record), retry (gave none, but the row was answered later), wasted (the row has no
answer) and judge. Hours are UTC. Prefixes are
what rows of models with cache: share.`,
		Example: `  nightshift cost runs/tonight
  nightshift cost runs/tonight --by category,model
  nightshift cost runs/tonight --by mode,attempt
  nightshift cost runs/a runs/b/results/*.parquet --prices my.csv --json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			o := reports.CostOptions{By: by}
			if err := reports.CheckDimensions(by); err != nil {
				return usageError("--by: %w", err)
			}
			if prices != "" {
				table, err := pricing.Load(prices)
				if err != nil {
					return usageError("--prices: %w", err)
				}
				o.Prices = table
			}
			return a.reading(c.Context(), args, bucket.ReadOptions{}, func(a *app, dirs []string) error {
				bill, err := reports.Cost(dirs, o)
				switch {
				case err != nil:
					return usageError("%w", err)
				case asJSON:
					return bill.JSON(a.out)
				case asMarkdown:
					return bill.Markdown(a.out)
				}
				return bill.Text(a.screen())
			})
		},
	}
	c.Flags().StringSliceVar(&by, "by", nil, "group by these `WORDS` (default model)")
	c.Flags().StringVar(&prices, "prices", "", "price again with this table `FILE`: our CSV or LiteLLM's JSON")
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	c.Flags().BoolVar(&asMarkdown, "markdown", false, "print as Markdown")
	return c
}
