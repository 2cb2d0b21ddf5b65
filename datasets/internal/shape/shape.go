// Package shape makes samples of rows: it recognises what their fields mean,
// renders templates, checks request parameters and loads media files.
package shape

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"nightshift"
	"nightshift/datasets/internal/problem"
	"nightshift/datasets/internal/rowjson"
	"nightshift/internal/words"
)

// A path names a field: by its whole name or, where no field has that name, by
// names (or numbers) joined with dots. The zero value names nothing.
type path struct {
	name  string
	parts []string
	slot  int // where a builder keeps the field's place; 0 is nowhere
}

func newPath(s string) path {
	p := path{name: s}
	if strings.Contains(s, ".") {
		p.parts = strings.Split(s, ".")
	}
	return p
}

// of finds the field in a row.
func (p path) of(r rowjson.Row) rowjson.Value {
	if p.name == "" {
		return rowjson.Value{}
	}
	if v := r.Get(p.name); v.Kind != rowjson.Missing || p.parts == nil {
		return v
	}
	v := r.Get(p.parts[0])
	for _, part := range p.parts[1:] {
		v = v.Get(part)
	}
	return v
}

// A layout is where a row has the wanted fields. It serves for the rows that
// follow as long as they have the same keys in the same order.
type layout struct {
	at       []int16 // by slot: the field's number, or -1
	override int     // the number of a field that is refused, or -1
}

// learn finds the wanted fields of a row.
func (l *layout) learn(r rowjson.Row, wanted []string) {
	l.at = slices.Grow(l.at[:0], len(wanted)+1)[:len(wanted)+1]
	for slot, name := range wanted {
		l.at[slot+1] = int16(slices.IndexFunc(r.Fields,
			func(f rowjson.Field) bool { return rowjson.KeyIs(r.Key(f), name) }))
	}
	l.override = slices.IndexFunc(r.Fields, func(f rowjson.Field) bool { return overrides(string(r.Key(f))) })
}

// locate prepares find for the row that was scanned last.
func (b *Builder) locate(r rowjson.Row) {
	if !b.Same || len(b.layout.at) == 0 {
		b.layout.learn(r, b.wanted)
	}
}

// find is lookup for the row that was located last.
func (b *Builder) find(r rowjson.Row, p *path) rowjson.Value {
	if p.slot == 0 {
		return p.of(r)
	}
	if i := b.layout.at[p.slot]; i >= 0 {
		return r.Value(r.Fields[i])
	}
	if p.parts == nil {
		return rowjson.Value{}
	}
	return p.of(r)
}

// A shape is one way in which rows are written.
type shape struct {
	name string // for people
	// is reports whether a row looks so.
	is func(rowjson.Row) bool
	// input reads the prompt of a row.
	input func(*Builder, rowjson.Row) problem.Reason
	// Default fields.
	prompt, target string
	tests          bool // promptfoo: variables stand in vars, expectations in assert
	batch          bool // a line of a batch file: a whole request body
}

// has reports whether the row has a field of one of the kinds.
func has(r rowjson.Row, name string, kinds ...rowjson.Kind) bool {
	k := r.Get(name).Kind
	for _, want := range kinds {
		if k == want {
			return true
		}
	}
	return false
}

// shapes in the order in which they are tried.
var shapes = []*shape{
	{name: "OpenAI batch", prompt: "body", batch: true,
		is: func(r rowjson.Row) bool {
			return has(r, "custom_id", rowjson.String) &&
				has(r, "body", rowjson.Object)
		},
		input: (*Builder).openAIBatch},
	{name: "Anthropic batch", prompt: "params", batch: true,
		is: func(r rowjson.Row) bool {
			return has(r, "custom_id", rowjson.String) && has(r, "params", rowjson.Object)
		},
		input: (*Builder).anthropicBatch},
	{name: "Gemini batch", prompt: "request", batch: true, is: isGeminiBatch, input: (*Builder).geminiBatch},
	{name: "conversations", prompt: "conversations",
		is:    func(r rowjson.Row) bool { return has(r, "conversations", rowjson.Array, rowjson.String) },
		input: (*Builder).conversation},
	{name: "messages", prompt: "messages",
		is:    func(r rowjson.Row) bool { return has(r, "messages", rowjson.Array, rowjson.String) },
		input: (*Builder).chat},
	{name: "turns", prompt: "turns", target: "reference",
		is:    func(r rowjson.Row) bool { return has(r, "turns", rowjson.Array) },
		input: (*Builder).turns},
	{name: "instruction/input/output", prompt: "instruction", target: "output",
		is:    func(r rowjson.Row) bool { return has(r, "instruction", rowjson.String) },
		input: (*Builder).instruction},
	{name: "prompt", prompt: "prompt", target: "target",
		is:    func(r rowjson.Row) bool { return has(r, "prompt", rowjson.String, rowjson.Array) },
		input: (*Builder).promptOrChat},
	{name: "input/target", prompt: "input", target: "target",
		is: func(r rowjson.Row) bool {
			return has(r, "input", rowjson.String, rowjson.Array) && r.Get("target").Kind != rowjson.Missing
		},
		input: (*Builder).promptOrChat},
	{name: "input/ideal", prompt: "input", target: "ideal",
		is: func(r rowjson.Row) bool {
			return has(r, "input", rowjson.String, rowjson.Array) && r.Get("ideal").Kind != rowjson.Missing
		},
		input: (*Builder).promptOrChat},
	{name: "question/answer", prompt: "question", target: "answer",
		is: func(r rowjson.Row) bool {
			return has(r, "question", rowjson.String) && r.Get("answer").Kind != rowjson.Missing
		},
		input: (*Builder).promptOrChat},
	promptfoo,
}

