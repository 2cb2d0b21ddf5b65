package datasets

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// The first pass: one goroutine cuts the files into batches, some check the
// rows of batches, and the caller's collects the results in order.

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
	filterWhat             rowError
}

type badRow struct {
	row int // in its batch
	rowError
	template bool // found by rendering a template
}

// triedRows is how many rows of the first batch the templates are tried on; of
// later batches it is the first.
const triedRows = 5000

// A checker checks rows. It is not safe for concurrent use.
type checker struct {
	d *Dataset
	b builder // checks only
	t builder // builds whole samples, to try the templates
}

func newChecker(d *Dataset) *checker {
	return &checker{d: d, b: builder{rules: d.rules, check: true}, t: builder{rules: d.rules}}
}

func (c *checker) batch(b *batch) {
	f := &b.found
	*f = findings{bad: f.bad[:0], ids: f.ids[:0], excluded: f.excluded[:0]}
	file := c.d.files[b.file]
	tried := 1
	if b.seq == 0 {
		tried = triedRows
	}
	for i, sp := range b.rows {
		r, bad := c.d.parse(&c.b, file, sp, b.text(sp))
		if !bad.bad() {
			if !c.pass(f, i, len(b.rows), r) {
				continue
			}
			bad = c.b.build(r)
		}
		if bad.bad() {
			f.bad = append(f.bad, badRow{i, bad, false})
			continue
		}
		c.id(f)
		f.target = f.target || c.hasTarget(r)
		if i < tried {
			c.try(f, i, r)
		}
	}
}

