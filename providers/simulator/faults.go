package simulator

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"nightshift/providers/simulator/internal/answers"
	"nightshift/providers/simulator/internal/batches"
	"nightshift/providers/simulator/internal/requests"
)

// A faultKind is one way to go wrong. Exactly one of its funcs is set.
type faultKind struct {
	name  string
	about string
	// refuse answers instead of generating; nothing is billed.
	refuse func(x *exchange) *failure
	// change alters the answer before it takes its form. It is delivered.
	change func(x *exchange, r *reply)
	// render alters what goes over the wire.
	render func(x *exchange, out *rendering)
	// benign is set for renderings that a client must read as whole answers.
	benign bool
}

// defaultHold is how long stalls last where a fault does not say.
const defaultHold = 10 * time.Minute

// FaultKinds are the names of all faults, each with what it does.
func FaultKinds() map[string]string {
	kinds := map[string]string{}
	for _, k := range faultKinds {
		kinds[k.name] = k.about
	}
	for _, k := range batches.Kinds {
		kinds[k.Name] = k.About + " (of batches)"
	}
	return kinds
}

// FaultNames are the names that faults are asked for by, sorted: of single kinds,
// and of mixes.
func FaultNames() (kinds, mixes []string) { return sortedKeys(FaultKinds()), sortedKeys(faultMixes()) }

// faultMixes are named mixes: a Fault of that name is spread evenly over the
// kinds.
func faultMixes() map[string][]string {
	var all []string
	for _, k := range faultKinds {
		all = append(all, k.name)
	}
	return map[string][]string{
		// everything that heals when tried again, soon
		"mixed": {"rate_limit", "server_error", "overloaded", "bad_gateway_html", "gateway_timeout",
			"unavailable", "cut_stream", "reset", "empty", "malformed_json", "error_200"},
		"storm":    {"rate_limit", "empty_429", "rate_limit"},
		"brownout": {"overloaded", "server_error", "unavailable"},
		"network":  {"reset", "cut_body", "cut_stream", "cut_clean", "stall_stream", "timeout"},
		// whole answers that a careless client gets wrong
		"oddities": {"no_usage", "duplicate_usage", "bad_usage", "truncated", "refusal", "unknown_stop", "model_mismatch",
			"null_content", "empty_answer", "padding", "bad_utf8", "control_characters", "no_done", "crlf"},
		"hostile": slices.DeleteFunc(all, func(k string) bool {
			return k == "outage" || k == "no_capacity" ||
				slices.Contains([]string{"auth", "quota", "payment", "forbidden", "not_found", "redirect", "html_200"}, k)
		}),
	}
}

func (f Fault) validate() error {
	if f.Share < 0 || f.Share > 1 || f.Share != f.Share {
		return fmt.Errorf("fault %s: share %v is not between 0 and 1", f.Kind, f.Share)
	}
	named := []string{string(requests.Messages), string(requests.Chat), string(requests.Completions),
		string(requests.Responses), string(requests.Gemini),
		string(requests.Embeddings), string(requests.GeminiEmbeddings)}
	if p := f.Only.Protocol; p != "" && !slices.Contains(named, p) {
		return fmt.Errorf("fault %s: unknown protocol %q, have %s", f.Kind, p, strings.Join(named, ", "))
	}
	if findFault(f.Kind) == nil && faultMixes()[f.Kind] == nil && f.batchKinds() == nil {
		return fmt.Errorf("unknown fault %q; nightshift simulate --help lists them", f.Kind)
	}
	return nil
}

func findFault(name string) *faultKind {
	for i := range faultKinds {
		if faultKinds[i].name == name {
			return &faultKinds[i]
		}
	}
	return nil
}

// An activeFault is a Fault made ready to be drawn.
type activeFault struct {
	Fault
	kind *faultKind
}