var promptfoo = &shape{name: "promptfoo tests", prompt: "vars", tests: true,
	is:    func(r rowjson.Row) bool { return has(r, "vars", rowjson.Object) },
	input: (*Builder).template}

// templated is the shape of any row when the plan has a prompt template.
var templated = &shape{name: "prompt template", input: (*Builder).template}

// mapped is the shape when Fields["prompt"] names the prompt.
var mapped = &shape{name: "mapped fields", input: (*Builder).promptOrChat}

// idFields in the order in which they are tried.
var idFields = []string{"id", "custom_id", "task_id", "question_id", "key"}

// maxID is the longest id in bytes.
const maxID = 1024

// A Builder makes samples from rows by the rules of one dataset. It is not
// safe for concurrent use; its rules are.
type Builder struct {
	*Rules
	rowjson.Scanner
	layout layout
	// check stops short of filling in the sample: every reason to refuse a row
	// is found, nothing is allocated.
	check        bool
	trial        *Builder // for Try
	s            nightshift.Sample
	idValue      rowjson.Value // of the row built last
	media        []mediaUse
	parts        []string // content parts to attach, as JSON
	choiceLabels []string // by which the row's target may name a choice
	used         []string // top-level fields that metadata leaves out
}

// NewBuilder returns a builder. One that checks finds every reason to refuse a
// row and makes no samples.
func NewBuilder(r *Rules, check bool) *Builder { return &Builder{Rules: r, check: check} }

// Parse reads the text of a row, which the builder's other methods then take.
func (b *Builder) Parse(raw []byte) (rowjson.Row, problem.Reason) {
	r, c := b.Scanner.Row(raw, b.repair)
	if !c.Bad() {
		b.locate(r)
	}
	return r, c
}

// Check says why the row cannot be sent, apart from what templates do.
func (b *Builder) Check(r rowjson.Row) problem.Reason { return b.build(r) }

// FoundID is the id of the row that was checked last; missing where it has none.
func (b *Builder) FoundID() rowjson.Value { return b.idValue }

// HasTarget reports whether the row has a target, apart from templates.
func (b *Builder) HasTarget(r rowjson.Row) bool {
	if b.shape.tests && b.Rules.target.name == "" {
		return expectation(r).Given()
	}
	return b.find(r, &b.Rules.target).Given()
}

// Try renders the templates on a row that passed Check. It has not tried where
// there are none.
func (b *Builder) Try(r rowjson.Row) (c problem.Reason, tried bool) {
	t := b.templates
	if t.system == nil && t.prompt == nil && t.target == nil {
		return problem.Reason{}, false
	}
	if b.trial == nil {
		b.trial = NewBuilder(b.Rules, false)
	}
	b.trial.layout = b.layout
	_, c = b.trial.Sample(r, 0, 0)
	return c, true
}

// Sample makes the sample of a row, as far as it can be read.
func (b *Builder) Sample(r rowjson.Row, index int64, epoch int) (nightshift.Sample, problem.Reason) {
	c := b.build(r)
	if !c.Bad() {
		c = b.finish(r, index, epoch)
	}
	return b.s, c
}

// build makes b.s from a row that was located. Templates are not rendered.
func (b *Builder) build(r rowjson.Row) problem.Reason {
	if !b.check {
		b.s = nightshift.Sample{}
	}
	b.media = b.media[:0]
	b.used = b.used[:0]
	if c := b.overrides(r); c.Bad() {
		return c
	}
	var name string
	var c problem.Reason
	if b.idValue, name, c = b.ID(r); c.Bad() {
		return c
	}
	b.use(name)
	if c := b.system(r); c.Bad() {
		return c
	}
	if c := b.shape.input(b, r); c.Bad() {
		return c
	}
	if c := b.params(r); c.Bad() {
		return c
	}
	if c := b.images(r); c.Bad() {
		return c
	}
	if c := b.choices(r); c.Bad() || b.check {
		return c
	}
	b.target(r)
	b.nameTarget()
	b.s.Category = b.label(r, &b.Rules.category)
	b.s.Cluster = b.label(r, &b.Rules.cluster)
	b.s.Metadata = b.metadata(r)
	return problem.Reason{}
}

