package exchange

import (
	"strconv"
	"strings"

	"nightshift"
	"nightshift/internal/rawjson"
)

// inspect reads a log that Inspect wrote, or converted, as JSON.
type inspect struct {
	*Results
	p       place
	idField string
}

func (f inspect) read(first map[string]span) error {
	eval, err := f.p.scan(first["eval"])
	if err != nil {
		return err
	}
	f.Tool = strings.TrimSpace("Inspect " + eval.Get("packages").Get("inspect_ai").String())
	if task := eval.Get("task").String(); task != "" {
		f.Name = task
	}
	model := eval.Get("model").String()
	if model == "" {
		return f.p.named(first["eval"].from, "eval.model", eval.Get("model"), "a name")
	}
	samples, ok := first["samples"]
	if !ok {
		return &FileError{f.p.name + ": it has no samples; they are left out where Inspect runs with --no-log-samples"}
	}
	for at := range f.p.elements(samples.from) {
		if at.err != nil {
			return at.err
		}
		v, err := f.p.scan(at.span)
		if err != nil {
			return err
		}
		one, err := f.sample(v, at.from)
		if err != nil {
			return err
		}
		one.Model, one.RequestedModel, one.Protocol = model, model, "inspect"
		f.add(*one)
	}
	return nil
}

func (f inspect) sample(v rawjson.Value, at int) (*row, error) {
	one := &row{}
	one.ID = plainText(v.Get("id"))
	if one.ID == "" {
		return nil, f.p.named(at, "id", v.Get("id"), "a text or a number")
	}
	metadata := v.Get("metadata")
	if f.idField != "" {
		var err error
		if one.ID, err = f.p.idOf(metadata, f.idField, 0, at); err != nil {
			return nil, err
		}
	}
	f.ask(one, v)
	if target := v.Get("target"); plainText(target) != "" || target.Kind() == rawjson.Array {
		one.wants(target)
	}
	if metadata.Kind() == rawjson.Object && metadata.Count() > 0 {
		one.Metadata = textOr(string(metadata.JSON()))
	}
	f.answer(one, v)
	return one, f.scores(one, v, at)
}

// ask takes what the model was sent first: the messages before its first answer,
// or the input where there are none.
func (f inspect) ask(one *row, v rawjson.Value) {
	var s nightshift.Sample
	for m := v.Get("messages").First(); m.Exists(); m = m.Next() {
		role := m.Get("role").String()
		if role == "assistant" && m.Get("source").String() != "input" {
			break
		}
		text := f.attached(v, contentText(m.Get("content")))
		if role == "system" && len(s.Messages) == 0 {
			s.System = strings.TrimPrefix(s.System+"\n\n"+text, "\n\n")
			continue
		}
		s.Messages = append(s.Messages, nightshift.Message{Role: nightshift.Role(role), Text: text})
	}
	if len(s.Messages) > 0 {
		one.asked(s)
		return
	}
	if input := v.Get("input"); input.Kind() == rawjson.Array {
		one.askMessages(input)
	} else {
		one.ask(f.attached(v, input.String()))
	}
}

// attached is a text, or what it stands for where it is the name of an attachment.
func (f inspect) attached(v rawjson.Value, text string) string {
	if key, ok := strings.CutPrefix(text, "attachment://"); ok {
		if whole := v.Get("attachments").Get(key); whole.Set() {
			return whole.String()
		}
	}
	return text
}

// inspectStops are Inspect's words for why an answer ended.
var inspectStops = map[string]nightshift.StopReason{
	"stop": nightshift.StopEnd, "max_tokens": nightshift.StopMaxTokens, "model_length": nightshift.StopContextWindow,
	"tool_calls": nightshift.StopToolUse, "content_filter": nightshift.StopContentFilter,
}

func (f inspect) answer(one *row, v rawjson.Value) {
	output := v.Get("output")
	choice := output.Get("choices").First()
	began := atTime(v.Get("started_at"))
	one.ran(began, rawjson.Value{})
	if seconds, ok := output.Get("time").Float(); ok && seconds > 0 && seconds < 1e7 {
		ms := seconds * 1000
		one.LatencyMS = &ms
	}
	if end := atTime(v.Get("completed_at")); end != nil && began != nil {
		one.FinishedAt = end
	}
	if failure := v.Get("error"); failure.Set() {
		one.failed(failure.Get("message").String())
		return
	}
	text := output.Get("completion").String()
	if text == "" {
		text = contentText(choice.Get("message").Get("content"))
	}
	reason := nightshift.StopReason("")
	if word := choice.Get("stop_reason").String(); word != "" {
		one.RawStopReason = &word
		if reason = inspectStops[word]; reason == "" {
			reason = nightshift.StopOther
		}
	}
	one.answered(f.attached(v, text), reason)
	one.ServedModel = textOr(output.Get("model").String())
	f.usage(one, output.Get("usage"))
}

// usage takes the tokens of the answer: Inspect counts cached ones beside the input.
func (f inspect) usage(one *row, u rawjson.Value) {
	one.InputTokens, one.OutputTokens = count(u.Get("input_tokens")), count(u.Get("output_tokens"))
	one.CacheReadTokens, one.ReasoningTokens = count(u.Get("input_tokens_cache_read")), count(u.Get("reasoning_tokens"))
	one.CacheWrite5mTokens = count(u.Get("input_tokens_cache_write"))
	if one.InputTokens != nil {
		all := *one.InputTokens
		for _, more := range []*int64{one.CacheReadTokens, one.CacheWrite5mTokens} {
			if more != nil {
				all += *more
			}
		}
		one.InputTokens = &all
	}
	one.spent(u.Get("total_cost"))
}

// scores reads the scores. One that holds several values is several scorers.
func (f inspect) scores(one *row, v rawjson.Value, at int) error {
	for m := v.Get("scores").First(); m.Exists(); m = m.Next() {
		value := m.Get("value")
		if value.Kind() != rawjson.Object {
			f.put(one, m.Key(), value, m)
			continue
		}
		for part := value.First(); part.Exists(); part = part.Next() {
			f.put(one, m.Key()+"."+part.Key(), part, m)
		}
	}
	if one.Outcome.Answered() {
		return nil
	}
	for name := range one.scores {
		one.scores[name] = notRunScore()
	}
	return nil
}

func (f inspect) put(one *row, name string, value, score rawjson.Value) {
	x, ok := inspectValue(value)
	s := scoreOf(x)
	switch {
	case value.Is("N"):
		s.Status = nightshift.NoAnswer
	case !value.Set():
		s = nightshift.Score{Status: nightshift.Unscored}
	case !ok:
		s = scoreOf(-1) // no score: the scorer is left out
	}
	s.Answer = textOr(score.Get("answer").String())
	s.Explanation = textOr(score.Get("explanation").String())
	f.score(one, name, s)
}

// inspectValue is a value as Inspect's accuracy counts it.
func inspectValue(v rawjson.Value) (float64, bool) {
	switch v.Kind() {
	case rawjson.Bool:
		return map[bool]float64{true: 1}[v.IsTrue()], true
	case rawjson.Number:
		return v.Float()
	case rawjson.String:
		switch s := v.String(); strings.ToLower(s) {
		case "c", "yes", "true":
			return 1, true
		case "p":
			return 0.5, true
		case "i", "n", "no", "false":
			return 0, true
		default:
			x, err := strconv.ParseFloat(s, 64)
			return x, err == nil
		}
	}
	return 0, false
}

func notRunScore() nightshift.Score { return nightshift.Score{Status: nightshift.NotRun} }
