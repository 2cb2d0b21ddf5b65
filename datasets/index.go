package datasets

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"

	"nightshift/datasets/internal/problem"
	"nightshift/datasets/internal/rowjson"
	"nightshift/datasets/internal/shape"
	"nightshift/datasets/internal/source"
	"nightshift/internal/words"
)

// The first pass: one goroutine cuts the files into batches, some check the
// rows of batches, and the caller's collects the results in order.

// An indexBatch is a batch on its way through the first pass.
type indexBatch struct {
	source.Batch
	file   int
	first  bool     // of all
	failed error    // why there is no more; there are no rows then
	found  findings // filled in by the checker
}

// findings is what the check of one batch found.
type findings struct {
	bad      []badRow
	ids      []uint64
	noID     int64
	excluded []bool // by the filter; nil when there is none
	rendered int    // rows on which the templates were tried
	failed   int    // of these, rows on which they failed
	target   bool   // some row has a target

	filterOK, filterFailed int // rows on which the filter could be evaluated, or not
	filterWhat             problem.Reason
}

type badRow struct {
	row int // in its batch
	problem.Reason
	template bool // found by rendering a template
}

// triedRows is how many rows of the first batch the templates are tried on; of
// later batches it is the first.
const triedRows = 5000

// A checker checks rows. It is not safe for concurrent use.
type checker struct {
	d *Dataset
	b *shape.Builder
}

func newChecker(d *Dataset) *checker { return &checker{d, shape.NewBuilder(d.rules, true)} }

func (c *checker) batch(b *indexBatch) {
	f := &b.found
	*f = findings{bad: f.bad[:0], ids: f.ids[:0], excluded: f.excluded[:0]}
	file := c.d.files[b.file]
	tried := 1
	if b.first {
		tried = triedRows
	}
	for i, sp := range b.Rows {
		r, bad := parse(c.b, file, sp, b.Text(sp))
		if !bad.Bad() {
			if !c.pass(f, i, len(b.Rows), r) {
				continue
			}
			bad = c.b.Check(r)
		}
		if bad.Bad() {
			f.bad = append(f.bad, badRow{i, bad, false})
			continue
		}
		c.id(f)
		f.target = f.target || c.b.HasTarget(r)
		if i < tried {
			c.try(f, i, r)
		}
	}
}

// pass reports whether the row passes the filter, and notes it when not.
func (c *checker) pass(f *findings, i, rows int, r rowjson.Row) bool {
	if !c.d.rules.HasFilter() {
		return true
	}
	pass, why := c.b.Passes(r)
	if why.Bad() {
		f.filterFailed++
		f.filterWhat = why
	} else {
		f.filterOK++
	}
	if pass {
		return true
	}
	if len(f.excluded) == 0 {
		f.excluded = slices.Grow(f.excluded, rows)[:rows]
		clear(f.excluded)
	}
	f.excluded[i] = true
	return false
}

func (c *checker) id(f *findings) {
	v := c.b.FoundID()
	if v.Kind == rowjson.Missing {
		f.noID++
		return
	}
	f.ids = append(f.ids, hashID(v))
}

// try renders the templates on a row that is otherwise good.
func (c *checker) try(f *findings, i int, r rowjson.Row) {
	bad, tried := c.b.Try(r)
	if tried {
		f.rendered++
	}
	if bad.Bad() {
		f.failed++
		f.bad = append(f.bad, badRow{i, bad, true})
	}
}

// index runs the first pass.
func (d *Dataset) index(ctx context.Context, p *problem.Problems) error {
	d.rules.Indexing(true)
	defer d.rules.Indexing(false)
	c := newCollector(d, p)
	defer c.ids.close()
	if err := d.scan(ctx, c); err != nil {
		return err
	}
	return c.finish(ctx)
}

// scan passes all batches of all files to the collector, in order.
func (d *Dataset) scan(ctx context.Context, c *collector) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	workers := max(2, runtime.GOMAXPROCS(0))
	free := make(chan *indexBatch, workers+3)
	for range cap(free) {
		free <- &indexBatch{}
	}
	work, order := make(chan job), make(chan job, cap(free))
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(order)
		defer close(work)
		send := func(b *indexBatch) {
			j := job{b, make(chan struct{})}
			order <- j
			work <- j
		}
		for i := range d.files { // one that breaks off ends nothing: all problems are listed together
			if !d.cutFile(ctx, i, free, send) {
				return
			}
		}
	})
	for range workers {
		check := newChecker(d)
		wg.Go(func() {
			for j := range work {
				check.batch(j.b)
				close(j.done)
			}
		})
	}
	var failed error
	for j := range order {
		<-j.done
		if failed == nil {
			if failed = c.add(j.b); failed != nil {
				cancel(failed)
			}
		}
		free <- j.b
	}
	wg.Wait()
	if failed != nil {
		return failed
	}
	return context.Cause(ctx)
}

