package shape

import (
	"bytes"
	"strings"

	"nightshift"
	"nightshift/datasets/internal/problem"
	"nightshift/datasets/internal/rowjson"
	"nightshift/internal/words"
)

// A batchBody is how a whole request body of one protocol is read.
type batchBody struct {
	protocol nightshift.Protocol
	url      string // what the url of its rows in an OpenAI batch file ends in; "" where there are none
	prompt   string // the member that holds what is asked
	want     string // what that is, for people
	check    func(b *Builder, p path, prompt rowjson.Value) problem.Reason
	// limits are of members that mean something else than a row's own parameter
	// of that name.
	limits map[string]limit
	// withSystem puts a system prompt in, in the place of the body's own; nil
	// where the protocol has none.
	withSystem func(body []byte, system string) []byte
}

var chatBody = batchBody{protocol: nightshift.Chat, url: "/chat/completions", prompt: "messages",
	want:  "a list of messages",
	check: (*Builder).checkMessages, withSystem: func(body []byte, system string) []byte {
		return withMember(body, "messages", func(list rowjson.Value) []byte { return messagesWithSystem(list, system) })
	}}

var messagesBody = batchBody{protocol: nightshift.Messages, url: "/messages", prompt: "messages",
	want:  "a list of messages",
	check: (*Builder).checkMessages, withSystem: func(body []byte, system string) []byte {
		return withMember(body, "system", func(rowjson.Value) []byte { return rowjson.Quote(system) })
	}}

// geminiBody has no line in an OpenAI batch file: [builder.geminiBatch].
var geminiBody = batchBody{protocol: nightshift.Gemini, prompt: "contents", want: "a list of contents",
	check: checkObjects, withSystem: geminiWithSystem}

// batchBodies in the order in which the end of a url is tried.
var batchBodies = []batchBody{
	chatBody, messagesBody,
	{protocol: nightshift.Responses, url: "/responses", prompt: "input", want: "a text or a list of items",
		check: checkItems, withSystem: responsesWithSystem},
	{protocol: nightshift.Completions, url: "/completions", prompt: "prompt", want: "a text or a list",
		check:  checkTexts,
		limits: map[string]limit{"logprobs": {[]rowjson.Kind{rowjson.Number, rowjson.Bool}, -1, 1e6, true}}},
	{protocol: nightshift.Embeddings, url: "/embeddings", prompt: "input", want: "a text or a list", check: checkTexts},
	geminiBody,
}

// batchBodyFor finds the kind of body that the url of an OpenAI batch row
// speaks of. Without a url it is Chat's.
func batchBodyFor(url rowjson.Value) (batchBody, problem.Reason) {
	if !url.Given() {
		return chatBody, problem.Reason{}
	}
	to := url.Text()
	if strings.Contains(to, "://") {
		return batchBody{}, problem.Refuse("the row names a whole URL",
			"a row cannot choose its endpoint; write /v1/chat/completions")
	}
	var known []string
	for _, kind := range batchBodies {
		if kind.url == "" {
			continue
		}
		if strings.HasPrefix(to, "/") && strings.HasSuffix(to, kind.url) {
			return kind, problem.Reason{}
		}
		known = append(known, "/v1"+kind.url)
	}
	last := len(known) - 1
	return batchBody{}, problem.Refuse("the url is "+words.Quote(to),
		"only "+strings.Join(known[:last], ", ")+" and "+known[last]+" can be sent")
}

// openAIBatch reads a line of an OpenAI batch file.
func (b *Builder) openAIBatch(r rowjson.Row) problem.Reason {
	b.use("body")
	b.use("method")
	b.use("url")
	if method := r.Get("method"); method.Given() && method.Text() != "POST" {
		return problem.Refuse("the method is "+words.Quote(method.Text()), "only POST can be sent")
	}
	kind, c := batchBodyFor(r.Get("url"))
	if c.Bad() {
		return c
	}
	return b.body(path{name: "body"}, r.Get("body"), kind)
}

// anthropicBatch reads a request of an Anthropic batch.
func (b *Builder) anthropicBatch(r rowjson.Row) problem.Reason {
	b.use("params")
	return b.body(path{name: "params"}, r.Get("params"), messagesBody)
}

// isGeminiBatch reports whether a row is a line of a Gemini batch file. Vertex
// writes no key beside the request.
func isGeminiBatch(r rowjson.Row) bool {
	request := r.Get("request")
	return request.Kind == rowjson.Object && (request.Get("contents").Kind == rowjson.Array ||
		has(r, "key", rowjson.String))
}

// geminiBatch reads a line of a Gemini batch file.
func (b *Builder) geminiBatch(r rowjson.Row) problem.Reason {
	b.use("request")
	return b.body(path{name: "request"}, r.Get("request"), geminiBody)
}

