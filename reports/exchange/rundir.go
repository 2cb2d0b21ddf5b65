package exchange

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"iter"
	"slices"

	"nightshift"
	"nightshift/internal/attemptlog"
	"nightshift/internal/rawjson"
	"nightshift/reports/scorers"
	"nightshift/reports/scoring"
	"nightshift/runner/store"
	"nightshift/runner/store/view"
)

// chunkRows is how many rows of a run are one shard.
const chunkRows = 20_000

// WriteRun writes the results as a run directory, which must not exist. The run can
// be read, scored and compared as any other; nothing can be sent for it.
func (r *Results) WriteRun(dir string) error {
	r.order()
	id, err := r.identity()
	if err != nil {
		return err
	}
	run, err := store.Open(dir, id, store.Options{ReserveFile: -1})
	if err != nil {
		return err
	}
	if err := r.writeRows(run, id); err != nil {
		_ = run.Close("interrupted")
		return err
	}
	if err := run.Close("finished"); err != nil {
		return err
	}
	return r.writeScores(dir)
}

// order numbers the rows by their ids as they were met, and sorts answers as a run
// has them: by model, row and epoch.
func (r *Results) order() {
	rows, models := map[string]int64{}, map[string]int{}
	for i := range r.rows {
		one := &r.rows[i]
		if _, ok := rows[one.ID]; !ok {
			rows[one.ID] = int64(len(rows))
		}
		if _, ok := models[one.Model]; !ok {
			models[one.Model] = len(models)
		}
		one.Run, one.Row = r.Name, rows[one.ID]
	}
	slices.SortStableFunc(r.rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(models[a.Model], models[b.Model]), cmp.Compare(a.Row, b.Row),
			cmp.Compare(a.Epoch, b.Epoch))
	})
}

// An importedModel is a model in the plan of a run that was read from a file.
type importedModel struct {
	Name      string `json:"name"`
	Model     string `json:"model"`
	Variant   string `json:"variant,omitempty"`
	VariantOf string `json:"variant_of,omitempty"`
}

func (r *Results) identity() (store.Identity, error) {
	id := store.Identity{Name: r.Name, Tool: r.Tool, Epochs: 1}
	var models []importedModel
	data := sha256.New()
	for _, one := range r.rows {
		if !slices.Contains(id.Models, one.Model) {
			id.Models = append(id.Models, one.Model)
			m := importedModel{Name: one.Model, Model: one.RequestedModel}
			if one.Variant != nil {
				m.Variant, m.VariantOf = *one.Variant, *one.VariantOf
			}
			models = append(models, m)
		}
		id.Epochs = max(id.Epochs, int(one.Epoch)+1)
		id.DatasetRows = max(id.DatasetRows, one.Row+1)
		target := ""
		if one.Target != nil {
			target = *one.Target
		}
		part, _ := rawjson.Marshal([]string{one.ID, one.PromptHash, target})
		data.Write(part)
	}
	plan, err := rawjson.Marshal(map[string]any{"imported": r.Tool,
		"plan": map[string]any{"name": r.Name, "models": models}})
	if err != nil {
		return id, err
	}
	sum := sha256.Sum256(plan)
	id.Plan, id.PlanHash = plan, hex.EncodeToString(sum[:])
	id.DatasetHash = hex.EncodeToString(data.Sum(nil))
	for from := int64(0); from < id.DatasetRows; from += chunkRows {
		id.Chunks = append(id.Chunks, store.Chunk{First: from, Rows: min(chunkRows, id.DatasetRows-from)})
	}
	return id, nil
}

// writeRows writes all answers. A shard that lacks some stays open: those rows have
// not run.
func (r *Results) writeRows(run *store.Run, id store.Identity) error {
	var shard *store.Shard
	var model string
	var chunk int64
	finish := func() error {
		if shard == nil || shard.Remaining() > 0 {
			return nil
		}
		return shard.Commit()
	}
	for i := range r.rows {
		one := &r.rows[i]
		if shard == nil || one.Model != model || one.Row/chunkRows != chunk {
			if err := finish(); err != nil {
				return err
			}
			model, chunk = one.Model, one.Row/chunkRows
			var err error
			if shard, err = run.OpenShard(model, int(chunk)); err != nil {
				return err
			}
		}
		one.RowHash = one.PromptHash
		one.attempted()
		if err := shard.Put(&one.Record); err != nil {
			return err
		}
	}
	return finish()
}

// attempted adds the request behind the answer, so that tokens and cost are counted as
// far as they are known.
func (one *row) attempted() {
	a := nightshift.Attempt{N: 1}
	if one.StartedAt != nil {
		a.StartedAt = *one.StartedAt
	}
	if one.LatencyMS != nil {
		a.DurationMS = *one.LatencyMS
	}
	if one.CostNanoUSD != nil {
		cost := nightshift.NanoUSD(*one.CostNanoUSD)
		a.Cost = &cost
	}
	if !one.Outcome.Answered() {
		a.Class, a.Message = nightshift.ErrorClass(*one.ErrorClass), view.Value(one.ErrorMessage)
	}
	for tokens, to := range map[*int64]*nightshift.Count{one.OutputTokens: &a.Usage.Output,
		one.CacheReadTokens: &a.Usage.CacheRead, one.CacheWrite5mTokens: &a.Usage.CacheWrite5m,
		one.ReasoningTokens: &a.Usage.Reasoning} {
		if tokens != nil {
			*to = nightshift.Tokens(*tokens)
		}
	}
	if one.InputTokens != nil {
		a.Usage.Input = nightshift.Tokens(*one.InputTokens - view.Value(one.CacheReadTokens) -
			view.Value(one.CacheWrite5mTokens))
	}
	log := string(attemptlog.Append(nil, []nightshift.Attempt{a}))
	one.Attempts, one.AttemptLog = 1, &log
}

// writeScores writes a table for each scorer. Answers without a score by it are
// unscored.
func (r *Results) writeScores(dir string) error {
	var e scoring.Evaluation
	for _, name := range r.scorers {
		d := scoring.Described{Name: name, Type: scoring.Imported, Kind: scorers.Pure, Version: r.Tool,
			Params: json.RawMessage(`{}`)}
		e.Put(d)
		if err := store.WriteScores(dir, d.Table(), r.scoresBy(d)); err != nil {
			return err
		}
	}
	return e.WriteFile(dir)
}

func (r *Results) scoresBy(d scoring.Described) iter.Seq2[nightshift.Score, error] {
	return func(yield func(nightshift.Score, error) bool) {
		for _, one := range r.rows {
			s, ok := one.scores[d.Name]
			switch {
			case ok:
			case one.Outcome.Answered():
				s.Status = nightshift.Unscored
			default:
				s.Status = nightshift.NotRun
			}
			s.Run, s.Row, s.ID, s.Epoch, s.Model, s.Scorer = one.Run, one.Row, one.ID, one.Epoch, one.Model, d.Name
			s.ScorerVersion, s.Params = d.Version, string(d.Params)
			if !yield(s, nil) {
				return
			}
		}
	}
}

// Rows and Models are how much was read.
func (r *Results) Rows() int { return len(r.rows) }

// Scorers are the names of the scorers, the headline first.
func (r *Results) Scorers() []string { return r.scorers }
