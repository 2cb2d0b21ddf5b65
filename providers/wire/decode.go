package wire

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers"
	"nightshift/providers/formats"
	"nightshift/providers/sse"
)

// decode reads a whole body under a status of success, in the order of checks
// that tells answers from errors: what it is at all, whether it says that
// something went wrong, and only then which format it has.
func (a *attempt) decode(resp *http.Response, text []byte) {
	doc := rawjson.Borrow()
	defer doc.Return()
	if a.decodeList(doc, text) {
		return
	}
	answer, e := examine(doc, resp.StatusCode, resp.Header, text)
	if e != nil {
		if isAnswer(answer) {
			a.ex.Response.ID = answer.Get("id").String()
		}
		a.bodyWait(text, e)
		a.errorUsage(answer, e)
		a.fail(e)
		return
	}
	if e := a.decodeAnswer(answer); e != nil {
		a.stated(e)
		a.fail(e)
	}
}

// decodeList reads a stream that came as a list although none was asked for,
// and reports whether that is what the body is.
func (a *attempt) decodeList(doc *rawjson.Doc, text []byte) bool {
	if kind, _ := kindOf(bytes.TrimSpace(text)); kind != list {
		return false
	}
	root, err := doc.Scan(text)
	if err != nil || root.Count() < 2 {
		return false
	}
	format, ok := formats.RecogniseEvent(root.First())
	if !ok {
		return false
	}
	s := &streamed{attempt: a}
	s.open(format)
	for piece := root.First(); piece.Exists() && s.failed == nil; piece = piece.Next() {
		s.take(sse.Event{Data: bytes.Clone(piece.Raw())})
	}
	if e := s.end(); e != nil {
		a.fail(e)
		a.bodyWait(s.fault, e)
	}
	return true
}

// errorUsage reads what an error reply says that it used, and decides what is
// to be thought of one that says nothing.
func (a *attempt) errorUsage(root rawjson.Value, e *nightshift.Error) {
	for _, place := range []rawjson.Value{root, root.Get("data"), root.Get("response"), root.Get("error"),
		root.Get("error").Get("metadata")} {
		a.usageOf(place)
	}
	broken := e.Class == nightshift.ClassServer || words(root)
	e.MaybeBilled = e.MaybeBilled || a.ex.Response.Status < 300 && broken
	a.stated(e)
}

// usageOf takes over the usage of an object that has one; the first counts.
func (a *attempt) usageOf(o rawjson.Value) {
	if a.ex.Response.Usage.Known() || o.Kind() != rawjson.Object {
		return
	}
	var r nightshift.Response
	formats.ForUsage(o, a.wire.endpoint.Protocol).DecodeUsage(&r, o)
	if r.Usage.Known() {
		a.ex.Response.Usage, a.ex.Response.UsageRaw = r.Usage, r.UsageRaw
		for _, flag := range r.Flags {
			a.ex.Response.Flag(flag)
		}
	}
}

// words reports whether a body holds words of a model beside its error.
func words(root rawjson.Value) bool {
	for _, f := range formats.All {
		var r nightshift.Response
		_ = f.Decode(&r, root)
		if r.Text != nil && *r.Text != "" {
			return true
		}
	}
	return false
}

// stated settles an error whose reply says what it used: that is billed then,
// and nothing is left to guess. An answer without words and without output
// counted is not believed that.
func (a *attempt) stated(e *nightshift.Error) {
	u := a.ex.Response.Usage
	if e.Class != nightshift.ClassEmptyResponse && u.InputTotal().Known() && u.Output.Known() {
		e.MaybeBilled = false
	}
}

func (a *attempt) decodeAnswer(answer rawjson.Value) *nightshift.Error {
	format, ok := formats.Recognise(answer)
	if !ok {
		a.usageOf(answer)
		return &nightshift.Error{
			Class: nightshift.ClassBadResponse, Code: "no_choices", MaybeBilled: true,
			Message: "the answer has the shape of no known format: no content and no choices",
		}
	}
	known := a.ex.Response
	r := &a.ex.Response
	*r = nightshift.Response{}
	e := format.Decode(r, answer)
	if a.prepared.Scored != nil {
		e = a.score(r, format, answer, e)
	}
	a.merge(&known)
	if want := a.prepared.Texts; e == nil && want > 0 && int64(len(r.Vectors)) != want {
		return &nightshift.Error{
			Class: nightshift.ClassBadResponse, Code: "vectors_missing", MaybeBilled: true,
			Message: fmt.Sprintf("%d vectors came for %d texts", len(r.Vectors), want),
		}
	}
	return e
}

