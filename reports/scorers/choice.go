package scorers

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"nightshift/internal/pattern"
	"nightshift/reports/scorers/internal/normalize"
)

type choiceParams struct {
	Choices    choiceList `json:"choices" type:"number or list" doc:"how many choices there are, or their texts; letters count from A"`
	Multiple   bool       `json:"multiple" doc:"several letters may be right; compared as sets"`
	Occurrence string     `json:"occurrence" doc:"which marker counts: last or first"`
	Compat     string     `json:"compat" doc:"take the letter exactly as another tool does: inspect (Inspect at commit 499e615), simple_evals or mmlu_pro (lm-evaluation-harness)"`
}

// choiceList is a number of choices, or their texts: a list, or an object {text: […]}.
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
	var labelled struct {
		Text []string `json:"text"`
	}
	if json.Unmarshal(raw, &labelled) == nil && labelled.Text != nil { // ARC writes {text: […], label: […]}
		c.Texts = labelled.Text
	} else if json.Unmarshal(raw, &c.Texts) != nil {
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
		if normalize.Fold(strings.TrimSpace(text)) == normalize.Fold(t) {
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

// listSeparator parts the letters of a list.
var listSeparator = pattern.Late(`(?i)[\s,;&/+和与與及]+(?:and\b|or\b)?[\s,;&/+]*|\band\b`)

// letterList reads "A, C", "A and C" or "AC".
func (s *choice) letterList(t string) string {
	letters := ""
	for _, part := range listSeparator().Split(strings.TrimSpace(t), -1) {
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

var (
	inspectLine  = pattern.Late(`(?im)^ANSWER\s*:\s*([A-Za-z\d ,]+)\s*(?:$|\n|\.)`)
	inspectLoose = pattern.Late(`(?i)ANSWER\s*:\s*([A-Za-z\d ,]+)(?:[^\w]|\n|$|\.)`)
)

// findInspect follows Inspect's multiple_choice: the last line that holds just
// the answer, else the last marker.
func (s *choice) findInspect(text string) string {
	all := inspectLine().FindAllStringSubmatch(text, -1)
	if all == nil {
		all = inspectLoose().FindAllStringSubmatch(text, -1)
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
	register("choice", Pure, "2", "the letter of a multiple-choice answer",
		choiceParams{Choices: choiceList{N: 26}, Occurrence: "last"}, newChoice)
}