// activate spreads mixes over their kinds.
func activate(faults []Fault, outages []Window) (timed, drawn []activeFault) {
	for _, w := range outages {
		faults = append(faults[:len(faults):len(faults)], Fault{Kind: "outage", Share: 1, During: w})
	}
	for _, f := range faults {
		if f.batchKinds() != nil {
			continue
		}
		kinds := faultMixes()[f.Kind]
		if kinds == nil {
			kinds = []string{f.Kind}
		}
		for _, name := range kinds {
			part := f
			part.Kind, part.Share = name, f.Share/float64(len(kinds))
			a := activeFault{part, findFault(name)}
			if f.During != (Window{}) {
				timed = append(timed, a)
			} else {
				drawn = append(drawn, a)
			}
		}
	}
	return timed, drawn
}

// admits reports whether a fault may hit this try of a request.
func (o only) admits(a *requests.Request, try int) bool {
	switch {
	case o.Protocol != "" && o.Protocol != string(a.Named()):
		return false
	case !strings.HasPrefix(a.Model, o.Model):
		return false
	case o.Stream != nil && *o.Stream != a.Stream:
		return false
	case o.First > 0 && try >= o.First:
		return false
	}
	return strings.Contains(a.Question, o.Contains)
}

// drawFault chooses the fault of this try, or nil. One number is drawn and
// the faults share the line from 0 to 1, so that shares add up exactly.
func drawFault(faults []activeFault, a *requests.Request, try int, u float64) *activeFault {
	for i := range faults {
		f := &faults[i]
		if !f.Only.admits(a, try) {
			continue
		}
		if u < f.Share {
			return f
		}
		u -= f.Share
	}
	return nil
}

