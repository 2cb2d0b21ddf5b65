package store

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"nightshift"
)

// The power-loss tests run the store on memFS. Before every operation of the
// store the power may fail; what is then on the disk must hold every record
// that was acknowledged, and a run that goes on from there must not send such
// a row again.

const crashDir = "/runs/a"

// crashPoints is how many power failures are tried: NIGHTSHIFT_CRASH_POINTS,
// or few enough for every test run.
func crashPoints(t testing.TB) int {
	if s := os.Getenv("NIGHTSHIFT_CRASH_POINTS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("NIGHTSHIFT_CRASH_POINTS=%q: %v", s, err)
		}
		return n
	}
	return 600
}

// client is a run as the runner would do it: every open item is announced,
// "sent", and put on record. It keeps book of what was acknowledged.
type client struct {
	id      Identity
	short   *Identity // the run begins with this one and is extended to id; nil is no extension
	half    bool      // it is extended while its units are open
	opts    Options
	mu      sync.Mutex
	acked   map[string]string // item → text of its record
	read    map[string]string // the same, from when the answer was read
	sent    map[string]int
	resent  []string // acknowledged items that were sent again
	process int
	current *Run  // while it is open
	durable int64 // rows that Totals had counted
}

func newClient(id Identity, o Options) *client {
	o.ReserveFile = 64
	o.pace = 100 * time.Microsecond
	o.grow = cmp.Or(o.grow, 1)
	return &client{id: id, opts: o, acked: map[string]string{}, read: map[string]string{}, sent: map[string]int{}}
}

func itemName(model string, row int64, epoch int) string {
	return fmt.Sprintf("%s/%d/%d", model, row, epoch)
}

// fork is the client's book at this moment.
func (c *client) fork() *client {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := newClient(c.id, c.opts)
	f.short, f.half = c.short, c.half
	for k, v := range c.acked {
		f.acked[k] = v
	}
	f.process, f.durable = c.process, c.durable
	if c.current != nil {
		f.durable = c.current.Totals().Sum().Rows
	}
	return f
}

// run goes through the whole run, or to the first error.
func (c *client) run(fsys fileSystem) error {
	c.process++
	if id := c.present(fsys); id == c.short {
		if err := c.pass(fsys, *id, c.half); err != nil {
			return err
		}
		if err := c.extend(fsys); err != nil {
			return err
		}
	}
	return c.pass(fsys, c.id, false)
}

// present is the identity that the run on the disk has, or gets.
func (c *client) present(fsys fileSystem) *Identity {
	v, err := openView(fsys, crashDir)
	if c.short != nil && (err != nil || len(v.info.Chunks) == len(c.short.Chunks)) {
		return c.short
	}
	return &c.id
}

func (c *client) extend(fsys fileSystem) error {
	o := c.opts
	o.fs = fsys
	return Extend(crashDir, o, grown(newRows(c.id)))
}

// pass goes through all units, or through a half of each and leaves it open.
func (c *client) pass(fsys fileSystem, id Identity, half bool) error {
	o := c.opts
	o.fs = fsys
	r, err := Open(crashDir, id, o)
	if err != nil {
		return err
	}
	c.setCurrent(r)
	defer c.setCurrent(nil)
	defer r.Close("stopped: test")
	for _, m := range id.Models {
		for n := range id.Chunks {
			if r.Committed(m, n) {
				continue
			}
			u, err := r.OpenShard(m, n)
			if err != nil {
				return err
			}
			if err := c.shard(u, m, half); err != nil {
				return err
			}
		}
	}
	return r.Close("finished")
}

func (c *client) setCurrent(r *Run) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current = r
}

