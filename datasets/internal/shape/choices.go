package shape

import (
	"slices"

	"nightshift/datasets/internal/problem"
	"nightshift/datasets/internal/rowjson"
	"nightshift/internal/words"
)

// choices reads the answers of which one is right, where the plan names their
// field: a list of texts, or an object with the lists text and label, as ARC has
// them. A target that is a label then means the text.
func (b *Builder) choices(r rowjson.Row) problem.Reason {
	p := &b.Rules.choicesPath
	if p.name == "" {
		return problem.Reason{}
	}
	v := b.unwrapped(b.find(r, p))
	labels := v.Get("label")
	if v.Kind == rowjson.Object {
		v = v.Get("text")
	}
	if v.Kind != rowjson.Array {
		return b.wrongType(*p, v, "a list of texts")
	}
	var texts []string
	for _, one := range rowjson.Elements(v.Raw) {
		if one.Kind != rowjson.String && one.Kind != rowjson.Number || one.Empty() {
			return problem.Refuse(words.Quote(p.name)+" holds "+one.Kind.String()+" or an empty text", "choices are texts")
		}
		texts = append(texts, one.Text())
	}
	if len(texts) < 2 {
		return problem.Refuse(words.Quote(p.name)+" has fewer than two choices", "")
	}
	if b.check {
		return problem.Reason{}
	}
	b.use(p.name)
	b.s.Choices = texts
	b.choiceLabels = b.choiceLabels[:0]
	if labels.Kind == rowjson.Array {
		for _, label := range rowjson.Elements(labels.Raw) {
			b.choiceLabels = append(b.choiceLabels, label.Text())
		}
	}
	return problem.Reason{}
}

// nameTarget puts the text of a choice in the place of its label.
func (b *Builder) nameTarget() {
	if i := slices.Index(b.choiceLabels, b.s.Target); b.s.Choices != nil && i >= 0 && i < len(b.s.Choices) {
		b.s.Target = b.s.Choices[i]
	}
}