var faultKinds = []faultKind{
	{name: "rate_limit", about: "429 with a wait of one second", refuse: fail429("1")},
	{name: "retry_after_date", about: "429 with Retry-After as an HTTP date", refuse: fail429("date")},
	{name: "retry_after_year", about: "429 with a Retry-After of a year", refuse: fail429("31536000")},
	{name: "retry_after_zero", about: "429 with Retry-After 0", refuse: fail429("0")},
	{name: "retry_after_junk", about: "429 with a Retry-After that is no time", refuse: fail429("soon")},
	{name: "empty_429", about: "429 with neither body nor headers", refuse: func(*exchange) *failure {
		return &failure{status: 429, raw: true}
	}},
	{name: "quota", about: "429 that means no quota left", refuse: func(*exchange) *failure {
		return &failure{status: 429, kind: "insufficient_quota", code: "insufficient_quota",
			message: "You exceeded your current quota, please check your plan and billing details."}
	}},
	{name: "no_capacity", about: "429 of a flex tier that has no room", refuse: func(*exchange) *failure {
		return &failure{status: 429, kind: "rate_limit_error", code: "resource_unavailable",
			message: "Resource Unavailable: there is no capacity for this tier of service at present."}
	}},
	{name: "payment", about: "402",
		refuse: failWith(402, "billing_error", "Your credit balance is too low to access the API.")},
	{name: "bad_request", about: "400 for this try",
		refuse: failWith(400, "invalid_request_error", "The request could not be processed.")},
	{name: "context_length", about: "400 that says the prompt is too long", refuse: func(*exchange) *failure {
		return &failure{status: 400, kind: "invalid_request_error", code: "context_length_exceeded",
			message: "prompt is too long: 250000 tokens > 200000 maximum"}
	}},
	{name: "auth", about: "401", refuse: failWith(401, "authentication_error", "invalid x-api-key")},
	{name: "forbidden", about: "403",
		refuse: failWith(403, "permission_error", "Your API key does not have permission to use the specified resource.")},
	{name: "not_found", about: "404 for the model",
		refuse: failWith(404, "not_found_error", "The model does not exist or you do not have access to it.")},
	{name: "conflict", about: "409",
		refuse: failWith(409, "conflict_error", "The resource was locked by another request.")},
	{name: "request_timeout", about: "408",
		refuse: failWith(408, "timeout_error", "The request took too long to arrive.")},
	{name: "too_large", about: "413 as the edge sends it, not JSON", refuse: page(413, "413 Request Entity Too Large")},
	{name: "server_error", about: "500", refuse: failWith(500, "api_error", "Internal server error")},
	{name: "overloaded", about: "529 on Messages, 503 on Chat", refuse: overloaded},
	{name: "unavailable", about: "503 with plain text", refuse: unavailable},
	{name: "outage", about: "503 for everybody; needs a window", refuse: unavailable},
	{name: "bad_gateway_html", about: "502 with an HTML page", refuse: page(502, "502 Bad Gateway")},
	{name: "gateway_timeout", about: "504 with an HTML page", refuse: page(504, "504 Gateway Time-out")},
	{name: "cloudflare", about: "524 with an HTML page", refuse: page(524, "524: A timeout occurred")},
	{name: "html_200", about: "200 with a web page", refuse: page(200, "Console")},
	{name: "error_200", about: "200 with an error object", refuse: func(x *exchange) *failure {
		f := overloaded(x)
		f.status, f.inner = 200, f.status
		return f
	}},
	{name: "error_array", about: "429 as a JSON array", refuse: func(*exchange) *failure {
		return &failure{status: 429, raw: true, contentType: "application/json",
			body: `[{"error":{"code":429,"message":"Resource has been exhausted (e.g. check quota).",` +
				`"status":"RESOURCE_EXHAUSTED"}}]`}
	}},
	{name: "redirect", about: "307 to another host", refuse: func(*exchange) *failure {
		return &failure{status: 307, raw: true, header: [2]string{"Location", "https://redirected.invalid/v1/messages"}}
	}},
	{name: "reset", about: "connection broken before any answer", render: func(_ *exchange, out *rendering) {
		out.pieces, out.status, out.ending = nil, 0, endReset
	}},
	{name: "timeout", about: "no headers for the hold time, then the connection breaks",
		render: func(_ *exchange, out *rendering) {
			out.pieces, out.status, out.ending = nil, 0, endStall
		}},
	{name: "empty", about: "200 with an empty body", render: func(_ *exchange, out *rendering) {
		out.pieces, out.ending = nil, endEOF
	}},
	{name: "cut_stream", about: "the stream, or body, breaks in the middle", render: cut(endReset)},
	{name: "cut_body", about: "the body breaks in the middle", render: cut(endReset)},
	{name: "cut_clean", about: "the body ends in the middle as if it were whole", render: cut(endEOF)},
	{name: "stall_stream", about: "nothing more comes in the middle of the answer", render: cut(endStall)},
	{name: "slow_drip", about: "the body comes a byte at a time over the hold time", benign: true,
		render: func(_ *exchange, out *rendering) {
			out.ending = endDrip
		}},
	{name: "done_after_cut", about: "a cut Chat stream that still sends [DONE]",
		render: func(x *exchange, out *rendering) {
			cut(endEOF)(x, out)
			if x.ask.Stream && x.ask.Protocol.LikeChat() {
				out.add([]byte("data: [DONE]\n\n"), 0, true)
			}
		}},
	{name: "error_in_stream", about: "an error in the middle of the stream", render: errorInStream(false)},
	{name: "bare_error", about: "an error as a bare JSON line in the middle of the stream", render: errorInStream(true)},
	{name: "keepalive_only", about: "a stream of nothing but keep-alives for the hold time", render: keepaliveOnly},
	{name: "two_answers", about: "a second answer begins in the middle of a stream", render: twoAnswers},
	{name: "malformed_json", about: "a body, or last event, that is not JSON", render: malformed},
	{name: "no_choices", about: "an answer without choices or content", render: func(x *exchange, out *rendering) {
		body := `{"id":"chatcmpl-none","object":"chat.completion","choices":[]}`
		out.contentType, out.pieces = "application/json", []piece{{data: []byte(body)}}
	}},
	{name: "no_usage", about: "a whole answer without usage", change: func(_ *exchange, r *reply) { r.noUsage = true }},
	{name: "duplicate_usage", about: "usage twice in the stream", change: func(_ *exchange, r *reply) { r.twice = true }},
	{name: "bad_usage", about: "a negative token count", change: func(_ *exchange, r *reply) { r.badUsage = true }},
	{name: "truncated", about: "cut by max_tokens after half of the answer", change: func(_ *exchange, r *reply) {
		r.truncate(0.5)
	}},
	{name: "refusal", about: "declined by the model", change: func(x *exchange, r *reply) { x.decline(r) }},
	{name: "content_filter", about: "stopped by a content filter", change: func(_ *exchange, r *reply) {
		r.truncate(0.3)
		r.choices[0].stop = stopFilter
	}},
	{name: "unknown_stop", about: "a stop reason nobody knows", change: func(_ *exchange, r *reply) {
		r.choices[0].stop = "=galactic_alignment"
	}},
	{name: "pause", about: "pause_turn, as with server tools", change: func(_ *exchange, r *reply) {
		r.choices[0].stop = "=pause_turn"
	}},
	{name: "model_mismatch", about: "another model named than asked", change: func(_ *exchange, r *reply) {
		r.model += "-fallback"
	}},
	{name: "null_content", about: "content null, or no blocks", change: func(_ *exchange, r *reply) { r.empty(true) }},
	{name: "empty_answer", about: "an empty answer with a good stop reason", change: func(_ *exchange, r *reply) {
		r.empty(false)
	}},
	{name: "bad_utf8", about: "bytes in the text that are not UTF-8", change: func(_ *exchange, r *reply) {
		r.choices[0].text += " \xff\xfe"
	}},
	{name: "control_characters", about: "escapes, bidi marks and NUL in the text", change: func(_ *exchange, r *reply) {
		r.choices[0].text += " \x1b[31m\u202e\x00</script>"
	}},
	{name: "padding", about: "white space before JSON, comments in streams", benign: true, render: padding},
	{name: "no_done", about: "a whole Chat stream without [DONE]", benign: true,
		render: func(x *exchange, out *rendering) {
			if n := len(out.pieces); x.ask.Stream && x.ask.Protocol.LikeChat() && x.ask.Protocol != requests.Responses && n > 0 {
				out.pieces = out.pieces[:n-1]
			}
		}},
	{name: "crlf", about: "a stream with CRLF line ends and no space after the colon", benign: true,
		render: func(x *exchange, out *rendering) {
			if !x.ask.Stream {
				return
			}
			for i := range out.pieces {
				s := strings.ReplaceAll(string(out.pieces[i].data), "\n", "\r\n")
				out.pieces[i].data = []byte(strings.Replace(s, "data: ", "data:", 1))
			}
		}},
}