func (c *client) shard(u *Shard, model string, half bool) error {
	s := u.Chunk()
	var wg sync.WaitGroup
	errs := make(chan error, s.Rows*int64(c.id.Epochs))
	for row := s.First; row < s.First+s.Rows; row++ {
		for e := range c.id.Epochs {
			if u.Done(row, e) || half && (row+int64(e))%2 == 1 {
				continue
			}
			wg.Go(func() { errs <- c.item(u, model, row, e) })
		}
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	if half {
		return nil
	}
	return u.Commit()
}

func (c *client) item(u *Shard, model string, row int64, epoch int) error {
	name := itemName(model, row, epoch)
	history := u.History(row, epoch)
	n := len(history) + 1
	w := u.AttemptLog(row, epoch)
	if (row+int64(epoch))%3 == 0 {
		if err := w.Sending(nightshift.Intent{Attempt: n, WorstTokens: 9, WorstCost: 9}); err != nil {
			return err
		}
		if err := w.Failed(nightshift.Attempt{N: n, Class: nightshift.ClassOverloaded}); err != nil {
			return err
		}
		n++
	}
	if err := w.Sending(nightshift.Intent{Attempt: n, WorstTokens: 9, WorstCost: 9}); err != nil {
		return err
	}
	c.mu.Lock()
	if _, ok := c.acked[name]; ok {
		c.resent = append(c.resent, name)
	}
	c.sent[name]++
	c.mu.Unlock()
	rec := record(model, row, epoch)
	rec.Text = ptr(fmt.Sprintf("answer %s by process %d", name, c.process))
	rec.Attempts = int32(n)
	c.mu.Lock()
	c.read[name] = *rec.Text
	c.mu.Unlock()
	if err := u.Put(rec); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opts.Strict {
		c.acked[name] = *rec.Text
	}
	return nil
}

// check compares what is on the disk with the book.
func (c *client) check(fsys fileSystem) error {
	type row struct {
		Model string  `parquet:"model,dict"`
		Row   int64   `parquet:"row"`
		Epoch int32   `parquet:"epoch"`
		Text  *string `parquet:"text,optional"`
	}
	found := map[string]string{}
	if _, err := readAll(fsys, path.Join(crashDir, runFile)); err == nil {
		for r, err := range Rows[row](crashDir, ReadOptions{fs: fsys}) {
			if err != nil {
				return fmt.Errorf("reading: %w", err)
			}
			name := itemName(r.Model, r.Row, int(r.Epoch))
			if _, twice := found[name]; twice {
				return fmt.Errorf("%s is there twice", name)
			}
			found[name] = *r.Text
		}
	}
	for name, text := range c.acked {
		got, ok := found[name]
		if !ok {
			return fmt.Errorf("acknowledged %s is lost", name)
		}
		if got != text {
			return fmt.Errorf("acknowledged %s reads %q, was %q", name, got, text)
		}
	}
	if int64(len(found)) < c.durable {
		return fmt.Errorf("%d rows were counted as durable, %d are there", c.durable, len(found))
	}
	if len(c.resent) > 0 {
		return fmt.Errorf("acknowledged rows were sent again: %v", c.resent)
	}
	return nil
}

// sabotage changes the operations that the store asks for: a deliberate
// mistake in their order.
type sabotage func(fileSystem) fileSystem

// powerTrial runs one run from begin to end with power failures, and returns
// how many it tried. Of the states after a failure some are run on, and fail
// again.
func powerTrial(seed uint64, wreck sabotage, most int) (points int, err error) {
	rng := rand.New(rand.NewPCG(seed, 1))
	id := identity(1+rng.IntN(2), 1+rng.IntN(2), int64(1+rng.IntN(4)), 1+rng.IntN(2))
	c := newClient(id, Options{Strict: seed%4 > 0, grow: 1 + rng.IntN(3), keep: int64(rng.IntN(8 << 10))})
	if rng.IntN(2) == 0 {
		c.id, c.short, c.half = extended(id), &id, rng.IntN(2) == 0
	}
	disk := newMemFS()
	return c.trial(disk, wreck, rng, 0, most)
}

// extended is the identity of a run to whose dataset a unit or two were added.
func extended(id Identity) Identity {
	more := id
	more.DatasetHash, more.Chunks = "longer", slices.Clone(id.Chunks)
	for n := range 2 {
		more.Chunks = append(more.Chunks, Chunk{First: more.DatasetRows, Rows: 2, Hash: [32]byte{byte(n)}})
		more.DatasetRows += 2
	}
	return more
}

type aftermath struct {
	disk *memFS
	book *client
	at   string
}

func (c *client) trial(disk *memFS, wreck sabotage, rng *rand.Rand, depth, most int) (points int, err error) {
	var states []aftermath
	share := 3 << depth
	disk.before = func(op, name string) (int, error) {
		if op == "read" || op == "readat" || op == "stat" || op == "list" || op == "open" || op == "free" {
			return 0, nil // changes nothing, so the state is that of the next change
		}
		if rng.IntN(share) == 0 {
			states = append(states, aftermath{disk.crash(rng), c.fork(), op + " " + name})
		}
		return 0, nil
	}
	var fsys fileSystem = disk
	if wreck != nil {
		fsys = wreck(disk)
	}
	if err := c.run(fsys); err != nil {
		return points, fmt.Errorf("undisturbed: %w", err)
	}
	disk.before = nil
	if err := c.check(disk); err != nil {
		return points, fmt.Errorf("at the end: %w", err)
	}
	for _, s := range states {
		if points >= most {
			break
		}
		points++
		if err := s.book.check(s.disk.clone()); err != nil {
			return points, fmt.Errorf("power failed at %q: %w", s.at, err)
		}
		var n int
		if depth < 2 && rng.IntN(4) == 0 {
			n, err = s.book.trial(s.disk, wreck, rng, depth+1, most-points)
		} else if rng.IntN(4) == 0 {
			err = s.book.finish(s.disk, wreck)
		} else {
			err = s.book.reopen(s.disk, wreck)
		}
		points += n
		if err != nil {
			return points, fmt.Errorf("power failed at %q, then: %w", s.at, err)
		}
	}
	return points, nil
}

// finish runs what is left, without further failures.
func (c *client) finish(disk *memFS, wreck sabotage) error {
	var fsys fileSystem = disk
	if wreck != nil {
		fsys = wreck(disk)
	}
	if err := c.run(fsys); err != nil {
		return err
	}
	if err := c.check(disk); err != nil {
		return err
	}
	rep, err := verify(disk, crashDir, false, nil)
	if err == nil && (!rep.OK() || rep.Recorded != rep.Items) {
		err = fmt.Errorf("verify: %d of %d recorded, %v", rep.Recorded, rep.Items, rep.Problems)
	}
	return err
}

// reopen opens the run and looks which rows it would send.
func (c *client) reopen(disk *memFS, wreck sabotage) error {
	o := c.opts
	o.fs = disk
	if wreck != nil {
		o.fs = wreck(disk)
	}
	id := c.present(disk)
	r, err := Open(crashDir, *id, o)
	if err != nil {
		return err
	}
	defer r.Close("stopped: test")
	for _, m := range id.Models {
		for n, s := range id.Chunks {
			if r.Committed(m, n) {
				continue
			}
			u, err := r.OpenShard(m, n)
			if err != nil {
				return err
			}
			for row := s.First; row < s.First+s.Rows; row++ {
				for e := range c.id.Epochs {
					if _, acked := c.acked[itemName(m, row, e)]; acked && !u.Done(row, e) {
						return fmt.Errorf("acknowledged row %d epoch %d of %s would be sent again", row, e, m)
					}
				}
			}
		}
	}
	return nil
}

func TestPowerLoss(t *testing.T) {
	want := crashPoints(t)
	points := 0
	for seed := uint64(1); points < want; seed++ {
		n, err := powerTrial(seed, nil, want-points)
		points += n
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	t.Logf("%d power failures, 0 acknowledged rows lost, 0 sent again", points)
}

// wrecked changes some operations of a file system.
type wrecked struct {
	fileSystem
	openHook    func(name string, flag int) (file, error)
	publishHook func(from, to string) error
	syncDirHook func(dir string) error
	replaceHook func(from, to string) error
}

func (w wrecked) open(name string, flag int) (file, error) {
	if w.openHook != nil {
		return w.openHook(name, flag)
	}
	return w.fileSystem.open(name, flag)
}

func (w wrecked) publish(from, to string) error {
	if w.publishHook != nil {
		return w.publishHook(from, to)
	}
	return w.fileSystem.publish(from, to)
}

func (w wrecked) syncDir(dir string) error {
	if w.syncDirHook != nil {
		return w.syncDirHook(dir)
	}
	return w.fileSystem.syncDir(dir)
}

func (w wrecked) replace(from, to string) error {
	if w.replaceHook != nil {
		return w.replaceHook(from, to)
	}
	return w.fileSystem.replace(from, to)
}

// unsynced is a file whose Sync does nothing.
type unsynced struct{ file }

func (unsynced) Sync() error { return nil }

// withoutSync forgets the Sync of files whose path contains part.
func withoutSync(parquetFile string) sabotage {
	return func(under fileSystem) fileSystem {
		return wrecked{fileSystem: under, openHook: func(name string, flag int) (file, error) {
			f, err := under.open(name, flag)
			if err == nil && strings.Contains(name, parquetFile) && flag&os.O_CREATE != 0 {
				f = unsynced{f}
			}
			return f, err
		}}
	}
}

// withoutDirSync forgets to sync a directory.
func withoutDirSync(dir string) sabotage {
	return func(under fileSystem) fileSystem {
		return wrecked{fileSystem: under, syncDirHook: func(d string) error {
			if path.Base(d) == dir {
				return nil
			}
			return under.syncDir(d)
		}}
	}
}

func exists(fsys fileSystem, name string) bool {
	_, err := fsys.size(name)
	return err == nil
}

// removeJournals deletes the journal files of the unit whose part is name.
func removeJournals(under fileSystem, name string) {
	slug, shard, _, _ := parseParquetFileName(path.Base(name))
	names, _ := under.list(path.Join(crashDir, journalDir))
	for _, n := range names {
		if id, ok := parseJournalName(n); ok && id.slug == slug && id.shard == shard {
			under.remove(path.Join(crashDir, journalDir, n))
		}
	}
}

// Every deliberate mistake in the order of operations must be noticed by the
// same test that finds none in the store.
func TestPowerLossFindsMistakes(t *testing.T) {
	mistakes := map[string]sabotage{
		"part not synced":                        withoutSync("/tmp/m"),
		"results directory not synced":           withoutDirSync(resultsDir),
		"journal directory not synced":           withoutDirSync(journalDir),
		"journal not synced before acknowledged": withoutSync("/journal/"),
		"run.json not synced before its rename":  withoutSync("/tmp/run.json"),
		"units not synced before their rename":   withoutSync("/tmp/units.jsonl"),
		"run.json extended before the units": func(under fileSystem) fileSystem {
			return wrecked{fileSystem: under, replaceHook: func(from, to string) error {
				if path.Base(to) == shardsFile && exists(under, path.Join(crashDir, runFile)) {
					return errors.Join(under.replace(from, to+".late"))
				}
				err := under.replace(from, to)
				if late := path.Join(crashDir, shardsFile) + ".late"; err == nil && path.Base(to) == runFile && exists(under, late) {
					for range 6 { // so that the power often fails just there
						err = errors.Join(err, under.syncDir(crashDir))
					}
					err = errors.Join(err, under.replace(late, path.Join(crashDir, shardsFile)))
				}
				return err
			}}
		},
		"journal removed before the part is published": func(under fileSystem) fileSystem {
			return wrecked{fileSystem: under, publishHook: func(from, to string) error {
				removeJournals(under, to)
				return under.publish(from, to)
			}}
		},
		"journal removed before the part's name is synced": func(under fileSystem) fileSystem {
			return wrecked{fileSystem: under, publishHook: func(from, to string) error {
				err := under.publish(from, to)
				removeJournals(under, to)
				// The removal reaches the disk first.
				return errors.Join(err, under.syncDir(path.Join(crashDir, journalDir)))
			}}
		},
		"part written under its final name, journal removed at its end": func(under fileSystem) fileSystem {
			return wrecked{fileSystem: under, openHook: func(name string, flag int) (file, error) {
				if base := path.Base(name); strings.Contains(name, "/tmp/m") && flag&os.O_EXCL != 0 {
					parquetFile := base[:strings.LastIndexByte(base, '.')]
					f, err := under.open(path.Join(crashDir, resultsDir, parquetFile), flag)
					removeJournals(under, parquetFile)
					return f, err
				}
				return under.open(name, flag)
			}, publishHook: func(from, to string) error { return nil }}
		},
	}
	for name, wreck := range mistakes {
		t.Run(name, func(t *testing.T) {
			for seed := uint64(1); seed <= 60; seed++ {
				if _, found := powerTrial(seed, wreck, 300); found != nil {
					t.Logf("seed %d: %v", seed, found)
					return
				}
			}
			t.Errorf("no power failure showed the mistake")
		})
	}
}