// A job is a batch on its way to a checker.
type job struct {
	b    *indexBatch
	done chan struct{}
}

// cutFile cuts a file into batches and sends each. A file that breaks off says
// so in its last batch. It reports false when ctx ended.
func (d *Dataset) cutFile(ctx context.Context, file int, free <-chan *indexBatch, send func(*indexBatch)) bool {
	rows, err := d.reader.All(d.files[file])
	if err == nil {
		defer rows.Close() // read only: nothing can be lost
	}
	for first := file == 0; ; first = false {
		select {
		case b := <-free:
			if err == nil {
				err = rows.Next(&b.Batch)
			}
			b.file, b.first, b.failed = file, first, err
			if err != nil {
				b.Rows, b.Data, b.Blank = b.Rows[:0], b.Data[:0], 0
			}
			send(b)
		case <-ctx.Done():
			return false
		}
		if err != nil {
			return true
		}
	}
}

// A collector adds up what the checkers found.
type collector struct {
	d    *Dataset
	p    *problem.Problems
	ids  duplicateFinder
	h    hash.Hash
	raw  int64 // raw bytes in the open chunk
	open Chunk
	rows int64 // so far
	base int64 // of the current file
	end  int64 // of the current file's content so far
	file int

	versions []Version // whose ends are still to come
	border   bool      // the open chunk begins at the end of a version and has no row yet
	breaks   int       // line breaks since then
	last     byte      // of the data so far

	located  []located
	badCount int64
	passed   int64

	rendered, failed         int64
	filterOK, filterFailed   int64
	firstFailure, filterWhat problem.Reason
}

// A located row is a bad row with its place.
type located struct {
	problem.Reason
	template bool
	index    int64
	ordinal  int64 // among the rows that pass the filter
	file     int
	line     int64
}

// maxKept is how many bad rows are remembered with their places.
const maxKept = 20_000

func newCollector(d *Dataset, p *problem.Problems) *collector {
	return &collector{d: d, p: p, ids: duplicateFinder{dir: d.spec.Spool}, h: sha256.New(), open: Chunk{line: 1},
		versions: d.spec.Versions}
}

// add takes the next batch.
func (c *collector) add(b *indexBatch) error {
	c.enter(b.file)
	if b.failed == io.EOF {
		return nil
	}
	if b.failed != nil {
		c.p.Add(source.ProblemOf(c.d.files[b.file].Name, b.failed))
		return nil
	}
	f := &b.found
	c.d.info.Blank += b.Blank
	c.d.info.NoID += f.noID
	c.d.rules.SeenTarget = c.d.rules.SeenTarget || f.target
	c.count(f)
	if err := c.ids.add(f.ids); err != nil {
		return err
	}
	hashed, bad := 0, f.bad
	for i, sp := range b.Rows {
		hashed = c.version(b, hashed, i)
		if c.border {
			c.open.line = sp.Line - int64(c.breaks+newlines(b, hashed, int(sp.Start), c.d.files[b.file]))
			c.border = false
		} else if c.full(b, hashed, sp) {
			c.write(b, hashed, int(sp.Start))
			hashed = int(sp.Start)
			c.cut(c.base+c.position(b, i), sp.Line)
		}
		if len(bad) > 0 && bad[0].row == i {
			c.row(b, i, &bad[0])
			bad = bad[1:]
		} else {
			c.row(b, i, nil)
		}
	}
	hashed = c.version(b, hashed, len(b.Rows))
	if c.border {
		c.breaks += newlines(b, hashed, len(b.Data), c.d.files[b.file])
	}
	c.write(b, hashed, len(b.Data))
	c.end = b.Pos + inCountOf(c.d.files[b.file], len(b.Data), len(b.Rows))
	return nil
}

// write hashes a piece of a batch.
func (c *collector) write(b *indexBatch, from, to int) {
	if from >= to {
		return
	}
	c.h.Write(b.Data[from:to])
	c.raw += int64(to - from)
	c.last = b.Data[to-1]
}

// version ends the open chunk where a version ends, if that is between the rows
// i-1 and i of the batch, and returns up to where the data is hashed. A version
// that does not end between two rows, or not behind as many rows as it had, is
// none of this data: it is dropped, and comparing the chunks with those of
// before tells.
func (c *collector) version(b *indexBatch, hashed, i int) int {
	for len(c.versions) > 0 {
		s := c.versions[0]
		at, here := b.bytePlace(c.d.files[b.file], s.Length-c.base-b.Pos)
		if !here {
			return hashed
		}
		limit := int64(len(b.Data))
		if i < len(b.Rows) {
			limit = int64(b.Rows[i].Start)
		}
		if at > limit || at == limit && i == len(b.Rows) {
			return hashed
		}
		c.versions = c.versions[1:]
		if c.rows != s.Rows || at < int64(hashed) || i > 0 && at < int64(b.Rows[i-1].End) ||
			!c.betweenLines(b, hashed, int(at)) {
			continue
		}
		c.write(b, hashed, int(at))
		hashed = int(at)
		if c.open.Rows > 0 {
			c.cut(s.Length, 0)
			c.border, c.breaks = true, 0
		}
	}
	return hashed
}

