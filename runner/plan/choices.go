package plan

import (
	"fmt"
	"slices"
	"strings"

	"nightshift/internal/pattern"
)

// choiceNames are what people call the answers to choose from.
var choiceNames = []string{"choices", "options", "endings", "answer_choices", "alternatives", "candidates"}

func namesChoices(field string) bool {
	return slices.ContainsFunc(choiceNames, func(name string) bool { return strings.EqualFold(name, field) })
}

// letters are what choices are called in a prompt.
const letters = "ABCDEFGHIJ"

// lettered is a choice that has its letter already, as in "A) 21".
var lettered = pattern.Late(`^\(?[A-J][).:]`)

var digit = pattern.Late(`^[0-9]$`)

// A multipleChoice is how rows ask a multiple-choice question.
type multipleChoice struct {
	list   string // the choices, as a template names their list
	labels string // the same for their labels; empty where they have none
	marked bool   // each choice begins with its letter
	target string // a template of the right choice's letter; empty where it is not known
}

// multipleChoiceOf finds a field with choices in all the rows: a list of texts, or
// ARC's object with the lists text and label. It is nil where there is none.
func multipleChoiceOf(rows []map[string]any, fields []string, target string) *multipleChoice {
	for _, name := range choiceNames {
		i := slices.IndexFunc(fields, func(f string) bool { return strings.EqualFold(f, name) })
		if i < 0 {
			continue
		}
		field := fields[i]
		if lists, ok := listsOf(rows, field, "text"); ok {
			m := &multipleChoice{list: reference(field) + ".text", labels: reference(field) + ".label"}
			if labels, ok := listsOf(rows, field, "label"); ok {
				m.byLabel(rows, labels, target)
			}
			return m.mark(lists)
		}
		if lists, ok := listsOf(rows, field, ""); ok {
			m := &multipleChoice{list: reference(field)}
			m.byPlace(rows, lists, target)
			return m.mark(lists)
		}
	}
	return nil
}

// listsOf are the lists of two texts or more that every row has in a field, or in a
// part of it.
func listsOf(rows []map[string]any, field, part string) (lists [][]string, ok bool) {
	for _, row := range rows {
		value := row[field]
		if part != "" {
			object, _ := value.(map[string]any)
			value = object[part]
		}
		items, _ := value.([]any)
		var texts []string
		for _, item := range items {
			texts = append(texts, textOf(item))
		}
		if len(texts) < 2 || len(texts) > len(letters) || slices.Contains(texts, "") {
			return nil, false
		}
		lists = append(lists, texts)
	}
	return lists, len(rows) > 0
}

// textOf is a text or a number as a text; empty for anything else.
func textOf(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case float64:
		return fmt.Sprint(v)
	}
	return ""
}

func (m *multipleChoice) mark(lists [][]string) *multipleChoice {
	m.marked = !slices.ContainsFunc(lists, func(list []string) bool {
		return slices.ContainsFunc(list, func(text string) bool { return !lettered().MatchString(text) })
	})
	return m
}

// byLabel takes a target that is one of the labels.
func (m *multipleChoice) byLabel(rows []map[string]any, labels [][]string, target string) {
	for i, row := range rows {
		if !slices.Contains(labels[i], textOf(row[target])) {
			return
		}
	}
	m.target = letterWhere(m.labels, reference(target))
}

// byPlace takes a target that is a number from 0, a letter or a choice itself.
func (m *multipleChoice) byPlace(rows []map[string]any, lists [][]string, target string) {
	all := func(fits func(text string, list []string) bool) bool {
		for i, row := range rows {
			if !fits(textOf(row[target]), lists[i]) {
				return false
			}
		}
		return target != ""
	}
	switch {
	case all(func(text string, list []string) bool { return slices.Contains(list, text) }):
		m.target = letterWhere(m.list, reference(target))
	case all(func(text string, list []string) bool {
		return digit().MatchString(text) && int(text[0]-'0') < len(list)
	}):
		m.target = "{{ '" + letters + "'[" + reference(target) + "|int] }}"
	case all(func(text string, list []string) bool {
		return len(text) == 1 && strings.Contains(letters[:len(list)], text)
	}):
		m.target = "{{ " + reference(target) + " }}"
	}
}

// letterWhere is a template of the letter of the item in a list that is equal to
// something.
func letterWhere(list, what string) string {
	return "{% for one in " + list + " %}{% if one == " + what + " %}{{ '" + letters +
		"'[loop.index0] }}{% endif %}{% endfor %}"
}

// prompt are the lines of a template that asks the question in a field.
func (m *multipleChoice) prompt(question string) []string {
	letter := "{{ '" + letters + "'[loop.index0] }}. "
	if m.marked {
		letter = ""
	}
	return []string{"{{ " + question + " }}", "",
		"{% for text in " + m.list + " %}" + letter + "{{ text }}", "{% endfor %}",
		`End with "Answer: " and the letter of the right choice.`}
}
