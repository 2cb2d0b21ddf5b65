package instructions

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"nightshift/internal/pattern"
	"nightshift/reports/scorers/internal/language"
	"nightshift/reports/scorers/internal/normalize"
)

// space is any white space in an expression: \s of Go is ASCII only.
const space = `[\s\v\x{1c}-\x{1f}\x{85}\p{Z}]`

// anyCase finds a text in any case. Keywords are texts: what means something else in
// a regular expression stands for itself.
func anyCase(text string) *regexp.Regexp {
	return regexp.MustCompile(`(?i)` + regexp.QuoteMeta(strings.ToValidUTF8(text, "\uFFFD")))
}

func existence(r *reader) func(string) bool {
	words := r.texts("keywords")
	return func(answer string) bool {
		return !slices.ContainsFunc(words, func(w string) bool { return !anyCase(w).MatchString(answer) })
	}
}

func frequency(r *reader) func(string) bool {
	word := strings.TrimSpace(r.text("keyword"))
	enough := r.relation("relation", r.number("frequency"))
	return func(answer string) bool { return enough(len(anyCase(word).FindAllStringIndex(answer, -1))) }
}

func forbiddenWords(r *reader) func(string) bool {
	words := r.texts("forbidden_words")
	return func(answer string) bool {
		return !slices.ContainsFunc(words, func(w string) bool { return holdsWord(answer, w) })
	}
}

// holdsWord reports whether a word stands in a text between word boundaries, in any
// case.
func holdsWord(text, word string) bool {
	boundary := func(before, after string) bool {
		return endsInWord(before) != startsWithWord(after)
	}
	re := anyCase(word)
	for at := 0; at <= len(text); {
		m := re.FindStringIndex(text[at:])
		if m == nil {
			return false
		}
		start, end := at+m[0], at+m[1]
		if boundary(text[:start], text[start:]) && boundary(text[:end], text[end:]) {
			return true
		}
		at = start + 1
	}
	return false
}

func endsInWord(s string) bool {
	r := []rune(s[max(0, len(s)-4):])
	return len(r) > 0 && normalize.IsWord(r[len(r)-1])
}

func startsWithWord(s string) bool {
	for _, r := range s {
		return normalize.IsWord(r)
	}
	return false
}

func letterFrequency(r *reader) func(string) bool {
	letter := strings.ToLower(strings.TrimSpace(r.text("letter")))
	if r.err == nil && len([]rune(letter)) != 1 {
		r.fail("letter", "one letter")
	}
	enough := r.relation("let_relation", r.number("let_frequency"))
	return func(answer string) bool { return enough(strings.Count(strings.ToLower(answer), letter)) }
}

func responseLanguage(r *reader) func(string) bool {
	want := strings.ToLower(r.text("language"))
	return func(answer string) bool {
		got := language.Detect(answer)
		return got == "" || got == want || strings.HasPrefix(got, want+"-") // without letters nothing can be said
	}
}

func numberSentences(r *reader) func(string) bool {
	enough := r.relation("relation", r.number("num_sentences"))
	return func(answer string) bool { return enough(sentences(answer)) }
}

var stars = pattern.Late(space + `?\*\*\*` + space + `?`)

func numberParagraphs(r *reader) func(string) bool {
	want := r.number("num_paragraphs")
	return func(answer string) bool {
		parts := stars().Split(answer, -1)
		n := len(parts)
		for i, p := range parts {
			if strings.TrimSpace(p) != "" {
				continue
			}
			if i != 0 && i != len(parts)-1 {
				return false
			}
			n--
		}
		return n == want
	}
}

func numberWords(r *reader) func(string) bool {
	enough := r.relation("relation", r.number("num_words"))
	return func(answer string) bool {
		apart := func(r rune) bool { return !normalize.IsWord(r) && !unicode.IsMark(r) }
		return enough(len(strings.FieldsFunc(answer, apart)))
	}
}

func nthParagraph(r *reader) func(string) bool {
	want, nth := r.number("num_paragraphs"), r.number("nth_paragraph")
	word := strings.ToLower(r.text("first_word"))
	if r.err == nil && nth < 1 {
		r.fail("nth_paragraph", "a number of 1 or more")
	}
	return func(answer string) bool {
		parts := strings.Split(answer, "\n\n")
		n := 0
		for _, p := range parts {
			if strings.TrimSpace(p) != "" {
				n++
			}
		}
		return n == want && nth <= n && firstWord(parts[nth-1]) == word
	}
}

// firstWord is the first word of a paragraph up to a mark, in lower case.
func firstWord(paragraph string) string {
	words := strings.Fields(paragraph)
	if len(words) == 0 {
		return ""
	}
	word := strings.TrimLeft(strings.TrimLeft(words[0], "'"), `"`)
	if i := strings.IndexAny(word, `.,?!'"`); i >= 0 {
		word = word[:i]
	}
	return strings.ToLower(word)
}

var bracketed = pattern.Late(`\[.*?\]`)

func placeholders(r *reader) func(string) bool {
	want := r.number("num_placeholders")
	return func(answer string) bool { return len(bracketed().FindAllStringIndex(answer, want)) >= want }
}

