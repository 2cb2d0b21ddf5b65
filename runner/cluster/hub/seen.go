package hub

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"nightshift"
)

// Worker is what is known of a worker of this start of the run: of every process
// that worked under the name.
type Worker struct {
	Name      string    `json:"name"`
	Version   string    `json:"version,omitempty"` // of the program
	Since     time.Time `json:"since"`             // it came first
	Slots     int       `json:"slots"`
	InFlight  int       `json:"in_flight"`
	Answered  int64     `json:"answered"` // requests that brought an answer
	Refused   int64     `json:"refused"`  // requests that the server refused for a rate or for load
	Failed    int64     `json:"failed"`   // requests that failed otherwise
	Lost      int64     `json:"lost"`     // requests that were given up with it
	Late      int64     `json:"late"`     // answers to those of Lost that it brought after all
	Held      int       `json:"held"`     // answers that it keeps
	Connected bool      `json:"connected"`
	LastSeen  time.Time `json:"last_seen"`
	// Private are endpoints of the plan that it reaches at an address of its own.
	Private []string `json:"private_endpoints,omitempty"`
	Note    string   `json:"note,omitempty"` // what holds it back
}

// maxGone bounds how many workers are remembered that are gone: machines that
// come and go may take a new name each time.
const maxGone = 200

// seenAs finds what is known under a name, or begins it; h.mu is held.
func (h *Hub) seenAs(name string) *Worker {
	if s := h.seen[name]; s != nil {
		return s
	}
	s := &Worker{Name: name, Since: time.Now()}
	h.seen[name] = s
	return s
}

// forgetGone forgets those that left first where there are too many; h.mu is held.
func (h *Hub) forgetGone() {
	var gone []*Worker
	for name, s := range h.seen {
		if !slices.ContainsFunc(h.peers, func(p *peer) bool { return p.name == name }) {
			gone = append(gone, s)
		}
	}
	if len(gone) <= maxGone {
		return
	}
	slices.SortFunc(gone, func(a, b *Worker) int { return a.LastSeen.Compare(b.LastSeen) })
	for _, s := range gone[:len(gone)-maxGone] {
		delete(h.seen, s.Name)
	}
}

// count counts an answer that was brought.
func (w *Worker) count(err *nightshift.Error) {
	switch {
	case err == nil:
		w.Answered++
	case err.Class == nightshift.ClassRateLimit || err.Class == nightshift.ClassOverloaded:
		w.Refused++
	default:
		w.Failed++
	}
}

// private are the endpoints of the plan that a process reaches at an address of
// its own.
func (p *peer) private() (names []string) {
	for _, a := range p.accounts {
		if name := a.Endpoint.Name; a.worker != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// Workers says what is known of each worker, by name: first those that are
// connected or may come back.
func (h *Hub) Workers() []Worker {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]Worker, 0, len(h.seen))
	for name, s := range h.seen {
		w := *s
		w.Note = "gone"
		for _, p := range h.peers {
			if p.name == name {
				p.describe(&w)
			}
		}
		list = append(list, w)
	}
	slices.SortFunc(list, func(a, b Worker) int {
		return cmp.Or(cmp.Compare(a.order(), b.order()), strings.Compare(a.Name, b.Name))
	})
	return list
}

func (w *Worker) order() int {
	if w.Note == "gone" {
		return 1
	}
	return 0
}

// describe adds what a process does at present; the hub's lock is held.
func (p *peer) describe(w *Worker) {
	w.InFlight += p.inFlight
	if p.conn == nil {
		if !w.Connected {
			w.Note = "away"
		}
		return
	}
	w.Connected, w.Held, w.Note = true, p.unkept, ""
	w.LastSeen = time.Now().Add(-p.conn.Silence())
	switch {
	case time.Until(p.sitsOut) > 0:
		w.Note = "sits out: " + p.why
	case p.draining:
		w.Note = "drains"
	case len(p.missing) > 0:
		w.Note = p.missing[0].Why
	}
}
