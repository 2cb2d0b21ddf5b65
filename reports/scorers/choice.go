package scorers

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

type choiceParams struct {
	Choices    choiceList `json:"choices" type:"number or list" doc:"how many choices there are, or their texts; letters count from A"`
	Multiple   bool       `json:"multiple" doc:"several letters may be right; compared as sets"`
	Occurrence string     `json:"occurrence" doc:"which marker counts: last or first"`
	Compat     string     `json:"compat" doc:"take the letter exactly as another tool does: inspect, simple_evals or mmlu_pro"`
}

// choiceList is a number of choices, or their texts.
type choiceList struct {
	N     int
	Texts []string
}

func (c choiceList) MarshalJSON() ([]byte, error) {
	if c.Texts != nil {
		return json.Marshal(c.Texts)
	}
	return json.Marshal(c.N)
}

func (c *choiceList) UnmarshalJSON(raw []byte) error {
	*c = choiceList{}
	if json.Unmarshal(raw, &c.N) == nil {
		return nil
	}
	if json.Unmarshal(raw, &c.Texts) != nil {
		return fmt.Errorf("choices: want a number or a list of texts, have %s", raw)
	}
	c.N = len(c.Texts)
	return nil
}

type choice struct {
	base
	p    choiceParams
	peer *regexp.Regexp // the rule of another tool that takes one letter
}

func newChoice(b base, p choiceParams) (*choice, error) {
	if p.Choices.N < 1 || p.Choices.N > 26 {
		return nil, fmt.Errorf("choices: want 1 to 26, have %d", p.Choices.N)
	}
	if err := oneOf("occurrence", p.Occurrence, "last", "first"); err != nil {
		return nil, err
	}
	s := &choice{base: b, p: p}
	last := string(rune('A' + p.Choices.N - 1))
	switch p.Compat {
	case "simple_evals":
		s.peer = regexp.MustCompile(`(?i)Answer[ \t]*:[ \t]*\$?([A-` + last + `])\$?`)
	case "mmlu_pro":
		s.peer = regexp.MustCompile(`answer is \(?([A-` + last + `])\)?`)
	}
	return s, oneOf("compat", p.Compat, "", "inspect", "simple_evals", "mmlu_pro")
}

func (s *choice) Score(a Answer, target *Target) Result {
	targets, bad := texts(target)
	if bad != nil {
		return *bad
	}
	rights, err := s.rights(targets)
	if err != nil {
		return unscored("%v", err)
	}
	if s.peer != nil {
		return s.byPeer(a.Text, rights)
	}
	got := s.find(a.Text)
	if got == "" {
		return noAnswer("no choice found in the answer")
	}
	shown := strings.Join(strings.Split(got, ""), ", ")
	return verdict(slices.Contains(rights, got)).extracted(shown).sameAs(got)
}

func (s *choice) byPeer(text string, rights []string) Result {
	m := s.peer.FindStringSubmatch(text)
	if m == nil {
		return noAnswer("no choice found in the answer").extracted(invalid)
	}
	return verdict(slices.Contains(rights, m[1])).extracted(m[1]).sameAs(m[1])
}

// invalid is what lm-evaluation-harness calls an answer that it cannot find.
const invalid = "[invalid]"

// rights reads the targets as sets of letters, written as sorted letters. With
// `multiple`, a list of single letters is one set.
func (s *choice) rights(targets []string) ([]string, error) {
	var sets []string
	for _, t := range targets {
		set := s.targetLetters(strings.TrimSpace(t))
		if set == "" {
			return nil, fmt.Errorf("the row's target %q is none of the %d choices", t, s.p.Choices.N)
		}
		sets = append(sets, set)
	}
	if s.p.Multiple && len(sets) > 1 {
		return []string{sortedLetters(strings.Join(sets, ""))}, nil
	}
	return sets, nil
}