// pass reports whether the row passes the filter, and notes it when not.
func (c *checker) pass(f *findings, i, rows int, r row) bool {
	if c.d.rules.templates.filter == nil {
		return true
	}
	pass, why := c.b.passes(r)
	if why.bad() {
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
	v := c.b.idValue
	if v.kind == missing {
		f.noID++
		return
	}
	f.ids = append(f.ids, hashID(v))
}

func (c *checker) hasTarget(r row) bool {
	if c.d.rules.shape.tests && c.d.rules.target.name == "" {
		return expectation(r).given()
	}
	return c.b.find(r, &c.d.rules.target).given()
}

// try renders the templates on a row that is otherwise good.
func (c *checker) try(f *findings, i int, r row) {
	t := c.d.rules.templates
	if t.system == nil && t.prompt == nil && t.target == nil {
		return
	}
	f.rendered++
	c.t.layout = c.b.layout
	bad := c.t.build(r)
	if !bad.bad() {
		bad = c.t.finish(r, 0, 0)
	}
	if bad.bad() {
		f.failed++
		f.bad = append(f.bad, badRow{i, bad, true})
	}
}

// index runs the first pass.
func (d *Dataset) index(ctx context.Context, p *Problems) error {
	d.rules.indexing = true
	defer func() { d.rules.indexing = false }()
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
	free := make(chan *batch, workers+3)
	for range cap(free) {
		free <- &batch{}
	}
	work, order := make(chan job), make(chan job, cap(free))
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(order)
		defer close(work)
		d.cutAll(ctx, free, work, order)
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
	b    *batch
	done chan struct{}
}

// cutAll cuts one file after the other. A file that breaks off is noted, and
// the next one is read: all problems are told together.
func (d *Dataset) cutAll(ctx context.Context, free <-chan *batch, work, order chan<- job) {
	var seq int64
	for i := range d.files {
		cutting := d.newCutting(i)
		for {
			var b *batch
			select {
			case b = <-free:
			case <-ctx.Done():
				cutting.close()
				return
			}
			b.seq, b.file = seq, i
			seq++
			cutting.next(b)
			failed := b.failed // b belongs to others from here on
			j := job{b, make(chan struct{})}
			order <- j
			work <- j
			if failed != nil {
				break
			}
		}
	}
}

// A cutting is one file being cut.
type cutting struct {
	sp     splitter
	closer io.Closer
	err    error
}

func (d *Dataset) newCutting(i int) *cutting {
	var c cutting
	c.sp, c.closer, c.err = d.splitter(d.files[i], 0, 1)
	return &c
}

// next fills b, or says in b.failed why there is no more and closes the file.
func (c *cutting) next(b *batch) {
	b.failed = c.err
	if b.failed == nil {
		b.failed = c.sp.next(b)
	}
	if b.failed != nil {
		b.rows, b.data, b.blank = b.rows[:0], b.data[:0], 0
		c.close()
	}
}

func (c *cutting) close() {
	if c.closer != nil {
		c.closer.Close() // read only: nothing can be lost
	}
}

// A collector adds up what the checkers found.
type collector struct {
	d    *Dataset
	p    *Problems
	ids  duplicateFinder
	h    hash.Hash
	raw  int64 // raw bytes in the open slice
	open Chunk
	rows int64 // so far
	base int64 // of the current file
	end  int64 // of the current file's content so far
	file int

	versions []Version // whose ends are still to come
	border   bool      // the open slice begins at the end of a stage and has no row yet
	breaks   int       // line breaks since then
	last     byte      // of the data so far

	located  []located
	badCount int64
	passed   int64

	rendered, failed         int64
	filterOK, filterFailed   int64
	firstFailure, filterWhat rowError
}

// A located row is a bad row with its place.
type located struct {
	rowError
	template bool
	index    int64
	ordinal  int64 // among the rows that pass the filter
	file     int
	line     int64
}

// maxKept is how many bad rows are remembered with their places.
const maxKept = 20_000

func newCollector(d *Dataset, p *Problems) *collector {
	return &collector{d: d, p: p, ids: duplicateFinder{dir: d.spec.Spool}, h: sha256.New(), open: Chunk{line: 1}, versions: d.spec.Versions}
}

// add takes the next batch.
func (c *collector) add(b *batch) error {
	c.enter(b.file)
	if b.failed == io.EOF {
		return nil
	}
	if b.failed != nil {
		c.p.add(problemOf(c.d.files[b.file].Name, b.failed))
		return nil
	}
	f := &b.found
	c.d.info.Blank += b.blank
	c.d.info.NoID += f.noID
	c.d.rules.seenTarget = c.d.rules.seenTarget || f.target
	c.count(f)
	if err := c.ids.add(f.ids); err != nil {
		return err
	}
	hashed, bad := 0, f.bad
	for i, sp := range b.rows {
		hashed = c.version(b, hashed, i)
		if c.border {
			c.open.line = sp.line - int64(c.breaks+newlines(b, hashed, int(sp.start), c.d.files[b.file]))
			c.border = false
		} else if c.full(b, hashed, sp) {
			c.write(b, hashed, int(sp.start))
			hashed = int(sp.start)
			c.cut(c.base+c.position(b, i), sp.line)
		}
		if len(bad) > 0 && bad[0].row == i {
			c.row(b, i, &bad[0])
			bad = bad[1:]
		} else {
			c.row(b, i, nil)
		}
	}
	hashed = c.version(b, hashed, len(b.rows))
	if c.border {
		c.breaks += newlines(b, hashed, len(b.data), c.d.files[b.file])
	}
	c.write(b, hashed, len(b.data))
	c.end = b.pos + c.d.files[b.file].count(len(b.data), len(b.rows))
	return nil
}

// write hashes a piece of a batch.
func (c *collector) write(b *batch, from, to int) {
	if from >= to {
		return
	}
	c.h.Write(b.data[from:to])
	c.raw += int64(to - from)
	c.last = b.data[to-1]
}

// version ends the open chunk where a version ends, if that is between the rows
// i-1 and i of the batch, and returns up to where the data is hashed. A stage
// that does not end between two rows, or not behind as many rows as it had, is
// none of this data: it is dropped, and comparing the slices with those of
// before tells.
func (c *collector) version(b *batch, hashed, i int) int {
	for len(c.versions) > 0 {
		s := c.versions[0]
		at, here := c.d.files[b.file].bytePlace(b, s.Length-c.base-b.pos)
		if !here {
			return hashed
		}
		limit := int64(len(b.data))
		if i < len(b.rows) {
			limit = int64(b.rows[i].start)
		}
		if at > limit || at == limit && i == len(b.rows) {
			return hashed
		}
		c.versions = c.versions[1:]
		if c.rows != s.Rows || at < int64(hashed) || i > 0 && at < int64(b.rows[i-1].end) || !c.betweenLines(b, hashed, int(at)) {
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
func (f *file) bytePlace(b *batch, at int64) (n int64, here bool) {
	if f.Format != formatParquet || at < 0 {
		return at, true
	}
	if at >= int64(len(b.rows)) {
		return 0, false
	}
	return int64(b.rows[at].start), true
}

// betweenLines reports whether a line ends or begins at this place of a batch,
// as far as the file has lines.
func (c *collector) betweenLines(b *batch, hashed, at int) bool {
	if b.pos == 0 && at == 0 || c.d.files[b.file].Format == formatParquet {
		return true
	}
	before := c.last
	if at > hashed {
		before = b.data[at-1]
	}
	return before == '\n' || at < len(b.data) && (b.data[at] == '\n' || b.data[at] == '\r')
}

// newlines counts line breaks in a piece of a batch. Parquet has no lines.
func newlines(b *batch, from, to int, f *file) int {
	if f.Format == formatParquet || from >= to {
		return 0
	}
	return bytes.Count(b.data[from:to], []byte{'\n'})
}

// position of a row in its file's own count.
func (c *collector) position(b *batch, i int) int64 {
	return b.pos + c.d.files[b.file].count(int(b.rows[i].start), i)
}

// count is a length in the file's own count.
func (f *file) count(bytes, rows int) int64 {
	if f.Format == formatParquet {
		return int64(rows)
	}
	return int64(bytes)
}

// full reports whether the row sp must begin a new slice.
func (c *collector) full(b *batch, hashed int, sp span) bool {
	s := &c.d.spec
	return c.open.Rows >= s.ShardRows ||
		c.open.Rows > 0 && c.raw+int64(int(sp.end)-hashed) > s.ShardBytes
}

// row counts one row.
func (c *collector) row(b *batch, i int, bad *badRow) {
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
		c.located = append(c.located, located{bad.rowError, bad.template, index, ordinal, b.file, b.rows[i].line})
	}
}

func (c *collector) count(f *findings) {
	c.rendered += int64(f.rendered)
	c.failed += int64(f.failed)
	c.filterOK += int64(f.filterOK)
	c.filterFailed += int64(f.filterFailed)
	if c.filterWhat.what == "" {
		c.filterWhat = f.filterWhat
	}
	for _, b := range f.bad {
		if b.template && c.firstFailure.what == "" {
			c.firstFailure = b.rowError
		}
	}
}

// cut ends the open slice before the row at offset.
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
	if !c.border { // else nothing but blank lines came behind the last stage
		c.closeChunk(c.base)
	}
	i := &c.d.info
	i.Rows, i.Bytes = c.rows, c.base
	i.Hash = hashOf(c.d.chunks)
	if c.rows == 0 && c.p.Total == 0 {
		c.p.add(Problem{File: c.d.files[0].Name, Row: -1, What: "there is no row"})
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
	fields := "the fields are " + strings.Join(c.d.info.Fields, ", ")
	if c.filterFailed > 0 && c.filterOK == 0 {
		c.p.add(Problem{Row: -1, What: c.filterWhat.what, Hint: fields})
	}
	if c.rendered == 0 || c.rendered > c.failed {
		return
	}
	c.p.add(Problem{Row: -1, What: c.firstFailure.what, Hint: firstOf(c.firstFailure.hint, fields)})
	before := len(c.located)
	c.located = slices.DeleteFunc(c.located, func(l located) bool { return l.template })
	c.badCount -= int64(before - len(c.located))
}

// badRows counts and lists the bad rows among those selected.
func (c *collector) badRows() {
	i := &c.d.info
	var list Problems
	for _, l := range c.located {
		if c.d.picked.has(l.ordinal) {
			list.add(Problem{File: c.d.files[l.file].Name, Line: l.line, Row: l.index, What: l.what, Hint: l.hint})
		}
	}
	if !c.d.picked.partial {
		list.Total = c.badCount
	}
	i.Bad = list.Total
	i.Problems = list
	if c.d.spec.OnBadRow == "refuse" {
		c.p.merge(list)
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
	duplicates := Problems{List: list, Total: repeats}
	c.d.info.Problems.merge(duplicates)
	if !c.d.spec.AllowDuplicateIDs {
		c.p.merge(duplicates)
	}
	return nil
}

// confirm reads the rows again for the first ids that really occur twice.
func (d *Dataset) confirm(ctx context.Context, suspects []uint64) ([]Problem, error) {
	wanted := make(map[uint64]struct{}, len(suspects))
	for _, id := range suspects {
		wanted[id] = struct{}{}
	}
	type place struct {
		file int
		line int64
	}
	seen := map[string]place{}
	var list []Problem
	b := builder{rules: d.rules, check: true}
	for i, f := range d.files {
		err := d.eachRow(ctx, f, func(sp span, raw []byte) bool {
			r, c := d.parse(&b, f, sp, raw)
			if c.bad() {
				return true
			}
			v, _, c := b.id(r)
			if _, ok := wanted[hashID(v)]; c.bad() || !ok {
				return true
			}
			key := v.text()
			first, again := seen[key]
			if !again {
				seen[key] = place{i, sp.line}
				return true
			}
			list = append(list, Problem{File: f.Name, Line: sp.line, Row: -1,
				What: "the id " + quoteShort(v.text()) + " again",
				Hint: fmt.Sprintf("first at %s:%d; ids must differ, as texts too; --allow-duplicate-ids (allow_duplicate_ids: true) takes them, rows are then told apart by their index", d.files[first.file].Name, first.line)})
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
func (d *Dataset) eachRow(ctx context.Context, f *file, do func(span, []byte) bool) error {
	sp, closer, err := d.splitter(f, 0, 1)
	if err != nil {
		return err
	}
	defer closer.Close()
	var b batch
	for ctx.Err() == nil {
		if err := sp.next(&b); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		for _, r := range b.rows {
			if !do(r, b.text(r)) {
				return nil
			}
		}
	}
	return ctx.Err()
}
