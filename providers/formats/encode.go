package formats

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers"
	"nightshift/providers/formats/internal/body"
	"nightshift/providers/formats/internal/conversation"
)

// Encode writes the body of a request in a format: model, system prompt and
// messages, then the parameters as written and in their order, then stream.
// Nothing is added that the user did not ask for, but usage in streams where
// includeUsage says so. A request without a cap that the format requires is
// refused. A format with model and stream in the URL has neither in its bodies.
//
// A Request.Body in this format goes out byte for byte but for the fields that
// Model, Params and Stream set; one in another format is translated first. Of
// several names for one cap, a parameter replaces all in the row's body.
//
// The error is an [*nightshift.Error] of class invalid_request or
// untranslatable.
func Encode(f Format, req nightshift.Request, includeUsage bool) (providers.Prepared, error) {
	if req.Continuation != "" {
		return encodeScored(f, req)
	}
	params, err := body.Params(req.Params, req.Model)
	if err != nil {
		return providers.Prepared{}, err
	}
	e := encoding{Format: f, req: req, params: params}
	if includeUsage {
		e.usage = f.UsageParam()
	}
	p := providers.Prepared{Key: req.Key}
	if f.ModelInURL() {
		p.Model, p.Stream = e.fromURL()
	}
	buf, err := e.write()
	if err != nil {
		return providers.Prepared{}, err
	}
	return body.Finish(buf, p, e.check)
}

// An encoding is one call of Encode.
type encoding struct {
	Format
	req    nightshift.Request
	params []nightshift.Param
	usage  nightshift.Param // without a name: not to be asked for
}

// fromURL is the model that the URL will name, and whether it will ask for a
// stream. A row's own body may say either where the request does not.
func (e *encoding) fromURL() (model string, stream bool) {
	model, stream = e.req.Model, e.req.Stream
	doc := rawjson.Borrow()
	defer doc.Return()
	if root, err := doc.Scan(e.req.Body); err == nil {
		if model == "" {
			model = root.Get("model").String()
		}
		stream = stream || root.Get("stream").IsTrue()
	}
	return model, stream
}

// inURL are the members of a body that stand in the URL in some formats.
var inURL = []string{"model", "stream"}

func (e *encoding) write() ([]byte, error) {
	if e.req.Body == nil {
		return e.newBody()
	}
	raw := e.req.Body
	t := e.translation()
	switch from, known := Of(e.req.BodyProtocol); {
	case known && from.Protocol() != e.Protocol():
		raw = t.Body(raw, from, e.req.Model)
	case !known && e.req.BodyProtocol != "":
		t.Cannot("body", "the row's request is in the format "+string(e.req.BodyProtocol))
	}
	if err := e.translate(t, raw); err != nil {
		return nil, err
	}
	set, drop := body.Settings(e.req, e.params), e.capsToDrop()
	if e.ModelInURL() {
		set, drop = e.params, append(drop, inURL...)
	}
	out, err := body.Override(raw, set, drop...)
	if err != nil {
		return nil, err
	}
	return e.askForUsage(out)
}

// translate brings the parameters under the names of the format; own is the
// row's own body, nil without one.
func (e *encoding) translate(t *conversation.Translation, own []byte) error {
	if t.Err != nil {
		return t.Err
	}
	var root rawjson.Value
	if own != nil {
		root, _ = rawjson.Scan(own) // Override will say what is wrong with it
	}
	e.params = e.Params(t, e.params, root, e.req.Model)
	if t.Err != nil {
		return t.Err
	}
	return nil
}

// dialects are the formats as those of messages.
var dialects = func() (all []conversation.Dialect) {
	for _, f := range All {
		all = append(all, f)
	}
	return all
}()

func (e *encoding) translation() *conversation.Translation {
	return &conversation.Translation{To: e.Format, All: dialects, Neutral: neutral, Continues: e.req.Continues}
}

// ParamsCap is the most output tokens of one answer that parameters permit; 0
// where they set no cap, or are not to be read.
func ParamsCap(f Format, params []nightshift.Param) int64 {
	e := encoding{Format: f}
	t := e.translation()
	known, err := body.Params(params, "")
	if err != nil {
		return 0
	}
	root, err := rawjson.Scan(append(body.Append([]byte(`{"model":""`), e.Params(t, known, rawjson.Value{}, "")), '}'))
	if err != nil {
		return 0
	}
	most, choices := f.Caps(root)
	return most / max(choices, 1)
}

// capsToDrop names the other names of a cap that a parameter sets.
func (e *encoding) capsToDrop() []string {
	given := func(name string) bool { return body.Has(e.params, name) }
	if !slices.ContainsFunc(e.CapNames(), given) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(e.CapNames()), given)
}

