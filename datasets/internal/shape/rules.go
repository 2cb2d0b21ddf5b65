package datasets

import (
	"slices"
	"strings"

	"github.com/nikolalohinski/gonja/v2/exec"

	"nightshift"
)

// Rules say how the rows of one dataset become samples. They are decided once,
// from the Spec and the first rows, and are safe for concurrent use.
type rules struct {
	shape *shape

	ids                               []path
	prompt, target, system            path
	category, cluster, params, images path

	wanted []string // the names of these, by slot

	systemMapped, paramsMapped bool
	lastAssistant              bool // the last assistant message is the target
	afterMarks                 bool // the target follows the last "####"
	tabular                    bool // lists may be held as text
	seenTarget                 bool // some row has a target

	templates templates
	epochs    bool // some template names epoch
	names     func(string) bool

	folder   *mediaFolder
	stamps   *stamps
	indexing bool
}

type templates struct{ system, prompt, target, filter *template }

func (t templates) all() []*template {
	return slices.DeleteFunc([]*template{t.system, t.prompt, t.target, t.filter}, func(t *template) bool { return t == nil })
}

// lastAssistantWord asks for the last assistant message as the target.
const lastAssistantWord = "last_assistant"

// compileTemplates compiles all templates of the Spec.
func compileTemplates(s *Spec, p *Problems) templates {
	one := func(what, source string) *template {
		t, err := compile(what, source)
		if err != nil {
			p.add(Problem{Row: -1, What: err.Error(), Hint: syntaxHint(source)})
		}
		return t
	}
	t := templates{system: one("system", s.System), prompt: one("prompt", s.Prompt)}
	if s.Target != lastAssistantWord {
		t.target = one("target", s.Target)
	}
	if s.Filter != "" {
		t.filter = one("filter", filterStart+s.Filter+" %}1{% endif %}")
	}
	return t
}

// knownFields are the roles that Fields may map.
var knownFields = []string{"id", "target", "prompt", "question", "input", "system", "messages", "conversations", "turns",
	"instruction", "category", "cluster", "params", "images"}

// decide finds the rules for rows like these.
func decide(s *Spec, rows []row, p *Problems) *rules {
	r := &rules{templates: compileTemplates(s, p), stamps: &stamps{}}
	r.names = r.namer()
	r.epochs = slices.ContainsFunc(r.templates.all(), func(t *template) bool { return t.names("epoch") })
	for role := range s.Fields {
		if !slices.Contains(knownFields, role) {
			p.add(Problem{Row: -1, What: "fields: " + quoteShort(role) + " is not something a field can be",
				Hint: "one of " + strings.Join(knownFields, ", ")})
		}
	}
	if len(rows) == 0 || s.Prompt != "" && r.templates.prompt == nil { // what is wrong with the prompt is said
		r.shape = templated
		return r
	}
	if r.shape = r.shapeOf(s, rows); r.shape == nil {
		p.add(noShape(s, rows))
		r.shape = templated
		return r
	}
	if r.shape.tests && r.templates.prompt == nil {
		p.add(Problem{Row: -1, What: "promptfoo tests need a prompt", Hint: `set prompt: "… {{ " + a variable + " }}"`})
	}
	r.mapFields(s, rows)
	return r
}

// shapeOf picks the shape: what the Spec says goes before what rows look like.
func (r *rules) shapeOf(s *Spec, rows []row) *shape {
	isPromptfoo := promptfoo.is(rows[0])
	for _, m := range []struct {
		role  string
		shape string
	}{{"messages", "messages"}, {"conversations", "conversations"}, {"turns", "turns"}, {"instruction", "instruction/input/output"},
		{"prompt", ""}, {"question", ""}, {"input", ""}} {
		if name := s.Fields[m.role]; name != "" && r.templates.prompt == nil {
			r.prompt = newPath(name)
			if m.shape == "" {
				return mapped
			}
			return shapeNamed(m.shape)
		}
	}
	switch {
	case r.templates.prompt != nil && isPromptfoo:
		return promptfoo
	case r.templates.prompt != nil:
		return templated
	}
	if named := shapeNamed(s.Format); named != nil {
		return named
	}
	return commonest(rows)
}

// commonest is the shape that most rows have; nil when none has any.
func commonest(rows []row) (best *shape) {
	most := 0
	for _, candidate := range shapes {
		if n := count(rows, candidate.is); n > most {
			best, most = candidate, n
		}
	}
	return best
}

