package reports

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"nightshift/internal/attemptlog"
	"nightshift/reports/compare"
	"nightshift/reports/render"
	"nightshift/runner/store"
	"nightshift/runner/store/view"
)

// An Item is one prompt with the answers of the models, as the row explorers
// show it.
type Item struct {
	Row      int64    `json:"row"`
	Epoch    int32    `json:"epoch"`
	ID       string   `json:"id"`
	Category string   `json:"category,omitempty"`
	System   string   `json:"system,omitempty"`
	Input    string   `json:"input,omitempty"` // messages as JSON, or the body of a batch file
	Target   string   `json:"target,omitempty"`
	Metadata string   `json:"metadata,omitempty"`
	Answers  []Answer `json:"answers"`
	Cut      bool     `json:"cut,omitempty"` // long texts are not whole
}

// An Answer is one model's part of an Item.
type Answer struct {
	Model       string          `json:"model"`
	Epoch       int32           `json:"epoch,omitempty"`
	Outcome     string          `json:"outcome"`
	Stop        string          `json:"stop,omitempty"`
	Text        string          `json:"text,omitempty"`
	Thinking    string          `json:"thinking,omitempty"`
	ToolCalls   string          `json:"tool_calls,omitempty"`
	ErrorClass  string          `json:"error_class,omitempty"`
	Error       string          `json:"error_message,omitempty"`
	Served      string          `json:"served_model,omitempty"`
	Flags       string          `json:"flags,omitempty"`
	CostNanoUSD *int64          `json:"cost_nano_usd"`
	AtLeast     bool            `json:"at_least,omitempty"`
	Input       *int64          `json:"input_tokens"`
	Output      *int64          `json:"output_tokens"`
	Reasoning   *int64          `json:"reasoning_tokens,omitempty"`
	LatencyMS   *float64        `json:"latency_ms"`
	Scores      []itemScore     `json:"scores,omitempty"`
	Attempts    json.RawMessage `json:"attempts,omitempty"`
}

// An itemScore is what one scorer said of an Answer.
type itemScore struct {
	Scorer      string   `json:"scorer"`
	Value       *float64 `json:"value"`
	Status      string   `json:"status"`
	Answer      string   `json:"answer,omitempty"`
	Explanation string   `json:"explanation,omitempty"`
}

// explorerRow is what an Item reads of a Record.
type explorerRow struct {
	Row             int64    `parquet:"row"`
	Epoch           int32    `parquet:"epoch"`
	ID              string   `parquet:"id"`
	Model           string   `parquet:"model,dict"`
	ServedModel     *string  `parquet:"served_model,optional,dict"`
	RequestedModel  string   `parquet:"requested_model,dict"`
	Outcome         string   `parquet:"outcome,dict"`
	StopReason      *string  `parquet:"stop_reason,optional,dict"`
	Text            *string  `parquet:"text,optional"`
	Thinking        *string  `parquet:"thinking,optional"`
	ToolCalls       *string  `parquet:"tool_calls,optional"`
	ErrorClass      *string  `parquet:"error_class,optional,dict"`
	ErrorMessage    *string  `parquet:"error_message,optional"`
	Flags           *string  `parquet:"flags,optional,dict"`
	InputTokens     *int64   `parquet:"input_tokens,optional"`
	OutputTokens    *int64   `parquet:"output_tokens,optional"`
	ReasoningTokens *int64   `parquet:"reasoning_tokens,optional"`
	CostNanoUSD     *int64   `parquet:"cost_nano_usd,optional"`
	LatencyMS       *float64 `parquet:"latency_ms,optional"`
	AttemptLog      *string  `parquet:"attempt_log,optional"`
	Category        *string  `parquet:"category,optional,dict"`
	System          *string  `parquet:"system,optional"`
	Input           *string  `parquet:"input,optional"`
	Target          *string  `parquet:"target,optional"`
	Metadata        *string  `parquet:"metadata,optional"`
}

func (r *explorerRow) item() *Item {
	return &Item{
		Row: r.Row, Epoch: r.Epoch, ID: r.ID, Category: view.Value(r.Category), System: view.Value(r.System),
		Input: view.Value(r.Input), Target: view.Value(r.Target), Metadata: view.Value(r.Metadata),
	}
}

