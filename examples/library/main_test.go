package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestLibrary(t *testing.T) {
	out := filepath.Join(t.TempDir(), "run")
	for range 2 { // the second finds everything on record
		var b strings.Builder
		if err := run(t.Context(), "../quickstart/prompts.jsonl", out, &b); err != nil {
			t.Fatal(err)
		}
		for _, words := range []string{"sim-large", "263", "number"} {
			if !strings.Contains(b.String(), words) {
				t.Errorf("the summary lacks %q:\n%s", words, b.String())
			}
		}
	}
}
