package search

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// FuzzSearch holds the search by literal to plain regexp.
func FuzzSearch(f *testing.F) {
	f.Add("(?i:answer: (\\w+))", "the ANSWER: is Answer: x")
	f.Add("(?i:(task)k)", "taſkK taskK")
	f.Add("a(?:b|c)*\\b", strings.Repeat("a", 40)+" abc")
	f.Add("(?i:(?m)x$)", "yx\nX")
	f.Add("ab|ac|(?i)AD", "zad")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		s, err := New(pattern)
		if err != nil {
			return
		}
		want := regexp.MustCompile(pattern).FindStringSubmatchIndex(text)
		if got := s.Find(text); !slices.Equal(got, want) {
			t.Errorf("%q in %q at %v, want %v", pattern, text, got, want)
		}
	})
}