func count(rows []row, is func(row) bool) (n int) {
	for _, r := range rows {
		if is(r) {
			n++
		}
	}
	return n
}

// mostly reports whether more than half of the rows are so.
func mostly(rows []row, is func(row) bool) bool { return 2*count(rows, is) > len(rows) }

// shapeNamed finds the shape that a plan's format: names.
func shapeNamed(name string) *shape {
	aliases := map[string]string{"sharegpt": "conversations", "alpaca": "instruction/input/output", "instruction": "instruction/input/output",
		"openai_batch": "OpenAI batch", "anthropic_batch": "Anthropic batch", "gemini_batch": "Gemini batch", "mt_bench": "turns", "promptfoo": "promptfoo tests",
		"question": "question/answer", "gsm8k": "question/answer", "input": "input/target", "chat": "messages"}
	if full, ok := aliases[name]; ok {
		name = full
	}
	for _, s := range shapes {
		if s.name == name {
			return s
		}
	}
	return nil
}

// formatNames lists what Spec.Format may be.
func formatNames() []string {
	return []string{"auto", formatJSONL, formatJSON, formatCSV, formatTSV, formatSemicolon, formatParquet, "prompt", "messages", "input", "question",
		"instruction", "conversations", "turns", "openai_batch", "anthropic_batch", "gemini_batch", "promptfoo"}
}

// Formats lists what Spec.Format may be.
func Formats() []string { return formatNames() }

// noShape explains what is missing, with a line that may be pasted.
func noShape(s *Spec, rows []row) Problem {
	names := fieldNames(rows)
	guess := ""
	for _, likely := range []string{"question", "prompt", "text", "input", "query", "problem", "instruction", "content"} {
		if slices.Contains(names, likely) {
			guess = likely
			break
		}
	}
	if guess == "" {
		guess = wordiest(names, rows)
	}
	return Problem{File: strings.Join(s.Paths, ", "), Row: -1,
		What: "nothing says what the prompt is; the fields are " + strings.Join(names, ", "),
		Hint: "write a template, such as prompt: \"" + templateFor(guess) + "\"; on the command line --prompt; nightshift init writes a whole plan"}
}

// wordiest is the field with the most text in it.
func wordiest(names []string, rows []row) (best string) {
	most := -1
	for _, name := range names {
		n := 0
		for _, r := range rows {
			if v := r.get(name); v.kind == kindString {
				n += len(v.raw)
			}
		}
		if n > most {
			best, most = name, n
		}
	}
	return best
}

func templateFor(name string) string {
	for i, c := range name {
		if !(c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && c >= '0' && c <= '9') {
			return `{{ row['` + name + `'] }}`
		}
	}
	return "{{ " + name + " }}"
}

