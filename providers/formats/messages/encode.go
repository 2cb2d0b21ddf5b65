// Package messages encodes requests to, and decodes answers of, the Anthropic
// Messages format. It is pure: no network, no clock, no state between calls.
package messages

import (
	"encoding/json"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/formats/internal/body"
	"nightshift/providers/formats/internal/conversation"
	"nightshift/providers/internal/jsonscan"
)

// Encode writes the body of a request: model, system, messages, then the
// parameters as written and in their order, then stream. Nothing is added that
// the user did not ask for, so a request without max_tokens, which this format
// needs, is refused.
//
// A Request.Body in this format goes out byte for byte but for the fields that
// Model, Params and Stream set; one in the other format is translated first.
// System and developer messages become the top-level system prompt.
//
// The error is an [*nightshift.Error] of class invalid_request or
// untranslatable.
func Encode(req nightshift.Request) (providers.Prepared, error) {
	params, err := body.Params(req.Params, req.Model)
	if err != nil {
		return providers.Prepared{}, err
	}
	var buf []byte
	if req.Body != nil {
		buf, err = overrideBody(req, params)
	} else {
		buf, err = newBody(req, params)
	}
	if err != nil {
		return providers.Prepared{}, err
	}
	return body.Finish(buf, req.Key, check)
}

// check refuses a body without a token cap, and notes the cap.
func check(root jsonscan.Value, p *providers.Prepared) error {
	limit := root.Get("max_tokens")
	if !limit.Set() {
		return body.Invalid("max_tokens", "the Messages format needs max_tokens", "set max_tokens in the model's params")
	}
	if n, ok := limit.Int(); ok {
		p.MaxOutput = max(n, 0)
	}
	return nil
}

// overrideBody takes the row's own body.
func overrideBody(req nightshift.Request, params []nightshift.Param) ([]byte, error) {
	raw := req.Body
	if req.BodyProtocol == nightshift.Chat {
		translated, err := conversation.Body(raw, nightshift.Chat, nightshift.Messages)
		if err != nil {
			return nil, err
		}
		raw = translated
	}
	return body.Override(raw, body.Settings(req, params))
}

// newBody writes a body from the request's messages.
func newBody(req nightshift.Request, params []nightshift.Param) ([]byte, error) {
	if body.Has(params, "messages") {
		return nil, body.Invalid("messages", "the parameters may not hold messages", "take messages out of the params")
	}
	buf := make([]byte, 0, body.Estimate(req))
	buf = append(buf, '{')
	if req.Model != "" {
		buf = append(buf, `"model":`...)
		buf = append(nightshift.AppendString(buf, req.Model), ',')
	}
	buf, err := appendPrompt(buf, req, body.Has(params, "system"))
	if err != nil {
		return nil, err
	}
	buf = body.Append(buf, params)
	if req.Stream && !body.Has(params, "stream") {
		buf = append(buf, `,"stream":true`...)
	}
	return append(buf, '}'), nil
}

// appendPrompt writes system and messages.
func appendPrompt(buf []byte, req nightshift.Request, systemParam bool) ([]byte, error) {
	if plain(req.Messages) {
		if systemParam && req.System != "" {
			return nil, twoSystems()
		}
		return appendPlain(buf, req), nil
	}
	system, turns, err := turnsOf(req)
	if err != nil {
		return nil, err
	}
	if systemParam && system != nil {
		return nil, twoSystems()
	}
	if system != nil {
		buf = append(append(append(buf, `"system":`...), system...), ',')
	}
	buf = append(buf, `"messages":[`...)
	for i, m := range turns {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = append(buf, m...)
	}
	return append(buf, ']'), nil
}

func twoSystems() error {
	return body.Invalid("system", "there is a system prompt among the parameters and another one in the request", "keep one of the two")
}

// plain reports whether all messages are texts of the user or the assistant,
// which need neither looking into nor moving.
func plain(messages []nightshift.Message) bool {
	for _, m := range messages {
		if m.Raw != nil || m.Role != nightshift.RoleUser && m.Role != nightshift.RoleAssistant {
			return false
		}
	}
	return len(messages) > 0
}

func appendPlain(buf []byte, req nightshift.Request) []byte {
	if req.System != "" {
		buf = append(buf, `"system":`...)
		buf = append(nightshift.AppendString(buf, req.System), ',')
	}
	buf = append(buf, `"messages":[`...)
	for i, m := range req.Messages {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = conversation.AppendText(buf, m.Role, m.Text)
	}
	return append(buf, ']')
}

// turnsOf brings messages that are not all plain into this format.
func turnsOf(req nightshift.Request) (system json.RawMessage, turns []json.RawMessage, err error) {
	messages, err := conversation.Raws(req.System, req.Messages)
	if err != nil {
		return nil, nil, err
	}
	return conversation.Conversation(messages, nightshift.Messages)
}
