package batches

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"nightshift/providers/simulator/internal/jsontext"
	"nightshift/providers/simulator/internal/ledger"
	"nightshift/providers/simulator/internal/random"
)

// A wireRow is a line of an input file in any style.
type wireRow struct {
	CustomID *string         `json:"custom_id"`
	Method   string          `json:"method"`
	URL      string          `json:"url"`
	Body     json.RawMessage `json:"body"`
	Params   json.RawMessage `json:"params"`  // Anthropic
	Key      string          `json:"key"`     // Google
	Request  json.RawMessage `json:"request"` // Google
}

func (w *wireRow) id() string {
	if w.CustomID != nil {
		return *w.CustomID
	}
	return w.Key
}

// request is the body of the live request that the row stands for.
func (w *wireRow) request() json.RawMessage {
	switch {
	case len(w.Body) > 0:
		return w.Body
	case len(w.Params) > 0:
		return w.Params
	}
	return w.Request
}

// question is a row as the model is asked it.
func (b *batch) question(w *wireRow, at time.Time) Question {
	q := Question{APIKey: b.apiKey, Path: b.endpoint, Body: w.request(), Time: at, ID: b.id + " " + w.id()}
	if w.URL != "" {
		q.Path = w.URL
	}
	return q
}

// line reads a row's line from the input file.
func (b *batch) line(r *row) []byte {
	line := make([]byte, r.size)
	_, _ = b.input.data.ReadAt(line, r.at) // written by us; a broken one is no JSON
	return line
}

// received enters all rows in the ledger.
func (s *Service) received(b *batch) {
	if b.foreign {
		return
	}
	for i := range b.rows {
		s.book.BatchRow(b.rows[i].id, b.model, b.id)
	}
}

// An outcome is what became of a row.
type outcome struct {
	Answer
	code    string // of a row that has no answer: batch_expired and so on
	message string
	bare    bool // the error is a text
	asText  bool // the body is a text
	nothing bool // status 0, no body and no error
}

func (o *outcome) good() bool { return o.code == "" && !o.nothing && o.Status == 200 }

// answer runs rows until so many are done; mu is held.
func (s *Service) answer(b *batch, upTo int) {
	if upTo <= b.done {
		return
	}
	kinds := s.rowFaults()
	if b.foreign {
		kinds = nil
	}
	for ; b.done < upTo; b.done++ {
		s.answerRow(b, &b.rows[b.turn(b.done)], kinds)
	}
}

// turn is which row runs as the n-th.
func (b *batch) turn(n int) int {
	if !b.is(rowsShuffled) || len(b.rows) < 2 {
		return n
	}
	return (n*b.stride() + 1) % len(b.rows)
}

// stride is a step that passes every row once.
func (b *batch) stride() int {
	n := len(b.rows)
	for step := n/2 + 1; ; step++ {
		a, c := step, n
		for c != 0 {
			a, c = c, a%c
		}
		if a == 1 {
			return step
		}
	}
}

func (s *Service) answerRow(b *batch, r *row, kinds []string) {
	line := b.line(r)
	var w wireRow
	_ = json.Unmarshal(line, &w) // it was checked
	strikes := s.strikes(b, line, kinds)
	q := b.question(&w, b.validated)
	if b.is(hugeRow) && r == &b.rows[len(b.rows)/2] {
		q.Long = 10 << 20
	}
	o := s.outcome(b, q, r, strikes)
	s.enter(b, r, &o)
	if o.good() {
		b.good++
	} else {
		b.bad++
	}
	s.write(b, r, &o, strikes)
}

// strikes are the faults of a row.
func (s *Service) strikes(b *batch, line []byte, kinds []string) map[string]bool {
	if len(kinds) == 0 {
		return nil
	}
	var w wireRow
	_ = json.Unmarshal(line, &w)
	key := random.Start.With(string(w.request()))
	strikes := map[string]bool{}
	for _, kind := range kinds {
		at := circumstance{batch: b.number, line: string(line), model: b.model, try: s.tries[key],
			seed: key.WithInt(uint64(s.tries[key]))}
		if s.drawn(kind, at) != nil {
			strikes[kind] = true
		}
	}
	s.tries[key]++
	return strikes
}

