package batch

import (
	"bytes"
	"cmp"
	"errors"
	"net/http"
	"strconv"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers"
	"nightshift/providers/pricing"
)

// maxLine is the longest line of a result file that is read, in bytes.
const maxLine = 64 << 20

// A row is a line of a result file: the answer's status and body, or an error
// without either.
type row struct {
	id        string
	requestID string
	status    int    // of the answer; 0 is what some say for one that never came
	body      []byte // of the answer; nil without one
	err       *nightshift.Error
}

var errNoRow = errors.New("the line holds no result: it is not a JSON object, or it is cut off")

// idNames are the members that hold a row's id, at all services.
var idNames = []string{"custom_id", "key", "batch_request_id", "customId"}

// ResultID implements [nightshift.Batcher].
func (b *Batcher) ResultID(line []byte) string {
	doc := rawjson.Borrow()
	defer doc.Return()
	root, err := scanLine(doc, line)
	if err != nil {
		return ""
	}
	return idOf(root)
}

func scanLine(doc *rawjson.Doc, line []byte) (rawjson.Value, error) {
	if len(line) > maxLine {
		return rawjson.Value{}, errNoRow
	}
	root, err := doc.Scan(bytes.TrimSpace(line))
	if err != nil || root.Kind() != rawjson.Object {
		return rawjson.Value{}, errNoRow
	}
	return root, nil
}

func idOf(root rawjson.Value) string {
	for _, name := range idNames {
		if id, _ := root.Get(name).Words(); id != "" && root.Get(name).Set() {
			return id
		}
	}
	return root.Get("metadata").Get("key").String()
}

// readRow reads a line in whichever shape it has.
func readRow(doc *rawjson.Doc, line []byte) (row, error) {
	root, err := scanLine(doc, line)
	if err != nil {
		return row{}, err
	}
	r := row{id: idOf(root)}
	response, failure := root.Get("response"), root.Get("error")
	if result := root.Get("result"); result.Kind() == rawjson.Object {
		r.ofResult(result)
		return r, nil
	}
	if result := root.Get("batch_result"); result.Kind() == rawjson.Object {
		response, failure = result.Get("response"), firstSet(result.Get("error"), failure)
	}
	failure = firstSet(failure, root.Get("error_message"))
	switch {
	case response.Kind() == rawjson.Object && r.ofResponse(response, failure):
	case failure.Says():
		r.ofError(failure)
	default:
		r.err = noAnswer("the row has neither an answer nor an error")
	}
	return r, nil
}

func firstSet(all ...rawjson.Value) rawjson.Value {
	for _, v := range all {
		if v.Set() {
			return v
		}
	}
	return rawjson.Value{}
}

// ofResponse reads the response of a row: a status with a body, or the body
// alone. It reports whether there is anything in it; what says nothing leaves
// the word to the error beside it.
func (r *row) ofResponse(response, failure rawjson.Value) bool {
	r.requestID = response.Get("request_id").String()
	status, stated := number(response.Get("status_code"))
	body := response.Get("body")
	switch {
	case stated && status == 0 && !failure.Says():
		r.err = &nightshift.Error{Class: nightshift.ClassServer, MaybeBilled: true,
			Message: "the provider did not run the request to its end (status 0)", RequestID: r.requestID}
		return true
	case stated && status == 0:
		return false
	case stated && status >= 100 && status < 600:
		r.status, r.body = int(status), bodyOf(body)
		return r.status >= 300 || len(r.body) > 0 || !failure.Says()
	case body.Set():
		r.status, r.body = http.StatusOK, bodyOf(body)
		return true
	case response.Count() == 0:
		return false
	}
	r.status, r.body = http.StatusOK, bodyOf(response)
	if only := response.First(); response.Count() == 1 && only.Kind() == rawjson.Object && only.Get("choices").Set() {
		r.body = bodyOf(only) // named after the kind of request
	}
	if code, ok := number(response.Get("error").Get("code")); ok && code >= 300 && code < 600 {
		r.status = int(code)
	}
	return true
}

// bodyOf is a copy of a body's text. Some services send it as a string.
func bodyOf(v rawjson.Value) []byte {
	if text, ok := v.Text(); ok {
		return []byte(text)
	}
	return bytes.Clone(v.Raw())
}

// ofResult reads a row of a Messages batch.
func (r *row) ofResult(result rawjson.Value) {
	switch word, _ := result.Get("type").Text(); word {
	case "succeeded":
		r.status, r.body = http.StatusOK, bodyOf(firstSet(result.Get("message"), result.Get("response")))
	case "expired", "canceled", "cancelled":
		r.err = notRun(word, "")
	default:
		r.ofError(firstSet(result.Get("error"), result))
	}
}

