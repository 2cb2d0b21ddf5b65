package runner

import (
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"nightshift"
	"nightshift/internal/attemptlog"
	"nightshift/internal/rawjson"
)

// record makes the row of the output file. failure is nil when the sample was
// answered.
func (w *walk) record(s nightshift.Sample, c *conversation, failure *nightshift.Error,
	started time.Time) *nightshift.Record {
	rec := &draft{Record: &nightshift.Record{
		Run: w.Name, Row: s.Index, ID: s.ID, Epoch: int32(s.Epoch),
		Model: w.pool.Model, Endpoint: w.pool.Endpoint, Protocol: string(w.pool.Protocol), RequestedModel: w.pool.ModelID,
	}}
	rec.Variant, rec.VariantOf = rec.text(w.pool.Variant), rec.text(w.pool.VariantOf)
	rec.describeSample(s, c.messages)
	resp := c.merged()
	if w.pool.Likelihoods.asks() {
		resp = c.judged()
	}
	rec.describeAnswer(&resp)
	rec.describeSpending(&resp)
	rec.describeTiming(&resp, started)
	rec.Outcome = c.outcome(failure)
	if failure != nil {
		rec.ErrorClass = rec.text(string(failure.Class))
		rec.ErrorMessage = rec.text(errorMessage(failure))
		rec.MaybeBilled = rec.MaybeBilled || failure.MaybeBilled
	}
	if w.keepsRaw(rec.Record) {
		rec.describeRaw(resp.Raw)
	}
	return rec.Record
}

// A draft is a record in the making. What its nullable columns point to lies
// together: a piece of memory for many, not one each.
type draft struct {
	*nightshift.Record
	texts   []string
	counts  []int64
	numbers []float64
}

// atOnce is how many values of a kind get their memory together: most records have
// so many texts or twice that, and fewer counts.
const atOnce = 6

// pointer puts a value behind others of its kind and returns where it is.
func pointer[T any](list *[]T, v T) *T {
	if len(*list) == cap(*list) { // the others stay where they are
		*list = make([]T, 0, atOnce)
	}
	*list = append(*list, v)
	return &(*list)[len(*list)-1]
}

// text is nil for an empty string: in these columns empty and unknown are one.
func (rec *draft) text(s string) *string {
	if s == "" {
		return nil
	}
	return pointer(&rec.texts, s)
}

func (rec *draft) count(c nightshift.Count) *int64 {
	if !c.Known() {
		return nil
	}
	return pointer(&rec.counts, c.N())
}

func (rec *draft) milliseconds(d time.Duration) *float64 {
	return pointer(&rec.numbers, float64(d.Microseconds())/1000)
}

func errorMessage(e *nightshift.Error) string {
	m := e.Message
	if m == "" && e.Err != nil {
		m = e.Err.Error()
	}
	if e.Hint != "" {
		m += " (" + e.Hint + ")"
	}
	return m
}

func (w *walk) keepsRaw(rec *nightshift.Record) bool {
	switch w.Raw {
	case RawNone:
		return false
	case RawErrors:
		return !rec.Outcome.Answered() || rec.Flags != nil
	}
	return true
}

// outcome says what became of the sample: of its first turn that was not ok,
// where there are several.
func (c *conversation) outcome(failure *nightshift.Error) nightshift.Outcome {
	switch {
	case failure != nil:
		return nightshift.OutcomeFailed
	case c.pool.Likelihoods.asks():
		return nightshift.OutcomeOK
	}
	if i := c.firstOdd(); i >= 0 {
		return outcomeOf(c.answers[i])
	}
	return nightshift.OutcomeOK
}

// firstOdd is the first turn whose answer is not ok, -1 when all are.
func (c *conversation) firstOdd() int {
	return slices.IndexFunc(c.answers, func(a nightshift.Response) bool { return outcomeOf(a) != nightshift.OutcomeOK })
}

