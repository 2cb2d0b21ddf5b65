package datasets

import (
	"bytes"
	"strings"

	"nightshift"
)

// A batchBody is how a whole request body of one protocol is read.
type batchBody struct {
	protocol nightshift.Protocol
	url      string // what the url of its rows in an OpenAI batch file ends in; "" where there are none
	prompt   string // the member that holds what is asked
	want     string // what that is, for people
	check    func(b *builder, p path, prompt value) rowError
	// limits are of members that mean something else than a row's own parameter
	// of that name.
	limits map[string]limit
	// withSystem puts a system prompt in, in the place of the body's own; nil
	// where the protocol has none.
	withSystem func(body []byte, system string) []byte
}

var chatBody = batchBody{protocol: nightshift.Chat, url: "/chat/completions", prompt: "messages", want: "a list of messages",
	check: (*builder).checkMessages, withSystem: func(body []byte, system string) []byte {
		return withMember(body, "messages", func(list value) []byte { return messagesWithSystem(list, system) })
	}}

var messagesBody = batchBody{protocol: nightshift.Messages, url: "/messages", prompt: "messages", want: "a list of messages",
	check: (*builder).checkMessages, withSystem: func(body []byte, system string) []byte {
		return withMember(body, "system", func(value) []byte { return quote(system) })
	}}

// geminiBody has no line in an OpenAI batch file: [builder.geminiBatch].
var geminiBody = batchBody{protocol: "gemini", prompt: "contents", want: "a list of contents",
	check: checkObjects, withSystem: geminiWithSystem}

// batchBodies in the order in which the end of a url is tried.
var batchBodies = []batchBody{
	chatBody, messagesBody,
	{protocol: "responses", url: "/responses", prompt: "input", want: "a text or a list of items",
		check: checkItems, withSystem: responsesWithSystem},
	{protocol: "completions", url: "/completions", prompt: "prompt", want: "a text or a list", check: checkTexts,
		limits: map[string]limit{"logprobs": {[]kind{kindNumber, kindBool}, -1, 1e6, true}}},
	{protocol: "embeddings", url: "/embeddings", prompt: "input", want: "a text or a list", check: checkTexts},
	geminiBody,
}

// batchBodyFor finds the kind of body that the url of an OpenAI batch row
// speaks of. Without a url it is Chat's.
func batchBodyFor(url value) (batchBody, rowError) {
	if !url.given() {
		return chatBody, rowError{}
	}
	to := url.text()
	if strings.Contains(to, "://") {
		return batchBody{}, rowError{"the row names a whole URL", "a row cannot choose its endpoint; write /v1/chat/completions"}
	}
	var known []string
	for _, kind := range batchBodies {
		if kind.url == "" {
			continue
		}
		if strings.HasPrefix(to, "/") && strings.HasSuffix(to, kind.url) {
			return kind, rowError{}
		}
		known = append(known, "/v1"+kind.url)
	}
	last := len(known) - 1
	return batchBody{}, rowError{"the url is " + quoteShort(to),
		"only " + strings.Join(known[:last], ", ") + " and " + known[last] + " can be sent"}
}

// openAIBatch reads a line of an OpenAI batch file.
func (b *builder) openAIBatch(r row) rowError {
	b.use("body")
	b.use("method")
	b.use("url")
	if method := r.get("method"); method.given() && method.text() != "POST" {
		return rowError{"the method is " + quoteShort(method.text()), "only POST can be sent"}
	}
	kind, c := batchBodyFor(r.get("url"))
	if c.bad() {
		return c
	}
	return b.body(path{name: "body"}, r.get("body"), kind)
}

// anthropicBatch reads a request of an Anthropic batch.
func (b *builder) anthropicBatch(r row) rowError {
	b.use("params")
	return b.body(path{name: "params"}, r.get("params"), messagesBody)
}

// isGeminiBatch reports whether a row is a line of a Gemini batch file. Vertex
// writes no key beside the request.
func isGeminiBatch(r row) bool {
	request := r.get("request")
	return request.kind == kindObject && (request.get("contents").kind == kindArray || has(r, "key", kindString))
}

// geminiBatch reads a line of a Gemini batch file.
func (b *builder) geminiBatch(r row) rowError {
	b.use("request")
	return b.body(path{name: "request"}, r.get("request"), geminiBody)
}

// body checks a whole request body and takes it as it is.
func (b *builder) body(p path, v value, kind batchBody) rowError {
	if v.kind != kindObject {
		return b.wrongType(p, v, "an object")
	}
	if kind.withSystem == nil && b.templates.system != nil {
		return rowError{"a request of " + string(kind.protocol) + " has no system prompt", "leave system out of the plan"}
	}
	if c := checkMembers(p, v, kind); c.bad() {
		return c
	}
	prompt, at := v.get(kind.prompt), path{name: p.name + "." + kind.prompt}
	if prompt.kind != kindString && prompt.kind != kindArray {
		return b.wrongType(at, prompt, kind.want)
	}
	if c := kind.check(b, at, prompt); c.bad() || b.check {
		return c
	}
	raw, c := b.inline(v.raw)
	if kind.prompt == "messages" && bytes.Contains(prompt.raw, []byte("null")) {
		raw = withMember(raw, "messages", messagesWithoutNulls)
	}
	b.s.Body, b.s.BodyProtocol = bytes.TrimSpace(raw), kind.protocol
	return c
}

