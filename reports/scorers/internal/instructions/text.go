package instructions

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// closing may stand between the end of a sentence and the white space after it.
	closing = `)"'”’]}»` + marking
	// marking does so as well, and is of the next sentence, also where nothing follows.
	marking = `*`
)

// abbreviations end in a point that ends no sentence.
var abbreviations = strings.Fields("dr mr mrs ms messrs prof st jr sr inc ltd co corp bros vs u.s u.k " +
	"u.n u.s.a d.c a.m p.m ph.d gen sen rep reps col lt maj adm ave ft mg yr jan feb aug sept sep oct nov dec tues wed " +
	"fri c d e f g h j k l m n p r s t v w minn calif conn colo ariz tenn fla okla wash mich w.va n.y n.j va pa")

// starters begin a sentence, with a capital, also behind an abbreviation.
var starters = strings.Fields("although among both but despite even he however i if in indeed instead it many " +
	"meanwhile moreover most nevertheless nor since so some the there these they this though thus under when while yet")

// sentences counts the sentences of a text, after the rules that the Punkt method
// (T. Kiss and J. Strunk 2006) has learnt for English: a mark that ends one stands
// at the end of a word, and is not the point of an abbreviation, an initial, an
// ellipsis or a number with more of the sentence behind it. Line breaks end none.
func sentences(text string) int {
	words := slices.DeleteFunc(strings.Fields(text), func(w string) bool { return strings.Trim(w, `)"'”’]}»`) == "" })
	if len(words) == 0 && strings.TrimSpace(text) != "" {
		return 1 // nothing but quotes
	}
	n := 0
	for i, w := range words {
		if i == len(words)-1 {
			if n++; strings.HasSuffix(w, marking) && endsSentence(w, "") {
				n++
			}
		} else if endsSentence(w, words[i+1]) {
			n++
		}
	}
	return n
}

func endsSentence(word, next string) bool {
	word = strings.TrimRight(word, closing)
	if word == "" {
		return false
	}
	lower := startsLower(next)
	switch {
	case strings.HasSuffix(word, "?"), strings.HasSuffix(word, "!"):
		return true
	case strings.HasSuffix(word, ".."), strings.HasSuffix(word, "…"):
		return !lower && strings.HasSuffix(word, "..") && strings.Trim(word, ".") != ""
	case !strings.HasSuffix(word, "."):
		return false
	}
	core := strings.ToLower(strings.TrimLeft(strings.TrimSuffix(word, "."), `("'“‘[{*_`))
	if last := core[strings.LastIndexByte(core, '-')+1:]; slices.Contains(abbreviations, core) ||
		slices.Contains(abbreviations, last) {
		return startsUpper(next) && slices.Contains(starters, strings.ToLower(strings.Trim(next, closing+`.,;:!?`)))
	}
	isNumber := core != "" && strings.Trim(core, "0123456789.,") == ""
	switch {
	case isNumber:
		return !lower
	case utf8.RuneCountInString(core) == 1 && startsUpper(word): // an initial, but the word I ends sentences
		return core == "i" && !lower
	}
	return true
}

func startsLower(word string) bool {
	r, _ := utf8.DecodeRuneInString(strings.TrimLeft(word, `("'“‘[{*_`))
	return unicode.IsLower(r)
}

func startsUpper(word string) bool {
	r, _ := utf8.DecodeRuneInString(strings.TrimLeft(word, `("'“‘[{*_`))
	return unicode.IsUpper(r)
}

// contractions are endings that are tokens of their own.
var contractions = []string{"n't", "'ll", "'re", "'ve", "'s", "'m", "'d"}

// merged are words that stand for two.
var merged = map[string]int{"cannot": 3, "gonna": 3, "gotta": 3, "wanna": 3, "lemme": 3, "gimme": 3}

// tokens splits a text into words and marks by the conventions of the Penn Treebank
// (R. MacIntyre 1995): hyphens, slashes and points within a word keep it together,
// other marks and the endings of contractions stand alone.
func tokens(text string) []string {
	var all []string
	for _, field := range strings.Fields(text) {
		from := 0
		for i, r := range field {
			if parts(field, i, r) {
				all = append(all, field[from:i], string(r))
				from = i + utf8.RuneLen(r)
			}
		}
		all = append(all, strings.Split(field[min(from, len(field)):], "--")...)
	}
	var out []string
	for _, word := range all {
		out = append(out, uncontracted(strings.Trim(word, "'"))...)
	}
	return slices.DeleteFunc(out, func(w string) bool { return w == "" })
}

// parts reports whether a character of a word is a token of its own.
func parts(word string, i int, r rune) bool {
	switch {
	case strings.ContainsRune(";@#$%&?!()[]{}<>\"“”‘’„«»…", r):
		return true
	case r == ',' || r == ':':
		next := i + 1
		return next >= len(word) || word[next] < '0' || word[next] > '9'
	}
	return false
}

func uncontracted(word string) []string {
	lower := strings.ToLower(word)
	if len(lower) != len(word) {
		return []string{word}
	}
	if at := merged[strings.TrimRight(lower, ".")]; at > 0 {
		return []string{word[:at], word[at:]}
	}
	for _, ending := range contractions {
		if rest := len(word) - len(ending); rest > 0 && strings.HasSuffix(lower, ending) {
			return []string{word[:rest], word[rest:]}
		}
	}
	return []string{word}
}
