package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"nightshift/runner/session"
	"nightshift/runner/store/bucket"
	"nightshift/runner/store/view"
)

func (a *app) verifyCommand() *cobra.Command {
	var deep, asJSON bool
	c := &cobra.Command{
		Use:   "verify RUN",
		Short: "Check everything in a run directory, change nothing",
		Long: `Checks the manifest, the size and SHA-256 of every Parquet file, that every row is in
exactly one Parquet file or open journal, and that the totals add up. --deep also
decodes every page, reads each stored raw body again and compares text and usage with
the record, and hashes the dataset. Exit code 6 when something is wrong.`,
		Example: "  nightshift verify runs/tonight --deep",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.reading(c.Context(), args, bucket.ReadOptions{Fresh: true}, func(a *app, dirs []string) error {
				return a.verify(c.Context(), dirs[0], deep, asJSON)
			})
		},
	}
	c.Flags().BoolVar(&deep, "deep", false, "decode every page")
	c.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return c
}

func (a *app) verify(ctx context.Context, dir string, deep, asJSON bool) error {
	rep, notes, err := session.Verify(ctx, dir, deep)
	if err != nil {
		return usageError("%w", err)
	}
	for _, note := range notes {
		fmt.Fprintln(a.err, note)
	}
	if asJSON {
		err = a.printJSON(rep)
	} else {
		a.printVerify(dir, rep)
	}
	if err == nil && !rep.OK() {
		return &session.Error{Reason: session.Storage,
			Err: fmt.Errorf("%s is damaged: restore the files named above from a copy, or run again to do "+
				"their rows again", dir)}
	}
	return err
}

func (a *app) printVerify(dir string, r view.VerifyReport) {
	fmt.Fprintf(a.out, "%s: %d of %d rows on record, %d Parquet files (%d bytes hashed), %d open journals\n", dir,
		r.Recorded,
		r.Items, r.ParquetFiles, r.Bytes, r.Journals)
	for _, p := range r.Problems {
		fmt.Fprintln(a.out, "  "+p.String())
	}
	if r.MoreFound > 0 {
		fmt.Fprintf(a.out, "  and %d more\n", r.MoreFound)
	}
	if r.OK() {
		fmt.Fprintln(a.out, "ok")
	}
}
