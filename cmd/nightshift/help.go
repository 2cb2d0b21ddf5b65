package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// exitsOf says how commands end, for those whose help does not say it itself.
var exitsOf = map[string]string{
	"run": "0 done, 1 internal error, 2 usage, plan or dataset invalid (nothing was sent), 3 more rows failed than " +
		"tolerated, 4 stopped early " +
		"(resumable), 5 a gate was missed, 6 storage failed, 7 the run directory belongs to another plan or dataset, " +
		"8 batches submitted (the same command collects them), 75 already running, 130 interrupted (resumable).",
	"cancel": "0 called back, or no batches were away; 2 no run directory, or its plan is not known; 4 a provider " +
		"refused (the same command goes on); 6 storage failed; 7 plan or dataset are not the run's; 75 the run is " +
		"running; 130 interrupted.",
	"extend": "0 extended, or nothing was added; 2 no run directory, or one that cannot be extended, or unusable " +
		"rows; 6 storage failed; 7 the dataset is not the old one with appended rows; 75 the run is running.",
	"work": "0 the run has ended, or everything is finished and reported after a signal; 1 internal error, 2 usage, or " +
		"hub and worker do not belong together, 4 no hub within --give-up, or answers are left in the spool; 6 the " +
		"spool cannot be written, 75 another process has this name or spool.",
	"verify":  "0 everything is as it was written, 2 no run directory, 6 something is damaged.",
	"compare": "0 compared, 2 no such run, 5 a gate was missed.",
}

const plainExits = "0 done, 1 internal error, 2 usage or input wrong."

// completeHelp gives a command what its help must have: exit codes, and a
// description also where the purpose line says it all.
func completeHelp(c *cobra.Command) {
	if c.Long == "" {
		c.Long = wrap(c.Short+".", 80, 0)
	}
	if strings.Contains(c.Long, "Exit codes:") {
		return
	}
	codes := exitsOf[c.Name()]
	if codes == "" {
		codes = plainExits
	}
	c.Long += "\n\nExit codes: " + wrap(codes, 80, len("Exit codes: "))
}

// wrap breaks a text into lines of at most width, the first of which begins at
// column at.
func wrap(text string, width, at int) string {
	var b strings.Builder
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case at+1+len(word) > width:
			b.WriteByte('\n')
			at = 0
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += len(word)
	}
	return b.String()
}

func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIRECTORY",
		Short: "Write the manual pages",
		Long: `Writes a manual page for each command: nightshift.1, nightshift-run.1 and so on. The
directory is created if it does not exist. Copy the pages to a man1 directory, or
read one with man -l.`,
		Example: `  nightshift man build/man1
  nightshift man ~/.local/share/man/man1`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := makeDirectory(args[0]); err != nil {
				return err
			}
			root := c.Root()
			root.DisableAutoGenTag = true
			return doc.GenManTree(root, &doc.GenManHeader{Title: "NIGHTSHIFT", Section: "1",
				Source: "nightshift " + version(), Manual: "nightshift"}, args[0])
		},
	}
}