func (b *Builder) use(name string) {
	if name != "" && !b.check {
		b.used = append(b.used, name)
	}
}

// ID finds the row's id: the value, the field that holds it, and what is
// wrong with it. A missing value means the index.
func (b *Builder) ID(r rowjson.Row) (rowjson.Value, string, problem.Reason) {
	for i := range b.ids {
		p := &b.ids[i]
		v := b.find(r, p)
		switch {
		case !v.Given() || v.Empty() && v.Kind == rowjson.String:
			continue
		case v.Kind != rowjson.String && v.Kind != rowjson.Number:
			return v, "", problem.Refuse("the id "+words.Quote(p.name)+" is "+v.Kind.String(),
				"an id is a text or a number; name another field with fields: {id: …}")
		case len(v.Raw) > maxID && len(v.Text()) > maxID:
			return v, "", problem.Refuse("the id is "+words.Thousands(int64(len(v.Raw)))+" bytes long", "at most 1,024")
		}
		if !b.check {
			b.s.ID = v.Text()
		}
		return v, p.name, problem.Reason{}
	}
	return rowjson.Value{}, "", problem.Reason{}
}

// system reads the row's own system prompt, where no template makes it.
func (b *Builder) system(r rowjson.Row) problem.Reason {
	p := &b.Rules.system
	if p.name == "" {
		return problem.Reason{}
	}
	v := b.find(r, p)
	switch {
	case !v.Given():
	case v.Kind != rowjson.String:
		if b.systemMapped {
			return b.wrongType(*p, v, "a text")
		}
		return problem.Reason{} // some other thing of that name: metadata
	case !b.check:
		b.s.System = v.Text()
	}
	b.use(p.name)
	return problem.Reason{}
}

func (b *Builder) wrongType(p path, v rowjson.Value, want string) problem.Reason {
	if v.Kind == rowjson.Missing {
		return problem.Refuse(words.Quote(p.name) + " is missing")
	}
	return problem.Refuse(words.Quote(p.name) + " is " + v.Kind.String() + ", not " + want)
}

// say adds a plain message.
func (b *Builder) say(role nightshift.Role, v rowjson.Value) {
	if !b.check {
		b.s.Messages = append(b.s.Messages, nightshift.Message{Role: role, Text: v.Text()})
	}
}

// promptOrChat reads a prompt that is a text or a list of messages.
func (b *Builder) promptOrChat(r rowjson.Row) problem.Reason {
	v := b.unwrapped(b.find(r, &b.prompt))
	b.use(b.prompt.name)
	switch {
	case v.Kind == rowjson.Array:
		return b.messages(b.prompt, v)
	case v.Kind != rowjson.String:
		return b.wrongType(b.prompt, v, "a text")
	case blankText(v):
		return problem.Refuse(words.Quote(b.prompt.name) + " is empty")
	}
	b.say(nightshift.RoleUser, v)
	return problem.Reason{}
}

func blankText(v rowjson.Value) bool {
	for _, c := range v.Raw[1 : len(v.Raw)-1] {
		if c != ' ' {
			return false
		}
	}
	return true
}

// unwrapped reads a list that a table (CSV, some Parquet files) holds as text.
func (b *Builder) unwrapped(v rowjson.Value) rowjson.Value {
	if v.Kind != rowjson.String || !b.tabular {
		return v
	}
	text := bytes.TrimSpace(rowjson.Unescape(v.Raw[1 : len(v.Raw)-1]))
	if len(text) > 0 && text[0] == '[' && json.Valid(text) {
		return rowjson.NewValue(text)
	}
	return v
}

// instruction reads an Alpaca row: the input, where there is one, follows the
// instruction after an empty line.
func (b *Builder) instruction(r rowjson.Row) problem.Reason {
	v, in := b.find(r, &b.prompt), r.Get("input")
	b.use(b.prompt.name)
	switch {
	case v.Kind != rowjson.String:
		return b.wrongType(b.prompt, v, "a text")
	case blankText(v):
		return problem.Refuse(words.Quote(b.prompt.name) + " is empty")
	case in.Given() && in.Kind != rowjson.String:
		return problem.Refuse(`"input" is ` + in.Kind.String() + ", not a text")
	case b.check:
		return problem.Reason{}
	}
	b.use("input")
	text := v.Text()
	if in.Given() && !blankText(in) {
		text += "\n\n" + in.Text()
	}
	b.s.Messages = []nightshift.Message{{Role: nightshift.RoleUser, Text: text}}
	return problem.Reason{}
}