func outcomeOf(r nightshift.Response) nightshift.Outcome {
	switch r.StopReason {
	case nightshift.StopMaxTokens, nightshift.StopContextWindow, nightshift.StopPause:
		return nightshift.OutcomeTruncated
	case nightshift.StopRefusal, nightshift.StopContentFilter:
		return nightshift.OutcomeRefused
	}
	if (r.Text == nil || strings.TrimSpace(*r.Text) == "") && len(r.ToolCalls) == 0 && len(r.Vectors) == 0 {
		return nightshift.OutcomeEmpty
	}
	return nightshift.OutcomeOK
}

// Flags of rows with several turns.
const (
	flagMultiTurn   = "multi_turn"   // the answer is that of the last turn; usage, cost and times are those of all
	flagTurnRetried = "turn_retried" // some turn took more than one request
)

// merged is the last answer with what all turns together used and took. The
// stop reason is that of the turn that decides the outcome, and the time to the
// first token is that of the first turn.
func (c *conversation) merged() nightshift.Response {
	if len(c.answers) == 0 {
		return nightshift.Response{}
	}
	last := c.answers[len(c.answers)-1]
	if len(c.answers) == 1 {
		return last
	}
	sum := last
	sum.Usage, sum.Attempts, sum.Queued, sum.Backoff, sum.Latency = nightshift.Usage{}, nil, 0, 0, 0
	sum.FirstToken = c.answers[0].FirstToken
	if cut := c.firstOdd(); cut >= 0 {
		sum.StopReason, sum.RawStopReason = c.answers[cut].StopReason, c.answers[cut].RawStopReason
	}
	var cost nightshift.NanoUSD
	priced := true
	for _, a := range c.answers {
		sum.Usage = sum.Usage.Add(a.Usage)
		sum.Attempts = append(sum.Attempts, a.Attempts...)
		sum.Queued += a.Queued
		sum.Backoff += a.Backoff
		sum.Latency += a.Latency
		if len(a.Attempts) > 1 {
			sum.Flag(flagTurnRetried)
		}
		for _, f := range a.Flags {
			sum.Flag(f)
		}
		if a.Cost == nil {
			priced = false
		} else {
			cost += *a.Cost
		}
	}
	sum.Cost = nil
	if priced {
		sum.Cost = &cost
	}
	sum.Flag(flagMultiTurn)
	return sum
}

func (rec *draft) describeSample(s nightshift.Sample, messages []nightshift.Message) {
	rec.System = rec.text(s.System)
	if s.Body != nil {
		rec.Input = rec.text(string(s.Body))
	} else if len(messages) > 0 {
		rec.Input = rec.text(messagesJSON(messages))
	}
	if s.HasTarget {
		rec.Target, rec.TargetIsList = &s.Target, &s.TargetIsList
	}
	rec.Category, rec.Cluster, rec.Dataset = rec.text(s.Category), rec.text(s.Cluster), rec.text(s.Dataset)
	rec.Metadata = rec.text(string(s.Metadata))
	rec.RowHash = hex.EncodeToString(s.Hash[:])
	rec.PromptHash = promptHash(s)
}

func (rec *draft) describeAnswer(r *nightshift.Response) {
	rec.Text, rec.Thinking = r.Text, r.Thinking
	if len(r.ToolCalls) > 0 {
		rec.ToolCalls = rec.text(encode(r.ToolCalls))
	}
	if len(r.Choices) > 1 || len(r.Choices) == 1 && r.Choices[0].Loglikelihood != nil {
		rec.Choices = rec.text(encode(r.Choices))
	}
	if n := int32(len(r.Vectors)); n > 0 {
		rec.Embedding, rec.EmbeddingCount = slices.Concat(r.Vectors...), &n
	}
	rec.StopReason, rec.RawStopReason = rec.text(string(r.StopReason)), rec.text(r.RawStopReason)
	rec.ServedModel, rec.Fingerprint = rec.text(r.ServedModel), rec.text(r.Fingerprint)
	rec.RequestID, rec.RequestHash = rec.text(r.RequestID), rec.text(r.RequestHash)
	if r.Status != 0 {
		status := int32(r.Status)
		rec.HTTPStatus = &status
	}
	rec.Flags = rec.text(strings.Join(r.Flags, ","))
}

