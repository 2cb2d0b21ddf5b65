package compare

import (
	"iter"

	"nightshift"
	"nightshift/reports/scoring"
)

// wantsAnswers reports whether what was extracted from the answers is needed:
// for votes among epochs, and for statistics of whole sets.
func wantsAnswers(r *comparedRun, d scoring.Described) bool {
	return r.info.Epochs > 1 || asCorpus(d) != nil
}

// A scoreReader puts the rows of one score table into columns.
type scoreReader struct {
	run     *comparedRun
	columns map[string]*column // by model
	scorer  int

	model  string // of the last row
	column *column
	hint   int
}

func (in *scoreReader) plain(rows iter.Seq2[scoreRow, error]) error {
	for s, err := range rows {
		if err != nil {
			return err
		}
		in.take(answeredRow{Row: s.Row, Epoch: s.Epoch, Model: s.Model, Value: s.Value, Status: s.Status,
			Parts: s.Parts})
	}
	return nil
}

func (in *scoreReader) answered(rows iter.Seq2[answeredRow, error]) error {
	for _, c := range in.columns {
		c.answers[in.scorer] = make([]string, len(c.kind))
	}
	for s, err := range rows {
		if err != nil {
			return err
		}
		in.take(s)
	}
	return nil
}

func (in *scoreReader) take(s answeredRow) {
	if s.Model != in.model {
		in.model, in.column, in.hint = s.Model, in.columns[s.Model], 0
	}
	c := in.column
	if c == nil || int(s.Epoch) >= c.epochs {
		return
	}
	at, ok := in.run.table.find(s.Row, in.hint)
	if !ok {
		return
	}
	in.hint = at
	if int(s.Epoch) == c.epochs-1 {
		in.hint++
	}
	i := int(in.run.items[at])*c.epochs + int(s.Epoch)
	c.status[in.scorer][i] = stateOf(s.Status)
	if s.Value != nil {
		c.scores[in.scorer][i] = *s.Value
	}
	if s.Parts != nil {
		c.parts[in.scorer].take(*s.Parts, i/c.epochs, len(c.cost))
	}
	if vote := s.vote(); c.answers[in.scorer] != nil && vote != nil {
		c.answers[in.scorer][i] = *vote
	}
}

func stateOf(s nightshift.ScoreStatus) scoreState {
	switch s {
	case nightshift.Scored:
		return stateScored
	case nightshift.NoAnswer:
		return stateNoAnswer
	case nightshift.Unscored:
		return stateUnscored
	}
	return stateError
}
