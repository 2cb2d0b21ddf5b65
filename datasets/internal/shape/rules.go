package shape

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/nikolalohinski/gonja/v2/exec"

	"nightshift"
	"nightshift/datasets/internal/problem"
	"nightshift/datasets/internal/rowjson"
	"nightshift/internal/words"
)

// Rules say how the rows of one dataset become samples. They are decided once,
// from Options and the first rows, and are safe for concurrent use.
type Rules struct {
	shape *shape

	ids                               []path
	prompt, target, system            path
	category, cluster, params, images path
	choicesPath                       path

	wanted []string // the names of these, by slot

	systemMapped, paramsMapped bool
	lastAssistant              bool // the last assistant message is the target
	afterMarks                 bool // the target follows the last "####"
	tabular                    bool // lists may be held as text
	repair                     bool // invalid UTF-8 is replaced

	// SeenTarget says that some row has a target.
	SeenTarget bool

	templates templates
	epochs    bool // some template names epoch
	names     func(string) bool

	folder   *mediaFolder
	stamps   stamps
	indexing bool
}

// Options say how rows become samples.
type Options struct {
	Paths  []string // for messages
	Format string   // "" and "auto" let the rows decide; or what Formats lists; others are ignored

	Fields                 map[string]string // roles to field names or dotted paths
	System, Prompt, Target string            // Jinja templates; "" is none. Target may be "last_assistant"
	Cluster, Category      string            // field names or dotted paths
	Filter                 string            // a Jinja expression

	Written map[string]problem.Place // where templates stand, by what they make

	RepairUTF8 bool   // replace invalid UTF-8 and lone surrogates by U+FFFD
	Tabular    bool   // lists may be held as text
	Folder     string // where media files lie
}

type templates struct{ system, prompt, target, filter *template }

func (t templates) all() []*template {
	return slices.DeleteFunc([]*template{t.system, t.prompt, t.target, t.filter},
		func(t *template) bool { return t == nil })
}

// lastAssistantWord asks for the last assistant message as the target.
const lastAssistantWord = "last_assistant"