func (rec *draft) describeSpending(r *nightshift.Response) {
	u := r.Usage
	rec.InputTokens = rec.count(u.InputTotal())
	rec.CacheReadTokens = rec.count(u.CacheRead)
	rec.CacheWrite5mTokens = rec.count(u.CacheWrite5m)
	rec.CacheWrite1hTokens = rec.count(u.CacheWrite1h)
	rec.OutputTokens = rec.count(u.Output)
	rec.ReasoningTokens = rec.count(u.Reasoning)
	rec.UsageRaw = rec.text(string(r.UsageRaw))
	if r.Cost != nil {
		nano, usd := int64(*r.Cost), r.Cost.Dollars()
		rec.CostNanoUSD, rec.CostUSD = &nano, &usd
	}
	rec.PriceID = rec.text(r.PriceID)
	rec.describeAttempts(r.Attempts)
}

func (rec *draft) describeAttempts(attempts []nightshift.Attempt) {
	var billed nightshift.Usage
	for _, a := range attempts {
		billed = billed.Add(a.Usage)
		rec.MaybeBilled = rec.MaybeBilled || a.MaybeBilled
	}
	rec.BilledInputTokens, rec.BilledOutputTokens = rec.count(billed.InputTotal()), rec.count(billed.Output)
	if billed.Reported != nil {
		usd := billed.Reported.Dollars()
		rec.ReportedCostUSD = &usd
	}
	rec.Attempts = int32(len(attempts))
	if len(attempts) > 0 {
		rec.AttemptLog = rec.text(using(func(b []byte) ([]byte, string) {
			b = attemptlog.Append(b, attempts)
			return b, string(b)
		}))
	}
}

func (rec *draft) describeTiming(r *nightshift.Response, started time.Time) {
	if started.IsZero() {
		return
	}
	times := &[2]time.Time{started.UTC().Truncate(time.Microsecond), time.Now().UTC().Truncate(time.Microsecond)}
	rec.StartedAt, rec.FinishedAt = &times[0], &times[1]
	rec.QueuedMS, rec.BackoffMS = rec.milliseconds(r.Queued), rec.milliseconds(r.Backoff)
	if r.Latency > 0 {
		rec.LatencyMS = rec.milliseconds(r.Latency)
	}
	if r.FirstToken > 0 {
		rec.FirstTokenMS = rec.milliseconds(r.FirstToken)
	}
}

// describeRaw keeps a body as it came, and as text where it is text.
func (rec *draft) describeRaw(raw []byte) {
	if raw == nil {
		return
	}
	s := string(raw)
	if !utf8.Valid(raw) {
		rec.RawBytes = raw
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	rec.RawResponse = pointer(&rec.texts, s)
}

// encode returns v as JSON. The values it is given cannot fail to encode.
func encode(v any) string {
	b, err := rawjson.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}

// scratch is for texts that are needed for a moment only.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

// using lends make an empty buffer and returns what it makes of it.
func using(make func([]byte) (whole []byte, result string)) string {
	const keep = 1 << 20 // a rare giant must not stay in memory for ever
	b := scratch.Get().(*[]byte)
	whole, result := make((*b)[:0])
	if cap(whole) <= keep {
		*b = whole
		scratch.Put(b)
	}
	return result
}

// messagesJSON is the conversation as a JSON array, raw messages as written.
func messagesJSON(messages []nightshift.Message) string {
	return using(func(b []byte) ([]byte, string) {
		b = append(b, '[')
		for i, m := range messages {
			if i > 0 {
				b = append(b, ',')
			}
			if m.Raw != nil {
				b = append(b, m.Raw...)
				continue
			}
			b = rawjson.AppendString(append(b, `{"role":`...), string(m.Role))
			b = rawjson.AppendString(append(b, `,"content":`...), m.Text)
			b = append(b, '}')
		}
		b = append(b, ']')
		return b, string(b)
	})
}

// promptHash is [nightshift.Sample.PromptHash] with memory that is used again.
func promptHash(s nightshift.Sample) string {
	return using(func(b []byte) ([]byte, string) {
		b = s.AppendPrompt(b)
		return b, nightshift.HashPrompt(b)
	})
}
