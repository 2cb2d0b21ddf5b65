package web

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"nightshift/runner/store/view"
)

const (
	searchWait = 200 * time.Millisecond // after which a page says how far a search is
	searchIdle = 10 * time.Second       // after which a search that nobody asks for stops
	mostFinds  = 8                      // searches that are kept of a run
)

// A search looks through the texts of a run for words, in the background,
// chunk by chunk. Where the run has grown only what is new is looked at. It
// takes a bit for each item and lane.
type search struct {
	run   *run
	words []string

	mu      sync.Mutex
	files   [][]string // by lane and chunk: what was looked at
	hits    [][]uint64 // by lane: a bit an item
	asked   time.Time
	running bool
	changed chan struct{} // closed when it has ended
}

// A finding is how far the searches of a table are.
type finding struct {
	bits  [][]uint64 // by lane of the table
	done  bool
	share float64 // of the chunks that were looked at
}

// has reports whether one of the lanes that are looked at has an item.
func (f *finding) has(t *table, looked []bool, item int) bool {
	for l := range t.lanes {
		if i := t.at(l, item); looked[l] && i >= 0 && i/64 < len(f.bits[l]) && f.bits[l][i/64]&(1<<(i%64)) != 0 {
			return true
		}
	}
	return false
}

// search looks for words in all runs of a table, for a moment. Nil means that
// nothing is looked for.
func (t *table) search(words []string) *finding {
	if len(words) == 0 {
		return nil
	}
	f := &finding{done: true}
	for i, r := range t.runs {
		bits, share := r.search(t.stands[i], words)
		f.bits = append(f.bits, bits...)
		f.share += share / float64(len(t.runs))
		f.done = f.done && share == 1
	}
	return f
}

func (r *run) search(s *stand, words []string) (bits [][]uint64, share float64) {
	key := strings.Join(words, " ")
	r.mu.Lock()
	if r.searches[key] == nil {
		if len(r.searches) >= mostFinds || r.searches == nil {
			r.searches = map[string]*search{}
		}
		r.searches[key] = &search{run: r, words: words}
	}
	one := r.searches[key]
	r.mu.Unlock()
	return one.ask(s)
}

// ask goes on with a search, waits for a moment, and says what was found.
func (f *search) ask(s *stand) (bits [][]uint64, share float64) {
	f.mu.Lock()
	f.asked = time.Now()
	if !f.running && f.left(s) > 0 {
		f.fit(s)
		f.running, f.changed = true, make(chan struct{})
		go f.work(s)
	}
	ended := f.changed
	running := f.running
	f.mu.Unlock()
	if running {
		select {
		case <-ended:
		case <-time.After(searchWait):
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, lane := range f.hits {
		bits = append(bits, slices.Clone(lane))
	}
	for len(bits) < len(s.Models) {
		bits = append(bits, nil)
	}
	total := len(s.Models) * len(s.Chunks)
	if total == 0 {
		return bits, 1
	}
	return bits, 1 - float64(f.left(s))/float64(total)
}

// left is how many chunks are to be looked at.
func (f *search) left(s *stand) (n int) {
	for lane := range s.files {
		for chunk := range s.files[lane] {
			if s.files[lane][chunk] != "" && !f.looked(s, lane, chunk) {
				n++
			}
		}
	}
	return n
}

func (f *search) looked(s *stand, lane, chunk int) bool {
	return lane < len(f.files) && chunk < len(f.files[lane]) && f.files[lane][chunk] == s.files[lane][chunk]
}

// fit makes room for what the run has grown by.
func (f *search) fit(s *stand) {
	for len(f.files) < len(s.files) {
		f.files, f.hits = append(f.files, nil), append(f.hits, nil)
	}
	for lane := range s.files {
		f.files[lane] = append(f.files[lane], make([]string, max(0, len(s.Chunks)-len(f.files[lane])))...)
		f.hits[lane] = append(f.hits[lane], make([]uint64, max(0, (s.items()+63)/64-len(f.hits[lane])))...)
	}
}

// work looks through what is left, the lanes of a chunk one after the other.
func (f *search) work(s *stand) {
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.running = false
		close(f.changed)
	}()
	for chunk := range s.Chunks {
		for lane := range s.Models {
			f.mu.Lock()
			skip := s.files[lane][chunk] == "" || f.looked(s, lane, chunk)
			f.mu.Unlock()
			if !skip && !f.chunk(s, lane, chunk) {
				return
			}
		}
	}
}

type searchRow struct {
	place
	ID           string  `parquet:"id"`
	Flags        *string `parquet:"flags,optional,dict"`
	Text         *string `parquet:"text,optional"`
	Input        *string `parquet:"input,optional"`
	Target       *string `parquet:"target,optional"`
	ErrorMessage *string `parquet:"error_message,optional"`
	ErrorClass   *string `parquet:"error_class,optional,dict"`
	Category     *string `parquet:"category,optional,dict"`
	Metadata     *string `parquet:"metadata,optional"`
}

// chunk looks through one chunk of one lane. It returns false when nobody
// asked for a while.
func (f *search) chunk(s *stand, lane, chunk int) bool {
	var found []int
	n := 0
	c := s.Chunks[chunk]
	o := view.ReadOptions{Models: s.Models[lane : lane+1], From: c.First, To: c.First + c.Rows}
	for row, err := range view.Rows[searchRow](f.run.dir, o) {
		var damage *view.DamageError
		if errors.As(err, &damage) {
			continue
		}
		if err != nil {
			break // the files are gone, or another look will find them whole
		}
		if i := s.item(row.place.at()); i >= 0 && row.says(f.words) {
			found = append(found, i)
		}
		if n++; n%512 == 0 && f.forgotten() {
			return false
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := int(c.First) * s.epochs; i < min(int(c.First+c.Rows)*s.epochs, s.items()); i++ {
		f.hits[lane][i/64] &^= 1 << (i % 64)
	}
	for _, i := range found {
		f.hits[lane][i/64] |= 1 << (i % 64)
	}
	f.files[lane][chunk] = s.files[lane][chunk]
	return true
}

func (f *search) forgotten() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Since(f.asked) > searchIdle
}

// says reports whether every word is somewhere in the texts of a row.
func (r *searchRow) says(words []string) bool {
	for _, w := range words {
		if !strings.Contains(strings.ToLower(r.ID), w) &&
			!slices.ContainsFunc([]*string{r.Text, r.Input, r.Target, r.Category, r.ErrorMessage, r.ErrorClass, r.Flags,
				r.Metadata}, func(text *string) bool {
				return text != nil && strings.Contains(strings.ToLower(*text), w)
			}) {
			return false
		}
	}
	return true
}