// recount reads the usage as that of an answer without a word: what was echoed is
// no output.
func recount(r *nightshift.Response, format formats.Format, answer rawjson.Value) {
	var silent nightshift.Response
	format.DecodeUsage(&silent, answer)
	r.Usage = silent.Usage
	r.Flags = slices.DeleteFunc(r.Flags, func(f string) bool { return f == "usage_partial" })
	for _, f := range silent.Flags {
		r.Flag(f)
	}
}

// score reads the log-probability that was asked for, and returns what is wrong
// with it, or with the answer. An answer without a word is none of that.
func (a *attempt) score(r *nightshift.Response, format formats.Format, answer rawjson.Value,
	e *nightshift.Error) *nightshift.Error {
	if e != nil && e.Class != nightshift.ClassEmptyResponse {
		return e
	}
	scoring, ok := format.(formats.Scoring)
	if !ok {
		return &nightshift.Error{
			Class: nightshift.ClassNoLogprobs,
			Message: "the server was asked for the log-probabilities of the prompt and answered " +
				"in the " + format.Name() + " format",
		}
	}
	l, e := scoring.Loglikelihood(answer, *a.prepared.Scored)
	if e != nil {
		e.MaybeBilled = true
		return e
	}
	r.Loglikelihood = &l
	recount(r, format, answer)
	return nil
}

// examine looks at a body under a status of success. It returns the object that
// may be an answer, which is doc's.
func examine(doc *rawjson.Doc, status int, header http.Header, body []byte) (rawjson.Value, *nightshift.Error) {
	text := bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	if len(text) == 0 || text[0] != '{' && text[0] != '[' {
		return rawjson.Value{}, mustClassify(status, header, text)
	}
	root, err := doc.Scan(text)
	if err != nil {
		return root, unscannable(status, header, text, err)
	}
	if root.Kind() == rawjson.Array {
		root = root.First()
	}
	if root.Kind() != rawjson.Object {
		return root, mustClassify(status, header, text)
	}
	if suspicious(root) {
		if e := providers.Classify(status, header, root.JSON()); e != nil {
			return root, e
		}
	}
	if data := root.Get("data"); !isAnswer(root) && isAnswer(data) {
		root = data
	}
	return root, nil
}

// mustClassify is for bodies that cannot be an answer.
func mustClassify(status int, header http.Header, text []byte) *nightshift.Error {
	if e := providers.Classify(status, header, text); e != nil {
		return e
	}
	return &nightshift.Error{Class: nightshift.ClassBadResponse, MaybeBilled: true,
		Message: "the answer is not a JSON object"}
}

// unscannable tells JSON that was cut off from JSON that is too deep or never
// was any.
func unscannable(status int, header http.Header, text []byte, err error) *nightshift.Error {
	var syntax *rawjson.SyntaxError
	e := &nightshift.Error{Class: nightshift.ClassBadResponse, MaybeBilled: true,
		Message: "the answer cannot be read: " + err.Error(), Err: err}
	switch {
	case errors.Is(err, rawjson.ErrDepth), errors.Is(err, rawjson.ErrNodes):
		e.Code = providers.CodeTooDeep
	case errors.As(err, &syntax) && syntax.Offset >= int64(len(text)):
		e.Class, e.Message = nightshift.ClassCut, "the answer stops in the middle of its JSON"
	}
	return e
}

// suspicious reports whether an object may speak of an error; Classify then
// says whether it does.
func suspicious(o rawjson.Value) bool {
	if o.Get("error").Says() || o.Get("type").Is("error") || o.Get("success").IsFalse() ||
		o.Get("object").Is("error") || o.Get("base_resp").Set() {
		return true
	}
	if isAnswer(o) {
		return false
	}
	return o.Get("detail").Set() || o.Get("code").Set() || o.Get("response").Set() || o.Get("data").Get("error").Set()
}

func isAnswer(o rawjson.Value) bool {
	_, ok := formats.Recognise(o)
	return ok
}

// merge adds to what a format read what the exchange knows of the response.
func (a *attempt) merge(known *nightshift.Response) {
	r := &a.ex.Response
	r.Status, r.RequestID, r.Raw, r.Latency, r.FirstToken = known.Status, known.RequestID, known.Raw, known.Latency,
		known.FirstToken
	for _, flag := range known.Flags {
		r.Flag(flag)
	}
	if r.Usage.ServiceTier == "" && r.Usage.Known() {
		r.Usage.ServiceTier = a.tier
	}
	if r.Usage.Reported == nil {
		r.Usage.Reported = a.headerCost
	}
	if n := int64(max(len(r.Choices), 1)); n < a.prepared.Choices {
		r.Flag("choices_missing") // the server ignores n
	}
}
