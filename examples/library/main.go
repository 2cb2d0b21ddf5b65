// Command library runs a dataset through a model from a Go program and prints
// the summary:
//
//	go run ./examples/library examples/quickstart/prompts.jsonl runs/library
package main

import (
	"context"
	"io"
	"log"
	"os"

	"nightshift/runner/plan"
	"nightshift/runner/session"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: library DATASET RUN")
	}
	if err := run(context.Background(), os.Args[1], os.Args[2], os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run keeps the answers in the directory out; the same call resumes.
func run(ctx context.Context, dataset, out string, w io.Writer) error {
	p := &plan.Plan{}
	err := p.Apply(map[string][]string{
		"dataset": {dataset}, "model": {"simulator/sim-large"}, "max-tokens": {"200"}, "scorer": {"number"}, "out": {out},
	})
	if err != nil {
		return err
	}
	resolved, err := p.Resolve(os.Getenv)
	if err != nil {
		return err
	}
	result, err := session.Run(ctx, resolved, session.Options{})
	if err != nil {
		return err
	}
	return result.Page.Text(w)
}