// outcome asks the model, unless a fault answers.
func (s *Service) outcome(b *batch, q Question, r *row, strikes map[string]bool) outcome {
	refused := func(status int, kind, code, message string) outcome {
		a := s.model.Describe(q)
		f := refusal{status: status, kind: kind, code: code, message: message}
		a.Status, a.Body, a.Tokens = status, f.body(b.style), ledger.Tokens{}
		return outcome{Answer: a, message: message}
	}
	switch {
	case b.is(rows400):
		return refused(400, "invalid_request_error", "invalid_value", "The request is not valid.")
	case b.is(creditEnds) && b.done >= len(b.rows)/2 && b.style == anthropic:
		return refused(400, "invalid_request_error", "",
			"Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade "+
				"or purchase credits.")
	case b.is(creditEnds) && b.done >= len(b.rows)/2:
		return refused(429, "insufficient_quota", "insufficient_quota",
			"You exceeded your current quota, please check your plan and billing details.")
	case strikes[rowStatus0]:
		o := refused(0, "", "", "")
		o.nothing = true
		return o
	case strikes[errorAsText]:
		o := refused(500, "api_error", "server_error", "Internal server error")
		o.bare = true
		return o
	case strikes[rowError]:
		status := random.Pick(random.Start.With(r.id), "status", []int{429, 500, 503})
		kind := map[int]string{429: "rate_limit_error", 500: "api_error", 503: "overloaded_error"}[status]
		return refused(status, kind, "", "The server cannot answer now.")
	}
	o := outcome{Answer: s.model.Answer(q), asText: strikes[bodyAsText]}
	if strikes[rowNoUsage] {
		o.Body = without(o.Body, "usage", "usageMetadata")
	}
	if strikes[rowNoTier] {
		o.Body = retiered(o.Body, random.Start.With(r.id).Roll("tier") < 0.5)
	}
	return o
}

// without takes members away from a body.
func without(body []byte, names ...string) []byte {
	var m map[string]json.RawMessage
	if json.Unmarshal(body, &m) != nil {
		return body
	}
	for _, name := range names {
		delete(m, name)
	}
	again, err := json.Marshal(m)
	if err != nil {
		return body
	}
	return again
}

// retiered takes the service tier away, or makes it the one of live requests.
func retiered(body []byte, away bool) []byte {
	for _, tier := range []string{`"service_tier":"batch"`, `"service_tier":"default"`} {
		text := string(body)
		if away {
			text = strings.Replace(strings.Replace(text, ","+tier, "", 1), tier+",", "", 1)
		} else {
			text = strings.Replace(text, tier, strings.Replace(tier, "batch", "standard", 1), 1)
		}
		body = []byte(text)
	}
	return body
}

// enter books what a row cost.
func (s *Service) enter(b *batch, r *row, o *outcome) {
	r.prompt = o.Key
	if !o.good() {
		o.Tokens = ledger.Tokens{}
	}
	r.tokens = o.Tokens
	b.used.Add(o.Tokens, 1)
	if b.foreign {
		return
	}
	s.book.SettleRow(ledger.RowEvent{
		ID: r.id, Batch: b.id, Model: b.model, Prompt: o.Prompt, Key: o.Key, Status: o.Status, Answered: o.good(),
		Tokens: o.Tokens, RequestID: o.RequestID, Time: time.Now(),
	})
}

// write appends a row's lines to the result files.
func (s *Service) write(b *batch, r *row, o *outcome, strikes map[string]bool) {
	line := b.resultLine(r.id, o)
	if b.is(badLine) && r == &b.rows[len(b.rows)/2] {
		line = line[:len(line)/2]
	}
	if strikes[rowMissing] && o.good() {
		return
	}
	b.put(o.good(), line, r)
	if strikes[rowTwice] {
		b.put(o.good(), line, r)
	}
	if strikes[rowInBoth] {
		late := outcome{code: "request_timeout", message: "The request timed out."}
		b.put(false, b.resultLine(r.id, &late), nil)
	}
	if strikes[foreignRow] {
		b.put(o.good(), b.resultLine("request-17", o), nil)
	}
}

// put appends a line to the file of answers or to that of errors. Styles that
// have one file of results have all in it.
func (b *batch) put(good bool, line []byte, r *row) {
	place := &b.success
	suffix := "output"
	if !good && (b.style == openai || b.style == mistral) {
		place, suffix = &b.errors, "error"
	}
	if *place == nil {
		*place = &file{
			id: "file-" + suffix + "-" + strings.TrimPrefix(b.id, "batch_"), name: b.id + "_" + suffix + ".jsonl",
			purpose: "batch_output", project: b.project, batch: b,
		}
		if b.style == gemini { // longer than the names of other files
			(*place).id = "files/batch-" + strings.TrimPrefix(b.id, "batches/") + "-output-0123456789"
		}
	}
	f := *place
	_, _ = f.data.Write(append(line, '\n'))
	f.lines = append(f.lines, lineEnd{f.data.size, r})
}

// leftovers writes the rows of an ended batch that have not run.
func (s *Service) leftovers(b *batch, how phase) {
	if how == cancelled && b.is(cancelledRowLost) && b.done > 0 {
		b.loseLast()
	}
	if how != expired && how != cancelled {
		return
	}
	code, message := "batch_expired", "This request could not be executed before the completion window expired."
	if how == cancelled {
		code, message = "batch_cancelled", "This request was cancelled before it was run."
	}
	for n := b.done; n < len(b.rows); n++ {
		r := &b.rows[b.turn(n)]
		b.put(false, b.resultLine(r.id, &outcome{code: code, message: message}), nil)
	}
}

