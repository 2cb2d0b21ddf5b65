// Package language says in which language a text is written: by its script, and
// among languages of one script by their commonest words and letters.
package language

import (
	"math"
	"strings"
	"unicode"
)

// scripts that tell the language, or a group of languages.
var scripts = []struct {
	table *unicode.RangeTable
	code  string
}{
	{unicode.Latin, "latin"}, {unicode.Cyrillic, "cyrillic"}, {unicode.Arabic, "arabic"},
	{unicode.Devanagari, "devanagari"}, {unicode.Han, "han"}, {unicode.Hiragana, "ja"}, {unicode.Katakana, "ja"},
	{unicode.Hangul, "ko"}, {unicode.Thai, "th"}, {unicode.Bengali, "bn"}, {unicode.Gujarati, "gu"},
	{unicode.Gurmukhi, "pa"}, {unicode.Kannada, "kn"}, {unicode.Malayalam, "ml"}, {unicode.Tamil, "ta"},
	{unicode.Telugu, "te"}, {unicode.Greek, "el"}, {unicode.Hebrew, "he"},
}

// Detect returns the ISO 639-1 code of a text's language, zh-cn or zh-tw for
// Chinese; "" for a text without letters of a known script. It knows the 55
// languages of the library langdetect.
func Detect(text string) string {
	counts := map[string]int{}
	for _, r := range text {
		if r < 0x80 {
			if 'a' <= r|0x20 && r|0x20 <= 'z' {
				counts["latin"]++
			}
			continue
		}
		for _, s := range scripts {
			if unicode.Is(s.table, r) {
				counts[s.code]++
				break
			}
		}
	}
	counts["han"] *= 2 // a character is a word or half of one
	counts["ja"] *= 2
	if counts["ja"] > 0 && counts["ja"]*10 >= counts["han"] {
		counts["ja"] += counts["han"]
	}
	most, script := 0, ""
	for _, s := range scripts {
		if counts[s.code] > most {
			most, script = counts[s.code], s.code
		}
	}
	switch script {
	case "latin", "cyrillic", "arabic", "devanagari":
		return byWords(text, script)
	case "han":
		return chinese(text)
	}
	return script
}

// chinese tells the two ways of writing apart by characters that only one has.
func chinese(text string) string {
	plain, full := 0, 0
	for _, r := range text {
		if strings.ContainsRune("这个们来时说国对会为学发经过还没开关东车长门问间马鱼见书", r) {
			plain++
		}
		if strings.ContainsRune("這個們來時說國對會為學發經過還沒開關東車長門問間馬魚見書", r) {
			full++
		}
	}
	if full > plain {
		return "zh-tw"
	}
	return "zh-cn"
}

// byWords finds the language whose words and letters fit best; the first of the
// script's where none fits better.
func byWords(text, script string) string {
	known := profiles()[script]
	scores := make([]float64, len(known.languages))
	isLetter := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsMark(r) }
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !isLetter(r) && r != '\u200c' })
	for _, word := range words {
		with := known.words[word]
		for _, i := range with {
			scores[i] += 1 / math.Sqrt(float64(len(with)))
		}
		for _, r := range word {
			if r < 0x80 {
				continue
			}
			has := known.letters[r]
			for i := range scores {
				scores[i] -= 0.5
			}
			for _, i := range has {
				scores[i] += 0.5 + 0.4/float64(len(has))
			}
		}
	}
	best := 0
	for i, s := range scores {
		if s > scores[best]+1e-9 {
			best = i
		}
	}
	return known.languages[best]
}