func (s *choice) targetLetters(t string) string {
	for i, text := range s.p.Choices.Texts {
		if fold(strings.TrimSpace(text)) == fold(t) {
			return string(rune('A' + i))
		}
	}
	t = strings.Trim(t, "().")
	if s.p.Multiple {
		return s.letterList(t)
	}
	if len(t) == 1 {
		return s.inRange(t)
	}
	return ""
}

// inRange returns letters as a sorted set when all are choices, else nothing.
func (s *choice) inRange(letters string) string {
	letters = strings.ToUpper(letters)
	for _, r := range letters {
		if r < 'A' || r >= 'A'+rune(s.p.Choices.N) {
			return ""
		}
	}
	return sortedLetters(letters)
}

func sortedLetters(letters string) string {
	b := []byte(letters)
	slices.Sort(b)
	return string(slices.Compact(b))
}

var (
	listSeparator = regexp.MustCompile(`(?i)[\s,;&/+]+(?:and\b|or\b)?[\s,;&/+]*|\band\b`)
	choiceMarker  = regexp.MustCompile(`(?i)\A(?:answer[*_]*\s*:|answers?\s+(?:is|are)\b:?|\\boxed\s*\{)`)
)

// letterList reads "A, C", "A and C" or "AC".
func (s *choice) letterList(t string) string {
	letters := ""
	for _, part := range listSeparator.Split(strings.TrimSpace(t), -1) {
		if len(part) == 0 {
			continue
		}
		letters += strings.Trim(part, "()*$.")
	}
	if letters == "" || len(letters) > s.p.Choices.N {
		return ""
	}
	return s.inRange(letters)
}

// find returns the sorted letters that the answer chose; nothing when it chose
// none.
func (s *choice) find(text string) string {
	if s.p.Compat == "inspect" {
		return s.findInspect(text)
	}
	markers := choiceMarkers(text)
	if s.p.Occurrence == "last" {
		slices.Reverse(markers)
	}
	for _, m := range markers {
		letters, binds := s.after(text[m[0]:m[1]], text[m[1]:])
		if letters != "" || binds {
			return letters
		}
	}
	return ""
}

// choiceMarkers returns where markers stand, from left to right.
func choiceMarkers(text string) [][2]int {
	var markers [][2]int
	note := func(i int) {
		if at := choiceMarker.FindStringIndex(text[i:]); at != nil {
			markers = append(markers, [2]int{i, i + at[1]})
		}
	}
	eachFold(text, "answer", note)
	eachFold(text, `\boxed`, note)
	slices.SortFunc(markers, func(a, b [2]int) int { return a[0] - b[0] })
	return markers
}