func failWith(status int, kind, message string) func(*exchange) *failure {
	return func(*exchange) *failure { return &failure{status: status, kind: kind, message: message} }
}

func overloaded(x *exchange) *failure {
	status := 529
	if x.ask.Protocol != requests.Messages {
		status = 503
	}
	return &failure{status: status, kind: "overloaded_error", message: "Overloaded"}
}

func unavailable(*exchange) *failure {
	return &failure{status: 503, raw: true, contentType: "text/plain",
		body: "upstream connect error or disconnect/reset before headers. reset reason: connection failure"}
}

func page(status int, title string) func(*exchange) *failure {
	body := "<!DOCTYPE html>\n<html><head><title>" + title + "</title></head>\n" +
		"<body><center><h1>" + title + "</h1></center></body></html>\n"
	return func(*exchange) *failure {
		return &failure{status: status, raw: true, contentType: "text/html; charset=utf-8", body: body}
	}
}

func fail429(retryAfter string) func(*exchange) *failure {
	return func(x *exchange) *failure {
		f := &failure{status: 429, kind: "rate_limit_error", code: "rate_limit_exceeded",
			message: "This request would exceed your rate limit. Please try again later."}
		value := retryAfter
		switch {
		case value == "date":
			value = x.start.Add(2 * time.Second).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")
		case value == "1" && dialectFor(x.server.cfg.Limits.Headers, x.ask.Protocol) == "none" &&
			x.ask.Protocol != requests.Envelope:
			return f
		}
		f.header = [2]string{"Retry-After", value}
		return f
	}
}

// cut drops the rest of an answer after a random part of it.
func cut(how ending) func(*exchange, *rendering) {
	return func(x *exchange, out *rendering) {
		at := x.ask.Seed.WithInt(uint64(x.try)).Roll("cut")
		out.ending = how
		if x.ask.Stream {
			whole := 0
			for whole < len(out.pieces) && !out.pieces[whole].tail {
				whole++
			}
			out.pieces = out.pieces[:1+int(at*float64(whole-1))]
			return
		}
		body := out.pieces[0].data
		out.pieces[0].data = body[:1+int(at*float64(len(body)-2))]
	}
}

