package reports

import (
	"maps"
	"slices"
	"time"

	"nightshift"
	"nightshift/internal/attemptlog"
	"nightshift/runner/store/view"
)

// mostBins is how many stretches a Timeline has at most.
const mostBins = 120

// stretches are what happened when, in equal stretches of time. Stretches in
// which nothing happened are left out.
type stretches struct {
	Seconds int64 `json:"seconds"` // length of a stretch
	Bins    []bin `json:"bins"`
}

// A bin is one stretch. Answers and tokens count where the answer
// ended, requests where they were sent.
type bin struct {
	At       time.Time `json:"at"`
	Answers  int64     `json:"answers"`
	Input    int64     `json:"input_tokens"`
	Output   int64     `json:"output_tokens"`
	Refused  int64     `json:"refused_requests"` // for rate limits
	Failed   int64     `json:"failed_requests"`  // otherwise
	Declined int64     `json:"refusals"`         // answers in which the model declined
}

func (b *bin) add(o *bin) {
	b.Answers += o.Answers
	b.Input += o.Input
	b.Output += o.Output
	b.Refused += o.Refused
	b.Failed += o.Failed
	b.Declined += o.Declined
}

// timeline collects stretches. Stretches begin with a second and double
// whenever there are too many.
type timeline struct {
	seconds     int64
	bins        map[int64]*bin // by the first second, since 1970
	first, last int64
}

func (t *timeline) at(when time.Time) *bin {
	if t.bins == nil {
		t.bins, t.seconds = map[int64]*bin{}, 1
		t.first, t.last = when.Unix(), when.Unix()
	}
	t.first, t.last = min(t.first, when.Unix()), max(t.last, when.Unix())
	for (t.last-t.first)/t.seconds >= mostBins {
		t.widen()
	}
	key := when.Unix() - mod(when.Unix(), t.seconds)
	b, ok := t.bins[key]
	if !ok {
		b = &bin{}
		t.bins[key] = b
	}
	return b
}

func mod(a, b int64) int64 { return (a%b + b) % b }

func (t *timeline) widen() {
	t.seconds *= 2
	wide := map[int64]*bin{}
	for key, b := range t.bins {
		key -= mod(key, t.seconds)
		if wide[key] == nil {
			wide[key] = &bin{}
		}
		wide[key].add(b)
	}
	t.bins = wide
}

func (t *timeline) add(row *summaryRow) {
	if row.FinishedAt != nil && nightshift.Outcome(row.Outcome).Answered() {
		b := t.at(*row.FinishedAt)
		b.Answers++
		b.Input += view.Value(row.InputTokens)
		b.Output += view.Value(row.OutputTokens)
		if nightshift.Outcome(row.Outcome) == nightshift.OutcomeRefused {
			b.Declined++
		}
	}
	if !row.says().class {
		return
	}
	log, err := attemptlog.Parse(*row.AttemptLog)
	if err != nil {
		return
	}
	for _, a := range log {
		switch {
		case a.Class == "" || a.StartedAt.IsZero():
		case a.Class == nightshift.ClassRateLimit:
			t.at(a.StartedAt).Refused++
		default:
			t.at(a.StartedAt).Failed++
		}
	}
}

func (t *timeline) closed() stretches {
	line := stretches{Seconds: t.seconds, Bins: []bin{}}
	for _, key := range slices.Sorted(maps.Keys(t.bins)) {
		b := *t.bins[key]
		b.At = time.Unix(key, 0).UTC()
		line.Bins = append(line.Bins, b)
	}
	return line
}
