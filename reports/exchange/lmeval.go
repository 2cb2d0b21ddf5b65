package exchange

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"nightshift"
	"nightshift/internal/rawjson"
)

// lmEval reads what lm_eval wrote with --log_samples: a line for each row and filter
// of a task. Model and date stand in the file of results beside it.
type lmEval struct {
	*Results
	p       place
	idField string
}

// lmSample is a row whose filters are gathered.
type lmSample struct {
	row
	filters int
}

func (f lmEval) read() error {
	name := filepath.Base(f.p.name)
	task, date := "", ""
	if rest, ok := strings.CutPrefix(strings.TrimSuffix(name, filepath.Ext(name)), "samples_"); ok {
		if i := strings.LastIndex(rest, "_"); i > 0 {
			task, date = rest[:i], rest[i+1:]
			f.Name = task
		}
	}
	model, began, err := f.beside(date)
	if err != nil {
		return err
	}
	var order []string
	rows := map[string]*lmSample{}
	for at := range f.p.lines {
		v, err := f.p.scan(at)
		if err != nil {
			return err
		}
		number, ok := v.Get("doc_id").Int()
		if !ok {
			return f.p.named(at.from, "doc_id", v.Get("doc_id"), "a whole number")
		}
		key := strconv.FormatInt(number, 10)
		one := rows[key]
		if one == nil {
			one = &lmSample{}
			if err := f.sample(one, v, number, at.from); err != nil {
				return err
			}
			one.Model, one.RequestedModel, one.Protocol = model, model, "lm-eval"
			one.ran(began, rawjson.Value{})
			rows[key], order = one, append(order, key)
		}
		if err := f.metrics(one, v, at.from); err != nil {
			return err
		}
	}
	for _, key := range order {
		f.add(rows[key].row)
	}
	return nil
}

// beside reads the file of results of the same run, where it is there. Without it
// the folder has the model's name.
func (f lmEval) beside(date string) (model string, began *time.Time, err error) {
	f.Tool = "lm-evaluation-harness"
	model = "lm-eval"
	abs, err := filepath.Abs(f.p.name)
	if err != nil {
		return "", nil, err
	}
	if folder := filepath.Base(filepath.Dir(abs)); folder != "" && folder != string(filepath.Separator) {
		model = folder
	}
	began = lmDate(date)
	path := filepath.Join(filepath.Dir(f.p.name), "results_"+date+".json")
	p, err := open(path)
	if os.IsNotExist(err) || date == "" {
		return model, began, nil
	}
	if err != nil {
		return "", nil, err
	}
	for key, v := range p.members(0) {
		if v.err != nil {
			return "", nil, v.err
		}
		if key != "model_name" && key != "lm_eval_version" {
			continue
		}
		text, err := p.scan(v.span)
		if err != nil {
			return "", nil, err
		}
		switch s := text.String(); {
		case s == "":
		case key == "model_name":
			model = s
		default:
			f.Tool += " " + s
		}
	}
	return model, began, nil
}

// lmDate reads the time in a file's name.
func lmDate(s string) *time.Time {
	for _, layout := range []string{"2006-01-02T15-04-05.999999", "2006-01-02T15-04-05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return &t
		}
	}
	return nil
}

func (f lmEval) sample(one *lmSample, v rawjson.Value, number int64, at int) error {
	doc := v.Get("doc")
	var err error
	if one.ID, err = f.p.idOf(doc, f.idField, number, at); err != nil {
		return err
	}
	prompt := lmArgument(v.Get("arguments").First(), 0)
	if prompt.Kind() == rawjson.Array { // a chat template's messages
		prompt = prompt.First()
	}
	if prompt.Kind() != rawjson.String {
		return f.p.named(at, "arguments.gen_args_0.arg_0", prompt, "a string")
	}
	one.ask(prompt.String())
	if target := v.Get("target"); target.Set() {
		one.wants(target)
	}
	if doc.Kind() == rawjson.Object {
		one.Metadata = textOr(string(doc.JSON()))
	}
	text, err := f.text(v, at)
	if err != nil {
		return err
	}
	one.answered(text, "")
	return nil
}

// lmArgument is one argument of a request: arguments are objects in files, and were
// lists.
func lmArgument(request rawjson.Value, n int) rawjson.Value {
	if request.Kind() == rawjson.Object {
		return request.Get("arg_" + strconv.Itoa(n))
	}
	v := request.First()
	for range n {
		v = v.Next()
	}
	return v
}

// text is the answer: of several choices, the one of the highest log-probability.
func (f lmEval) text(v rawjson.Value, at int) (string, error) {
	resps := v.Get("resps")
	reply := resps.First().First()
	switch reply.Kind() {
	case rawjson.String:
		return reply.String(), nil
	case rawjson.Array:
	default:
		return "", f.p.named(at, "resps", reply, "lists of texts, or of pairs")
	}
	best, answer := math.Inf(-1), ""
	request := v.Get("arguments").First()
	for r := resps.First(); r.Exists(); r, request = r.Next(), request.Next() {
		pair := r.First().First()
		p, err := strconv.ParseFloat(plainText(pair), 64)
		if err != nil {
			return "", f.p.named(at, "resps", pair, "a log-probability")
		}
		if p > best {
			best, answer = p, lmArgument(request, 1).String()
		}
	}
	return strings.TrimSpace(answer), nil
}

// metrics adds the scores of one filter. Those of the filter none go by the name of
// the metric alone.
func (f lmEval) metrics(one *lmSample, v rawjson.Value, at int) error {
	filter := v.Get("filter").String()
	for m := v.Get("metrics").First(); m.Exists(); m = m.Next() {
		metric := m.String()
		name := metric
		if filter != "" && filter != "none" {
			name += "," + filter
		}
		value := v.Get(metric)
		x, ok := value.Float()
		switch {
		case value.Kind() == rawjson.Bool:
			x, ok = map[bool]float64{true: 1}[value.IsTrue()], true
		case value.Kind() == rawjson.Null:
			f.score(&one.row, name, nightshift.Score{Status: nightshift.Unscored})
			continue
		case value.Kind() == rawjson.Missing:
			return f.p.fault(at, "%s is named in metrics and missing", metric)
		}
		if !ok {
			x = -1 // a list, from which the harness makes its figure over all rows
		}
		s := scoreOf(x)
		s.Answer = textOr(plainText(v.Get("filtered_resps").First()))
		f.score(&one.row, name, s)
	}
	one.filters++
	return nil
}

// besideResults reads the samples beside a file of results, where there is one file
// of them.
func besideResults(p place, first map[string]span, idField string) (*Results, error) {
	name := filepath.Base(p.name)
	date := strings.TrimSuffix(strings.TrimPrefix(name, "results_"), ".json")
	found, err := filepath.Glob(filepath.Join(filepath.Dir(p.name), "samples_*_"+globSafe(date)+".jsonl"))
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, &FileError{p.name + ": it has means and no rows, and no samples are beside it; run lm_eval with " +
			"--log_samples and give samples_TASK_DATE.jsonl"}
	case len(found) > 1:
		return nil, &FileError{p.name + ": it is of several tasks; give the samples of one: " + strings.Join(found, ", ")}
	}
	return Read(found[0], idField)
}

// globSafe is a text that stands for itself in a pattern.
func globSafe(s string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(s)
}