// errorInStream ends a stream with an error object; an answer that is not
// streamed becomes the error.
func errorInStream(bare bool) func(*exchange, *rendering) {
	return func(x *exchange, out *rendering) {
		f := overloaded(x)
		body := x.errorBody(f)
		if !x.ask.Stream {
			out.pieces, out.status = []piece{{data: body}}, f.status
			return
		}
		cut(endEOF)(x, out)
		switch {
		case bare:
			body = append(body, '\n')
		case x.ask.List:
			body = []byte(",\r\n" + string(body) + "]")
		case x.ask.Protocol == requests.Gemini:
			body = slices.Concat([]byte("data: "), compact(body), []byte("\r\n\r\n"))
		case x.ask.Protocol == requests.Messages:
			body = []byte("event: error\ndata: " + string(body) + "\n\n")
		case x.ask.Protocol == requests.Responses:
			body = []byte("event: error\ndata: {\"type\":\"error\"," + string(body[1:]) + "\n\n")
		default:
			body = []byte("data: " + string(body) + "\n\n")
		}
		out.add(body, 0, true)
	}
}

func keepaliveOnly(x *exchange, out *rendering) {
	if !x.ask.Stream {
		out.pieces, out.status, out.ending = nil, 0, endStall
		return
	}
	ping := ": keep-alive\n\n"
	if x.ask.Protocol == requests.Messages {
		ping = "event: ping\ndata: {\"type\": \"ping\"}\n\n"
	}
	out.pieces, out.ending = []piece{{data: []byte(strings.Repeat(ping, 3))}}, endStall
}

// twoAnswers restarts a stream under another id, as a gateway does that
// retries upstream after it has sent a part.
func twoAnswers(x *exchange, out *rendering) {
	if !x.ask.Stream {
		return
	}
	r := x.reply
	again := *r
	again.id = ident(r.id[:4], x.ask.Seed.With("again"), 24)
	second := x.render(&again)
	cut(endWell)(x, out)
	out.pieces = append(out.pieces, second.pieces...)
}

func malformed(x *exchange, out *rendering) {
	last := len(out.pieces) - 1
	if x.ask.Stream { // the event before the closing ones
		for last > 0 && out.pieces[last].tail {
			last--
		}
		out.pieces = out.pieces[:last+1]
	}
	data := out.pieces[last].data
	out.pieces[last].data = append(slices.Clone(data[:max(1, len(data)*2/3)]), "\n\n"...)
	out.ending = endEOF
}

func padding(x *exchange, out *rendering) {
	comment := "\n         \n"
	if x.ask.Stream && !x.ask.List {
		comment = ": SIMULATOR PROCESSING\n\n"
	}
	out.pieces = append([]piece{{data: []byte(comment)}}, out.pieces...)
}

// truncate cuts the answers short as max_tokens does.
func (r *reply) truncate(share float64) {
	for i := range r.choices {
		c := &r.choices[i]
		visible := c.output - c.reasoned
		keep := max(1, int(float64(visible)*share))
		if len(c.calls) > 0 || keep >= visible {
			continue
		}
		c.text, _ = answers.CutTokens(c.text, keep)
		c.output, c.stop, c.sequence = c.reasoned+keep, stopMax, ""
	}
	r.count()
}

// empty takes the text away; what was generated stays billed.
func (r *reply) empty(null bool) {
	for i := range r.choices {
		c := &r.choices[i]
		c.text, c.thinking, c.calls, c.null = "", "", nil, null
		if c.stop == stopTool {
			c.stop = stopEnd
		}
	}
}

// decline turns the reply into a refusal.
func (x *exchange) decline(r *reply) {
	text := "I'm sorry, but I can't help with that request."
	r.choices = r.choices[:1]
	r.choices[0] = choice{text: text, refusal: true, stop: stopRefusal,
		output: min(answers.CountTokens(text), x.outputCap())}
	r.count()
}
