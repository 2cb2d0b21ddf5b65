package main

import (
	"github.com/spf13/cobra"

	"nightshift/reports"
)

func (a *app) reportCommand() *cobra.Command {
	var asJSON, asMarkdown bool
	c := &cobra.Command{
		Use:   "report RUN",
		Short: "Summarize a run from its files: terminal table, report.md, summary.json",
		Long: `Reads the files of a run, finished or not, prints its summary and writes
report.md and summary.json into the run directory.`,
		Example: `  nightshift report runs/quickstart
  nightshift report runs/quickstart --json | jq .total.cost_usd`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			summary, err := reports.Summarize(args[0])
			if err != nil {
				return usageError("%w", err)
			}
			if err := writeReports(args[0], summary); err != nil {
				return err
			}
			switch {
			case asJSON:
				return summary.JSON(a.out)
			case asMarkdown:
				return summary.Markdown(a.out)
			}
			return summary.Text(a.out)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print summary.json")
	c.Flags().BoolVar(&asMarkdown, "markdown", false, "print report.md")
	return c
}