// ofError reads the error of a row that has no answer: a text, or an object
// with a code that may be a status.
func (r *row) ofError(failure rawjson.Value) {
	message, isText := failure.Text()
	code, _ := failure.Get("code").Words()
	if !isText {
		message = failure.Get("message").String()
	}
	if r.err = notRun(code, message); r.err != nil {
		return
	}
	body := failure.JSON()
	if inner := failure.Get("error"); !inner.Set() {
		body = append(append([]byte(`{"error":`), body...), '}')
	}
	status := 0
	if n, err := strconv.Atoi(code); err == nil && n >= 300 && n < 600 {
		status = n
	}
	r.status, r.err = status, classify(status, isText, body)
	if code == "request_timeout" {
		r.err.Class = nightshift.ClassServer
	}
	r.err.MaybeBilled = false
}

// classify reads the error of a row; status is 0 where it has none. Words alone
// are taken for the server's fault, which is tried again.
func classify(status int, wordsOnly bool, body []byte) *nightshift.Error {
	said := status
	if status == 0 && wordsOnly {
		status = http.StatusInternalServerError
	}
	e := providers.Classify(status, nil, body)
	if e == nil {
		e = providers.Classify(http.StatusInternalServerError, nil, body)
	}
	e.Status = said
	return e
}

// notRun is the error of a row that its batch ended without; nil for any other
// code.
func notRun(code, message string) *nightshift.Error {
	e := &nightshift.Error{Code: code, Message: message}
	switch code {
	case "batch_expired", "expired":
		e.Class = nightshift.ClassBatchExpired
	case "batch_cancelled", "batch_canceled", "cancelled", "canceled", "request_cancelled", "request_canceled":
		e.Class = nightshift.ClassCancelled
	default:
		return nil
	}
	if message == "" {
		e.Message = "its batch ended before it had run"
	}
	return e
}

func noAnswer(message string) *nightshift.Error {
	return &nightshift.Error{Class: nightshift.ClassBadResponse, MaybeBilled: true, Message: message}
}

// Read implements [nightshift.Batcher].
func (b *Batcher) Read(line []byte) (nightshift.BatchResult, error) {
	doc := rawjson.Borrow()
	r, err := readRow(doc, line)
	doc.Return()
	if err != nil {
		return nightshift.BatchResult{}, err
	}
	result := nightshift.BatchResult{ID: r.id, Err: r.err}
	if r.body != nil || r.err == nil {
		ex := b.wire.Read(providers.Prepared{Model: b.Model}, r.status, r.body)
		result.Response, result.Err = ex.Response, ex.Err
	}
	if e := result.Err; e != nil {
		e.RequestID = cmp.Or(e.RequestID, r.requestID)
		e.MaybeBilled = e.MaybeBilled && r.status < 300
		result.Next = nextOf(e)
	}
	result.Response.Status = r.status
	result.Response.RequestID = cmp.Or(result.Response.RequestID, r.requestID)
	b.bill(&result)
	return result, nil
}

// bill prices a row and writes its attempt. A batch's rows are priced as such,
// whatever tier their answers name; another one that changes prices is flagged.
func (b *Batcher) bill(result *nightshift.BatchResult) {
	r, e := &result.Response, result.Err
	if r.Usage.Known() {
		if answered := r.Usage.ServiceTier; pricing.BatchTier(answered) != pricing.Batch {
			r.Flag("tier_not_batch")
		} else {
			r.Usage.ServiceTier = pricing.Batch
		}
	}
	a := nightshift.Attempt{N: 1, Status: r.Status, RequestID: r.RequestID, ServedModel: r.ServedModel, Usage: r.Usage}
	if e != nil {
		a.Class, a.Message, a.MaybeBilled = e.Class, e.Error(), e.MaybeBilled
		if r.Text != nil {
			a.Kept = *r.Text
		}
	}
	a.Cost, a.PriceID = b.cost(r.Usage, e)
	r.Cost, r.PriceID, r.Attempts = a.Cost, a.PriceID, []nightshift.Attempt{a}
}

// cost is what a row cost: nil where that is not known, 0 where it was surely
// not billed. Where part of the usage is missing it is at least that.
func (b *Batcher) cost(u nightshift.Usage, e *nightshift.Error) (cost *nightshift.NanoUSD, priceID string) {
	if b.Price == nil {
		return nil, ""
	}
	if !u.Known() {
		if e == nil || e.MaybeBilled {
			return nil, ""
		}
		return new(nightshift.NanoUSD), ""
	}
	if !u.InputTotal().Known() {
		u.Input = nightshift.Tokens(0)
	}
	if !u.Output.Known() {
		u.Output = nightshift.Tokens(0)
	}
	if n, id, ok := b.Price(b.Model, u); ok {
		return &n, id
	}
	return nil, ""
}
