// Command nightshift runs a dataset of prompts through language models
// overnight, keeps every answer, and says in the morning what the answers are
// worth and what they cost.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.LookupEnv))
}
