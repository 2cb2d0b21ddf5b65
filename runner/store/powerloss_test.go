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
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/internal/testdata/storetest"
	"nightshift/runner/store/view"
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
	return 400
}

// client is a run as the runner would do it: every open item is announced,
// "sent", and put on record. It keeps book of what was acknowledged.
type client struct {
	id      Identity
	short   *Identity // the run begins with this one and is extended to id; nil is no extension
	half    bool      // it is extended while its shards are open
	opts    Options
	mu      sync.Mutex
	acked   map[string]string // item → text of its record
	read    map[string]string // the same, from when the answer was read
	sent    map[string]int
	resent  []string // acknowledged items that were sent again
	process int
	current *Run     // while it is open
	durable int64    // rows that Totals had counted
	batched *batched // nil when everything is sent live
}

func newClient(id Identity, o Options) *client {
	o.ReserveFile = 64
	o.pace = 100 * time.Microsecond
	o.grow = cmp.Or(o.grow, 1)
	return &client{id: id, opts: o, acked: map[string]string{}, read: map[string]string{}, sent: map[string]int{}}
}

// fork is the client's book at this moment.
func (c *client) fork() *client {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := newClient(c.id, c.opts)
	f.short, f.half, f.batched = c.short, c.half, c.batched.clone()
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
func (c *client) run(fsys disk.FS) error {
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
func (c *client) present(fsys disk.FS) *Identity {
	v, err := rundir.Read(fsys, crashDir)
	if c.short != nil && (err != nil || len(v.Info.Chunks) == len(c.short.Chunks)) {
		return c.short
	}
	return &c.id
}

func (c *client) extend(fsys disk.FS) error {
	o := c.opts
	o.fs = fsys
	return Extend(crashDir, o, grown(newRows(c.id)))
}

// pass goes through all shards, or through a half of each and leaves it open.
func (c *client) pass(fsys disk.FS, id Identity, half bool) error {
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
			if c.batched != nil && !half {
				if err := c.batchShard(r, m, n); err != nil {
					return err
				}
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
	if c.batched != nil {
		if err := c.closeBatches(r); err != nil {
			return err
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
	rec := storetest.Record(model, row, epoch)
	rec.Text = storetest.Ptr(fmt.Sprintf("answer %s by process %d", name, c.process))
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
func (c *client) check(fsys disk.FS) error {
	type row struct {
		Model string  `parquet:"model,dict"`
		Row   int64   `parquet:"row"`
		Epoch int32   `parquet:"epoch"`
		Text  *string `parquet:"text,optional"`
	}
	found := map[string]string{}
	if _, err := disk.ReadAll(fsys, path.Join(crashDir, rundir.RunFile)); err == nil {
		for r, err := range view.Rows[row](crashDir, view.ReadOptions{FS: fsys}) {
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
	return c.checkBatches(fsys)
}

// sabotage changes the operations that the store asks for: a deliberate
// mistake in their order.
type sabotage func(disk.FS) disk.FS

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
	if seed%2 == 0 {
		c.batched = newBatched()
	}
	mem := storetest.NewFS()
	return c.trial(mem, wreck, rng, 0, most)
}

// extended is the identity of a run to whose dataset a shard or two were added.
func extended(id Identity) Identity {
	more := id
	more.DatasetHash, more.Chunks = "longer", slices.Clone(id.Chunks)
	for n := range 2 {
		more.Chunks = append(more.Chunks, rundir.Chunk{First: more.DatasetRows, Rows: 2, Hash: [32]byte{byte(n)}})
		more.DatasetRows += 2
	}
	return more
}

type aftermath struct {
	mem  *storetest.MemFS
	book *client
	at   string
}

func (c *client) trial(mem *storetest.MemFS, wreck sabotage, rng *rand.Rand, depth, most int) (points int, err error) {
	var states []aftermath
	share := 3 << depth
	mem.Before = func(op, name string) (int, error) {
		if op == "read" || op == "readat" || op == "stat" || op == "list" || op == "open" || op == "free" {
			return 0, nil // changes nothing, so the state is that of the next change
		}
		if rng.IntN(share) == 0 {
			states = append(states, aftermath{mem.Crash(rng), c.fork(), op + " " + name})
		}
		return 0, nil
	}
	var fsys disk.FS = mem
	if wreck != nil {
		fsys = wreck(mem)
	}
	if err := c.run(fsys); err != nil {
		return points, fmt.Errorf("undisturbed: %w", err)
	}
	mem.Before = nil
	if err := c.check(mem); err != nil {
		return points, fmt.Errorf("at the end: %w", err)
	}
	rng.Shuffle(len(states), func(i, j int) { states[i], states[j] = states[j], states[i] })
	for _, s := range states {
		if points >= most {
			break
		}
		points++
		if err := s.book.check(s.mem.Clone()); err != nil {
			return points, fmt.Errorf("power failed at %q: %w", s.at, err)
		}
		var n int
		if depth < 2 && rng.IntN(4) == 0 {
			n, err = s.book.trial(s.mem, wreck, rng, depth+1, most-points)
		} else if rng.IntN(4) == 0 {
			err = s.book.finish(s.mem, wreck)
		} else {
			err = s.book.reopen(s.mem, wreck)
		}
		points += n
		if err != nil {
			return points, fmt.Errorf("power failed at %q, then: %w", s.at, err)
		}
	}
	return points, nil
}

// finish runs what is left, without further failures.
func (c *client) finish(mem *storetest.MemFS, wreck sabotage) error {
	var fsys disk.FS = mem
	if wreck != nil {
		fsys = wreck(mem)
	}
	if err := c.run(fsys); err != nil {
		return err
	}
	if err := c.check(mem); err != nil {
		return err
	}
	rep, err := view.VerifyOn(mem, crashDir, false, nil)
	if err == nil && (!rep.OK() || rep.Recorded != rep.Items) {
		err = fmt.Errorf("verify: %d of %d recorded, %v", rep.Recorded, rep.Items, rep.Problems)
	}
	return err
}

// reopen opens the run and looks which rows it would send.
func (c *client) reopen(mem *storetest.MemFS, wreck sabotage) error {
	o := c.opts
	o.fs = mem
	if wreck != nil {
		o.fs = wreck(mem)
	}
	id := c.present(mem)
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
		n, err := powerTrial(seed, nil, min(want-points, 40)) // many kinds of run rather than one to its last state
		points += n
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	t.Logf("%d power failures, 0 acknowledged rows lost, 0 sent again", points)
}

// wrecked changes some operations of a file system.
type wrecked struct {
	disk.FS
	openHook    func(name string, flag int) (disk.File, error)
	publishHook func(from, to string) error
	syncDirHook func(dir string) error
	replaceHook func(from, to string) error
}

func (w wrecked) Open(name string, flag int) (disk.File, error) {
	if w.openHook != nil {
		return w.openHook(name, flag)
	}
	return w.FS.Open(name, flag)
}

func (w wrecked) Publish(from, to string) error {
	if w.publishHook != nil {
		return w.publishHook(from, to)
	}
	return w.FS.Publish(from, to)
}

func (w wrecked) SyncDir(dir string) error {
	if w.syncDirHook != nil {
		return w.syncDirHook(dir)
	}
	return w.FS.SyncDir(dir)
}

func (w wrecked) Replace(from, to string) error {
	if w.replaceHook != nil {
		return w.replaceHook(from, to)
	}
	return w.FS.Replace(from, to)
}

// unsynced is a file whose Sync does nothing.
type unsynced struct{ disk.File }

func (unsynced) Sync() error { return nil }

// withoutSync forgets the Sync of files whose path contains part.
func withoutSync(parquetFile string) sabotage {
	return func(under disk.FS) disk.FS {
		return wrecked{FS: under, openHook: func(name string, flag int) (disk.File, error) {
			f, err := under.Open(name, flag)
			if err == nil && strings.Contains(name, parquetFile) && flag&os.O_CREATE != 0 {
				f = unsynced{f}
			}
			return f, err
		}}
	}
}

// withoutDirSync forgets to sync a directory.
func withoutDirSync(dir string) sabotage {
	return func(under disk.FS) disk.FS {
		return wrecked{FS: under, syncDirHook: func(d string) error {
			if path.Base(d) == dir {
				return nil
			}
			return under.SyncDir(d)
		}}
	}
}

func exists(fsys disk.FS, name string) bool {
	_, err := fsys.Size(name)
	return err == nil
}

// removeJournals deletes the journal files of the shard whose part is name.
func removeJournals(under disk.FS, name string) {
	slug, shard, _, _ := rundir.ParseParquetFileName(path.Base(name))
	names, _ := under.List(path.Join(crashDir, rundir.JournalDir))
	for _, n := range names {
		if id, ok := rundir.ParseJournalName(n); ok && id.Slug == slug && id.Shard == shard {
			under.Remove(path.Join(crashDir, rundir.JournalDir, n))
		}
	}
}

// Every deliberate mistake in the order of operations must be noticed by the
// same test that finds none in the store.
func TestPowerLossFindsMistakes(t *testing.T) {
	mistakes := map[string]sabotage{
		"part not synced":                        withoutSync("/tmp/m"),
		"results directory not synced":           withoutDirSync(rundir.ResultsDir),
		"journal directory not synced":           withoutDirSync(rundir.JournalDir),
		"journal not synced before acknowledged": withoutSync("/journal/"),
		"run.json not synced before its rename":  withoutSync("/tmp/run.json"),
		"units not synced before their rename":   withoutSync("/tmp/units.jsonl"),
		"log of batches not synced":              withoutSync("/" + rundir.BatchLogFile),
		"input file of a batch not synced":       withoutSync(".in.jsonl"),
		"results of a batch not synced":          withoutSync(".out1.jsonl"),
		"folder of batches not synced":           withoutDirSync(rundir.BatchesDir),
		"run.json extended before the shards": func(under disk.FS) disk.FS {
			return wrecked{FS: under, replaceHook: func(from, to string) error {
				if path.Base(to) == rundir.ShardsFile && exists(under, path.Join(crashDir, rundir.RunFile)) {
					return errors.Join(under.Replace(from, to+".late"))
				}
				err := under.Replace(from, to)
				if late := path.Join(crashDir, rundir.ShardsFile) + ".late"; err == nil &&
					path.Base(to) == rundir.RunFile && exists(under, late) {
					for range 6 { // so that the power often fails just there
						err = errors.Join(err, under.SyncDir(crashDir))
					}
					err = errors.Join(err, under.Replace(late, path.Join(crashDir, rundir.ShardsFile)))
				}
				return err
			}}
		},
		"journal removed before the part is published": func(under disk.FS) disk.FS {
			return wrecked{FS: under, publishHook: func(from, to string) error {
				removeJournals(under, to)
				return under.Publish(from, to)
			}}
		},
		"journal removed before the part's name is synced": func(under disk.FS) disk.FS {
			return wrecked{FS: under, publishHook: func(from, to string) error {
				err := under.Publish(from, to)
				removeJournals(under, to)
				// The removal reaches the disk first.
				return errors.Join(err, under.SyncDir(path.Join(crashDir, rundir.JournalDir)))
			}}
		},
		"part written under its final name, journal removed at its end": func(under disk.FS) disk.FS {
			return wrecked{FS: under, openHook: func(name string, flag int) (disk.File, error) {
				if base := path.Base(name); strings.Contains(name, "/tmp/m") && flag&os.O_EXCL != 0 {
					parquetFile := base[:strings.LastIndexByte(base, '.')]
					f, err := under.Open(path.Join(crashDir, rundir.ResultsDir, parquetFile), flag)
					removeJournals(under, parquetFile)
					return f, err
				}
				return under.Open(name, flag)
			}, publishHook: func(from, to string) error { return nil }}
		},
	}
	for name, wreck := range mistakes {
		t.Run(name, func(t *testing.T) {
			for seed := uint64(1); seed <= 300; seed++ { // many kinds of run rather than one to its last state
				if _, found := powerTrial(seed, wreck, 50); found != nil {
					t.Logf("seed %d: %v", seed, found)
					return
				}
			}
			t.Errorf("no power failure showed the mistake")
		})
	}
}

func itemName(model string, row int64, epoch int) string {
	return fmt.Sprintf("%s/%d/%d", model, row, epoch)
}