// newBody writes a body from the request's messages or texts.
func (e *encoding) newBody() ([]byte, error) {
	w := conversation.Writer{Buf: make([]byte, 0, body.Estimate(e.req))}
	w.Open('{')
	if e.req.Model != "" && !e.ModelInURL() {
		w.Str("model", e.req.Model)
	}
	t := e.translation()
	if f, ok := e.Format.(TextsFormat); ok {
		return e.newTexts(f, t, &w)
	}
	e.writePrompt(t, &w)
	if err := e.translate(t, nil); err != nil {
		return nil, err
	}
	if e.ModelInURL() {
		for _, p := range e.params {
			w.Raw(p.Name, p.Value)
		}
		return w.Close('}'), nil
	}
	w.Buf = body.Append(w.Buf, e.params)
	if !e.req.Stream || body.Has(e.params, "stream") {
		return e.askForUsage(w.Close('}'))
	}
	w.Raw("stream", []byte("true"))
	if body.Has(e.params, e.usage.Name) {
		return e.askForUsage(w.Close('}'))
	}
	if e.usage.Name != "" {
		w.Raw(e.usage.Name, e.usage.Value)
	}
	return w.Close('}'), nil
}

// newTexts writes a body from the request's texts, or from the one text that
// its messages are.
func (e *encoding) newTexts(f TextsFormat, t *conversation.Translation, w *conversation.Writer) ([]byte, error) {
	texts := e.req.Texts
	if texts == nil {
		var text string
		if err := json.Unmarshal(t.OnlyText(t.Request(e.req.System, e.req.Messages)), &text); err == nil {
			texts = []string{text}
		}
	}
	if slices.Contains(texts, "") {
		t.Invalid("input", "is an empty text, of which there is no vector")
	}
	if err := e.translate(t, nil); err != nil {
		return nil, err
	}
	f.WriteTexts(t, w, texts, e.params, e.req.Model)
	return w.Close('}'), t.Err
}

func (e *encoding) writePrompt(t *conversation.Translation, w *conversation.Writer) {
	if e.req.Texts != nil {
		t.Cannot("texts", "a list of texts is for embeddings")
		return
	}
	turns := t.Request(e.req.System, e.req.Messages)
	e.WritePrompt(t, w, turns)
	if len(turns) == 0 {
		t.Invalid("messages", "are missing: the request has no messages")
	}
}

// askForUsage adds the usage parameter to a finished body that streams, unless
// it speaks of it.
func (e *encoding) askForUsage(raw []byte) ([]byte, error) {
	if e.usage.Name == "" || !bytes.Contains(raw, []byte(`"stream"`)) {
		return raw, nil
	}
	root, err := rawjson.Strict(raw)
	if err != nil || !root.Get("stream").IsTrue() {
		return raw, nil // body.Finish will say what is wrong
	}
	ask := e.usage
	if said := root.Get(ask.Name); said.Kind() == rawjson.Object {
		if ask.Value, err = merge(said, ask.Value); err != nil {
			return nil, err
		}
	} else if said.Set() {
		return raw, nil
	}
	return body.Override(raw, []nightshift.Param{ask})
}

// merge adds to an object the members of another that it does not have.
func merge(said rawjson.Value, more json.RawMessage) (json.RawMessage, error) {
	root, err := rawjson.Strict(more)
	if err != nil {
		return nil, err
	}
	var add []nightshift.Param
	for m := root.First(); m.Exists(); m = m.Next() {
		if !said.Get(m.Key()).Set() {
			add = append(add, nightshift.Param{Name: m.Key(), Value: m.Raw()})
		}
	}
	return body.Override(said.Raw(), add)
}

// check refuses what servers would, and notes the caps.
func (e *encoding) check(root rawjson.Value, p *providers.Prepared) error {
	for _, param := range e.params {
		if e.req.Body == nil && root.Get(param.Name).Exists() && root.Doc().Repeated {
			return body.Invalid(
				param.Name, fmt.Sprintf("%s stands among the parameters, and the request has its own", param.Name),
				"keep one of the two")
		}
	}
	if e.RequiresMaxTokens() && !root.Get(e.CapNames()[0]).Set() {
		name := e.CapNames()[0]
		return body.Invalid(name, fmt.Sprintf("the %s format needs %s", e.Name(), name),
			fmt.Sprintf("set %s in the model's params", name))
	}
	p.MaxOutput, p.Choices = e.Caps(root)
	if f, ok := e.Format.(TextsFormat); ok {
		p.Texts = f.CountTexts(root)
	}
	if p.Stream && p.Texts > 0 {
		return body.Invalid("stream", "vectors are not streamed", "leave stream out")
	}
	m := body.NewMeter(p.Model)
	e.Measure(m, root)
	p.InputText, p.InputOther, p.Media = m.Text, m.Other, m.Media
	return nil
}
