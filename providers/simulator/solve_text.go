package simulator

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// subject is the word or text that a question is about.
func (q *query) subject(phrases ...string) string {
	if len(q.quoted) > 0 {
		return slices.MaxFunc(q.quoted, func(a, b string) int { return len(a) - len(b) })
	}
	if s := q.about(); s != "" {
		return s
	}
	s, _ := q.after(phrases...)
	return s
}

// solveLetters counts letters, vowels and words.
func solveLetters(q *query) (solution, bool) {
	if q.has("backward", "revers", "uppercase", "capital letters", "alphabetical", "without the vowels", "initial") {
		return solution{}, false
	}
	text := q.subject("in the word", "of the word", "does the word", "are in", "in ")
	if text == "" {
		return solution{}, false
	}
	count := func(in string) solution {
		n := 0
		for _, r := range strings.ToLower(text) {
			if strings.ContainsRune(in, r) {
				n++
			}
		}
		return solution{answer: strconv.Itoa(n), reason: "I go through it letter by letter."}
	}
	switch {
	case q.has("vowel"):
		return count("aeiou"), true
	case q.has("consonant"):
		return count("bcdfghjklmnpqrstvwxyz"), true
	case q.has("how many words", "number of words", "count the words"):
		return solution{answer: strconv.Itoa(len(words(text)))}, true
	case q.has("first letter"):
		return solution{answer: text[:1]}, text != ""
	case q.has("last letter"):
		return solution{answer: text[len(text)-1:]}, text != ""
	}
	for _, quoted := range q.quoted {
		if len(quoted) == 1 && len(q.quoted) > 1 {
			return count(strings.ToLower(quoted)), true
		}
	}
	if letter, ok := q.after("the letter "); ok && len(words(letter)) > 0 && len(words(letter)[0]) == 1 {
		return count(strings.ToLower(words(letter)[0])), true
	}
	if q.has("how many letters", "how many characters", "number of letters", "count the letters") {
		return count("abcdefghijklmnopqrstuvwxyz"), true
	}
	return solution{}, false
}

// solveWords turns words and lists around.
func solveWords(q *query) (solution, bool) {
	text := q.subject("the word ", "write ", "reverse ")
	if text == "" {
		return solution{}, false
	}
	items := list(text)
	answer := func(s string) (solution, bool) { return solution{answer: s}, s != "" }
	switch {
	case q.has("without the vowels"):
		return answer(strings.Map(func(r rune) rune {
			if strings.ContainsRune("aeiouAEIOU", r) {
				return -1
			}
			return r
		}, text))
	case q.has("reverse the order", "reverse order"):
		slices.Reverse(items)
		return answer(strings.Join(items, ", "))
	case q.has("revers", "backward"):
		return answer(reversed(text))
	case q.has("uppercase", "upper case", "capital letters"):
		return answer(strings.ToUpper(text))
	case q.has("lowercase", "lower case"):
		return answer(strings.ToLower(text))
	case q.has("acronym", "initials"):
		return answer(initials(text))
	case q.has("last word"):
		return answer(last(words(text)))
	case q.has("first word"):
		return answer(words(text)[0])
	case q.has("concatenat"):
		return answer(strings.Join(q.quoted, ""))
	}
	return solveOrder(q, text, items)
}

