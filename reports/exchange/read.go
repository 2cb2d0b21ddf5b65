// Package exchange carries results between this program and other tools for
// evaluation. It reads promptfoo's results, lm-evaluation-harness's samples and
// Inspect's JSON logs as run directories, and writes runs as files of the last
// two.
//
// What other tools wrote is never trusted: files are bounded in size, and whatever
// a field should not hold is an error that names file, line and field.
package exchange

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"nightshift"
	"nightshift/internal/rawjson"
)

// maxFile is the size of the largest file that is read.
const maxFile = 1 << 30

// A FileError says what is wrong with another tool's file.
type FileError struct{ why string }

func (e *FileError) Error() string { return e.why }

// Results are what another tool's file says, one row for each answer.
type Results struct {
	Tool    string // with its version, where the file says it
	Name    string // of the evaluation
	Notices []string

	rows    []row
	scorers []string // names, the first is the headline
	dropped map[string]bool
	seen    map[rowKey]int // how often a row was met
}

// A row is one answer with its scores by scorer.
type row struct {
	nightshift.Record
	scores map[string]nightshift.Score
}

type rowKey struct{ model, id string }

// Looks reports whether a path may be another tool's file, by its ending.
func Looks(path string) bool {
	ext := strings.ToLower(filepath.Ext(path))
	s, err := os.Stat(path)
	return err == nil && s.Mode().IsRegular() && (ext == ".json" || ext == ".jsonl" || ext == ".eval")
}

// Read reads a file of promptfoo, lm-evaluation-harness or Inspect. idField names
// the field of a row that is its id; empty takes the usual ones. A [*FileError] says
// what is wrong with the file.
func Read(path, idField string) (*Results, error) {
	p, err := open(path)
	if err != nil {
		return nil, err
	}
	return read(p, idField)
}

func open(path string) (place, error) {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return place{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return place{}, err
	case len(data) > maxFile:
		return place{}, &FileError{path + ": larger than 1 GiB"}
	}
	return place{path, bytes.TrimPrefix(data, []byte("\ufeff"))}, nil
}

// read finds out by its members whose file it is.
func read(p place, idField string) (*Results, error) {
	r := &Results{dropped: map[string]bool{}, seen: map[rowKey]int{},
		Name: strings.TrimSuffix(filepath.Base(p.name), filepath.Ext(p.name))}
	if bytes.HasPrefix(p.data, []byte("PK\x03\x04")) {
		return nil, &FileError{p.name + ": this is Inspect's compressed log; inspect log convert --to json --output-dir " +
			"DIR " + p.name + " makes a file that can be read"}
	}
	first := map[string]span{}
	for key, v := range p.members(0) {
		if v.err != nil {
			return nil, v.err
		}
		first[key] = v.span
	}
	has := func(keys ...string) bool {
		return !slices.ContainsFunc(keys, func(k string) bool { _, ok := first[k]; return !ok })
	}
	var err error
	switch {
	case has("version", "eval"):
		err = inspect{r, p, idField}.read(first)
	case has("doc_id", "doc"):
		err = lmEval{r, p, idField}.read()
	case has("prompt", "provider", "vars"):
		err = promptfoo{r, p, idField}.lines()
	case has("results", "configs"):
		return besideResults(p, first, idField)
	case has("results"):
		err = promptfoo{r, p, idField}.read(first)
	default:
		err = &FileError{p.name + ": neither promptfoo's results, lm-evaluation-harness's samples nor Inspect's JSON log"}
	}
	if err != nil {
		return nil, err
	}
	return r, r.check(p)
}

// check refuses a file of nothing, and leaves out scorers whose values are no
// scores.
func (r *Results) check(p place) error {
	if len(r.rows) == 0 {
		return &FileError{p.name + ": it holds no answers"}
	}
	r.scorers = slices.DeleteFunc(r.scorers, func(s string) bool { return r.dropped[s] })
	for name := range r.dropped {
		r.Notices = append(r.Notices, name+" is left out: its values are no numbers between 0 and 1")
	}
	slices.Sort(r.Notices)
	return nil
}

// add takes an answer in. Of answers of one model to one row, the later ones are
// further epochs.
func (r *Results) add(one row) {
	key := rowKey{one.Model, one.ID}
	one.Epoch = int32(r.seen[key])
	r.seen[key]++
	r.rows = append(r.rows, one)
}

// score adds a score to a row. A value that is none drops the scorer.
func (r *Results) score(one *row, name string, s nightshift.Score) {
	if !slices.Contains(r.scorers, name) {
		r.scorers = append(r.scorers, name)
	}
	if s.Value != nil && !(*s.Value >= 0 && *s.Value <= 1) {
		r.dropped[name] = true
		return
	}
	if one.scores == nil {
		one.scores = map[string]nightshift.Score{}
	}
	one.scores[name] = s
}

// scan reads a value of the file.
func (p place) scan(s span) (rawjson.Value, error) {
	v, err := rawjson.Scan(p.data[s.from:s.to])
	var syntax *rawjson.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return v, p.fault(s.from+int(syntax.Offset), "not valid JSON: %s", syntax.Reason)
	case err != nil:
		return v, p.fault(s.from, "%v", err)
	}
	return v, nil
}

// lines yields the lines that hold something.
func (p place) lines(yield func(span) bool) {
	for from := 0; from < len(p.data); {
		to := len(p.data)
		if n := bytes.IndexByte(p.data[from:], '\n'); n >= 0 {
			to = from + n
		}
		if len(bytes.TrimSpace(p.data[from:to])) > 0 && !yield(span{from, to}) {
			return
		}
		from = to + 1
	}
}

