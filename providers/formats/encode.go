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
// refused.
//
// A Request.Body in this format goes out byte for byte but for the fields that
// Model, Params and Stream set; one in another format is translated first. Of
// several names for one cap, a parameter replaces all in the row's body.
//
// The error is an [*nightshift.Error] of class invalid_request or
// untranslatable.
func Encode(f Format, req nightshift.Request, includeUsage bool) (providers.Prepared, error) {
	params, err := body.Params(req.Params, req.Model)
	if err != nil {
		return providers.Prepared{}, err
	}
	e := encoding{Format: f, req: req, params: params}
	if includeUsage {
		e.usage = f.UsageParam()
	}
	buf, err := e.write()
	if err != nil {
		return providers.Prepared{}, err
	}
	return body.Finish(buf, req.Key, e.check)
}

// An encoding is one call of Encode.
type encoding struct {
	Format
	req    nightshift.Request
	params []nightshift.Param
	usage  nightshift.Param // without a name: not to be asked for
}

func (e *encoding) write() ([]byte, error) {
	if e.req.Body == nil {
		return e.newBody()
	}
	raw := e.req.Body
	if from, ok := Of(e.req.BodyProtocol); ok && from.Protocol() != e.Protocol() {
		t := e.translation()
		if raw = t.Body(raw, from, e.req.Model); t.Err != nil {
			return nil, t.Err
		}
	}
	out, err := body.Override(raw, body.Settings(e.req, e.params), e.capsToDrop()...)
	if err != nil {
		return nil, err
	}
	return e.askForUsage(out)
}

// dialects are the formats as those of messages.
var dialects = func() (all []conversation.Dialect) {
	for _, f := range All {
		all = append(all, f)
	}
	return all
}()

func (e *encoding) translation() *conversation.Translation {
	return &conversation.Translation{To: e.Format, All: dialects}
}

// capsToDrop names the other names of a cap that a parameter sets.
func (e *encoding) capsToDrop() []string {
	given := func(name string) bool { return body.Has(e.params, name) }
	if !slices.ContainsFunc(e.CapNames(), given) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(e.CapNames()), given)
}

// newBody writes a body from the request's messages.
func (e *encoding) newBody() ([]byte, error) {
	w := conversation.Writer{Buf: make([]byte, 0, body.Estimate(e.req))}
	w.Open('{')
	if e.req.Model != "" {
		w.Str("model", e.req.Model)
	}
	t := e.translation()
	turns := t.Request(e.req.System, e.req.Messages)
	e.WritePrompt(t, &w, turns)
	if len(turns) == 0 {
		t.Invalid("messages", "are missing: the request has no messages")
	}
	if t.Err != nil {
		return nil, t.Err
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
			return body.Invalid(param.Name, fmt.Sprintf("%s stands among the parameters, and the request has its own", param.Name), "keep one of the two")
		}
	}
	if name := e.CapNames()[0]; e.RequiresMaxTokens() && !root.Get(name).Set() {
		return body.Invalid(name, fmt.Sprintf("the %s format needs %s", e.Name(), name), fmt.Sprintf("set %s in the model's params", name))
	}
	p.MaxOutput, p.Choices = e.Caps(root)
	return nil
}