// bytePlace is where a place of the file, counted from the batch's position,
// lies in the batch's data; negative when before it. here is false when it is
// behind this batch's rows.
func (b *indexBatch) bytePlace(f *source.File, at int64) (n int64, here bool) {
	if f.Format != source.Parquet || at < 0 {
		return at, true
	}
	if at >= int64(len(b.Rows)) {
		return 0, false
	}
	return int64(b.Rows[at].Start), true
}

// betweenLines reports whether a line ends or begins at this place of a batch,
// as far as the file has lines.
func (c *collector) betweenLines(b *indexBatch, hashed, at int) bool {
	if b.Pos == 0 && at == 0 || c.d.files[b.file].Format == source.Parquet {
		return true
	}
	before := c.last
	if at > hashed {
		before = b.Data[at-1]
	}
	return before == '\n' || at < len(b.Data) && (b.Data[at] == '\n' || b.Data[at] == '\r')
}

// newlines counts line breaks in a piece of a batch. Parquet has no lines.
func newlines(b *indexBatch, from, to int, f *source.File) int {
	if f.Format == source.Parquet || from >= to {
		return 0
	}
	return bytes.Count(b.Data[from:to], []byte{'\n'})
}

// position of a row in its file's own count.
func (c *collector) position(b *indexBatch, i int) int64 {
	return b.Pos + inCountOf(c.d.files[b.file], int(b.Rows[i].Start), i)
}

// inCountOf is a length in the file's own count.
func inCountOf(f *source.File, bytes, rows int) int64 {
	if f.Format == source.Parquet {
		return int64(rows)
	}
	return int64(bytes)
}

// full reports whether the row sp must begin a new chunk.
func (c *collector) full(b *indexBatch, hashed int, sp source.Span) bool {
	s := &c.d.spec
	return c.open.Rows >= s.ShardRows ||
		c.open.Rows > 0 && c.raw+int64(int(sp.End)-hashed) > s.ShardBytes
}

// row counts one row.
func (c *collector) row(b *indexBatch, i int, bad *badRow) {
	index := c.rows
	c.rows++
	c.open.Rows++
	if len(b.found.excluded) > 0 && b.found.excluded[i] {
		return
	}
	if only := c.d.spec.SelectRows; only != nil && !only(index) {
		return
	}
	ordinal := c.passed
	c.passed++
	c.open.passed++
	if bad == nil {
		return
	}
	c.badCount++
	if len(c.located) < maxKept {
		c.located = append(c.located, located{bad.Reason, bad.template, index, ordinal, b.file, b.Rows[i].Line})
	}
}

func (c *collector) count(f *findings) {
	c.rendered += int64(f.rendered)
	c.failed += int64(f.failed)
	c.filterOK += int64(f.filterOK)
	c.filterFailed += int64(f.filterFailed)
	if c.filterWhat.What == "" {
		c.filterWhat = f.filterWhat
	}
	for _, b := range f.bad {
		if b.template && c.firstFailure.What == "" {
			c.firstFailure = b.Reason
		}
	}
}

// cut ends the open chunk before the row at offset.
func (c *collector) cut(offset, line int64) {
	c.closeChunk(offset)
	c.open = Chunk{First: c.rows, Offset: offset, line: line}
	c.raw = 0
	c.h.Reset()
}

func (c *collector) closeChunk(offset int64) {
	c.open.Bytes = offset - c.open.Offset
	c.h.Sum(c.open.Hash[:0])
	c.d.chunks = append(c.d.chunks, c.open)
}

// enter moves on to a file.
func (c *collector) enter(file int) {
	for c.file < file {
		c.leave()
	}
}

func (c *collector) leave() {
	f := c.d.files[c.file]
	f.Base, f.Length = c.base, c.end
	c.base += c.end
	c.end = 0
	c.file++
}

// finish closes the books.
func (c *collector) finish(ctx context.Context) error {
	c.enter(len(c.d.files))
	if !c.border { // else nothing but blank lines came behind the last version
		c.closeChunk(c.base)
	}
	i := &c.d.info
	i.Rows, i.Bytes = c.rows, c.base
	i.Hash = hashOf(c.d.chunks)
	if c.rows == 0 && c.p.Total == 0 {
		c.p.Add(problem.Problem{File: c.d.files[0].Name, Row: -1, What: "there is no row"})
	}
	c.d.picked = c.d.spec.selection(c.d.chunks, c.passed)
	i.Selected = c.d.picked.total
	c.templates()
	c.badRows()
	if err := c.sameIDs(ctx); err != nil {
		return err
	}
	c.d.describe()
	return nil
}

