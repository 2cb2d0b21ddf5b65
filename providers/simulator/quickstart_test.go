package simulator

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"nightshift/providers/simulator/internal/answers"
	"nightshift/providers/simulator/internal/jsontext"
)

// quickstart reads the example's dataset.
func quickstart(t testing.TB) (rows []struct{ ID, Prompt, Target, Category string }) {
	t.Helper()
	f, err := os.Open("../../examples/quickstart/prompts.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		rows = append(rows, struct{ ID, Prompt, Target, Category string }{})
		if err := json.Unmarshal(lines.Bytes(), &rows[len(rows)-1]); err != nil {
			t.Fatal(err)
		}
	}
	return rows
}

// knows makes answers of prompts, each followed by its target.
func knows(t testing.TB, pairs ...string) *answers.File {
	t.Helper()
	var lines strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		lines.WriteString(`{"prompt":` + jsontext.Quote(pairs[i]) + `,"target":` + jsontext.Quote(pairs[i+1]) + "}\n")
	}
	known, err := answers.Read(strings.NewReader(lines.String()), "pairs")
	if err != nil {
		t.Fatal(err)
	}
	return known
}