func (r *explorerRow) answer() Answer {
	a := Answer{
		Model: r.Model, Epoch: r.Epoch, Outcome: r.Outcome, Stop: view.Value(r.StopReason), Text: view.Value(r.Text),
		Thinking:  view.Value(r.Thinking),
		ToolCalls: view.Value(r.ToolCalls), ErrorClass: view.Value(r.ErrorClass), Error: view.Value(r.ErrorMessage),
		Flags:       view.Value(r.Flags),
		CostNanoUSD: r.CostNanoUSD, Input: r.InputTokens, Output: r.OutputTokens, Reasoning: r.ReasoningTokens,
		LatencyMS: r.LatencyMS,
	}
	if s := view.Value(r.ServedModel); s != r.RequestedModel {
		a.Served = s
	}
	if r.AttemptLog != nil && json.Valid([]byte(*r.AttemptLog)) {
		a.Attempts = json.RawMessage(*r.AttemptLog)
		if a.CostNanoUSD == nil {
			a.CostNanoUSD, a.AtLeast = knownCost(*r.AttemptLog)
		}
	}
	return a
}

// knownCost sums the attempts whose cost is known.
func knownCost(log string) (cost *int64, atLeast bool) {
	attempts, err := attemptlog.Parse(log)
	if err != nil {
		return nil, false
	}
	for _, a := range attempts {
		if a.Cost != nil && *a.Cost > 0 {
			if cost == nil {
				cost = new(int64)
			}
			*cost += int64(*a.Cost)
		}
	}
	return cost, cost != nil
}

// readItems reads the items of some keys, in the order of the keys. units are
// the stretches of the dataset that hold them.
func readItems(dir string, keys []compare.ItemKey, units []store.Chunk) ([]*Item, error) {
	want := make(map[compare.ItemKey]*Item, len(keys))
	for _, k := range keys {
		want[k] = nil
	}
	for _, u := range units {
		for row, err := range view.Rows[explorerRow](dir, view.ReadOptions{From: u.First, To: u.First + u.Rows}) {
			var damage *view.DamageError
			if errors.As(err, &damage) {
				continue // the summary says so
			}
			if err != nil {
				return nil, err
			}
			key := compare.ItemKey{Row: row.Row, Epoch: row.Epoch}
			item, wanted := want[key]
			if !wanted {
				continue
			}
			if item == nil {
				item = row.item()
				want[key] = item
			}
			item.Answers = append(item.Answers, row.answer())
		}
	}
	if err := joinScores(dir, want); err != nil {
		return nil, err
	}
	var items []*Item
	for _, k := range keys {
		if want[k] != nil {
			items = append(items, want[k])
		}
	}
	return items, nil
}

// scoreShown is what an Item reads of a Score.
type scoreShown struct {
	scoredRow
	Answer      *string `parquet:"answer,optional"`
	Explanation *string `parquet:"explanation,optional"`
}

// joinScores adds the scores to the items.
func joinScores(dir string, items map[compare.ItemKey]*Item) error {
	wanted := func(row int64, epoch int32) bool { return items[compare.ItemKey{Row: row, Epoch: epoch}] != nil }
	for s, err := range view.ScoresOf[scoreShown](dir, wanted) {
		var damage *view.DamageError
		if errors.As(err, &damage) {
			return nil
		}
		if err != nil {
			return err
		}
		item := items[compare.ItemKey{Row: s.Row, Epoch: s.Epoch}]
		if item == nil {
			continue
		}
		for i := range item.Answers {
			if item.Answers[i].Model == s.Model {
				item.Answers[i].Scores = append(item.Answers[i].Scores,
					itemScore{s.Scorer, s.Value, string(s.Status), view.Value(s.Answer), view.Value(s.Explanation)})
			}
		}
	}
	return nil
}

// Shorten cuts the long texts of an item.
func (i *Item) Shorten(most int) {
	cut := func(s *string) {
		if len(*s) <= most {
			return
		}
		n := most
		for n > 0 && !utf8.RuneStart((*s)[n]) {
			n--
		}
		*s = strings.Clone((*s)[:n]) + sprintf("… (%s more bytes)", render.Count(int64(len(*s)-n)))
		i.Cut = true
	}
	for _, s := range []*string{&i.System, &i.Input, &i.Target, &i.Metadata} {
		cut(s)
	}
	for j := range i.Answers {
		a := &i.Answers[j]
		for _, s := range []*string{&a.Text, &a.Thinking, &a.ToolCalls, &a.Error} {
			cut(s)
		}
		for k := range a.Scores {
			cut(&a.Scores[k].Answer)
			cut(&a.Scores[k].Explanation)
		}
		if len(a.Attempts) > 4*most {
			a.Attempts, i.Cut = nil, true
		}
	}
}

func sortItems(items []*Item) {
	slices.SortFunc(items, func(a, b *Item) int {
		return cmp.Or(cmp.Compare(a.Row, b.Row), cmp.Compare(a.Epoch, b.Epoch))
	})
}
