package web

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"
)

// A span is a piece of a text; Marked where another text lacks it.
type span struct {
	Text   string
	Marked bool
}

// mostCompared bounds the table in which two texts are compared.
const mostCompared = 1_000_000

// marked cuts a text into spans: its words that are not part of the longest
// common subsequence with other are marked. Where what differs is too long for
// that it is marked as a whole.
func marked(text, other string) []span {
	a, b := wordsOf(text), wordsOf(other)
	start := 0
	for start < len(a) && start < len(b) && a[start] == b[start] {
		start++
	}
	end := 0
	for end < len(a)-start && end < len(b)-start && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	shared := commonWords(a[start:len(a)-end], b[start:len(b)-end])
	var spans []span
	for i, w := range a {
		differs := i >= start && i < len(a)-end && !shared[i-start]
		if n := len(spans); n > 0 && (spans[n-1].Marked == differs || spans[n-1].Marked && strings.TrimSpace(w) == "") {
			spans[n-1].Text += w
			continue
		}
		spans = append(spans, span{w, differs})
	}
	return spans
}

// commonWords says which words of a are in the longest common subsequence.
func commonWords(a, b []string) []bool {
	shared := make([]bool, len(a))
	if len(a) == 0 || len(b) == 0 || len(a)*len(b) > mostCompared {
		return shared
	}
	width := len(b) + 1
	longest := make([]int32, (len(a)+1)*width)
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				longest[i*width+j] = longest[(i+1)*width+j+1] + 1
			} else {
				longest[i*width+j] = max(longest[(i+1)*width+j], longest[i*width+j+1])
			}
		}
	}
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] == b[j]:
			shared[i] = true
			i, j = i+1, j+1
		case longest[(i+1)*width+j] >= longest[i*width+j+1]:
			i++
		default:
			j++
		}
	}
	return shared
}

// wordsOf cuts a text into words and the space between them.
func wordsOf(s string) (list []string) {
	from, space := 0, false
	for i, r := range s {
		if now := unicode.IsSpace(r); i > from && now != space {
			list, from, space = append(list, s[from:i]), i, now
		} else if i == from {
			space = now
		}
	}
	if from < len(s) {
		list = append(list, s[from:])
	}
	return list
}

// hashOf is the hash that a record keeps of a request.
func hashOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}