// compileTemplates compiles all templates of the Spec.
func compileTemplates(s *Options, p *problem.Problems) templates {
	one := func(what, source string) *template {
		t, err := compile(what, source)
		if err != nil {
			at := s.Written[what]
			p.Add(problem.Problem{File: at.File, Line: at.Line, Row: -1, What: err.Error(), Hint: syntaxHint(source)})
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
var knownFields = []string{"id", "target", "prompt", "question", "input", "system", "messages", "conversations",
	"turns",
	"instruction", "category", "cluster", "params", "images", "choices"}

// Decide finds the rules for rows like these.
func Decide(s *Options, rows []rowjson.Row, p *problem.Problems) *Rules {
	r := &Rules{templates: compileTemplates(s, p), tabular: s.Tabular, repair: s.RepairUTF8,
		folder: &mediaFolder{dir: s.Folder}}
	r.names = r.namer()
	r.epochs = slices.ContainsFunc(r.templates.all(), func(t *template) bool { return t.names("epoch") })
	for role := range s.Fields {
		if !slices.Contains(knownFields, role) {
			p.Add(problem.Problem{Row: -1, What: "fields: " + words.Quote(role) + " is not something a field can be",
				Hint: "one of " + strings.Join(knownFields, ", ")})
		}
	}
	if len(rows) == 0 || s.Prompt != "" && r.templates.prompt == nil { // what is wrong with the prompt is said
		r.shape = templated
		return r
	}
	if r.shape = r.shapeOf(s, rows); r.shape == nil {
		p.Add(noShape(s, rows))
		r.shape = templated
		return r
	}
	if r.shape.tests && r.templates.prompt == nil {
		p.Add(problem.Problem{Row: -1, What: "promptfoo tests need a prompt",
			Hint: `set prompt: "… {{ " + a variable + " }}"`})
	}
	r.mapFields(s, rows)
	return r
}

// shapeOf picks the shape: what the options say goes before what rows look like.
func (r *Rules) shapeOf(s *Options, rows []rowjson.Row) *shape {
	isPromptfoo := promptfoo.is(rows[0])
	for _, m := range []struct {
		role  string
		shape string
	}{{"messages", "messages"}, {"conversations", "conversations"}, {"turns", "turns"},
		{"instruction", "instruction/input/output"},
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
func commonest(rows []rowjson.Row) (best *shape) {
	most := 0
	for _, candidate := range shapes {
		if n := count(rows, candidate.is); n > most {
			best, most = candidate, n
		}
	}
	return best
}

func count(rows []rowjson.Row, is func(rowjson.Row) bool) (n int) {
	for _, r := range rows {
		if is(r) {
			n++
		}
	}
	return n
}

// mostly reports whether more than half of the rows are so.
func mostly(rows []rowjson.Row, is func(rowjson.Row) bool) bool { return 2*count(rows, is) > len(rows) }

// shapeNamed finds the shape that a plan's format: names.
func shapeNamed(name string) *shape {
	aliases := map[string]string{"sharegpt": "conversations", "alpaca": "instruction/input/output",
		"instruction":  "instruction/input/output",
		"openai_batch": "OpenAI batch", "anthropic_batch": "Anthropic batch", "gemini_batch": "Gemini batch",
		"mt_bench": "turns", "promptfoo": "promptfoo tests",
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

// Formats are the names that Options.Format has for shapes.
var Formats = []string{"prompt", "messages", "input", "question", "instruction", "conversations", "turns",
	"openai_batch", "anthropic_batch", "gemini_batch", "promptfoo"}

// IsFormat reports whether Options.Format may be name.
func IsFormat(name string) bool { return shapeNamed(name) != nil }

// noShape explains what is missing, with a line that may be pasted.
func noShape(s *Options, rows []rowjson.Row) problem.Problem {
	names := FieldNames(rows)
	guess := ""
	for _, likely := range []string{"question", "prompt", "text", "input", "query", "problem", "instruction",
		"content"} {
		if slices.Contains(names, likely) {
			guess = likely
			break
		}
	}
	if guess == "" {
		guess = wordiest(names, rows)
	}
	return problem.Problem{File: strings.Join(s.Paths, ", "), Row: -1,
		What: "nothing says what the prompt is; the fields are " + strings.Join(names, ", "),
		Hint: "write a template, such as prompt: \"" + templateFor(guess) +
			"\"; on the command line --prompt; nightshift init writes a whole plan"}
}

// wordiest is the field with the most text in it.
func wordiest(names []string, rows []rowjson.Row) (best string) {
	most := -1
	for _, name := range names {
		n := 0
		for _, r := range rows {
			if v := r.Get(name); v.Kind == rowjson.String {
				n += len(v.Raw)
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

// FieldNames lists the names of the rows' fields in order of appearance.
func FieldNames(rows []rowjson.Row) []string {
	const most = 40
	var names []string
	for _, r := range rows {
		for _, f := range r.Fields {
			name := string(rowjson.Unescape(r.Key(f)))
			if len(names) < most && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// mapFields decides which fields are what.
func (r *Rules) mapFields(s *Options, rows []rowjson.Row) {
	or := func(role, usual string) path { return newPath(cmp.Or(s.Fields[role], usual)) }
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
		mostly(rows, func(row rowjson.Row) bool { return strings.Contains(r.target.of(row).Text(), hashMarks) })
	r.mapSystem(s)
	r.category = newPath(cmp.Or(s.Category, s.Fields["category"]))
	if r.category.name == "" && r.shape.name == "turns" &&
		mostly(rows, func(row rowjson.Row) bool { return has(row, "category", rowjson.String) }) {
		r.category = path{name: "category"}
	}
	r.cluster = newPath(cmp.Or(s.Cluster, s.Fields["cluster"]))
	r.images = newPath(s.Fields["images"])
	r.choicesPath = newPath(s.Fields["choices"])
	r.paramsMapped = s.Fields["params"] != ""
	if !r.isBatch() {
		r.params = or("params", "params")
	}
	r.giveSlots()
}

// usualTarget is the field where rows of this shape have their target. A
// prompt template or a mapped prompt changes how a row is asked, not where its
// target stands.
func (r *Rules) usualTarget(rows []rowjson.Row) string {
	if r.shape != templated && r.shape != mapped {
		return r.shape.target
	}
	like := commonest(rows)
	if like == nil || like.target == "" || !mostly(rows,
		func(row rowjson.Row) bool { return row.Get(like.target).Kind != rowjson.Missing }) {
		return ""
	}
	return like.target
}

// giveSlots numbers the paths for the builders' layouts.
func (r *Rules) giveSlots() {
	all := []*path{&r.prompt, &r.target, &r.system, &r.category, &r.cluster, &r.params, &r.images, &r.choicesPath}
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

// ShapeName is the name of the rows' shape, for people.
func (r *Rules) ShapeName() string { return r.shape.name }

// Epochs reports whether prompts differ between epochs.
func (r *Rules) Epochs() bool { return r.epochs }

// HasFilter reports whether rows are filtered.
func (r *Rules) HasFilter() bool { return r.templates.filter != nil }

// TargetWords says where targets come from.
func (r *Rules) TargetWords() string {
	switch {
	case r.templates.target != nil:
		return "from a template"
	case r.lastAssistant:
		return "is the last assistant message"
	case r.afterMarks:
		return "after " + hashMarks
	case r.target.name != "" && r.SeenTarget:
		return "in " + r.target.name
	case r.shape.tests && r.SeenTarget:
		return "in assert"
	}
	return ""
}

// Indexing says whether the dataset is read for the first time: media files
// are then remembered as they are, and later compared.
func (r *Rules) Indexing(on bool) { r.indexing = on }

// Stamps are the media files that were seen while indexing.
func (r *Rules) Stamps() map[string]Stamp { return r.stamps.m }

// SetStamps takes up what Stamps returned at an earlier start.
func (r *Rules) SetStamps(m map[string]Stamp) { r.stamps.m = m }

// Close releases the folder of media files.
func (r *Rules) Close() { r.folder.close() }

func (r *Rules) isBatch() bool { return r.shape.batch }

func (r *Rules) mapSystem(s *Options) {
	r.systemMapped = s.Fields["system"] != ""
	if r.templates.system == nil && !r.isBatch() {
		r.system = newPath(cmp.Or(s.Fields["system"], "system"))
	}
}

// namer returns a func that says whether any template may use a variable.
func (r *Rules) namer() func(string) bool {
	all := r.templates.all()
	return func(name string) bool {
		return slices.ContainsFunc(all, func(t *template) bool { return t.names(name) })
	}
}

// variables are what the templates see of a row.
func (b *Builder) variables(r rowjson.Row, index int64, epoch int) *exec.Context {
	return b.context(r, map[string]any{"index": int(index), "epoch": epoch, "id": strconv.FormatInt(index, 10)})
}

// context adds the row's fields to the variables.
func (b *Builder) context(r rowjson.Row, vars map[string]any) *exec.Context {
	if v, _, c := b.ID(r); v.Given() && !c.Bad() {
		vars["id"] = v.Text()
	}
	for _, f := range r.Fields {
		if name := string(rowjson.Unescape(r.Key(f))); b.names(name) {
			vars[name] = goValue(r.Value(f))
		}
	}
	if b.shape.tests {
		for key, v := range rowjson.Members(r.Get("vars").Raw) {
			vars[string(rowjson.Unescape(key))] = goValue(v)
		}
	}
	if b.names("row") {
		var all []*exec.Pair
		for _, f := range r.Fields {
			all = append(all, pair(r.Key(f), r.Value(f)))
		}
		vars["row"] = dictOf(all)
	}
	return exec.NewContext(vars)
}

// finish renders the templates and puts the sample together.
func (b *Builder) finish(r rowjson.Row, index int64, epoch int) problem.Reason {
	if b.s.ID == "" {
		b.s.ID = strconv.FormatInt(index, 10)
	}
	b.s.Index, b.s.Epoch = index, epoch
	t := b.templates
	if t.system != nil || t.prompt != nil || t.target != nil {
		if c := b.renderAll(b.variables(r, index, epoch)); c.Bad() {
			return c
		}
	}
	b.withParts()
	b.withMedia()
	if b.s.Body != nil && b.s.System != "" {
		b.s.Body = bodyWithSystem(b.s.Body, b.s.BodyProtocol, b.s.System)
	}
	return problem.Reason{}
}

func (b *Builder) renderAll(vars *exec.Context) (c problem.Reason) {
	if t := b.templates.system; t != nil {
		if b.s.System, c = t.render(vars); c.Bad() {
			return c
		}
	}
	if t := b.templates.prompt; t != nil {
		text, c := t.render(vars)
		if c.Bad() {
			return c
		}
		if strings.TrimSpace(text) == "" {
			return problem.Refuse("the prompt template makes an empty prompt")
		}
		b.s.Messages = []nightshift.Message{{Role: nightshift.RoleUser, Text: text}}
	}
	if t := b.templates.target; t != nil {
		if b.s.Target, c = t.render(vars); c.Bad() {
			return c
		}
		b.s.HasTarget = true
	}
	return problem.Reason{}
}

// Passes evaluates the filter, which sees the row's fields and its own id. A
// name that the row does not have makes it not pass.
func (b *Builder) Passes(r rowjson.Row) (bool, problem.Reason) {
	if b.templates.filter == nil {
		return true, problem.Reason{}
	}
	text, c := b.templates.filter.render(b.context(r, map[string]any{}))
	return text != "", c
}