// fieldNames lists the names of the rows' fields in order of appearance.
func fieldNames(rows []row) []string {
	const most = 40
	var names []string
	for _, r := range rows {
		for _, f := range r.fields {
			name := string(unescape(r.key(f)))
			if len(names) < most && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// mapFields decides which fields are what.
func (r *rules) mapFields(s *Spec, rows []row) {
	or := func(role, usual string) path { return newPath(firstOf(s.Fields[role], usual)) }
	for _, name := range idFields {
		r.ids = append(r.ids, path{name: name})
	}
	if name := s.Fields["id"]; name != "" {
		r.ids = []path{newPath(name)}
	}
	if r.prompt.name == "" {
		r.prompt = newPath(r.shape.prompt)
	}
	r.target = or("target", r.usualTarget(rows))
	r.lastAssistant = s.Target == lastAssistantWord || s.Fields["target"] == lastAssistantWord
	if r.templates.target != nil || r.lastAssistant {
		r.target = path{}
	}
	r.afterMarks = r.target.name == "answer" && s.Fields["target"] == "" &&
		mostly(rows, func(row row) bool { return strings.Contains(row.lookup(r.target).text(), hashMarks) })
	r.mapSystem(s)
	r.category = newPath(firstOf(s.Category, s.Fields["category"]))
	if r.category.name == "" && r.shape.name == "turns" && mostly(rows, func(row row) bool { return has(row, "category", kindString) }) {
		r.category = path{name: "category"}
	}
	r.cluster = newPath(firstOf(s.Cluster, s.Fields["cluster"]))
	r.images = newPath(s.Fields["images"])
	r.paramsMapped = s.Fields["params"] != ""
	if !r.isBatch() {
		r.params = or("params", "params")
	}
	r.giveSlots()
}

// usualTarget is the field where rows of this shape have their target. A
// prompt template or a mapped prompt changes how a row is asked, not where its
// target stands.
func (r *rules) usualTarget(rows []row) string {
	if r.shape != templated && r.shape != mapped {
		return r.shape.target
	}
	like := commonest(rows)
	if like == nil || like.target == "" || !mostly(rows, func(row row) bool { return row.get(like.target).kind != missing }) {
		return ""
	}
	return like.target
}

// giveSlots numbers the paths for the builders' layouts.
func (r *rules) giveSlots() {
	all := []*path{&r.prompt, &r.target, &r.system, &r.category, &r.cluster, &r.params, &r.images}
	for i := range r.ids {
		all = append(all, &r.ids[i])
	}
	for _, p := range all {
		if p.name != "" {
			r.wanted = append(r.wanted, p.name)
			p.slot = len(r.wanted)
		}
	}
}

func (r *rules) isBatch() bool { return r.shape.batch }

func (r *rules) mapSystem(s *Spec) {
	r.systemMapped = s.Fields["system"] != ""
	if r.templates.system == nil && !r.isBatch() {
		r.system = newPath(firstOf(s.Fields["system"], "system"))
	}
}

func firstOf(names ...string) string {
	for _, n := range names {
		if n != "" {
			return n
		}
	}
	return ""
}

// namer returns a func that says whether any template may use a variable.
func (r *rules) namer() func(string) bool {
	all := r.templates.all()
	return func(name string) bool {
		return slices.ContainsFunc(all, func(t *template) bool { return t.names(name) })
	}
}

// variables are what the templates see of a row.
func (b *builder) variables(r row, index int64, epoch int) *exec.Context {
	return b.context(r, map[string]any{"index": int(index), "epoch": epoch, "id": itoa(index)})
}

// context adds the row's fields to the variables.
func (b *builder) context(r row, vars map[string]any) *exec.Context {
	if v, _, c := b.id(r); v.given() && !c.bad() {
		vars["id"] = v.text()
	}
	for _, f := range r.fields {
		if name := string(unescape(r.key(f))); b.names(name) {
			vars[name] = goValue(r.value(f))
		}
	}
	if b.shape.tests {
		for key, v := range members(r.get("vars").raw) {
			vars[string(unescape(key))] = goValue(v)
		}
	}
	if b.names("row") {
		var all []*exec.Pair
		for _, f := range r.fields {
			all = append(all, pair(r.key(f), r.value(f)))
		}
		vars["row"] = dictOf(all)
	}
	return exec.NewContext(vars)
}

// finish renders the templates and puts the sample together.
func (b *builder) finish(r row, index int64, epoch int) rowError {
	if b.s.ID == "" {
		b.s.ID = itoa(index)
	}
	b.s.Index, b.s.Epoch = index, epoch
	t := b.templates
	if t.system != nil || t.prompt != nil || t.target != nil {
		if c := b.renderAll(b.variables(r, index, epoch)); c.bad() {
			return c
		}
	}
	b.withParts()
	b.withMedia()
	if b.s.Body != nil && b.s.System != "" {
		b.s.Body = bodyWithSystem(b.s.Body, b.s.BodyProtocol, b.s.System)
	}
	return rowError{}
}

func (b *builder) renderAll(vars *exec.Context) (c rowError) {
	if t := b.templates.system; t != nil {
		if b.s.System, c = t.render(vars); c.bad() {
			return c
		}
	}
	if t := b.templates.prompt; t != nil {
		text, c := t.render(vars)
		if c.bad() {
			return c
		}
		if strings.TrimSpace(text) == "" {
			return rowError{"the prompt template makes an empty prompt", ""}
		}
		b.s.Messages = []nightshift.Message{{Role: nightshift.RoleUser, Text: text}}
	}
	if t := b.templates.target; t != nil {
		if b.s.Target, c = t.render(vars); c.bad() {
			return c
		}
		b.s.HasTarget = true
	}
	return rowError{}
}

// passes evaluates the filter, which sees the row's fields and its own id. A
// name that the row does not have makes it not pass.
func (b *builder) passes(r row) (bool, rowError) {
	if b.templates.filter == nil {
		return true, rowError{}
	}
	text, c := b.templates.filter.render(b.context(r, map[string]any{}))
	return text != "", c
}