func postscript(r *reader) func(string) bool {
	marker := strings.TrimSpace(r.text("postscript_marker"))
	source := regexp.QuoteMeta(strings.ToLower(strings.ToValidUTF8(marker, "\uFFFD")))
	switch marker {
	case "P.P.S":
		source = `p\.` + space + `?p\.` + space + `?s`
	case "P.S.":
		source = `p\.` + space + `?s\.`
	}
	re := regexp.MustCompile(source)
	return func(answer string) bool { return re.MatchString(strings.ToLower(answer)) }
}

var (
	starBullet = pattern.Late(`(?m)^` + space + `*\*[^\*].*$`)
	dashBullet = pattern.Late(`(?m)^` + space + `*-.*$`)
)

func bulletLists(r *reader) func(string) bool {
	want := r.number("num_bullets")
	return func(answer string) bool {
		n := len(starBullet().FindAllStringIndex(answer, -1)) + len(dashBullet().FindAllStringIndex(answer, -1))
		return n == want
	}
}

func constrainedResponse(*reader) func(string) bool {
	options := []string{"My answer is yes.", "My answer is no.", "My answer is maybe."}
	return func(answer string) bool {
		return slices.ContainsFunc(options, func(o string) bool { return strings.Contains(answer, o) })
	}
}

var (
	starred       = pattern.Late(`\*[^\n\*]*\*`)
	doublyStarred = pattern.Late(`\*\*[^\n\*]*\*\*`)
)

func highlightedSections(r *reader) func(string) bool {
	want := r.number("num_highlights")
	return func(answer string) bool {
		n := 0
		for _, h := range starred().FindAllString(answer, -1) {
			if strings.TrimSpace(strings.Trim(h, "*")) != "" {
				n++
			}
		}
		for _, h := range doublyStarred().FindAllString(answer, -1) {
			if strings.TrimSpace(h[2:len(h)-2]) != "" {
				n++
			}
		}
		return n >= want
	}
}

func multipleSections(r *reader) func(string) bool {
	splitter := strings.ToValidUTF8(strings.TrimSpace(r.text("section_spliter")), "\uFFFD")
	want := r.number("num_sections")
	re := regexp.MustCompile(regexp.QuoteMeta(splitter) + space + `?\p{Nd}`)
	return func(answer string) bool { return len(re.FindAllStringIndex(answer, want)) >= want }
}

func jsonFormat(*reader) func(string) bool {
	return func(answer string) bool {
		s := strings.TrimSpace(answer)
		for _, fence := range []string{"```json", "```Json", "```JSON", "```"} {
			s = strings.TrimPrefix(s, fence)
		}
		return json.Valid([]byte(strings.TrimSpace(strings.TrimSuffix(s, "```"))))
	}
}

var titled = pattern.Late(`<<[^\n]+>>`)

func title(*reader) func(string) bool {
	return func(answer string) bool {
		return slices.ContainsFunc(titled().FindAllString(answer, -1), func(t string) bool {
			return strings.TrimSpace(strings.TrimRight(strings.TrimLeft(t, "<"), ">")) != ""
		})
	}
}

func twoResponses(*reader) func(string) bool {
	return func(answer string) bool {
		parts := strings.Split(answer, "******")
		var responses []string
		for i, p := range parts {
			p = strings.TrimSpace(p)
			switch {
			case p != "":
				responses = append(responses, p)
			case i != 0 && i != len(parts)-1:
				return false
			}
		}
		return len(responses) == 2 && responses[0] != responses[1]
	}
}

func repeatPrompt(r *reader) func(string) bool {
	prompt := strings.ToLower(strings.TrimSpace(r.text("prompt_to_repeat")))
	return func(answer string) bool {
		return strings.HasPrefix(strings.ToLower(strings.TrimSpace(answer)), prompt)
	}
}

func endChecker(r *reader) func(string) bool {
	phrase := strings.ToLower(strings.TrimSpace(r.text("end_phrase")))
	return func(answer string) bool {
		return strings.HasSuffix(strings.ToLower(strings.Trim(strings.TrimSpace(answer), `"`)), phrase)
	}
}

func quotation(*reader) func(string) bool {
	return func(answer string) bool {
		s := strings.TrimSpace(answer)
		return len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"'
	}
}

func capitalWords(r *reader) func(string) bool {
	enough := r.relation("capital_relation", r.number("capital_frequency"))
	return func(answer string) bool {
		n := 0
		for _, token := range tokens(answer) {
			if allOf(token, unicode.IsUpper) {
				n++
			}
		}
		return enough(n)
	}
}

// allOf reports whether a text has letters with case, and all of them are in one.
func allOf(text string, is func(rune) bool) bool {
	some := false
	for _, r := range text {
		if !unicode.IsUpper(r) && !unicode.IsLower(r) && !unicode.IsTitle(r) {
			continue
		}
		if !is(r) {
			return false
		}
		some = true
	}
	return some
}

func isEnglish(answer string) bool {
	got := language.Detect(answer)
	return got == "en" || got == ""
}

func englishCapital(*reader) func(string) bool {
	return func(answer string) bool { return allOf(answer, unicode.IsUpper) && isEnglish(answer) }
}

func englishLowercase(*reader) func(string) bool {
	return func(answer string) bool { return allOf(answer, unicode.IsLower) && isEnglish(answer) }
}

func noComma(*reader) func(string) bool {
	return func(answer string) bool { return !strings.Contains(answer, ",") }
}
