package batchlog

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/journal"
)

// maxNumber bounds the number of a batch that a line may name.
const maxNumber = 1e9

// Content is what a log says.
type Content struct {
	RunID   string
	Batches map[int]*Batch
	Last    int              // highest number of a batch
	Damage  []journal.Damage // what is no line
	// Lost are batches of which nobody knows the rows any more.
	Lost []int

	damaged int         // stretches of damage before the latest line
	sure    map[int]int // how many there were when the latest line of a batch was read
}

// Read reads the log of this name; one that is not there is empty. Damage is
// skipped. A batch may then look less far than it is: where that could be taken
// for "was never created", its stage is [Creating].
func Read(fsys disk.FS, name string) (*Content, error) {
	c := &Content{Batches: map[int]*Batch{}, sure: map[int]int{}}
	f, err := fsys.Open(name, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	defer f.Close()
	return c, c.scan(f, name)
}

func (c *Content) scan(f disk.File, name string) error {
	err := journal.ScanLines(f, func(s journal.Span) error {
		why := "checksum"
		if s.Object != nil {
			why = c.line(s)
		}
		if why != "" {
			c.Damage = append(c.Damage, journal.Damage{Path: name, Off: s.Off, Bytes: bytes.Clone(s.Raw), Why: why,
				AtTail: true})
		}
		return nil
	})
	c.finish()
	return err
}

// line adds what one line says; it returns what is wrong with it, or "".
func (c *Content) line(s journal.Span) string {
	var l struct {
		line
		RunID string `json:"run_id"` // of the first line
		Off   int64  `json:"off"`    // of a torn line
		Bytes int64  `json:"bytes"`
	}
	if err := rawjson.Unmarshal(s.Object, &l); err != nil {
		return err.Error()
	}
	switch l.K {
	case kindHead:
		c.RunID = l.RunID
	case kindTorn:
		c.dismiss(l.Off, l.Off+l.Bytes)
	default:
		return c.step(&l.line)
	}
	c.good()
	return ""
}

// step adds a step of a batch.
func (c *Content) step(l *line) string {
	if l.Batch < 1 || l.Batch > maxNumber {
		return fmt.Sprintf("there is no batch %d", l.Batch)
	}
	b := c.Batches[l.Batch]
	if b == nil {
		b = &Batch{N: l.Batch}
	}
	if why := b.apply(l); why != "" {
		return why
	}
	c.good()
	c.Batches[l.Batch] = b
	c.Last = max(c.Last, l.Batch)
	c.sure[l.Batch] = c.damaged
	return ""
}

// good notes that a line follows what was damaged before.
func (c *Content) good() {
	for i := len(c.Damage) - 1; i >= 0 && c.Damage[i].AtTail; i-- {
		c.Damage[i].AtTail = false
		c.damaged++
	}
}

// dismiss forgets damage of which a later process says that it was the end of
// the log when it came.
func (c *Content) dismiss(from, to int64) {
	c.Damage = slices.DeleteFunc(c.Damage, func(d journal.Damage) bool {
		return d.AtTail && d.Off >= from && d.Off+int64(len(d.Bytes)) <= to
	})
}

// finish draws the conclusions from what is damaged.
func (c *Content) finish() {
	for n, b := range c.Batches {
		if b.Model == "" {
			c.Lost = append(c.Lost, n)
			delete(c.Batches, n)
			continue
		}
		if (b.Stage == Planned || b.Stage == Uploaded) && c.sure[n] < c.damaged {
			b.Stage = Creating
			b.Creating = b.PlannedAt
		}
	}
	slices.Sort(c.Lost)
}

// Paid reports whether something may have been paid for that is in no record.
func (c *Content) Paid() bool {
	for _, b := range c.Batches {
		if b.Away() || b.Sums.ExtraCost > 0 || b.Sums.Extras > 0 {
			return true
		}
	}
	return len(c.Lost) > 0
}

// List returns the batches by number.
func (c *Content) List() []*Batch {
	list := make([]*Batch, 0, len(c.Batches))
	for _, b := range c.Batches {
		list = append(list, b)
	}
	slices.SortFunc(list, func(a, b *Batch) int { return cmp.Compare(a.N, b.N) })
	return list
}

// A Log is the log of a run that is open for appending. Its file is made when
// the first batch is planned. Once a line could not be written nothing is
// written any more. It is safe for concurrent use.
type Log struct {
	fs    disk.FS
	name  string
	runID string
	host  string

	mu    sync.Mutex
	f     disk.File // nil until the first line
	named bool      // its directory has been synced
	dirty bool      // something is not durable
	err   error     // why nothing is written any more
}

// Open returns the log of this name, which the content was read from, for
// appending. Bytes at its end that were being written when a process ended are
// closed off; what was written and not synced by it is durable on return.
func Open(fsys disk.FS, name, runID, host string, c *Content) (*Log, error) {
	g := &Log{fs: fsys, name: name, runID: runID, host: host}
	if _, err := fsys.Size(name); errors.Is(err, fs.ErrNotExist) {
		return g, nil
	} else if err != nil {
		return g, err
	}
	if err := g.open(); err != nil {
		return g, err
	}
	var tail []journal.Damage
	for _, d := range c.Damage {
		if d.AtTail {
			tail = append(tail, d)
		}
	}
	if len(tail) > 0 {
		first, last := tail[0], tail[len(tail)-1]
		return g, g.write(torn{K: kindTorn, Off: first.Off, Bytes: last.Off + int64(len(last.Bytes)) - first.Off}, true)
	}
	return g, g.sync()
}

// open opens the file, and makes it when it is not there. What is added begins
// on a line of its own.
func (g *Log) open() error {
	f, err := g.fs.Open(g.name, os.O_RDWR|os.O_CREATE|os.O_APPEND)
	if err != nil {
		return err
	}
	g.f, g.dirty = f, true
	n, err := f.Length()
	if err != nil {
		return err
	}
	if n == 0 {
		return g.put(head{K: kindHead, RunID: g.runID})
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], n-1); err != nil {
		return err
	}
	if last[0] != '\n' {
		return disk.WriteFull(f, []byte{'\n'})
	}
	return nil
}