// loseLast takes the last line of the answers away.
func (b *batch) loseLast() {
	f := b.success
	if f == nil || len(f.lines) == 0 {
		return
	}
	f.lines = f.lines[:len(f.lines)-1]
	size := int64(0)
	if len(f.lines) > 0 {
		size = f.lines[len(f.lines)-1].end
	}
	f.data.truncate(size)
}

// resultLine is a row's line in the style of its batch.
func (b *batch) resultLine(id string, o *outcome) []byte {
	switch b.style {
	case anthropic:
		return messagesLine(id, o)
	case gemini:
		return geminiLine(id, o)
	case mistral:
		return mistralLine(b, id, o)
	}
	return b.openaiLine(id, o)
}

func (b *batch) openaiLine(id string, o *outcome) []byte {
	line := jsontext.New()
	line.Text("id", "batch_req_"+random.Start.With(b.id).With(id).Text())
	line.Text("custom_id", id)
	switch {
	case o.code != "":
		line.Null("response")
		e := jsontext.New()
		e.Text("code", o.code)
		e.Text("message", o.message)
		line.Object("error", e)
	case o.bare:
		line.Null("response")
		line.Text("error", o.message)
	case o.nothing:
		line.Raw("response", `{"status_code":0,"request_id":"","body":{}}`)
		line.Null("error")
	case b.shape == shapeTogether && !o.good():
		e := jsontext.New()
		e.Text("code", fmt.Sprint(o.Status))
		e.Text("message", o.message)
		line.Object("error", e)
	default:
		line.Object("response", response(o))
		line.Null("error")
	}
	return line.End()
}

// response is an answer with its status.
func response(o *outcome) jsontext.Object {
	r := jsontext.New()
	r.Int("status_code", int64(o.Status))
	r.Text("request_id", o.RequestID)
	body := oneLine(o.Body)
	if o.asText {
		body = jsontext.Quote(body)
	}
	r.Raw("body", body)
	return r
}

// oneLine is JSON without line breaks.
func oneLine(body []byte) string {
	if !bytes.ContainsRune(body, '\n') {
		return string(body)
	}
	raw, err := json.Marshal(json.RawMessage(body))
	if err != nil {
		return jsontext.Quote(string(body))
	}
	return string(raw)
}

func mistralLine(b *batch, id string, o *outcome) []byte {
	line := jsontext.New()
	line.Text("id", "batch-"+random.Start.With(b.id).With(id).Text())
	line.Text("custom_id", id)
	if o.code != "" || o.bare || o.nothing {
		line.Null("response")
		line.Text("error", o.code+o.message)
		return line.End()
	}
	r := jsontext.New()
	r.Int("status_code", int64(o.Status))
	body := oneLine(o.Body)
	if !o.good() || o.asText { // as the vendor does
		body = jsontext.Quote(body)
	}
	r.Raw("body", body)
	line.Object("response", r)
	line.Null("error")
	return line.End()
}

func messagesLine(id string, o *outcome) []byte {
	result := jsontext.Typed("errored")
	switch {
	case o.code == "batch_expired":
		result = jsontext.Typed("expired")
	case o.code == "batch_cancelled":
		result = jsontext.Typed("canceled")
	case o.code != "":
		f := refusal{kind: "timeout_error", message: o.message}
		result.Raw("error", string(f.body(anthropic)))
	case o.bare:
		result.Text("error", o.message)
	case o.nothing:
		result.Null("error")
	case o.good():
		result = jsontext.Typed("succeeded")
		body := oneLine(o.Body)
		if o.asText {
			body = jsontext.Quote(body)
		}
		result.Raw("message", body)
	default:
		result.Raw("error", oneLine(o.Body))
	}
	line := jsontext.New()
	line.Text("custom_id", id)
	line.Object("result", result)
	return line.End()
}

func geminiLine(id string, o *outcome) []byte {
	line := jsontext.New()
	line.Text("key", id)
	switch {
	case o.bare:
		line.Text("error", o.message)
	case o.nothing:
		line.Raw("response", "{}")
	case o.good() && o.asText:
		line.Text("response", oneLine(o.Body))
	case o.good():
		line.Raw("response", oneLine(o.Body))
	default:
		e := jsontext.New()
		status, message := o.Status, o.message
		if o.code != "" {
			status = 499
		}
		if message == "" {
			message = geminiMessage(o.Body)
		}
		e.Int("code", int64(status))
		e.Text("message", message)
		line.Object("error", e)
	}
	return line.End()
}

// geminiMessage is the message of an error body.
func geminiMessage(body []byte) string {
	var e struct{ Error struct{ Message string } }
	_ = json.Unmarshal(body, &e) // an empty message for what is no error
	return e.Error.Message
}