// solveOrder sorts lists, or finds an end of them.
func solveOrder(q *query, text string, items []string) (solution, bool) {
	if len(items) < 2 {
		items = words(text)
	}
	if len(items) < 2 {
		return solution{}, false
	}
	byLength := func(a, b string) int { return len(a) - len(b) }
	others := slices.Clone(items)
	switch {
	case q.has("longest word", "word is the longest", "word is longest"):
		return solution{answer: slices.MaxFunc(items, byLength), others: others}, true
	case q.has("shortest word", "word is the shortest", "word is shortest"):
		return solution{answer: slices.MinFunc(items, byLength), others: others}, true
	}
	if figs := figures(strings.ToLower(text)); len(figs) > 2 {
		return sortedFigures(q, figs), true
	}
	if !q.has("alphabetical") {
		return solution{}, false
	}
	slices.SortFunc(items, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	if q.has("comes first", "come first") {
		return solution{answer: items[0], others: others}, true
	}
	if q.has("comes last", "come last") {
		return solution{answer: last(items), others: others}, true
	}
	if q.has("reverse alphabetical") {
		slices.Reverse(items)
	}
	return solution{answer: strings.Join(items, ", "), others: []string{swapped(items)}}, true
}

func sortedFigures(q *query, figs []figure) solution {
	slices.SortFunc(figs, func(a, b figure) int {
		if a.value < b.value {
			return -1
		}
		return 1
	})
	if q.has("descending", "largest to smallest") {
		slices.Reverse(figs)
	}
	var parts []string
	for _, f := range figs {
		parts = append(parts, number(f.value))
	}
	return solution{answer: strings.Join(parts, ", "), others: []string{swapped(parts)}}
}

// swapped is a list with two neighbours out of order.
func swapped(items []string) string {
	wrong := slices.Clone(items)
	i := len(wrong) / 2
	wrong[i-1], wrong[i] = wrong[i], wrong[i-1]
	return strings.Join(wrong, ", ")
}

func reversed(s string) string {
	r := []rune(s)
	slices.Reverse(r)
	return string(r)
}

func initials(s string) string {
	var b strings.Builder
	for _, w := range words(s) {
		b.WriteString(strings.ToUpper(w[:1]))
	}
	return b.String()
}

func last(items []string) string {
	if len(items) == 0 {
		return ""
	}
	return items[len(items)-1]
}

// solveLabel classifies a text by the words in it, under the labels offered.
func solveLabel(q *query) (solution, bool) {
	text := strings.ToLower(q.about())
	if text == "" {
		return solution{}, false
	}
	question := strings.Replace(q.lower, text, "", 1)
	score := func(words []string) int {
		n := 0
		for _, w := range words {
			n += strings.Count(text, w)
		}
		return n
	}
	if strings.Contains(question, "positive") || strings.Contains(question, "sentiment") {
		return sentiment(score(positiveWords)-score(negativeWords), strings.Contains(question, "neutral")), true
	}
	best, answer := 0, ""
	var others []string
	for _, t := range topics {
		if !strings.Contains(question, t.label) {
			continue
		}
		others = append(others, t.label)
		if n := score(t.words); n > best {
			best, answer = n, t.label
		}
	}
	if answer == "" {
		answer = without(question, others)
	}
	if negative := without(question, others); negative != "" {
		others = append(others, negative)
	}
	return solution{answer: answer, others: others, reason: "The wording points that way."}, answer != ""
}

// without finds the label for what fits none of the others.
func without(question string, labels []string) string {
	for _, w := range []string{"not spam", "not urgent", "informal", "statement", "other"} {
		if strings.Contains(question, w) {
			return w
		}
	}
	if len(labels) > 0 {
		return labels[0]
	}
	return ""
}

func sentiment(balance int, neutral bool) solution {
	answer := "neutral"
	switch {
	case balance > 0:
		answer = "positive"
	case balance < 0 || !neutral:
		answer = "negative"
	}
	others := []string{"positive", "negative"}
	if neutral {
		others = append(others, "neutral")
	}
	return solution{answer: answer, others: others, reason: "The choice of words gives the mood away."}
}

func solveLanguage(q *query) (solution, bool) {
	text := " " + strings.ToLower(q.about()) + " "
	best, answer := 0, ""
	for _, name := range sortedKeys(languages) {
		n := 0
		for _, w := range languages[name] {
			if strings.Contains(text, " "+w) {
				n++
			}
		}
		if n > best {
			best, answer = n, name
		}
	}
	return solution{answer: answer, others: sortedKeys(languages)}, answer != ""
}

// solveExtract finds one thing in a text.
func solveExtract(q *query) (solution, bool) {
	text := q.about()
	question := q.lower
	if i := strings.Index(q.text, text); i > 0 {
		question = q.lower[:min(i, len(q.lower))]
	}
	for _, e := range extractors {
		if strings.Contains(question, e.name) {
			v, ok := e.find(text)
			return solution{answer: v, others: e.wrong(text)}, ok && text != ""
		}
	}
	return solution{}, false
}

// solveJSON extracts the fields asked for, in the order asked for.
func solveJSON(q *query) (solution, bool) {
	text := q.about()
	if text == "" {
		return solution{}, false
	}
	question := q.lower[:max(0, strings.Index(q.lower, strings.ToLower(text)))]
	o, wrong := newObject(), newObject()
	n := 0
	for _, field := range words(question) {
		for _, e := range extractors {
			if e.name != field && e.name+"s" != field {
				continue
			}
			v, ok := e.find(text)
			if !ok {
				continue
			}
			o.raw(e.name, jsonValue(v))
			wrong.raw(e.name, jsonValue(mistake(v, fnvOffset.with(text))))
			n++
		}
	}
	return solution{answer: o.String(), others: []string{wrong.String()}}, n > 0
}

// jsonValue writes numbers as numbers, everything else as a string.
func jsonValue(v string) string {
	if _, err := strconv.ParseFloat(v, 64); err == nil {
		return v
	}
	return quote(v)
}

// An extractor finds a named thing in a text.
type extractor struct {
	name string
	find func(text string) (string, bool)
}

// wrong offers other words of the text.
func (e extractor) wrong(text string) (others []string) {
	for _, w := range strings.Fields(text) {
		if w = strings.Trim(w, ".,;:!?\"'"); len(w) > 2 && (unicode.IsUpper(rune(w[0])) || unicode.IsDigit(rune(w[0]))) {
			others = append(others, w)
		}
	}
	return others
}

var extractors = []extractor{
	{"email", fieldWith("@")},
	{"website", fieldWith("www.")},
	{"phone", findPhone},
	{"price", afterSign("$")},
	{"amount", afterSign("$")},
	{"age", numberNear("years old", "aged ", "age ")},
	{"quantity", numberNear("pieces", "units", "copies", "boxes", "x ")},
	{"year", findYear},
	{"city", nameAfter("lives in ", "living in ", "based in ", "moved to ", "office in ", "from ", "in ")},
	{"country", nameAfter("born in ", "citizen of ", "in ", "from ")},
	{"company", nameAfter("works at ", "works for ", "employed by ", "joined ", "at ")},
	{"job", wordAfter("works as an ", "works as a ", "is an ", "is a ", "as an ", "as a ")},
	{"color", colorIn}, {"colour", colorIn},
	{"name", firstName},
	{"person", firstName},
}

func fieldWith(mark string) func(string) (string, bool) {
	return func(text string) (string, bool) {
		for _, w := range strings.Fields(text) {
			if strings.Contains(w, mark) {
				return strings.Trim(w, ".,;:!?<>()"), true
			}
		}
		return "", false
	}
}

func findPhone(text string) (string, bool) {
	for _, w := range strings.Fields(text) {
		w = strings.Trim(w, ".,;:!?")
		if strings.Count(w, "-") >= 2 && unicode.IsDigit(rune(w[0])) {
			return w, true
		}
	}
	return "", false
}

func afterSign(sign string) func(string) (string, bool) {
	return func(text string) (string, bool) {
		_, rest, ok := strings.Cut(text, sign)
		if !ok {
			return "", false
		}
		figs := figures(rest)
		if len(figs) == 0 || figs[0].start != 0 {
			return "", false
		}
		return rest[:figs[0].end], true
	}
}

// numberNear finds the number before or after a phrase.
func numberNear(phrases ...string) func(string) (string, bool) {
	return func(text string) (string, bool) {
		lower := strings.ToLower(text)
		for _, p := range phrases {
			at := strings.Index(lower, p)
			if at < 0 {
				continue
			}
			for _, f := range figures(lower) {
				if f.end+1 == at || f.start == at+len(p) {
					return number(f.value), true
				}
			}
		}
		return "", false
	}
}

func findYear(text string) (string, bool) {
	for _, f := range figures(strings.ToLower(text)) {
		if f.value >= 1000 && f.value < 2100 && f.end-f.start == 4 {
			return number(f.value), true
		}
	}
	return "", false
}

// capitalized returns the capitalized words at the start of s.
func capitalized(s string) (string, bool) {
	var name []string
	for _, w := range strings.Fields(s) {
		bare := strings.Trim(w, ".,;:!?\"'")
		if bare == "" || !unicode.IsUpper([]rune(bare)[0]) {
			break
		}
		name = append(name, bare)
		if bare != w {
			break
		}
	}
	return strings.Join(name, " "), len(name) > 0
}

func nameAfter(phrases ...string) func(string) (string, bool) {
	return func(text string) (string, bool) {
		for _, p := range phrases {
			for rest := text; ; {
				_, after, ok := strings.Cut(rest, p)
				if !ok {
					break
				}
				if name, ok := capitalized(after); ok {
					return name, true
				}
				rest = after
			}
		}
		return "", false
	}
}

func wordAfter(phrases ...string) func(string) (string, bool) {
	return func(text string) (string, bool) {
		for _, p := range phrases {
			if _, after, ok := strings.Cut(text, p); ok && len(words(after)) > 0 {
				return words(after)[0], true
			}
		}
		return "", false
	}
}

func firstName(text string) (string, bool) {
	rest := text
	for rest != "" {
		if name, ok := capitalized(rest); ok && !has([]string{"The", "Our", "On", "In", "Please", "Dear", "Contact", "Order", "My", "At", "When", "After", "Yesterday"}, strings.Fields(name)[0]) {
			return strings.TrimSuffix(name, "'s"), true
		}
		_, rest, _ = strings.Cut(strings.TrimSpace(rest), " ")
	}
	return "", false
}

func colorIn(text string) (string, bool) {
	lower := strings.ToLower(text)
	for _, c := range []string{"red", "blue", "green", "yellow", "black", "white", "purple", "orange", "silver", "brown", "grey", "gray", "pink"} {
		if slices.Contains(words(lower), c) {
			return c, true
		}
	}
	return "", false
}
