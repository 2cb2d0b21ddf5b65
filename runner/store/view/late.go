package view

import (
	"nightshift"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/records"
	"nightshift/runner/store/internal/rundir"
)

// LateAnswers are attempts that a run has on record as unknown, because the
// worker that made them was lost, and what some of them turned out to be.
type LateAnswers struct {
	Open    []rundir.Late                 // as they are in the records
	Settled map[string]nightshift.Attempt // by Job
}

// Late reads them; a run without workers has none.
func Late(dir string) (LateAnswers, error) {
	open, settled, err := rundir.ReadLate(disk.OS{}, rundir.Dir(dir))
	return LateAnswers{open, settled}, err
}

// Settle puts what attempts turned out to be in the place of what a record has
// of them.
func (l LateAnswers) Settle(log []nightshift.Attempt) []nightshift.Attempt {
	for i, a := range log {
		if s, ok := l.Settled[a.Job]; ok && a.Class == nightshift.ClassUnknownOutcome {
			log[i] = s
		}
	}
	return log
}

// difference is what late answers add to the costs on record, and to the most
// that may have been spent.
func (l LateAnswers) difference() (cost, most nightshift.NanoUSD) {
	for _, o := range l.Open {
		s, ok := l.Settled[o.Attempt.Job]
		if !ok {
			continue
		}
		was := records.Spent([]nightshift.Attempt{o.Attempt})
		is := records.Spent([]nightshift.Attempt{s})
		cost += is.Cost - was.Cost
		most += is.Cost + is.MaybeCost - was.Cost - was.MaybeCost
	}
	return cost, most
}
