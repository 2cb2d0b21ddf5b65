package words

import (
	"slices"
	"strings"
)

// Near is the candidate that word is most likely a misspelling of, "A or B"
// where two are as likely, or "".
func Near(word string, candidates []string) string {
	word = strings.ToLower(word)
	var best []string
	distance := len(word)/3 + 1
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		switch d := edits(word, strings.ToLower(c)); {
		case d < distance:
			best, distance = []string{c}, d
		case d == distance:
			best = append(best, c)
		}
	}
	if len(best) == 0 {
		return underscored(word, candidates)
	}
	return strings.Join(best[:min(len(best), 2)], " or ")
}

// underscored finds maxTokens for max_tokens and base-url for base_url.
func underscored(word string, candidates []string) string {
	plain := func(s string) string { return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(s)) }
	for _, c := range candidates {
		if plain(c) == plain(word) {
			return c
		}
	}
	return ""
}

// edits is the number of letters to insert, delete, replace or swap with
// their neighbour (optimal string alignment).
func edits(a, b string) int {
	x, y := []rune(a), []rune(b)
	prev2, prev, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], prev2[j-2]+1)
			}
		}
		prev2, prev, row = prev, row, prev2
	}
	return prev[len(y)]
}