// templates refuses templates that fail wherever they were tried: then the
// mistake is theirs, not the rows'.
func (c *collector) templates() {
	if c.filterFailed > 0 && c.filterOK == 0 {
		c.p.Add(c.d.ofTemplate(c.filterWhat))
	}
	if c.rendered == 0 || c.rendered > c.failed {
		return
	}
	c.p.Add(c.d.ofTemplate(c.firstFailure))
	before := len(c.located)
	c.located = slices.DeleteFunc(c.located, func(l located) bool { return l.template })
	c.badCount -= int64(before - len(c.located))
}

// ofTemplate is the problem of a template that fails on all rows as on one.
func (d *Dataset) ofTemplate(why problem.Reason) problem.Problem {
	at, fields := d.spec.Written[why.Template], "the fields are "+strings.Join(d.info.Fields, ", ")
	return problem.Problem{File: at.File, Line: at.At(why.Line), Row: -1, What: why.What, Hint: cmp.Or(why.Hint, fields)}
}

// badRows counts and lists the bad rows among those selected.
func (c *collector) badRows() {
	i := &c.d.info
	var list problem.Problems
	for _, l := range c.located {
		if c.d.picked.has(l.ordinal) {
			list.Add(problem.Problem{File: c.d.files[l.file].Name, Line: l.line, Row: l.index, What: l.What,
				Hint: l.Hint})
		}
	}
	if !c.d.picked.partial {
		list.Total = c.badCount
	}
	i.Bad = list.Total
	i.Problems = list
	if c.d.spec.OnBadRow == "refuse" {
		c.p.Merge(list)
	}
}

// sameIDs looks for ids that occur twice.
func (c *collector) sameIDs(ctx context.Context) error {
	repeats, suspects, err := c.ids.find()
	if err != nil || repeats == 0 {
		return err
	}
	list, err := c.d.confirm(ctx, suspects)
	if err != nil {
		return err
	}
	if list == nil {
		return nil // different ids with the same hash
	}
	c.d.info.SameIDs = repeats
	duplicates := problem.Problems{List: list, Total: repeats}
	c.d.info.Problems.Merge(duplicates)
	if !c.d.spec.AllowDuplicateIDs {
		c.p.Merge(duplicates)
	}
	return nil
}

// confirm reads the rows again for the first ids that really occur twice.
func (d *Dataset) confirm(ctx context.Context, suspects []uint64) ([]problem.Problem, error) {
	wanted := make(map[uint64]struct{}, len(suspects))
	for _, id := range suspects {
		wanted[id] = struct{}{}
	}
	type place struct {
		file int
		line int64
	}
	seen := map[string]place{}
	var list []problem.Problem
	b := shape.NewBuilder(d.rules, true)
	for i, f := range d.files {
		err := d.eachRow(ctx, f, func(sp source.Span, raw []byte) bool {
			r, c := parse(b, f, sp, raw)
			if c.Bad() {
				return true
			}
			v, _, c := b.ID(r)
			if _, ok := wanted[hashID(v)]; c.Bad() || !ok {
				return true
			}
			key := v.Text()
			first, again := seen[key]
			if !again {
				seen[key] = place{i, sp.Line}
				return true
			}
			list = append(list, problem.Problem{File: f.Name, Line: sp.Line, Row: -1,
				What: "the id " + words.Quote(v.Text()) + " again",
				Hint: fmt.Sprintf("first at %s:%d; ids must differ, as texts too; --allow-duplicate-ids "+
					"(allow_duplicate_ids: true) takes them, rows are then told apart by their index",
					d.files[first.file].Name, first.line)})
			return len(list) < shownSameIDs
		})
		if err != nil {
			return nil, err
		}
		if len(list) >= shownSameIDs {
			break
		}
	}
	return list, nil
}

// eachRow reads a file in order until do returns false.
func (d *Dataset) eachRow(ctx context.Context, f *source.File, do func(source.Span, []byte) bool) error {
	rows, err := d.reader.All(f)
	if err != nil {
		return err
	}
	return eachBatch(ctx, rows, func(b *source.Batch) bool {
		for _, r := range b.Rows {
			if !do(r, b.Text(r)) {
				return false
			}
		}
		return true
	})
}

// eachBatch reads rows in order until do returns false, and closes them.
func eachBatch(ctx context.Context, rows *source.Rows, do func(*source.Batch) bool) error {
	defer rows.Close()
	var b source.Batch
	for ctx.Err() == nil {
		if err := rows.Next(&b); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if !do(&b) {
			return nil
		}
	}
	return ctx.Err()
}