// idFields are the fields that name a row, as in datasets.
var idFields = []string{"id", "custom_id", "task_id", "question_id", "key"}

// idOf is the id that a row of a dataset carries; its number where it has none.
func (p place) idOf(fields rawjson.Value, field string, number int64, at int) (string, error) {
	if field != "" {
		if id := plainText(fields.Get(field)); id != "" {
			return id, nil
		}
		return "", p.fault(at, "%s: the row has no such field, or nothing in it", field)
	}
	for _, name := range idFields {
		if id := plainText(fields.Get(name)); id != "" {
			return id, nil
		}
	}
	return strconv.FormatInt(number, 10), nil
}

// plainText is a text, or a number as it stands there; empty for anything else.
func plainText(v rawjson.Value) string {
	switch v.Kind() {
	case rawjson.String:
		return v.String()
	case rawjson.Number:
		return string(v.Raw())
	}
	return ""
}

// ask puts a prompt into the record: a text, or a list of messages as JSON.
func (one *row) ask(prompt string) {
	if v, err := rawjson.Scan([]byte(prompt)); err == nil && v.Kind() == rawjson.Array && v.First().Get("role").Set() {
		one.askMessages(v)
		return
	}
	one.asked(nightshift.Sample{Messages: []nightshift.Message{{Role: nightshift.RoleUser, Text: prompt}}})
}

// askMessages puts messages into the record; system prompts at their head become
// its system prompt.
func (one *row) askMessages(list rawjson.Value) {
	var s nightshift.Sample
	for m := list.First(); m.Exists(); m = m.Next() {
		role, text := nightshift.Role(m.Get("role").String()), contentText(m.Get("content"))
		if role == "system" && len(s.Messages) == 0 {
			s.System = strings.TrimPrefix(s.System+"\n\n"+text, "\n\n")
			continue
		}
		s.Messages = append(s.Messages, nightshift.Message{Role: role, Text: text})
	}
	one.asked(s)
}

func (one *row) asked(s nightshift.Sample) {
	one.System = textOr(s.System)
	var b []byte
	for i, m := range s.Messages {
		b = append(b, "[,"[min(i, 1)])
		b = rawjson.AppendString(append(b, `{"role":`...), string(m.Role))
		b = append(rawjson.AppendString(append(b, `,"content":`...), m.Text), '}')
	}
	if b != nil {
		one.Input = textOr(string(append(b, ']')))
	}
	one.PromptHash = s.PromptHash()
}

// contentText is the text of a message: a string, or parts of which some are text.
func contentText(v rawjson.Value) string {
	if v.Kind() != rawjson.Array {
		return v.String()
	}
	var parts []string
	for part := v.First(); part.Exists(); part = part.Next() {
		if text := part.Get("text"); text.Kind() == rawjson.String {
			parts = append(parts, text.String())
		}
	}
	return strings.Join(parts, "\n")
}

// answered sets the answer's text and what became of it.
func (one *row) answered(text string, reason nightshift.StopReason) {
	one.Text, one.StopReason = &text, textOr(string(reason))
	switch {
	case reason == nightshift.StopMaxTokens || reason == nightshift.StopContextWindow:
		one.Outcome = nightshift.OutcomeTruncated
	case reason == nightshift.StopContentFilter || reason == nightshift.StopRefusal:
		one.Outcome = nightshift.OutcomeRefused
	case strings.TrimSpace(text) == "":
		one.Outcome = nightshift.OutcomeEmpty
	default:
		one.Outcome = nightshift.OutcomeOK
	}
}

// failed says that there is no answer.
func (one *row) failed(why string) {
	class := "unknown"
	one.Outcome, one.Text, one.ErrorClass, one.ErrorMessage = nightshift.OutcomeFailed, nil, &class, textOr(why)
}

// wants sets the target: a text, or a list of which any is right.
func (one *row) wants(v rawjson.Value) {
	if !v.Set() {
		return
	}
	text, list := v.String(), v.Kind() == rawjson.Array
	if v.Kind() != rawjson.String {
		text = string(v.JSON())
	}
	one.Target, one.TargetIsList = &text, &list
}

// spent sets what the answer cost, in dollars.
func (one *row) spent(v rawjson.Value) {
	usd, ok := v.Float()
	if nano := math.Round(usd * 1e9); ok && nano >= 0 && nano < 1e18 {
		n := int64(nano)
		one.CostUSD, one.CostNanoUSD = &usd, &n
	}
}

// count is a number of tokens; nil where it is unknown.
func count(v rawjson.Value) *int64 {
	if n, ok := v.Int(); ok && n >= 0 {
		return &n
	}
	return nil
}

// atTime reads an ISO 8601 time; nil where there is none.
func atTime(v rawjson.Value) *time.Time {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if t, err := time.Parse(layout, v.String()); err == nil {
			t = t.UTC()
			return &t
		}
	}
	return nil
}

// ran sets when the request began and how long it took, in milliseconds.
func (one *row) ran(began *time.Time, ms rawjson.Value) {
	one.StartedAt, one.FinishedAt = began, began
	took, ok := ms.Float()
	if !ok || !(took > 0 && took < 1e10) {
		return
	}
	one.LatencyMS = &took
	if began != nil {
		end := began.Add(time.Duration(took * float64(time.Millisecond)))
		one.FinishedAt = &end
	}
}

// textOr is nil for an empty text: in these columns empty and unknown are one.
func textOr(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func scoreOf(value float64) nightshift.Score {
	return nightshift.Score{Status: nightshift.Scored, Value: &value}
}

// named is an error about a field that should hold something else.
func (p place) named(at int, field string, v rawjson.Value, want string) error {
	return p.fault(at, "%s is %v, and should be %s", field, v.Kind(), want)
}
