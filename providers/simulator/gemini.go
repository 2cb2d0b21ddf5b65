package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"nightshift/providers/simulator/internal/jsontext"
	"nightshift/providers/simulator/internal/ledger"
	"nightshift/providers/simulator/internal/ratelimit"
)

func geminiStop(stop string) string {
	switch stop {
	case stopMax:
		return "MAX_TOKENS"
	case stopFilter:
		return "SAFETY"
	case stopEnd, stopSequence, stopTool, stopRefusal, stopPause:
		return "STOP"
	}
	return strings.ToUpper(strings.TrimPrefix(stop, "="))
}

// geminiBody renders a whole answer, indented as the vendor does.
func (x *exchange) geminiBody(r *reply) []byte {
	var candidates []jsontext.Object
	for i := range r.choices {
		c := &r.choices[i]
		candidates = append(candidates, geminiCandidate(i, x.geminiParts(c), geminiStop(c.stop)))
	}
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	body := x.geminiHead(r, candidates, r.tokens)
	if encoder.Encode(json.RawMessage(body)) != nil {
		return body // invalid UTF-8, which a fault put in
	}
	return []byte(b.String())
}

// geminiHead is an answer, or a piece of one, with the counts so far.
func (x *exchange) geminiHead(r *reply, candidates []jsontext.Object, t ledger.Tokens) []byte {
	o := jsontext.New()
	o.Raw("candidates", jsontext.Array(candidates...))
	if !r.noUsage {
		o.Object("usageMetadata", geminiUsage(r, t))
	}
	o.Text("modelVersion", r.model)
	o.Text("responseId", r.id)
	return o.End()
}

// geminiCandidate is one candidate; without parts its content has none, and
// without a reason it goes on.
func geminiCandidate(index int, parts []jsontext.Object, reason string) jsontext.Object {
	content := jsontext.New()
	if parts != nil {
		content.Raw("parts", jsontext.Array(parts...))
	}
	content.Text("role", "model")
	o := jsontext.New()
	o.Object("content", content)
	if reason != "" {
		o.Text("finishReason", reason)
	}
	o.Int("index", int64(index))
	return o
}

// geminiParts are all parts of an answer.
func (x *exchange) geminiParts(c *choice) (parts []jsontext.Object) {
	if c.thinking != "" && x.ask.ShowThoughts {
		parts = append(parts, textPart(c.thinking, true))
	}
	if c.text != "" || !c.null && len(c.calls) == 0 {
		parts = append(parts, textPart(x.visible(c), false))
	}
	return append(parts, x.callParts(c)...)
}

func textPart(text string, thought bool) jsontext.Object {
	o := jsontext.New()
	o.Text("text", text)
	if thought {
		o.Raw("thought", "true")
	}
	return o
}

// callParts are the function calls, the first with the signature of the
// thoughts before it.
func (x *exchange) callParts(c *choice) (parts []jsontext.Object) {
	for i, f := range c.calls {
		inner := jsontext.New()
		inner.Text("name", f.name)
		inner.Raw("args", f.arguments)
		o := jsontext.New()
		o.Object("functionCall", inner)
		if i == 0 {
			o.Text("thoughtSignature", ident("", x.ask.Seed.With("signature"), 48))
		}
		parts = append(parts, o)
	}
	return parts
}

// geminiUsage counts as the vendor does: what is cached lies inside the prompt,
// and thoughts outside the candidates.
func geminiUsage(r *reply, t ledger.Tokens) jsontext.Object {
	if r.mode == "zero" {
		t = ledger.Tokens{}
	}
	prompt := t.InputTotal()
	if r.badUsage {
		prompt = -prompt
	}
	o := jsontext.New()
	o.Int("promptTokenCount", prompt)
	if n := t.Output - t.Reasoning; n > 0 {
		o.Int("candidatesTokenCount", n)
	}
	o.Int("totalTokenCount", t.InputTotal()+t.Output)
	if t.CacheRead > 0 {
		o.Int("cachedContentTokenCount", t.CacheRead)
	}
	if t.Reasoning > 0 {
		o.Int("thoughtsTokenCount", t.Reasoning)
	}
	return o
}

// A geminiStreamer renders the pieces of one stream.
type geminiStreamer struct {
	*exchange
	reply    *reply
	out      rendering
	thoughts int // so far
	tokens   int // so far, thoughts included
}

// geminiStream renders an answer in pieces: events, or the elements of a list
// where events were not asked for.
func (x *exchange) geminiStream(r *reply) rendering {
	s := geminiStreamer{exchange: x, reply: r}
	s.out = rendering{status: 200, contentType: "text/event-stream"}
	if x.ask.List {
		s.out.contentType = "application/json; charset=UTF-8"
	}
	for i := range r.choices {
		s.choice(i, &r.choices[i])
	}
	for i := range r.choices {
		s.send(geminiCandidate(i, nil, geminiStop(r.choices[i].stop)), true)
	}
	if x.ask.List {
		s.out.add([]byte("\r\n]"), s.tokens, true)
	}
	return s.out
}