// body checks a whole request body and takes it as it is.
func (b *Builder) body(p path, v rowjson.Value, kind batchBody) problem.Reason {
	if v.Kind != rowjson.Object {
		return b.wrongType(p, v, "an object")
	}
	if kind.withSystem == nil && b.templates.system != nil {
		return problem.Refuse("a request of "+string(kind.protocol)+" has no system prompt",
			"leave system out of the plan")
	}
	if c := checkMembers(p, v, kind); c.Bad() {
		return c
	}
	prompt, at := v.Get(kind.prompt), path{name: p.name + "." + kind.prompt}
	if prompt.Kind != rowjson.String && prompt.Kind != rowjson.Array {
		return b.wrongType(at, prompt, kind.want)
	}
	if c := kind.check(b, at, prompt); c.Bad() || b.check {
		return c
	}
	raw, c := b.inline(v.Raw)
	if kind.prompt == "messages" && bytes.Contains(prompt.Raw, []byte("null")) {
		raw = withMember(raw, "messages", messagesWithoutNulls)
	}
	b.s.Body, b.s.BodyProtocol = bytes.TrimSpace(raw), kind.protocol
	return c
}

// checkMembers refuses members by which a body might choose where it is sent,
// and parameters that no server takes.
func checkMembers(p path, v rowjson.Value, kind batchBody) problem.Reason {
	for key, member := range rowjson.Members(v.Raw) {
		name := string(rowjson.Unescape(key))
		c := problem.Reason{}
		if own, differs := kind.limits[name]; differs && member.Kind != rowjson.Null {
			if what := own.check(member); what != "" {
				c = problem.Refuse(name + " " + what)
			}
		} else if !differs {
			c = checkParam(name, member, true)
		}
		if c.Bad() {
			c.What = p.name + "." + c.What
			return c
		}
	}
	return problem.Reason{}
}

// checkMessages checks a list of messages in either dialect.
func (b *Builder) checkMessages(p path, list rowjson.Value) problem.Reason {
	if list.Kind != rowjson.Array {
		return b.wrongType(p, list, "a list of messages")
	}
	inner := Builder{Rules: b.Rules, check: true, media: b.media}
	return inner.messages(p, list)
}

// checkObjects checks a list of objects, which must not be empty.
func checkObjects(b *Builder, p path, list rowjson.Value) problem.Reason {
	if list.Kind != rowjson.Array {
		return b.wrongType(p, list, "a list")
	}
	if list.Empty() {
		return problem.Refuse(words.Quote(p.name) + " is empty")
	}
	for i, item := range rowjson.Elements(list.Raw) {
		if item.Kind != rowjson.Object {
			return problem.Refuse(placeOf(p.name, i) + " is " + item.Kind.String() + ", not an object")
		}
	}
	return problem.Reason{}
}

// checkItems checks the input of the Responses format: a text, or items.
func checkItems(b *Builder, p path, input rowjson.Value) problem.Reason {
	if input.Kind == rowjson.String {
		return checkTexts(b, p, input)
	}
	return checkObjects(b, p, input)
}

// checkTexts checks a text or a list of texts, or of tokens.
func checkTexts(_ *Builder, p path, input rowjson.Value) problem.Reason {
	if input.Empty() {
		return problem.Refuse(words.Quote(p.name) + " is empty")
	}
	if input.Kind == rowjson.String {
		return problem.Reason{}
	}
	for i, one := range rowjson.Elements(input.Raw) {
		switch {
		case one.Kind != rowjson.String && one.Kind != rowjson.Number && one.Kind != rowjson.Array:
			return problem.Refuse(placeOf(p.name, i) + " is " + one.Kind.String() + ", not a text or a list of tokens")
		case one.Kind != rowjson.Number && one.Empty():
			return problem.Refuse(placeOf(p.name, i) + " is empty")
		}
	}
	return problem.Reason{}
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
func messagesWithSystem(list rowjson.Value, system string) []byte {
	role, rest := "system", withoutSystem(list)
	for _, m := range rowjson.Elements(list.Raw) {
		if own := m.Get("role").Text(); own == "developer" {
			role = own
		}
		break
	}
	out := append([]byte(`[{"role":"`+role+`","content":`), rowjson.Quote(system)...)
	out = append(out, '}')
	for _, m := range rest {
		out = append(append(out, ','), m...)
	}
	return append(out, ']')
}

// withoutSystem are the messages of a list after the system and developer
// messages that it begins with.
func withoutSystem(list rowjson.Value) (rest [][]byte) {
	for _, m := range rowjson.Elements(list.Raw) {
		role := m.Get("role").Text()
		if len(rest) > 0 || role != "system" && role != "developer" {
			rest = append(rest, m.Raw)
		}
	}
	return rest
}

// responsesWithSystem replaces the instructions, and the system messages that
// the input begins with.
func responsesWithSystem(body []byte, system string) []byte {
	body = withMember(body, "instructions", func(rowjson.Value) []byte { return rowjson.Quote(system) })
	return withMember(body, "input", func(input rowjson.Value) []byte {
		if input.Kind != rowjson.Array {
			return input.Raw
		}
		return append(append([]byte{'['}, bytes.Join(withoutSystem(input), []byte{','})...), ']')
	})
}

// geminiWithSystem replaces the system instruction, whose name has two forms.
func geminiWithSystem(body []byte, system string) []byte {
	name := "systemInstruction"
	if rowjson.NewValue(body).Get("system_instruction").Kind != rowjson.Missing {
		name = "system_instruction"
	}
	return withMember(body, name, func(rowjson.Value) []byte {
		return append(append([]byte(`{"parts":[{"text":`), rowjson.Quote(system)...), `}]}`...)
	})
}
