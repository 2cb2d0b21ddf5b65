package answers

import (
	"math"
	"slices"
	"strings"
	"unicode"

	"nightshift/providers/simulator/internal/random"
)

// stopwords are no topics; words of fewer than five letters are none either.
var stopwords = strings.Fields(`
	about above after again answer because before being below between could describe does doing during each every
	explain following from further give have having here include into itself just make more most other please provide
	question respond response should some such than that their them then there these they this those through under
	until very were what when where which while with would write your using words sentence sentences paragraph
	short story reply user assistant system consider`)

// topicWords are the words a text is about, at most eight.
func topicWords(text string) (topics []string) {
	for _, w := range words(Head(text, 2000)) {
		lower := strings.ToLower(w)
		if len(w) < 5 || slices.Contains(stopwords, lower) || slices.Contains(topics, lower) {
			continue
		}
		if topics = append(topics, lower); len(topics) == 8 {
			break
		}
	}
	if len(topics) == 0 {
		topics = []string{"the question"}
	}
	return topics
}

// prose writes a paragraph about the words of a prompt.
func prose(question string, verbosity float64, s random.Seed) string {
	subject := topicWords(question)
	n := wantedSentences(question)
	if n == 0 {
		n = max(1, min(40, int(math.Round(4*verbosity*math.Exp(0.6*s.Normal("length"))))))
	}
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(' ')
			if i%6 == 0 {
				b.WriteString("\n\n")
			}
		}
		b.WriteString(fill(random.Pick(s.WithInt(uint64(i)), "sentence", statements), subject, s.WithInt(uint64(i))))
	}
	return b.String()
}

// wantedSentences reads a wish for length; 0 is none.
func wantedSentences(question string) int {
	lower := strings.ToLower(question)
	for _, w := range []struct {
		text string
		n    int
	}{
		{"one sentence", 1}, {"two sentences", 2}, {"three sentences", 3}, {"four sentences", 4}, {"five sentences", 5},
		{"one paragraph", 5}, {"briefly", 2}, {"in detail", 14}, {"essay", 20},
	} {
		if strings.Contains(lower, w.text) {
			return w.n
		}
	}
	return 0
}

// fill puts topics where a sentence wants them.
func fill(sentence string, subject []string, s random.Seed) string {
	var b strings.Builder
	for i := uint64(0); ; i++ {
		before, after, ok := strings.Cut(sentence, "%")
		b.WriteString(before)
		if !ok {
			break
		}
		b.WriteString(random.Pick(s.WithInt(i), "topic", subject))
		sentence = after
	}
	text := b.String()
	return strings.ToUpper(text[:1]) + text[1:]
}

var statements = []string{
	"When people talk about %, they usually have % in mind as well.",
	"The most important point about % is how it relates to %.",
	"It helps to keep % apart from %, although the two are often named together.",
	"In practice, % depends on circumstances that differ from case to case.",
	"A good first step is to look at % closely and to write down what is known.",
	"Experience shows that % rarely comes alone.",
	"% deserves attention, not least because it shapes everything that follows.",
	"There are good reasons to be careful with %.",
	"One could say that % is the heart of the matter, and % its consequence.",
	"For most purposes a simple view of % is enough.",
	"Over time, % has changed more than many expected.",
	"What remains open is the part that % plays in all this.",
	"Seen from a distance, % looks easier than it is.",
	"A small example makes it clear: without %, there would be no %.",
	"Opinions differ on %, but few would deny that it matters.",
	"To sum up, % is worth the effort.",
	"Beyond that, % connects to questions that people have asked for a long time.",
	"The details of % reward patience.",
}

var musings = []string{
	"The user wants to know about %.",
	"Let me think about % for a moment.",
	"I should check whether % is meant literally.",
	"If I take % first, the rest follows.",
	"Could there be a catch with %?",
	"On the other hand, % might be read differently.",
	"That seems consistent with %.",
	"Let me verify this once more.",
	"I will keep the answer short and mention %.",
}

// words splits a text into words without punctuation around them.
func words(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '\'' && r != '-'
	})
}