// checkMembers refuses members by which a body might choose where it is sent,
// and parameters that no server takes.
func checkMembers(p path, v value, kind batchBody) rowError {
	for key, member := range members(v.raw) {
		name := string(unescape(key))
		c := rowError{}
		if own, differs := kind.limits[name]; differs && member.kind != kindNull {
			if what := own.check(member); what != "" {
				c = rowError{name + " " + what, ""}
			}
		} else if !differs {
			c = checkParam(name, member, true)
		}
		if c.bad() {
			c.what = p.name + "." + c.what
			return c
		}
	}
	return rowError{}
}

// checkMessages checks a list of messages in either dialect.
func (b *builder) checkMessages(p path, list value) rowError {
	if list.kind != kindArray {
		return b.wrongType(p, list, "a list of messages")
	}
	inner := builder{rules: b.rules, check: true, media: b.media}
	return inner.messages(p, list)
}

// checkObjects checks a list of objects, which must not be empty.
func checkObjects(b *builder, p path, list value) rowError {
	if list.kind != kindArray {
		return b.wrongType(p, list, "a list")
	}
	if list.empty() {
		return rowError{quoteShort(p.name) + " is empty", ""}
	}
	for i, item := range elements(list.raw) {
		if item.kind != kindObject {
			return rowError{placeOf(p.name, i) + " is " + item.kind.String() + ", not an object", ""}
		}
	}
	return rowError{}
}

// checkItems checks the input of the Responses format: a text, or items.
func checkItems(b *builder, p path, input value) rowError {
	if input.kind == kindString {
		return checkTexts(b, p, input)
	}
	return checkObjects(b, p, input)
}

// checkTexts checks a text or a list of texts, or of tokens.
func checkTexts(_ *builder, p path, input value) rowError {
	if input.empty() {
		return rowError{quoteShort(p.name) + " is empty", ""}
	}
	if input.kind == kindString {
		return rowError{}
	}
	for i, one := range elements(input.raw) {
		switch {
		case one.kind != kindString && one.kind != kindNumber && one.kind != kindArray:
			return rowError{placeOf(p.name, i) + " is " + one.kind.String() + ", not a text or a list of tokens", ""}
		case one.kind != kindNumber && one.empty():
			return rowError{placeOf(p.name, i) + " is empty", ""}
		}
	}
	return rowError{}
}

// bodyWithSystem puts the plan's system prompt into a whole request body, in
// the place of the body's own where it has one. All else stays as written.
func bodyWithSystem(body []byte, protocol nightshift.Protocol, system string) []byte {
	for _, kind := range batchBodies {
		if kind.protocol == protocol && kind.withSystem != nil {
			return kind.withSystem(body, system)
		}
	}
	return body
}

// messagesWithSystem replaces the system and developer messages that a list of
// messages begins with. The first of them says which role the new one has.
func messagesWithSystem(list value, system string) []byte {
	role, rest := "system", withoutSystem(list)
	for _, m := range elements(list.raw) {
		if own := m.get("role").text(); own == "developer" {
			role = own
		}
		break
	}
	out := append([]byte(`[{"role":"`+role+`","content":`), quote(system)...)
	out = append(out, '}')
	for _, m := range rest {
		out = append(append(out, ','), m...)
	}
	return append(out, ']')
}

// withoutSystem are the messages of a list after the system and developer
// messages that it begins with.
func withoutSystem(list value) (rest [][]byte) {
	for _, m := range elements(list.raw) {
		role := m.get("role").text()
		if len(rest) > 0 || role != "system" && role != "developer" {
			rest = append(rest, m.raw)
		}
	}
	return rest
}

// responsesWithSystem replaces the instructions, and the system messages that
// the input begins with.
func responsesWithSystem(body []byte, system string) []byte {
	body = withMember(body, "instructions", func(value) []byte { return quote(system) })
	return withMember(body, "input", func(input value) []byte {
		if input.kind != kindArray {
			return input.raw
		}
		return append(append([]byte{'['}, bytes.Join(withoutSystem(input), []byte{','})...), ']')
	})
}

// geminiWithSystem replaces the system instruction, whose name has two forms.
func geminiWithSystem(body []byte, system string) []byte {
	name := "systemInstruction"
	if newValue(body).get("system_instruction").kind != missing {
		name = "system_instruction"
	}
	return withMember(body, name, func(value) []byte {
		return append(append([]byte(`{"parts":[{"text":`), quote(system)...), `}]}`...)
	})
}
