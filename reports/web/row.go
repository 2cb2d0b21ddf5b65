package web

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"nightshift"
	"nightshift/internal/attemptlog"
	"nightshift/internal/words"
	"nightshift/reports/render"
	"nightshift/runner/store/view"
)

// mostText is how much of one text a row page shows, in bytes.
const mostText = 1 << 20

type rowData struct {
	Prefix, Name string
	ID           string
	Row          int64
	Epoch        int32
	Epochs       []choice
	Dataset      string // of several; empty for one
	Category     string
	System       string
	Messages     []message
	Target       string
	Metadata     []pair
	Answers      []answer
	Back         string // address of the list that this row is from
	Previous     string // addresses of its neighbours there
	Next         string
	Place        int // in that list, from 1; 0 when it is not in it
	Hits         int
	Markdown     bool
	Turned       string // address with or without Markdown rendered
	Diff         bool
}

type message struct{ Role, Text string }

type pair struct{ Name, Value string }

// An answer is one lane's part of a row.
type answer struct {
	Lane     string
	There    bool
	System   string    // only where the prompt is another than the first answer's
	Messages []message // the same
	Outcome  string
	Facts    []pair
	Error    string
	Class    string
	Spans    []span        // of the text, those that the first answer lacks marked
	Rendered template.HTML // the text as Markdown; empty unless asked for
	Text     string
	Thinking string
	Tools    string
	Choices  string
	Scores   []scored
	Attempts []attempt
	Request  string
	Sure     bool // Request has the hash of what was sent
	Without  string
	Response string
	Raw      string // for copying
}

// A scored is what one scorer said of an answer.
type scored struct {
	mark
	Value       string
	Extracted   string
	Target      string
	Explanation string
}

// An attempt is one line of the attempt log.
type attempt struct{ At, Took, What, Message string }

// rowPage shows one prompt and all its answers.
func (v *Viewer) rowPage(w http.ResponseWriter, r *http.Request) error {
	q, err := readQuery(r.URL.Query())
	if err != nil {
		return err
	}
	row, err := strconv.ParseInt(r.URL.Query().Get("row"), 10, 64)
	epoch, err2 := strconv.ParseInt(cmp.Or(r.URL.Query().Get("epoch"), "0"), 10, 32)
	if err != nil || err2 != nil || row < 0 || epoch < 0 {
		return badQuestion("row and epoch are numbers")
	}
	runs, t, err := v.open(r, q.with)
	if err != nil {
		return err
	}
	item := t.stands[0].item(row, int32(epoch))
	if item < 0 {
		return &viewError{http.StatusNotFound, fmt.Sprintf("there is no row %d in %s", row, runs[0].name)}
	}
	d := &rowData{Prefix: v.prefix, Name: runs[0].name, Row: row, Epoch: int32(epoch), Diff: len(t.lanes) > 1,
		Markdown: r.URL.Query().Get("markdown") != ""}
	if err := v.fillRow(t, d, item); err != nil {
		return err
	}
	if err := d.neighbours(v, t, q, item); err != nil {
		return err
	}
	return show(w, "row.html", d)
}

// neighbours are the rows before and after, in the list that the row is from.
func (d *rowData) neighbours(v *Viewer, t *table, q query, item int) error {
	base, rowBase := v.pathOf("run", t.runs[0]), v.pathOf("row", t.runs[0])
	at := func(row int64, epoch int32, more ...string) string {
		pairs := append([]string{"row", strconv.FormatInt(row, 10), "epoch", strconv.Itoa(int(epoch))}, more...)
		if d.Markdown && len(more) == 0 {
			pairs = append(pairs, "markdown", "1")
		}
		return rowBase + "?" + q.address(pairs...)
	}
	h, err := t.find(q, t.search(q.words))
	if err != nil {
		return err
	}
	d.Hits = len(h.items)
	i := slices.Index(h.items, int32(item))
	d.Place = i + 1
	page := max(0, i) / pageRows
	d.Back = base + "?" + q.address("page", strconv.Itoa(page+1)) + "#" + rowAnchor(d.Row, d.Epoch)
	if i > 0 {
		d.Previous = at(t.stands[0].rowOf(int(h.items[i-1])))
	}
	if i >= 0 && i+1 < len(h.items) {
		d.Next = at(t.stands[0].rowOf(int(h.items[i+1])))
	}
	turned := "1"
	if d.Markdown {
		turned = ""
	}
	d.Turned = at(d.Row, d.Epoch, "markdown", turned)
	for e := range int32(t.stands[0].epochs) {
		d.Epochs = append(d.Epochs, choice{Name: strconv.Itoa(int(e) + 1), Chosen: e == d.Epoch, Query: at(d.Row, e)})
	}
	return nil
}

