package exchange

import (
	"encoding/json"
	"io"
	"slices"
	"time"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/reports/scoring"
	"nightshift/runner/store/view"
)

// object is a JSON object that is made here.
type object = map[string]any

// writeInspect writes a log as Inspect reads it, version 2, a sample at a time.
func (s *source) writeInspect(w io.Writer) error {
	completed, err := s.survey()
	if err != nil {
		return err
	}
	head, err := rawjson.Marshal(s.inspectHead(completed))
	if err != nil {
		return err
	}
	if _, err := w.Write(append(head[:len(head)-1], `,"samples":[`...)); err != nil {
		return err
	}
	first := true
	for rec, err := range s.rows() {
		if err != nil {
			return err
		}
		sample, err := rawjson.Marshal(s.inspectSample(&rec))
		if err != nil {
			return err
		}
		if !first {
			sample = append([]byte(",\n"), sample...)
		}
		if _, err := w.Write(sample); err != nil {
			return err
		}
		first = false
	}
	_, err = io.WriteString(w, "]}\n")
	return err
}

// survey reads the scores once, for the figures that stand before the samples, and
// counts the answers.
func (s *source) survey() (completed int64, err error) {
	type outcomeRow struct {
		Outcome nightshift.Outcome `parquet:"outcome,dict"`
	}
	for row, err := range view.Rows[outcomeRow](s.dir, view.ReadOptions{Models: []string{s.model}}) {
		if err != nil {
			return 0, err
		}
		if row.Outcome.Answered() {
			completed++
		}
	}
	tables, err := view.ScoreTables(s.dir)
	if err != nil || len(tables) == 0 {
		return completed, err
	}
	for score, err := range view.Scores(s.dir, tables...) {
		if err != nil {
			return 0, err
		}
		i := slices.IndexFunc(s.means, func(m *mean) bool { return m.scorer == score.Scorer })
		if score.Model == s.model && i >= 0 {
			s.means[i].add(score.Value)
		}
	}
	return completed, nil
}

func (s *source) inspectHead(completed int64) any {
	created := s.info.CreatedAt.UTC().Format(time.RFC3339)
	total := s.info.Rows() * int64(s.info.Epochs)
	scorers, scores := []object{}, []object{}
	for _, m := range s.means {
		value, se := m.of()
		scorers = append(scorers, object{"name": m.scorer, "metrics": []object{{"name": "mean"}, {"name": "stderr"}}})
		one := object{"name": m.scorer, "scorer": m.scorer, "scored_samples": m.n, "params": object{}}
		metrics := object{}
		for name, v := range map[string]any{"mean": value, "stderr": se} {
			if v != nil {
				metrics[name] = object{"name": name, "value": v, "params": object{}}
			}
		}
		one["metrics"] = metrics
		scores = append(scores, one)
	}
	status := "success"
	if !scoring.Complete(s.info.State) {
		status = "cancelled"
	}
	return struct {
		Version int    `json:"version"`
		Status  string `json:"status"`
		Eval    object `json:"eval"`
		Plan    object `json:"plan"`
		Results object `json:"results"`
		Stats   object `json:"stats"`
	}{2, status, object{
		"eval_id": s.info.RunID, "run_id": s.info.RunID, "created": created, "task": s.info.Name,
		"task_id": s.info.RunID, "task_version": 0, "task_attribs": object{}, "task_args": object{},
		"dataset": object{"name": s.info.DatasetHash[:min(12, len(s.info.DatasetHash))], "samples": s.info.Rows(),
			"shuffled": false},
		"model": s.model, "model_args": object{}, "model_generate_config": object{},
		"config": object{"epochs": s.info.Epochs}, "packages": object{}, "scorers": scorers,
		"metadata": object{"tool": s.info.Tool, "plan_hash": s.info.PlanHash, "dataset_hash": s.info.DatasetHash},
	}, object{"name": "plan", "steps": []object{}, "config": object{}},
		object{"total_samples": total, "completed_samples": completed, "scores": scores},
		object{"started_at": created, "completed_at": s.info.UpdatedAt.UTC().Format(time.RFC3339),
			"model_usage": object{}}}
}

// inspectReasons are our stop reasons in Inspect's words.
var inspectReasons = map[nightshift.StopReason]string{
	nightshift.StopEnd: "stop", nightshift.StopSequence: "stop", nightshift.StopMaxTokens: "max_tokens",
	nightshift.StopContextWindow: "model_length", nightshift.StopToolUse: "tool_calls",
	nightshift.StopRefusal: "content_filter", nightshift.StopContentFilter: "content_filter",
}

