package datasets

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"nightshift"
)

// A rowError says why one row is unusable. The zero value is none.
type rowError struct{ what, hint string }

func (c rowError) bad() bool { return c.what != "" }

// A row is one accepted row: its text and its fields.
type row struct {
	b      []byte
	fields []field
}

func (r row) key(f field) []byte { return r.b[f.keyStart:f.keyEnd] }

func (r row) value(f field) value { return value{r.b[f.valStart:f.valEnd], f.kind} }

// get returns a top-level field.
func (r row) get(name string) value {
	for _, f := range r.fields {
		if !f.escaped {
			if int(f.keyEnd-f.keyStart) == len(name) && string(r.key(f)) == name {
				return r.value(f)
			}
		} else if string(unescape(r.key(f))) == name {
			return r.value(f)
		}
	}
	return value{}
}

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

func (r row) lookup(p path) value {
	if p.name == "" {
		return value{}
	}
	if v := r.get(p.name); v.kind != missing || p.parts == nil {
		return v
	}
	v := r.get(p.parts[0])
	for _, part := range p.parts[1:] {
		v = v.get(part)
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
func (l *layout) learn(r row, wanted []string) {
	l.at = slices.Grow(l.at[:0], len(wanted)+1)[:len(wanted)+1]
	for slot, name := range wanted {
		l.at[slot+1] = int16(slices.IndexFunc(r.fields, func(f field) bool { return keyIs(r.key(f), name) }))
	}
	l.override = slices.IndexFunc(r.fields, func(f field) bool { return overrides(string(r.key(f))) })
}

// locate prepares find for the row that was scanned last.
func (b *builder) locate(r row) {
	if !b.same || len(b.layout.at) == 0 {
		b.layout.learn(r, b.wanted)
	}
}

// find is lookup for the row that was located last.
func (b *builder) find(r row, p *path) value {
	if p.slot == 0 {
		return r.lookup(*p)
	}
	if i := b.layout.at[p.slot]; i >= 0 {
		return r.value(r.fields[i])
	}
	if p.parts == nil {
		return value{}
	}
	return r.lookup(*p)
}

// A shape is one way in which rows are written.
type shape struct {
	name string // for people
	// is reports whether a row looks so.
	is func(row) bool
	// input reads the prompt of a row.
	input func(*builder, row) rowError
	// Default fields.
	prompt, target string
	tests          bool // promptfoo: variables stand in vars, expectations in assert
	batch          bool // a line of a batch file: a whole request body
}

// has reports whether the row has a field of one of the kinds.
func has(r row, name string, kinds ...kind) bool {
	k := r.get(name).kind
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
		is:    func(r row) bool { return has(r, "custom_id", kindString) && has(r, "body", kindObject) },
		input: (*builder).openAIBatch},
	{name: "Anthropic batch", prompt: "params", batch: true,
		is:    func(r row) bool { return has(r, "custom_id", kindString) && has(r, "params", kindObject) },
		input: (*builder).anthropicBatch},
	{name: "Gemini batch", prompt: "request", batch: true, is: isGeminiBatch, input: (*builder).geminiBatch},
	{name: "conversations", prompt: "conversations",
		is:    func(r row) bool { return has(r, "conversations", kindArray, kindString) },
		input: (*builder).conversation},
	{name: "messages", prompt: "messages",
		is:    func(r row) bool { return has(r, "messages", kindArray, kindString) },
		input: (*builder).chat},
	{name: "turns", prompt: "turns", target: "reference",
		is:    func(r row) bool { return has(r, "turns", kindArray) },
		input: (*builder).turns},
	{name: "instruction/input/output", prompt: "instruction", target: "output",
		is:    func(r row) bool { return has(r, "instruction", kindString) },
		input: (*builder).instruction},
	{name: "prompt", prompt: "prompt", target: "target",
		is:    func(r row) bool { return has(r, "prompt", kindString, kindArray) },
		input: (*builder).promptOrChat},
	{name: "input/target", prompt: "input", target: "target",
		is:    func(r row) bool { return has(r, "input", kindString, kindArray) && r.get("target").kind != missing },
		input: (*builder).promptOrChat},
	{name: "input/ideal", prompt: "input", target: "ideal",
		is:    func(r row) bool { return has(r, "input", kindString, kindArray) && r.get("ideal").kind != missing },
		input: (*builder).promptOrChat},
	{name: "question/answer", prompt: "question", target: "answer",
		is:    func(r row) bool { return has(r, "question", kindString) && r.get("answer").kind != missing },
		input: (*builder).promptOrChat},
	promptfoo,
}

var promptfoo = &shape{name: "promptfoo tests", prompt: "vars", tests: true,
	is:    func(r row) bool { return has(r, "vars", kindObject) },
	input: (*builder).template}

// templated is the shape of any row when the plan has a prompt template.
var templated = &shape{name: "prompt template", input: (*builder).template}

// mapped is the shape when Fields["prompt"] names the prompt.
var mapped = &shape{name: "mapped fields", input: (*builder).promptOrChat}

// idFields in the order in which they are tried.
var idFields = []string{"id", "custom_id", "task_id", "question_id", "key"}

// maxID is the longest id in bytes.
const maxID = 1024

// A builder makes samples from rows by the rules of one dataset. It is not
// safe for concurrent use; its rules are.
type builder struct {
	*rules
	scanner
	layout layout
	// check stops short of filling in the sample: every reason to refuse a row
	// is found, nothing is allocated.
	check   bool
	s       nightshift.Sample
	idValue value // of the row built last
	media   []mediaUse
	parts   []string // content parts to attach, as JSON
	used    []string // top-level fields that metadata leaves out
}

// build makes b.s from a row that was located. Templates are not rendered.
func (b *builder) build(r row) rowError {
	if !b.check {
		b.s = nightshift.Sample{}
	}
	b.media = b.media[:0]
	b.used = b.used[:0]
	if c := b.overrides(r); c.bad() {
		return c
	}
	var name string
	var c rowError
	if b.idValue, name, c = b.id(r); c.bad() {
		return c
	}
	b.use(name)
	if c := b.system(r); c.bad() {
		return c
	}
	if c := b.shape.input(b, r); c.bad() {
		return c
	}
	if c := b.params(r); c.bad() {
		return c
	}
	if c := b.images(r); c.bad() {
		return c
	}
	if b.check {
		return rowError{}
	}
	b.target(r)
	b.s.Category = b.label(r, &b.rules.category)
	b.s.Cluster = b.label(r, &b.rules.cluster)
	b.s.Metadata = b.metadata(r)
	return rowError{}
}

func (b *builder) use(name string) {
	if name != "" && !b.check {
		b.used = append(b.used, name)
	}
}

// id finds the row's id: the value, the field that holds it, and what is
// wrong with it. A missing value means the index.
func (b *builder) id(r row) (value, string, rowError) {
	for i := range b.ids {
		p := &b.ids[i]
		v := b.find(r, p)
		switch {
		case !v.given() || v.empty() && v.kind == kindString:
			continue
		case v.kind != kindString && v.kind != kindNumber:
			return v, "", rowError{"the id " + quoteShort(p.name) + " is " + v.kind.String(),
				"an id is a text or a number; name another field with fields: {id: …}"}
		case len(v.raw) > maxID && len(v.text()) > maxID:
			return v, "", rowError{"the id is " + thousands(int64(len(v.raw))) + " bytes long", "at most 1,024"}
		}
		if !b.check {
			b.s.ID = v.text()
		}
		return v, p.name, rowError{}
	}
	return value{}, "", rowError{}
}

// system reads the row's own system prompt, where no template makes it.
func (b *builder) system(r row) rowError {
	p := &b.rules.system
	if p.name == "" {
		return rowError{}
	}
	v := b.find(r, p)
	switch {
	case !v.given():
	case v.kind != kindString:
		if b.systemMapped {
			return b.wrongType(*p, v, "a text")
		}
		return rowError{} // some other thing of that name: metadata
	case !b.check:
		b.s.System = v.text()
	}
	b.use(p.name)
	return rowError{}
}

func (b *builder) wrongType(p path, v value, want string) rowError {
	if v.kind == missing {
		return rowError{quoteShort(p.name) + " is missing", ""}
	}
	return rowError{quoteShort(p.name) + " is " + v.kind.String() + ", not " + want, ""}
}

// say adds a plain message.
func (b *builder) say(role nightshift.Role, v value) {
	if !b.check {
		b.s.Messages = append(b.s.Messages, nightshift.Message{Role: role, Text: v.text()})
	}
}

// promptOrChat reads a prompt that is a text or a list of messages.
func (b *builder) promptOrChat(r row) rowError {
	v := b.unwrapped(b.find(r, &b.prompt))
	b.use(b.prompt.name)
	switch {
	case v.kind == kindArray:
		return b.messages(b.prompt, v)
	case v.kind != kindString:
		return b.wrongType(b.prompt, v, "a text")
	case blankText(v):
		return rowError{quoteShort(b.prompt.name) + " is empty", ""}
	}
	b.say(nightshift.RoleUser, v)
	return rowError{}
}

func blankText(v value) bool {
	for _, c := range v.raw[1 : len(v.raw)-1] {
		if c != ' ' {
			return false
		}
	}
	return true
}

// unwrapped reads a list that a table (CSV, some Parquet files) holds as text.
func (b *builder) unwrapped(v value) value {
	if v.kind != kindString || !b.tabular {
		return v
	}
	text := bytes.TrimSpace(unescape(v.raw[1 : len(v.raw)-1]))
	if len(text) > 0 && text[0] == '[' && json.Valid(text) {
		return newValue(text)
	}
	return v
}

// instruction reads an Alpaca row: the input, where there is one, follows the
// instruction after an empty line.
func (b *builder) instruction(r row) rowError {
	v, in := b.find(r, &b.prompt), r.get("input")
	b.use(b.prompt.name)
	switch {
	case v.kind != kindString:
		return b.wrongType(b.prompt, v, "a text")
	case blankText(v):
		return rowError{quoteShort(b.prompt.name) + " is empty", ""}
	case in.given() && in.kind != kindString:
		return rowError{`"input" is ` + in.kind.String() + ", not a text", ""}
	case b.check:
		return rowError{}
	}
	b.use("input")
	text := v.text()
	if in.given() && !blankText(in) {
		text += "\n\n" + in.text()
	}
	b.s.Messages = []nightshift.Message{{Role: nightshift.RoleUser, Text: text}}
	return rowError{}
}

// turns reads a list of user turns.
func (b *builder) turns(r row) rowError {
	v := b.unwrapped(b.find(r, &b.prompt))
	b.use(b.prompt.name)
	if v.kind != kindArray {
		return b.wrongType(b.prompt, v, "a list of texts")
	}
	if v.empty() {
		return rowError{quoteShort(b.prompt.name) + " is empty", ""}
	}
	for i, turn := range elements(v.raw) {
		switch {
		case turn.kind != kindString || blankText(turn):
			return rowError{"a turn is " + turn.kind.String() + " or empty", "turns are texts"}
		case i == 0:
			b.say(nightshift.RoleUser, turn)
		case !b.check:
			b.s.Turns = append(b.s.Turns, turn.text())
		}
	}
	return rowError{}
}

// template leaves the prompt to the templates.
func (b *builder) template(r row) rowError {
	if b.shape.tests {
		b.use(b.shape.prompt)
		if v := r.get("vars"); v.kind != kindObject {
			return b.wrongType(newPath("vars"), v, "an object")
		}
	}
	return rowError{}
}

// hashMarks is what GSM8K writes before the final answer.
const hashMarks = "####"

// target reads what a right answer looks like.
func (b *builder) target(r row) {
	if b.lastAssistant {
		b.takeLastAssistant()
		return
	}
	v := b.find(r, &b.rules.target)
	if b.shape.tests && b.rules.target.name == "" {
		v = expectation(r)
	}
	if !v.given() {
		return
	}
	b.s.Target, b.s.HasTarget = v.text(), true
	if v.kind == kindArray || v.kind == kindObject {
		b.s.Target, b.s.TargetIsList = string(compact(v.raw)), v.kind == kindArray
	}
	if b.afterMarks && v.kind == kindString {
		if i := strings.LastIndex(b.s.Target, hashMarks); i >= 0 {
			b.s.Target = strings.TrimSpace(b.s.Target[i+len(hashMarks):])
			return // the whole answer stays in the metadata
		}
	}
	b.use(b.rules.target.name)
}

// takeLastAssistant turns the last assistant message into the target.
func (b *builder) takeLastAssistant() {
	n := len(b.s.Messages) - 1
	if n < 1 || b.s.Messages[n].Role != nightshift.RoleAssistant {
		return
	}
	last := b.s.Messages[n]
	b.s.Messages = b.s.Messages[:n]
	b.s.Target, b.s.HasTarget = last.Text, true
	if last.Raw != nil {
		b.s.Target = string(compact(last.Raw))
	}
}

// expectation finds what a promptfoo test wants to see, where it is a text.
func expectation(r row) value {
	assert := r.get("assert")
	if assert.kind != kindArray {
		return value{}
	}
	for _, a := range elements(assert.raw) {
		switch a.get("type").text() {
		case "equals", "contains", "icontains", "starts-with", "similar", "factuality":
			if v := a.get("value"); v.kind == kindString || v.kind == kindNumber {
				return v
			}
		}
	}
	return value{}
}

// label reads a category or cluster.
func (b *builder) label(r row, p *path) string {
	v := b.find(r, p)
	if !v.given() {
		return ""
	}
	b.use(p.name)
	if v.kind == kindArray || v.kind == kindObject {
		return string(compact(v.raw))
	}
	return v.text()
}

// metadata collects the fields that nothing else used, as they were written.
func (b *builder) metadata(r row) json.RawMessage {
	var out []byte
	for _, f := range r.fields {
		if b.isUsed(unescape(r.key(f))) {
			continue
		}
		if out == nil {
			out = append(make([]byte, 0, len(r.b)), '{')
		} else {
			out = append(out, ',')
		}
		out = append(append(append(out, '"'), r.key(f)...), '"', ':')
		out = append(out, r.value(f).raw...)
	}
	if out == nil {
		return nil
	}
	return append(out, '}')
}

func (b *builder) isUsed(key []byte) bool {
	for _, name := range b.used {
		if string(key) == name {
			return true
		}
	}
	return false
}