// after reads what follows a marker. A marker binds when what follows is meant
// as the answer even if it is none of the choices, so that an earlier one is
// not taken for it; "the answer is based on…" and a boxed formula do not.
func (s *choice) after(marker, rest string) (letters string, binds bool) {
	boxed := strings.HasPrefix(marker, `\`)
	colon := strings.HasSuffix(marker, ":")
	if boxed {
		inside, _, closed := strings.Cut(rest, "}")
		if !closed {
			return "", false
		}
		letters = s.letters(strings.NewReplacer(`\text{`, "", `\textbf{`, "", `\mathrm{`, "", `\mathbf{`, "").Replace(inside))
		return letters, letters != ""
	}
	// The letter may stand on the next line.
	rest = strings.TrimLeftFunc(rest, isWrapper)
	if strings.HasPrefix(rest, `\boxed`) {
		return "", false // "Answer: \boxed{B}": the inner marker says it
	}
	line, _, _ := strings.Cut(rest, "\n")
	if letters = s.letters(line); letters != "" {
		return letters, true
	}
	return "", colon || loneLetter(line) != ""
}

// isWrapper reports what may stand between a marker and its letter.
func isWrapper(r rune) bool {
	return unicode.IsSpace(r) || strings.ContainsRune("*_$([{\"'`:", r)
}

// letters reads one letter that stands alone or, with `multiple`, a list.
func (s *choice) letters(line string) string {
	line = strings.TrimLeftFunc(line, isWrapper)
	if s.p.Multiple {
		if end := listEnd(line); end > 0 {
			return s.letterList(line[:end])
		}
		return ""
	}
	one := loneLetter(line)
	if one == "" || s.severalLetters(line) {
		return s.byText(line)
	}
	return s.inRange(one)
}

// loneLetter is the letter at the start of line, when it stands alone: before
// a punctuation mark or the end.
func loneLetter(line string) string {
	if line == "" || !isASCIIWord(rune(line[0])) || isDigit(line[0]) {
		return ""
	}
	if !endsToken(line[1:]) {
		return ""
	}
	return line[:1]
}

// endsToken reports whether a letter before rest stands alone. An apostrophe
// or hyphen that runs on into a word makes it part of one (A's, A-level).
func endsToken(rest string) bool {
	rest = strings.TrimLeft(rest, " \t\r\u00a0")
	r, size := utf8.DecodeRuneInString(rest)
	if rest == "" || r == '\n' {
		return true
	}
	next, _ := utf8.DecodeRuneInString(rest[size:])
	if strings.ContainsRune("'’-", r) && unicode.IsLetter(next) {
		return false
	}
	return r != '_' && (unicode.IsPunct(r) || unicode.IsSymbol(r)) || r == '_' && !isWord(next)
}

// severalLetters reports a list of letters where one is asked for.
func (s *choice) severalLetters(line string) bool {
	end := listEnd(line)
	return end > 0 && len(s.letterList(line[:end])) > 1
}

// byText finds the choice whose text follows the marker.
func (s *choice) byText(line string) string {
	line = fold(trimEnds(line))
	for i, text := range s.p.Choices.Texts {
		if line != "" && fold(trimEnds(text)) == line {
			return string(rune('A' + i))
		}
	}
	return ""
}

// letterRun is a list of letters at the start of a line.
var letterRun = regexp.MustCompile(`(?i)^(?:[A-Z]+\b)(?:[)*$\s]*(?:,|;|&|/|\+|\band\b|\bor\b)[\s(*$]*(?:and\b\s*)?[(*$]*[A-Z]\b)*`)

// listEnd is the length of the list of letters that line starts with; 0 when
// it starts with none, or when the list runs on into a word.
func listEnd(line string) int {
	m := letterRun.FindString(line)
	if m == "" || !endsToken(line[len(m):]) {
		return 0
	}
	return len(m)
}

var (
	inspectLine  = regexp.MustCompile(`(?im)^ANSWER\s*:\s*([A-Za-z\d ,]+)\s*(?:$|\n|\.)`)
	inspectLoose = regexp.MustCompile(`(?i)ANSWER\s*:\s*([A-Za-z\d ,]+)(?:[^\w]|\n|$|\.)`)
)

// findInspect follows Inspect's multiple_choice: the last line that holds just
// the answer, else the last marker.
func (s *choice) findInspect(text string) string {
	all := inspectLine.FindAllStringSubmatch(text, -1)
	if all == nil {
		all = inspectLoose.FindAllStringSubmatch(text, -1)
	}
	if all == nil {
		return ""
	}
	got := strings.ToUpper(strings.TrimRight(strings.TrimSpace(all[len(all)-1][1]), "."))
	if s.p.Multiple {
		got = strings.ReplaceAll(strings.ReplaceAll(got, " AND ", ","), " ", "")
		return s.inRange(strings.ReplaceAll(got, ",", ""))
	}
	got = strings.Trim(got, ",")
	if len(got) != 1 {
		return ""
	}
	return s.inRange(got)
}

func init() {
	register("choice", Pure, "1", "the letter of a multiple-choice answer", choiceParams{Choices: choiceList{N: 26}, Occurrence: "last"}, newChoice)
}
