package session

import (
	"sync"
	"time"

	"nightshift/runner/store/view"
)

// paceWindow is what the pace of a model and the time left are taken from: long
// enough that slow answers do not make them swing, short enough that they are
// of now.
const paceWindow = 5 * time.Minute

// A pace measures how fast each model of a run has gone lately. It is safe for
// concurrent use.
type pace struct {
	models []string
	each   int64 // items of each model

	mu      sync.Mutex
	samples []paceSample
}

type paceSample struct {
	at   time.Time
	done []int64 // by model
}

// newPace begins to measure what a session brings.
func newPace(s *Session, now view.Totals) *pace {
	p := &pace{each: s.items() / int64(max(len(s.Plan.Models), 1))}
	for _, m := range s.Plan.Models {
		p.models = append(p.models, m.Name)
	}
	p.add(time.Now(), now)
	return p
}

// add takes in what is on record at a moment. Samples are kept for as long as
// the window, some sixty of them.
func (p *pace) add(at time.Time, t view.Totals) {
	done := make([]int64, len(p.models))
	for i, m := range p.models {
		done[i] = t.Models[m].Rows
	}
	if n := len(p.samples); n > 1 && at.Sub(p.samples[n-2].at) < paceWindow/60 {
		p.samples = p.samples[:n-1] // the latest is kept whatever its distance
	}
	p.samples = append(p.samples, paceSample{at, done})
	for len(p.samples) > 2 && at.Sub(p.samples[1].at) >= paceWindow {
		p.samples = p.samples[1:]
	}
}

// take adds a sample and returns what every model did in the window, and how
// long it takes for the rest at that pace.
func (p *pace) take(at time.Time, t view.Totals) []view.ModelPace {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.add(at, t)
	return p.now()
}

func (p *pace) now() (list []view.ModelPace) {
	first, last := p.samples[0], p.samples[len(p.samples)-1]
	hours := last.at.Sub(first.at).Hours()
	for i, name := range p.models {
		m := view.ModelPace{Model: name, Items: p.each, Done: last.done[i]}
		if hours > 0 {
			m.PerHour = float64(last.done[i]-first.done[i]) / hours
		}
		left := p.each - m.Done
		switch {
		case left <= 0:
			m.TimeLeft = new(time.Duration(0))
		case m.PerHour > 0:
			m.TimeLeft = new(time.Duration(float64(left) / m.PerHour * float64(time.Hour)))
		}
		list = append(list, m)
	}
	return list
}

// TimeLeft is how long the slowest model takes for the rest at its pace of
// late; ok is false when that of one is not known.
func (s State) TimeLeft() (left time.Duration, ok bool) { return slowest(s.Run.Pace) }

func slowest(list []view.ModelPace) (left time.Duration, ok bool) {
	for _, m := range list {
		if m.TimeLeft == nil {
			return 0, false
		}
		left = max(left, *m.TimeLeft)
	}
	return left, len(list) > 0
}
