package wire

import (
	"bytes"
	"errors"
	"net/http"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/formats/chat"
	"nightshift/providers/formats/messages"
	"nightshift/providers/internal/jsonscan"
)

// decode reads a whole body under a status of success, in the order of checks
// that tells answers from errors: what it is at all, whether it says that
// something went wrong, and only then which format it has.
func (a *attempt) decode(resp *http.Response, text []byte) {
	doc := jsonscan.Borrow()
	defer doc.Return()
	answer, e := examine(doc, resp.StatusCode, resp.Header, text)
	if e != nil {
		a.bodyWait(text, e)
		a.errorUsage(answer, e)
		a.fail(e)
		return
	}
	if e := a.decodeAs(shapeOf(answer), answer); e != nil {
		a.stated(e)
		a.fail(e)
	}
}

// errorUsage reads what an error reply says that it used, and decides what is
// to be thought of one that says nothing.
func (a *attempt) errorUsage(root jsonscan.Value, e *nightshift.Error) {
	for _, place := range []jsonscan.Value{root, root.Get("data"), root.Get("response"), root.Get("error"), root.Get("error").Get("metadata")} {
		a.usageOf(place)
	}
	broken := e.Class == nightshift.ClassServer || words(root)
	e.MaybeBilled = e.MaybeBilled || a.ex.Response.Status < 300 && broken
	a.stated(e)
}

// usageOf takes over the usage of an object that has one; the first counts.
func (a *attempt) usageOf(o jsonscan.Value) {
	if a.ex.Response.Usage.Known() || o.Kind() != jsonscan.Object {
		return
	}
	read := chat.Usage
	if a.countsAsMessages(o) {
		read = messages.Usage
	}
	var r nightshift.Response
	read(&r, o)
	if r.Usage.Known() {
		a.ex.Response.Usage, a.ex.Response.UsageRaw = r.Usage, r.UsageRaw
		for _, flag := range r.Flags {
			a.ex.Response.Flag(flag)
		}
	}
}

// countsAsMessages tells which format's names a usage has; input_tokens is in
// use in both.
func (a *attempt) countsAsMessages(o jsonscan.Value) bool {
	usage := o.Get("usage")
	return shapeOf(o) == nightshift.Messages || usage.Get("input_tokens").Set() && !usage.Get("prompt_tokens").Set() &&
		shapeOf(o) != nightshift.Chat && a.wire.endpoint.Protocol == nightshift.Messages
}

// words reports whether a body holds words of a model beside its error.
func words(root jsonscan.Value) bool {
	for c := root.Get("choices").First(); c.Exists(); c = c.Next() {
		if c.Get("message").Get("content").Says() || c.Get("text").Says() {
			return true
		}
	}
	return root.Get("content").Says()
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

func (a *attempt) decodeAs(shape nightshift.Protocol, answer jsonscan.Value) *nightshift.Error {
	read := chat.DecodeValue
	switch shape {
	case nightshift.Messages:
		read = messages.DecodeValue
	case nightshift.Chat:
	default:
		a.usageOf(answer)
		return &nightshift.Error{
			Class: nightshift.ClassBadResponse, Code: "no_choices", MaybeBilled: true,
			Message: "the answer has the shape of neither format: no content and no choices",
		}
	}
	var r nightshift.Response
	e := read(&r, answer)
	a.merge(&r)
	return e
}

// examine looks at a body under a status of success. It returns the object that
// may be an answer, which is doc's.
func examine(doc *jsonscan.Doc, status int, header http.Header, body []byte) (jsonscan.Value, *nightshift.Error) {
	text := bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	if len(text) == 0 || text[0] != '{' && text[0] != '[' {
		return jsonscan.Value{}, mustClassify(status, header, text)
	}
	root, err := doc.Scan(text)
	if err != nil {
		return root, unscannable(status, header, text, err)
	}
	if root.Kind() == jsonscan.Array {
		root = root.First()
	}
	if root.Kind() != jsonscan.Object {
		return root, mustClassify(status, header, text)
	}
	if suspicious(root) {
		if e := providers.Classify(status, header, root.JSON()); e != nil {
			return root, e
		}
	}
	if data := root.Get("data"); data.Kind() == jsonscan.Object && shapeOf(root) == "" && shapeOf(data) != "" {
		root = data
	}
	return root, nil
}

// mustClassify is for bodies that cannot be an answer.
func mustClassify(status int, header http.Header, text []byte) *nightshift.Error {
	if e := providers.Classify(status, header, text); e != nil {
		return e
	}
	return &nightshift.Error{Class: nightshift.ClassBadResponse, MaybeBilled: true, Message: "the answer is not a JSON object"}
}

// unscannable tells JSON that was cut off from JSON that is too deep or never
// was any.
func unscannable(status int, header http.Header, text []byte, err error) *nightshift.Error {
	var syntax *jsonscan.SyntaxError
	e := &nightshift.Error{Class: nightshift.ClassBadResponse, MaybeBilled: true, Message: "the answer cannot be read: " + err.Error(), Err: err}
	switch {
	case errors.Is(err, jsonscan.ErrDepth), errors.Is(err, jsonscan.ErrNodes):
		e.Code = providers.CodeTooDeep
	case errors.As(err, &syntax) && syntax.Offset >= int64(len(text)):
		e.Class, e.Message = nightshift.ClassCut, "the answer stops in the middle of its JSON"
	}
	return e
}

// suspicious reports whether an object may speak of an error; Classify then
// says whether it does.
func suspicious(o jsonscan.Value) bool {
	if o.Get("error").Says() || o.Get("type").Is("error") || o.Get("success").IsFalse() || o.Get("object").Is("error") || o.Get("base_resp").Set() {
		return true
	}
	if shapeOf(o) != "" {
		return false
	}
	return o.Get("detail").Set() || o.Get("code").Set() || o.Get("response").Set() || o.Get("data").Get("error").Set()
}

// shapeOf says which format an object has.
func shapeOf(o jsonscan.Value) nightshift.Protocol {
	content := o.Get("content")
	switch {
	case o.Get("choices").Exists() && !o.Get("type").Is("message"):
		return nightshift.Chat
	case content.Exists() && (o.Get("type").Is("message") || content.Kind() == jsonscan.Array || content.Kind() == jsonscan.String):
		return nightshift.Messages
	}
	return ""
}

// merge takes over what a format read, and keeps what the exchange knows.
func (a *attempt) merge(r *nightshift.Response) {
	old := &a.ex.Response
	r.Status, r.RequestID, r.Raw, r.Latency, r.FirstToken = old.Status, old.RequestID, old.Raw, old.Latency, old.FirstToken
	for _, flag := range old.Flags {
		r.Flag(flag)
	}
	*old = *r
	if old.Usage.Reported == nil {
		old.Usage.Reported = a.headerCost
	}
	if n := int64(max(len(r.Choices), 1)); n < a.prepared.Choices {
		r.Flag("choices_missing") // the server ignores n
		old.Flags = r.Flags
	}
}