func (s *source) inspectSample(rec *view.ScoredRecord) object {
	asked := prompt(&rec.Record)
	sample := object{
		"id": rec.ID, "epoch": rec.Epoch + 1, "input": question(asked), "target": target(&rec.Record),
		"metadata": metadata(&rec.Record), "store": object{}, "events": []object{}, "attachments": object{},
		"scores": inspectScores(rec), "messages": asked, "output": object{"model": s.model, "choices": []object{}},
		"model_usage": object{},
	}
	for name, t := range map[string]*time.Time{"started_at": rec.StartedAt, "completed_at": rec.FinishedAt} {
		if t != nil {
			sample[name] = t.UTC().Format(time.RFC3339Nano)
		}
	}
	if rec.LatencyMS != nil {
		sample["total_time"] = *rec.LatencyMS / 1000
	}
	if !rec.Outcome.Answered() {
		why := string(rec.Outcome)
		if rec.ErrorMessage != nil {
			why = *rec.ErrorMessage
		}
		sample["error"] = object{"message": why, "traceback": "", "traceback_ansi": ""}
		return sample
	}
	said := inspectAnswer(&rec.Record)
	sample["messages"] = append(slices.Clone(anyOf(asked)), said)
	usage := inspectUsage(&rec.Record)
	reason := "unknown"
	if rec.StopReason != nil {
		if word := inspectReasons[nightshift.StopReason(*rec.StopReason)]; word != "" {
			reason = word
		}
	}
	output := object{"model": s.model, "choices": []object{{"message": said, "stop_reason": reason}},
		"completion": textOf(&rec.Record)}
	if len(usage) > 0 {
		output["usage"], sample["model_usage"] = usage, object{s.model: usage}
	}
	if rec.LatencyMS != nil {
		output["time"] = *rec.LatencyMS / 1000
	}
	sample["output"] = output
	return sample
}

func anyOf(all []message) []any {
	list := make([]any, len(all))
	for i, m := range all {
		list[i] = m
	}
	return list
}

// inspectAnswer is the answer as a message, with its reasoning and tool calls.
func inspectAnswer(rec *nightshift.Record) object {
	said := object{"role": "assistant", "source": "generate", "content": textOf(rec), "model": rec.Model}
	if rec.Thinking != nil {
		said["content"] = []object{{"type": "reasoning", "reasoning": *rec.Thinking},
			{"type": "text", "text": textOf(rec)}}
	}
	if rec.ToolCalls == nil {
		return said
	}
	var calls []nightshift.ToolCall
	if json.Unmarshal([]byte(*rec.ToolCalls), &calls) != nil {
		return said
	}
	var list []object
	for _, c := range calls {
		one := object{"id": c.ID, "function": c.Name, "type": "function", "arguments": object{}}
		arguments := object{}
		if json.Unmarshal([]byte(c.Arguments), &arguments) == nil {
			one["arguments"] = arguments
		} else {
			one["parse_error"] = "the arguments are no JSON object: " + string(c.Arguments)
		}
		list = append(list, one)
	}
	said["tool_calls"] = list
	return said
}

// inspectUsage counts cached tokens beside the input, as Inspect does.
func inspectUsage(rec *nightshift.Record) object {
	usage := object{}
	if rec.InputTokens == nil || rec.OutputTokens == nil {
		return usage
	}
	read, written := view.Value(rec.CacheReadTokens), view.Value(rec.CacheWrite5mTokens)+view.Value(rec.CacheWrite1hTokens)
	usage["input_tokens"], usage["output_tokens"] = *rec.InputTokens-read-written, *rec.OutputTokens
	usage["total_tokens"] = *rec.InputTokens + *rec.OutputTokens
	if rec.CacheReadTokens != nil {
		usage["input_tokens_cache_read"] = read
	}
	if rec.CacheWrite5mTokens != nil || rec.CacheWrite1hTokens != nil {
		usage["input_tokens_cache_write"] = written
	}
	if rec.ReasoningTokens != nil {
		usage["reasoning_tokens"] = *rec.ReasoningTokens
	}
	if rec.CostUSD != nil {
		usage["total_cost"] = *rec.CostUSD
	}
	return usage
}

// inspectScores are the scores that have a value.
func inspectScores(rec *view.ScoredRecord) object {
	scores := object{}
	for name, s := range rec.Scores {
		if s.Value == nil {
			continue
		}
		one := object{"value": *s.Value, "metadata": object{"status": s.Status}}
		if s.Answer != nil {
			one["answer"] = *s.Answer
		}
		if s.Explanation != nil {
			one["explanation"] = *s.Explanation
		}
		scores[name] = one
	}
	return scores
}

// metadata are the fields of the row, and what the other formats have no place for.
func metadata(rec *nightshift.Record) object {
	fields := object{}
	if rec.Metadata != nil {
		if v, err := rawjson.Scan([]byte(*rec.Metadata)); err == nil {
			for m := v.First(); m.Exists(); m = m.Next() {
				fields[m.Key()] = json.RawMessage(m.JSON())
			}
		}
	}
	for name, text := range map[string]*string{"category": rec.Category, "cluster": rec.Cluster,
		"error_class": rec.ErrorClass} {
		if text != nil {
			fields[name] = *text
		}
	}
	fields["outcome"] = rec.Outcome
	if rec.CostUSD != nil {
		fields["cost_usd"] = *rec.CostUSD
	}
	return fields
}
