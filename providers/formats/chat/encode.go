// Package chat encodes requests to, and decodes answers of, the OpenAI Chat
// Completions format and its many dialects. It is pure: no network, no clock,
// no state between calls.
package chat

import (
	"bytes"
	"encoding/json"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/formats/internal/body"
	"nightshift/providers/formats/internal/conversation"
	"nightshift/providers/internal/jsonscan"
)

// Options are what an endpoint says about its streams.
type Options struct {
	// IncludeUsage asks for usage in streams, unless the user has said
	// otherwise.
	IncludeUsage bool
	// DoneMarkerOnly is set for servers that never send a finish reason:
	// [DONE] alone then ends an answer.
	DoneMarkerOnly bool
	// Choices is how many choices were asked for; 0 is not known.
	Choices int64
}

// Encode writes the body of a request: model, messages, then the parameters
// as written and in their order, then stream. Nothing is added that the user
// did not ask for, but stream_options.include_usage where the options say so.
//
// A Request.Body in this format goes out byte for byte but for the fields that
// Model, Params and Stream set; one in the other format is translated first.
// max_tokens and max_completion_tokens are one cap with two names: a parameter
// of either name replaces both in the row's body.
//
// The error is an [*nightshift.Error] of class invalid_request or
// untranslatable.
func Encode(req nightshift.Request, opt Options) (providers.Prepared, error) {
	params, err := body.Params(req.Params, req.Model)
	if err != nil {
		return providers.Prepared{}, err
	}
	var buf []byte
	if req.Body != nil {
		buf, err = overrideBody(req, params, opt)
	} else {
		buf, err = newBody(req, params, opt)
	}
	if err != nil {
		return providers.Prepared{}, err
	}
	return body.Finish(buf, req.Key, check)
}

// check notes the cap on output tokens over all choices.
func check(root jsonscan.Value, p *providers.Prepared) error {
	old, _ := root.Get("max_tokens").Int()
	limit, _ := root.Get("max_completion_tokens").Int()
	n, ok := root.Get("n").Int()
	if !ok || n < 1 {
		n = 1
	}
	const most = 1 << 40 // far above any cap: keeps the product from overflowing
	p.Choices = n
	p.MaxOutput = min(max(old, limit, 0), most) * min(n, 1<<20)
	return nil
}

var (
	yes          = []nightshift.Param{{Name: "include_usage", Value: json.RawMessage("true")}}
	includeUsage = []nightshift.Param{{Name: "stream_options", Value: json.RawMessage(`{"include_usage":true}`)}}
)

// overrideBody takes the row's own body.
func overrideBody(req nightshift.Request, params []nightshift.Param, opt Options) ([]byte, error) {
	raw := []byte(req.Body)
	if req.BodyProtocol == nightshift.Messages {
		var err error
		if raw, err = fromMessages(raw, req.Model); err != nil {
			return nil, err
		}
	}
	raw, err := body.Override(raw, body.Settings(req, params), capsToDrop(params)...)
	if err != nil {
		return nil, err
	}
	return askForUsage(raw, opt)
}

// fromMessages translates a Messages body. The model it will be sent to comes
// first, because it decides what the token cap is called.
func fromMessages(raw []byte, model string) ([]byte, error) {
	if model != "" {
		var err error
		raw, err = body.Override(raw, body.Model(model))
		if err != nil {
			return nil, err
		}
	}
	return conversation.Body(raw, nightshift.Messages, nightshift.Chat)
}

// capsToDrop names the other name of a cap that a parameter sets: servers
// refuse both at once.
func capsToDrop(params []nightshift.Param) []string {
	old, limit := body.Has(params, "max_tokens"), body.Has(params, "max_completion_tokens")
	switch {
	case old && !limit:
		return []string{"max_completion_tokens"}
	case limit && !old:
		return []string{"max_tokens"}
	}
	return nil
}

// askForUsage adds include_usage to a finished body that streams, unless it
// speaks of it.
func askForUsage(raw []byte, opt Options) ([]byte, error) {
	if !opt.IncludeUsage || !bytes.Contains(raw, []byte(`"stream"`)) {
		return raw, nil
	}
	root, err := jsonscan.Strict(raw)
	if err != nil || !root.Get("stream").IsTrue() {
		return raw, nil // Finish will say what is wrong
	}
	options := root.Get("stream_options")
	switch {
	case !options.Set():
		return body.Override(raw, includeUsage)
	case options.Kind() != jsonscan.Object || options.Get("include_usage").Set():
		return raw, nil
	}
	more, err := body.Override(options.Raw(), yes)
	if err != nil {
		return nil, err
	}
	return body.Override(raw, []nightshift.Param{{Name: "stream_options", Value: more}})
}

// newBody writes a body from the request's messages.
func newBody(req nightshift.Request, params []nightshift.Param, opt Options) ([]byte, error) {
	if body.Has(params, "messages") {
		return nil, body.Invalid("messages", "the parameters may not hold messages", "take messages out of the params")
	}
	buf := make([]byte, 0, body.Estimate(req))
	buf = append(buf, '{')
	if req.Model != "" {
		buf = append(buf, `"model":`...)
		buf = append(nightshift.AppendString(buf, req.Model), ',')
	}
	buf, err := appendMessages(buf, req)
	if err != nil {
		return nil, err
	}
	buf = body.Append(buf, params)
	if req.Stream && !body.Has(params, "stream") {
		buf = append(buf, `,"stream":true`...)
		if opt.IncludeUsage && !body.Has(params, "stream_options") {
			buf = append(buf, `,"stream_options":{"include_usage":true}`...)
		}
	}
	buf = append(buf, '}')
	if body.Has(params, "stream") || body.Has(params, "stream_options") {
		return askForUsage(buf, opt)
	}
	return buf, nil
}

// appendMessages writes the messages, the system prompt first.
func appendMessages(buf []byte, req nightshift.Request) ([]byte, error) {
	buf = append(buf, `"messages":[`...)
	if plain(req.Messages) {
		if req.System != "" {
			buf = append(conversation.AppendText(buf, nightshift.RoleSystem, req.System), ',')
		}
		for _, m := range req.Messages {
			buf = append(conversation.AppendText(buf, m.Role, m.Text), ',')
		}
		buf[len(buf)-1] = ']'
		return buf, nil
	}
	raws, err := conversation.Raws(req.System, req.Messages)
	if err != nil {
		return nil, err
	}
	_, turns, err := conversation.Conversation(raws, nightshift.Chat)
	if err != nil {
		return nil, err
	}
	if len(turns) == 0 {
		return nil, body.Invalid("messages", "the request has no messages", "")
	}
	for _, m := range turns {
		buf = append(append(buf, m...), ',')
	}
	buf[len(buf)-1] = ']'
	return buf, nil
}

// plain reports whether all messages are texts, which need no looking into.
func plain(messages []nightshift.Message) bool {
	for _, m := range messages {
		if m.Raw != nil {
			return false
		}
		switch m.Role {
		case nightshift.RoleSystem, nightshift.RoleDeveloper, nightshift.RoleUser, nightshift.RoleAssistant:
		default:
			return false
		}
	}
	return len(messages) > 0
}