// put writes one line.
func (g *Log) put(v any) error {
	line, _, err := journal.EncodeLine(v)
	if err != nil {
		return err
	}
	g.dirty = true
	return disk.WriteFull(g.f, line)
}

// sync makes what was written durable, and the name of the file the first time.
func (g *Log) sync() error {
	if g.f == nil || !g.dirty {
		return nil
	}
	if err := g.f.Sync(); err != nil {
		return err
	}
	if !g.named {
		if err := g.fs.SyncDir(filepath.Dir(g.name)); err != nil {
			return err
		}
		g.named = true
	}
	g.dirty = false
	return nil
}

// write appends a line. Once that has failed the file is not trusted any more:
// what is in it is found out by the next start.
func (g *Log) write(v any, synced bool) error {
	if g.err != nil {
		return g.err
	}
	if g.f == nil {
		g.err = g.open()
	}
	if g.err == nil {
		g.err = g.put(v)
	}
	if l, ok := v.(*line); ok {
		disk.CrashPoint("batch." + l.K + ".written")
	}
	if g.err == nil && synced {
		g.err = g.sync()
	}
	if l, ok := v.(*line); ok && synced {
		disk.CrashPoint("batch." + l.K + ".synced")
	}
	return g.err
}

// append writes a step of a batch, and then adds it to the batch.
func (g *Log) append(b *Batch, l line) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	l.Batch, l.At = b.N, time.Now().UTC()
	if err := g.write(&l, synced(l.K)); err != nil {
		return err
	}
	if why := b.apply(&l); why != "" {
		return fmt.Errorf("batch %d: %s", b.N, why)
	}
	return nil
}

// Sync makes everything that was written durable.
func (g *Log) Sync() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = g.sync()
	}
	return g.err
}

// Close closes the file.
func (g *Log) Close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.f != nil {
		g.f.Close()
	}
}

// Planned logs a batch that was cut, whose input file is durable.
func (g *Log) Planned(b *Batch) error {
	if p := b.planned(); (&Batch{}).plan(p, time.Time{}) != "" {
		return fmt.Errorf("batch %d: %s", b.N, (&Batch{}).plan(p, time.Time{}))
	}
	return g.append(b, line{K: kindPlanned, Plan: b.planned()})
}

// Uploaded logs that the provider has the input file. Whatever was created from
// an earlier one is given up.
func (g *Log) Uploaded(b *Batch, f nightshift.BatchFile) error {
	return g.append(b, line{K: kindUploaded, File: &file{ID: f.ID, ExpiresAt: fit(f.ExpiresAt)}})
}

// Creating logs that a batch is about to be created, at this time of the server.
func (g *Log) Creating(b *Batch, server time.Time) error {
	return g.append(b, line{K: kindCreating, Plan: b.planned(), Create: &create{Server: fit(server), Host: g.host}})
}

// Created logs a batch of the provider that is this one.
func (g *Log) Created(b *Batch, r nightshift.Batch, adopted bool) error {
	return g.append(b, line{K: kindCreated, Remote: logged(r), Adopted: adopted})
}

// Suspects logs which batches of the provider may be this one.
func (g *Log) Suspects(b *Batch, ids []string) error {
	return g.append(b, line{K: kindSuspect, Suspects: ids})
}

// State logs how a batch of the provider stands, where that has changed.
func (g *Log) State(b *Batch, r nightshift.Batch) error {
	l := line{K: kindState, Remote: logged(r)}
	if i := b.find(r.ID); i >= 0 && same(logged(b.Remotes[i].Batch), l.Remote) {
		return nil
	}
	return g.append(b, l)
}

// same compares what the log says of two.
func same(a, b *remote) bool {
	x, errX := rawjson.Marshal(a)
	y, errY := rawjson.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// Cancel logs that a batch of the provider is about to be cancelled, and by
// whom.
func (g *Log) Cancel(b *Batch, id, by string) error {
	return g.append(b, line{K: kindCancel, ID: id, By: by})
}

// Ended logs that a batch of the provider has ended.
func (g *Log) Ended(b *Batch, r nightshift.Batch) error {
	return g.append(b, line{K: kindEnded, Remote: logged(r)})
}

// Fetched logs that the results are on the disk.
func (g *Log) Fetched(b *Batch, files []LocalFile) error {
	return g.append(b, line{K: kindFetched, Results: files})
}

// Collected logs what collecting came to. The journal of the shard is durable.
func (g *Log) Collected(b *Batch, s Sums) error {
	return g.append(b, line{K: kindCollected, Sums: &s})
}

// Closed logs that nothing is left to do.
func (g *Log) Closed(b *Batch, left string) error {
	return g.append(b, line{K: kindClosed, Left: left})
}
