package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"nightshift/internal/fsx"
	"nightshift/internal/s3"
	"nightshift/reports"
	"nightshift/runner/session"
	"nightshift/runner/store/bucket"
)

func (a *app) reportCommand() *cobra.Command {
	var asJSON, asMarkdown, noHTML bool
	var maxSize float64
	c := &cobra.Command{
		Use:   "report RUN",
		Short: "Summarize a run from its files: terminal table, report.html, report.md, summary.json",
		Long: `Reads the files of a run, finished or not, prints its summary and writes
report.html, report.md and summary.json into the run directory. report.html is one
file and needs no network. It has figures, charts, and the most interesting rows, as
many as fit into --max-size.`,
		Example: `  nightshift report runs/quickstart
  nightshift report runs/quickstart --json | jq .total.cost_usd`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			defer a.readingHeap()()
			return a.reading(c.Context(), args, bucket.ReadOptions{}, func(a *app, dirs []string) error {
				page, err := reports.BuildPage(dirs[0], session.AddComparison)
				if err != nil {
					return usageError("%w", err)
				}
				page.MaxSize = int(maxSize * 1e6)
				if s3.IsURL(args[0]) {
					a.sayCopies(args[0])
				} else if err := a.writeReports(dirs[0], page, noHTML); err != nil {
					return err
				}
				switch {
				case asJSON:
					return page.JSON(a.out)
				case asMarkdown:
					return page.Markdown(a.out)
				}
				return page.Text(a.screen())
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print summary.json")
	c.Flags().BoolVar(&asMarkdown, "markdown", false, "print report.md")
	c.Flags().Float64Var(&maxSize, "max-size", reports.DefaultMaxSize/1e6, "most `MB` that report.html may have")
	c.Flags().BoolVar(&noHTML, "no-html", false, "leave report.html as it is")
	return c
}

// writeReports writes the reports into the run directory.
func (a *app) writeReports(dir string, page *reports.Page, noHTML bool) error {
	if err := session.WriteReports(dir, page.Summary); err != nil || noHTML {
		return err
	}
	return a.writePage(dir, page)
}

// writePage writes report.html and says where it is and what it lacks.
func (a *app) writePage(dir string, page *reports.Page) error {
	path := filepath.Join(dir, "report.html")
	if err := fsx.WriteWith(path, page.HTML); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.err, "%s: %.1f MB\n", path, float64(info.Size())/1e6)
	if page.Left > 0 {
		fmt.Fprintf(a.err, "it holds %d of %d rows; nightshift view %s shows them all\n", page.Kept, page.Kept+page.Left,
			dir)
	}
	return nil
}