func rowAnchor(row int64, epoch int32) string { return fmt.Sprintf("r%d-%d", row, epoch) }

// fillRow reads the row of every lane.
func (v *Viewer) fillRow(t *table, d *rowData, item int) error {
	records, errs := make([]*nightshift.Record, len(t.lanes)), make([]error, len(t.lanes))
	var wait sync.WaitGroup
	for l := range t.lanes {
		wait.Go(func() { records[l], errs[l] = t.record(l, item) })
	}
	if wait.Wait(); errors.Join(errs...) != nil {
		return errors.Join(errs...)
	}
	first := ""
	var shown *nightshift.Record // its prompt stands above the answers
	for l, rec := range records {
		if rec == nil {
			d.Answers = append(d.Answers, answer{Lane: t.lanes[l].Name})
			continue
		}
		if d.ID == "" {
			shown = rec
			d.prompt(rec)
		}
		a, err := v.answerOf(t, l, item, rec)
		if err != nil {
			return err
		}
		if input := view.Value(rec.Input); input != view.Value(shown.Input) {
			a.Messages = messagesOf(input)
		}
		if system := view.Value(rec.System); system != d.System {
			a.System = cmp.Or(system, "(none)")
		}
		switch {
		case d.Markdown && a.Text != "":
			a.Rendered = renderMarkdown(a.Text)
		case first == "":
			a.Spans = []span{{Text: a.Text}}
			first = a.Text
		default:
			a.Spans = marked(a.Text, first)
		}
		d.Answers = append(d.Answers, a)
	}
	if d.ID == "" {
		return &viewError{http.StatusNotFound, "nothing is on record for this row"}
	}
	return nil
}

// record is what is on record of an item for one lane, nil when nothing is.
func (t *table) record(l, item int) (*nightshift.Record, error) {
	lane, at := t.lanes[l], t.at(l, item)
	if at < 0 {
		return nil, nil
	}
	row, epoch := lane.stand.rowOf(at)
	for rec, err := range view.At[nightshift.Record](lane.run.dir, lane.stand.Models[lane.n], []int64{row}) {
		var damage *view.DamageError
		if errors.As(err, &damage) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if rec.Epoch == epoch {
			return &rec, nil
		}
	}
	return nil, nil
}

// prompt takes over what all answers have in common.
func (d *rowData) prompt(rec *nightshift.Record) {
	d.ID, d.Dataset = rec.ID, view.Value(rec.Dataset)
	d.Category, d.System = view.Value(rec.Category), view.Value(rec.System)
	d.Target = cut(view.Value(rec.Target))
	d.Messages = messagesOf(view.Value(rec.Input))
	d.Metadata = tableOf(view.Value(rec.Metadata))
}

// messagesOf are the messages of a prompt, or all of it in one where it has
// none: rows of batch files are whole requests.
func messagesOf(input string) []message {
	var list []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	}
	if json.Unmarshal([]byte(input), &list) != nil {
		return []message{{"prompt", cut(pretty(input))}}
	}
	var all []message
	for _, m := range list {
		var text string
		if json.Unmarshal(m.Content, &text) != nil {
			text = pretty(string(m.Content))
		}
		all = append(all, message{cmp.Or(m.Role, "message"), cut(text)})
	}
	return all
}