func (s *geminiStreamer) choice(index int, c *choice) {
	before := s.tokens
	if c.thinking != "" && s.ask.ShowThoughts {
		parts, counts := chunks(c.thinking, s.ask.Seed)
		for i, part := range parts {
			s.thoughts, s.tokens = before+counts[i], before+counts[i]
			s.send(geminiCandidate(index, []jsontext.Object{textPart(part, true)}, ""), false)
		}
	}
	s.thoughts, s.tokens = before+c.reasoned, before+c.reasoned
	start := s.tokens
	parts, counts := chunks(s.visible(c), s.ask.Seed)
	for i, part := range parts {
		s.tokens = start + counts[i]
		s.send(geminiCandidate(index, []jsontext.Object{textPart(part, false)}, ""), false)
	}
	if calls := s.callParts(c); calls != nil {
		s.tokens = before + c.output
		s.send(geminiCandidate(index, calls, ""), false)
	}
	s.tokens = before + c.output
}

// send adds a piece. The last one has the counts that are billed.
func (s *geminiStreamer) send(candidate jsontext.Object, tail bool) {
	t := s.reply.tokens
	if !tail {
		t.Output = min(t.Output, int64(s.tokens))
		t.Reasoning = min(t.Reasoning, int64(s.thoughts))
	}
	data := s.geminiHead(s.reply, []jsontext.Object{candidate}, t)
	switch {
	case !s.ask.List:
		data = []byte("data: " + string(data) + "\r\n\r\n")
	case len(s.out.pieces) == 0:
		data = []byte("[" + string(data))
	default:
		data = []byte(",\r\n" + string(data))
	}
	s.out.add(data, s.tokens, tail)
}

// geminiStatus are the vendor's words for HTTP statuses.
var geminiStatus = map[int]string{
	400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 402: "FAILED_PRECONDITION",
	403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ABORTED",
	413: "INVALID_ARGUMENT", 429: "RESOURCE_EXHAUSTED", 499: "CANCELLED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}

// geminiError words a failure as the vendor does, indented.
func (x *exchange) geminiError(f *failure) []byte {
	status := geminiStatus[f.code3()]
	if status == "" {
		status = "INTERNAL"
	}
	message := f.message
	details := x.geminiDetails(f)
	if f.status == 429 && details != nil {
		message = "You exceeded your current quota, please check your plan and billing details. " +
			"For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits."
	}
	e := jsontext.New()
	e.Int("code", int64(f.code3()))
	e.Text("message", message)
	e.Text("status", status)
	if details != nil {
		e.Raw("details", jsontext.Array(details...))
	}
	o := jsontext.New()
	o.Object("error", e)
	body := o.End()
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetIndent("", "  ")
	if encoder.Encode(json.RawMessage(body)) != nil {
		return body
	}
	return []byte(b.String())
}

// compact is an error on one line.
func compact(body []byte) []byte {
	var b bytes.Buffer
	if json.Compact(&b, body) != nil {
		return body
	}
	return b.Bytes()
}

// geminiDetails says which quota is spent and when to ask again, or why a key
// is refused.
func (x *exchange) geminiDetails(f *failure) []jsontext.Object {
	switch f.kind {
	case "authentication_error":
		o := detail("ErrorInfo")
		o.Text("reason", "API_KEY_INVALID")
		o.Text("domain", "googleapis.com")
		return []jsontext.Object{o}
	case "insufficient_quota":
		const metric, id = "generate_content_free_tier_requests", "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
		return []jsontext.Object{quotaFailureOf(metric, id, 20)}
	case "rate_limit_error":
	default:
		return nil
	}
	wait := time.Second
	names := [2]string{"generate_content_paid_tier_requests", "GenerateRequestsPerMinutePerProjectPerModel"}
	limit := int64(1000)
	if r := f.refused; r != nil {
		limit, wait = r.Limit, r.Wait
		if r.Dimension > ratelimit.Requests {
			names[0] = "generate_content_paid_tier_input_token_count"
			names[1] = "GenerateContentPaidTierInputTokensPerModelPerMinute"
		}
	}
	details := []jsontext.Object{quotaFailureOf(names[0], names[1], limit)}
	if wait > 0 {
		o := detail("RetryInfo")
		o.Text("retryDelay", fmt.Sprintf("%ds", int(math.Ceil(wait.Seconds()))))
		details = append(details, o)
	}
	return details
}

func detail(kind string) jsontext.Object {
	o := jsontext.New()
	o.Text("@type", "type.googleapis.com/google.rpc."+kind)
	return o
}

func quotaFailureOf(metric, id string, limit int64) jsontext.Object {
	v := jsontext.New()
	v.Text("quotaMetric", "generativelanguage.googleapis.com/"+metric)
	v.Text("quotaId", id)
	v.Text("quotaValue", fmt.Sprint(limit))
	o := detail("QuotaFailure")
	o.Raw("violations", jsontext.Array(v))
	return o
}