// turns reads a list of user turns.
func (b *Builder) turns(r rowjson.Row) problem.Reason {
	v := b.unwrapped(b.find(r, &b.prompt))
	b.use(b.prompt.name)
	if v.Kind != rowjson.Array {
		return b.wrongType(b.prompt, v, "a list of texts")
	}
	if v.Empty() {
		return problem.Refuse(words.Quote(b.prompt.name) + " is empty")
	}
	for i, turn := range rowjson.Elements(v.Raw) {
		switch {
		case turn.Kind != rowjson.String || blankText(turn):
			return problem.Refuse("a turn is "+turn.Kind.String()+" or empty", "turns are texts")
		case i == 0:
			b.say(nightshift.RoleUser, turn)
		case !b.check:
			b.s.Turns = append(b.s.Turns, turn.Text())
		}
	}
	return problem.Reason{}
}

// template leaves the prompt to the templates.
func (b *Builder) template(r rowjson.Row) problem.Reason {
	if b.shape.tests {
		b.use(b.shape.prompt)
		if v := r.Get("vars"); v.Kind != rowjson.Object {
			return b.wrongType(newPath("vars"), v, "an object")
		}
	}
	return problem.Reason{}
}

// hashMarks is what GSM8K writes before the final answer.
const hashMarks = "####"

// target reads what a right answer looks like.
func (b *Builder) target(r rowjson.Row) {
	if b.lastAssistant {
		b.takeLastAssistant()
		return
	}
	v := b.find(r, &b.Rules.target)
	if b.shape.tests && b.Rules.target.name == "" {
		v = expectation(r)
	}
	if !v.Given() {
		return
	}
	b.s.Target, b.s.HasTarget = v.Text(), true
	if v.Kind == rowjson.Array || v.Kind == rowjson.Object {
		b.s.Target, b.s.TargetIsList = string(rowjson.Compact(v.Raw)), v.Kind == rowjson.Array
	}
	if b.afterMarks && v.Kind == rowjson.String {
		if i := strings.LastIndex(b.s.Target, hashMarks); i >= 0 {
			b.s.Target = strings.TrimSpace(b.s.Target[i+len(hashMarks):])
			return // the whole answer stays in the metadata
		}
	}
	b.use(b.Rules.target.name)
}

// takeLastAssistant turns the last assistant message into the target.
func (b *Builder) takeLastAssistant() {
	n := len(b.s.Messages) - 1
	if n < 1 || b.s.Messages[n].Role != nightshift.RoleAssistant {
		return
	}
	last := b.s.Messages[n]
	b.s.Messages = b.s.Messages[:n]
	b.s.Target, b.s.HasTarget = last.Text, true
	if last.Raw != nil {
		b.s.Target = string(rowjson.Compact(last.Raw))
	}
}

// expectation finds what a promptfoo test wants to see, where it is a text.
func expectation(r rowjson.Row) rowjson.Value {
	assert := r.Get("assert")
	if assert.Kind != rowjson.Array {
		return rowjson.Value{}
	}
	for _, a := range rowjson.Elements(assert.Raw) {
		switch a.Get("type").Text() {
		case "equals", "contains", "icontains", "starts-with", "similar", "factuality":
			if v := a.Get("value"); v.Kind == rowjson.String || v.Kind == rowjson.Number {
				return v
			}
		}
	}
	return rowjson.Value{}
}

// label reads a category or cluster.
func (b *Builder) label(r rowjson.Row, p *path) string {
	v := b.find(r, p)
	if !v.Given() {
		return ""
	}
	b.use(p.name)
	if v.Kind == rowjson.Array || v.Kind == rowjson.Object {
		return string(rowjson.Compact(v.Raw))
	}
	return v.Text()
}

// metadata collects the fields that nothing else used, as they were written.
func (b *Builder) metadata(r rowjson.Row) json.RawMessage {
	var out []byte
	for _, f := range r.Fields {
		if b.isUsed(rowjson.Unescape(r.Key(f))) {
			continue
		}
		if out == nil {
			out = append(make([]byte, 0, len(r.Text)), '{')
		} else {
			out = append(out, ',')
		}
		out = append(append(append(out, '"'), r.Key(f)...), '"', ':')
		out = append(out, r.Value(f).Raw...)
	}
	if out == nil {
		return nil
	}
	return append(out, '}')
}

func (b *Builder) isUsed(key []byte) bool {
	for _, name := range b.used {
		if string(key) == name {
			return true
		}
	}
	return false
}