// tableOf are the fields of a JSON object, sorted; another value is one field.
func tableOf(raw string) (list []pair) {
	if raw == "" {
		return nil
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal([]byte(raw), &fields) != nil {
		return []pair{{"metadata", cut(raw)}}
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		var text string
		if json.Unmarshal(fields[name], &text) != nil {
			text = pretty(string(fields[name]))
		}
		list = append(list, pair{name, cut(text)})
	}
	return list
}

// pretty is JSON on lines of its own; what is no JSON stays as it is.
func pretty(s string) string {
	var b bytes.Buffer
	if json.Indent(&b, []byte(s), "", "  ") != nil {
		return s
	}
	return b.String()
}

func cut(s string) string { return words.Cut(s, mostText) }

func (v *Viewer) answerOf(t *table, l, item int, rec *nightshift.Record) (a answer, err error) {
	a = answer{Lane: t.lanes[l].Name, There: true, Outcome: string(rec.Outcome), Text: cut(view.Value(rec.Text)),
		Thinking: cut(view.Value(rec.Thinking)), Tools: cut(pretty(view.Value(rec.ToolCalls))),
		Choices: cut(pretty(view.Value(rec.Choices))), Class: view.Value(rec.ErrorClass),
		Error: cut(view.Value(rec.ErrorMessage)), Response: cut(pretty(view.Value(rec.RawResponse)))}
	a.Facts = factsOf(rec)
	a.Attempts = attemptsOf(rec)
	a.request(v, t.lanes[l].run.dir, rec)
	a.Scores, err = t.scoresOf(l, item, view.Value(rec.Target))
	return a, err
}

func factsOf(rec *nightshift.Record) (list []pair) {
	add := func(name, value string) {
		if value != "" {
			list = append(list, pair{name, value})
		}
	}
	counted := func(n *int64) string {
		if n == nil {
			return ""
		}
		return render.Count(*n)
	}
	add("stop reason", view.Value(rec.StopReason))
	add("input tokens", counted(rec.InputTokens))
	add("cached", strings.TrimPrefix(counted(rec.CacheReadTokens), "0"))
	add("output tokens", counted(rec.OutputTokens))
	add("reasoning", strings.TrimPrefix(counted(rec.ReasoningTokens), "0"))
	if rec.CostNanoUSD != nil {
		add("cost", render.Money(*rec.CostNanoUSD, false))
	} else {
		add("cost", render.Unknown)
	}
	if rec.LatencyMS != nil {
		add("latency", render.Seconds(rec.LatencyMS))
	}
	if rec.FirstTokenMS != nil {
		add("first token", render.Seconds(rec.FirstTokenMS))
	}
	if served := view.Value(rec.ServedModel); served != rec.RequestedModel {
		add("answered by", served)
	}
	if rec.ReusedFrom != nil {
		add("taken over from", *rec.ReusedFrom)
		paid := render.Unknown
		if rec.ReusedCostNanoUSD != nil {
			paid = render.Money(*rec.ReusedCostNanoUSD, false)
		}
		add("paid there", paid)
	}
	add("flags", view.Value(rec.Flags))
	if rec.FinishedAt != nil {
		add("answered", rec.FinishedAt.Local().Format(time.DateTime))
	}
	return list
}

func attemptsOf(rec *nightshift.Record) (list []attempt) {
	log, err := attemptlog.Parse(view.Value(rec.AttemptLog))
	if err != nil {
		return nil
	}
	for _, t := range log {
		var what []string
		if t.Status != 0 {
			what = append(what, "HTTP "+strconv.Itoa(t.Status))
		}
		what = append(what, cmp.Or(string(t.Class), "answered"))
		if t.MaybeBilled {
			what = append(what, "may have been billed")
		}
		took := t.DurationMS
		list = append(list, attempt{t.StartedAt.Local().Format("2006-01-02 15:04:05.000"), render.Seconds(&took),
			strings.Join(what, ", "), t.Message})
	}
	return list
}

// request rebuilds what was sent last.
func (a *answer) request(v *Viewer, dir string, rec *nightshift.Record) {
	if v.Options.Request == nil || rec.RequestHash == nil {
		a.Without = "No request is on record."
		return
	}
	body, err := v.Options.Request(dir, rec)
	if err != nil {
		a.Without = "The request cannot be rebuilt: " + err.Error()
		return
	}
	a.Request, a.Sure = cut(pretty(string(body))), hashOf(body) == *rec.RequestHash
}

// scoreDetail is what a row page shows of a score.
type scoreDetail struct {
	Value       *float64 `parquet:"value,optional"`
	Status      string   `parquet:"status,dict"`
	Answer      *string  `parquet:"answer,optional"`
	Explanation *string  `parquet:"explanation,optional"`
}

// scoresOf are the scores of one lane's answer, with their reasons.
func (t *table) scoresOf(l, item int, target string) (list []scored, err error) {
	for _, s := range t.scores {
		one := s.score(t, l, item)
		m, ok := s.mark(one)
		if !ok {
			continue
		}
		d := scored{mark: m, Target: cut(target)}
		for row, err := range view.ScoresAt[scoreDetail](t.lanes[l].run.dir, s.name, []int64{int64(one.place)}) {
			if err != nil {
				return list, err
			}
			if row.Value != nil {
				d.Value = strconv.FormatFloat(*row.Value, 'g', 6, 64)
			}
			d.Extracted, d.Explanation = cut(view.Value(row.Answer)), cut(view.Value(row.Explanation))
		}
		list = append(list, d)
	}
	return list, nil
}

// RunHref is the address of the run's page, without what was asked for there.
func (d *rowData) RunHref() string {
	return (&url.URL{Path: d.Prefix + "run/" + d.Name}).EscapedPath()
}
