package datasets

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"sync"

	"nightshift"
)

// Read yields the selected samples of one slice in order, rendered for epoch 0.
// The slice is hashed first: when it is not what was indexed, a *ChangedError
// is all that comes.
//
// A bad row comes as a *RowError together with a Sample that says which row it
// is (Index, File, Line, Hash, and the ID as far as it can be read). That
// happens whatever OnBadRow says: rows may turn out bad that the first pass
// could not know of, such as those that a template fails on. Any other error
// ends the sequence.
func (d *Dataset) Read(ctx context.Context, chunk int) iter.Seq2[nightshift.Sample, error] {
	return d.ReadEpochs(ctx, chunk, 1)
}

// ReadEpochs yields every selected row of a slice once for each epoch, the
// epochs of a row one behind the other. A template may fail for some epochs of
// a row only; each *RowError concerns the epoch of the Sample beside it.
func (d *Dataset) ReadEpochs(ctx context.Context, chunk, epochs int) iter.Seq2[nightshift.Sample, error] {
	return func(yield func(nightshift.Sample, error) bool) {
		if d.chunks[chunk].Selected == 0 {
			return
		}
		b := &builder{rules: d.rules}
		err := d.rows(ctx, chunk, func(at place, raw []byte) bool {
			return d.yieldEpochs(b, at, raw, epochs, yield)
		})
		if err != nil {
			yield(nightshift.Sample{}, err)
		}
	}
}

// yieldEpochs yields one row for all its epochs. Unless a template names epoch,
// they differ in Sample.Epoch only.
func (d *Dataset) yieldEpochs(b *builder, at place, raw []byte, epochs int, yield func(nightshift.Sample, error) bool) bool {
	var s nightshift.Sample
	var err error
	for epoch := range epochs {
		if epoch == 0 || d.rules.epochs {
			s, err = d.sample(b, at, raw, epoch)
		}
		s.Epoch = epoch
		if !yield(s, err) {
			return false
		}
	}
	return true
}

// A place says which row is meant.
type place struct {
	span
	index int64
	file  *file
}

// sample makes the sample of one row. raw must stay as it is.
func (d *Dataset) sample(b *builder, at place, raw []byte, epoch int) (nightshift.Sample, error) {
	sum := sha256.Sum256(raw)
	r, c := d.parse(b, at.file, at.span, raw)
	if !c.bad() {
		c = b.build(r)
	} else {
		b.s = nightshift.Sample{}
	}
	if !c.bad() {
		c = b.finish(r, at.index, epoch)
	}
	s := b.s
	s.Index, s.Epoch, s.File, s.Line = at.index, epoch, at.file.Name, at.line
	copy(s.Hash[:], sum[:])
	if s.ID == "" {
		s.ID = itoa(at.index)
	}
	if c.bad() {
		bad := nightshift.Sample{Index: s.Index, Epoch: s.Epoch, File: s.File, Line: s.Line, ID: s.ID, Hash: s.Hash}
		return bad, &RowError{Index: at.index, File: s.File, Line: s.Line, What: c.what, Hint: c.hint}
	}
	return s, nil
}

// rows passes the selected rows of a slice to do, until it returns false. Each
// row's text is a copy that do may keep.
func (d *Dataset) rows(ctx context.Context, chunk int, do func(place, []byte) bool) error {
	if err := d.unchanged(ctx, chunk); err != nil {
		return err
	}
	sel := chunkRows{d: d, at: d.picked.starts[chunk], index: d.chunks[chunk].First}
	if d.rules.templates.filter != nil {
		sel.filter = &builder{rules: d.rules, check: true}
	}
	h := sha256.New()
	going := true
	err := d.cutChunk(ctx, chunk, h, func(f *file, b *batch) bool {
		for _, sp := range b.rows {
			if going = going && sel.offer(f, b, sp, do); !going {
				return false
			}
		}
		return true
	})
	if err != nil || !going {
		return err
	}
	if [32]byte(h.Sum(nil)) != d.chunks[chunk].Hash {
		return d.changed(chunk)
	}
	return nil
}

// chunkRows walks over the rows of a slice and picks those selected.
type chunkRows struct {
	d      *Dataset
	at     pick
	index  int64
	filter *builder
}

func (s *chunkRows) offer(f *file, b *batch, sp span, do func(place, []byte) bool) bool {
	index := s.index
	s.index++
	raw := b.text(sp)
	if !s.passes(f, sp, raw, index) || !s.d.picked.next(&s.at) {
		return true
	}
	return do(place{sp, index, f}, slices.Clone(raw))
}

func (s *chunkRows) passes(f *file, sp span, raw []byte, index int64) bool {
	if s.filter != nil {
		if r, c := s.d.parse(s.filter, f, sp, raw); !c.bad() {
			if pass, _ := s.filter.passes(r); !pass {
				return false
			}
		}
	}
	only := s.d.spec.SelectRows
	return only == nil || only(index)
}

// unchanged hashes a slice and compares.
func (d *Dataset) unchanged(ctx context.Context, chunk int) error {
	h := sha256.New()
	err := d.eachPiece(chunk, func(f *file, from, to int64) error {
		if err := f.sameSize(); err != nil {
			return err
		}
		if f.Format == formatParquet {
			return d.cutPiece(ctx, f, from, to, from+1, h, func(*file, *batch) bool { return true })
		}
		st, err := d.idle.take(&d.spec, f, from)
		if err != nil {
			return err
		}
		_, err = io.CopyN(h, &contextReader{ctx, st}, to-from)
		d.idle.put(f, st)
		return err
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, io.EOF):
		return d.changed(chunk)
	case err != nil:
		return d.gone(chunk, err)
	case [32]byte(h.Sum(nil)) != d.chunks[chunk].Hash:
		return d.changed(chunk)
	}
	return nil
}

// gone tells a changed file from one that cannot be read any more.
func (d *Dataset) gone(chunk int, err error) error {
	var fe *fileError
	var changed *ChangedError
	switch {
	case errors.As(err, &changed):
		changed.Chunk = chunk
		return changed
	case errors.As(err, &fe) && !isIO(fe.err):
		return d.changed(chunk)
	case errors.Is(err, fs.ErrNotExist):
		c := d.changed(chunk)
		c.What = "the file is gone"
		return c
	}
	return err
}

// isIO reports whether the system failed, rather than the data.
func isIO(err error) bool {
	var pe *fs.PathError
	return errors.As(err, &pe)
}

func (d *Dataset) changed(chunk int) *ChangedError {
	e := &ChangedError{What: "rows " + thousands(d.chunks[chunk].First) + " to " +
		thousands(d.chunks[chunk].First+d.chunks[chunk].Rows-1) + " are not what they were", Chunk: chunk}
	for i, f := range d.files {
		if s := d.chunks[chunk]; i == 0 || f.Base <= s.Offset {
			e.File = f.Name
		}
	}
	return e
}

// sameSize compares a file's size with what it was.
func (f *file) sameSize() error {
	info, err := os.Stat(f.Path)
	if err != nil {
		return err
	}
	switch n := info.Size(); {
	case n > f.Size:
		return &ChangedError{File: f.Name, What: "the file has grown from " + thousands(f.Size) + " to " + thousands(n) + " bytes", Appended: true}
	case n < f.Size:
		return &ChangedError{File: f.Name, What: "the file has shrunk from " + thousands(f.Size) + " to " + thousands(n) + " bytes"}
	}
	return nil
}

// eachPiece names the pieces of files that a slice covers, in the files' own
// counts.
func (d *Dataset) eachPiece(chunk int, do func(f *file, from, to int64) error) error {
	s := d.chunks[chunk]
	for _, f := range d.files {
		from, to := max(s.Offset, f.Base), min(s.Offset+s.Bytes, f.Base+f.Length)
		if from >= to {
			continue
		}
		if err := do(f, from-f.Base, to-f.Base); err != nil {
			return err
		}
	}
	return nil
}

// cutChunk passes the batches of a slice to do, until it returns false, and
// writes their data to h.
func (d *Dataset) cutChunk(ctx context.Context, chunk int, h hash.Hash, do func(*file, *batch) bool) error {
	going := true
	return d.eachPiece(chunk, func(f *file, from, to int64) error {
		if !going {
			return nil
		}
		line := int64(1)
		if from > 0 {
			line = d.chunks[chunk].line
		}
		return d.cutPiece(ctx, f, from, to, line, h, func(f *file, b *batch) bool {
			going = do(f, b)
			return going
		})
	})
}

// cutPiece cuts one piece of a file.
func (d *Dataset) cutPiece(ctx context.Context, f *file, from, to, line int64, h hash.Hash, do func(*file, *batch) bool) error {
	sp, done, err := d.pieceSplitter(f, from, to, line)
	if err != nil {
		return err
	}
	defer done()
	var b batch
	for ctx.Err() == nil {
		err := sp.next(&b)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if over := b.pos + int64(len(b.rows)) - to; f.Format == formatParquet && over >= 0 {
			keep := len(b.rows) - int(over)
			if over > 0 {
				b.data = b.data[:b.rows[keep].start]
			}
			b.rows = b.rows[:keep]
			h.Write(b.data)
			do(f, &b)
			return nil
		}
		h.Write(b.data)
		if !do(f, &b) {
			return nil
		}
	}
	return ctx.Err()
}

func (d *Dataset) pieceSplitter(f *file, from, to, line int64) (splitter, func(), error) {
	if f.Format == formatParquet {
		sp, closer, err := d.splitter(f, from, line)
		if err != nil {
			return nil, nil, err
		}
		return sp, func() { closer.Close() }, nil
	}
	st, err := d.idle.take(&d.spec, f, from)
	if err != nil {
		return nil, nil, err
	}
	partial := to < f.Length
	return d.textSplitter(f, io.LimitReader(st, to-from), from, line, batchBytes, partial), func() { d.idle.put(f, st) }, nil
}

// Raw returns a row in the dataset's own form, without its line's end: a line
// of JSON (also for JSON lists and Parquet), or a CSV record; Info.RawFormat
// says which. Asked for in ascending order, rows cost one pass.
func (d *Dataset) Raw(index int64) ([]byte, error) {
	at, raw, err := d.raw.row(d, index)
	if err != nil {
		return nil, err
	}
	if c := at.unreadable; c != nil {
		return nil, &RowError{Index: index, File: at.file.Name, Line: at.line, What: c.what, Hint: c.hint}
	}
	return d.ownForm(at.file, raw), nil
}

func (d *Dataset) ownForm(f *file, raw []byte) []byte {
	switch {
	case f.Format == formatJSON:
		return compact(raw)
	case f.Header != nil && d.info.RawFormat == formatJSONL: // files with different columns
		if converted, what := csvRow(f.Header, raw, f.Format); what == "" {
			return converted
		}
	}
	return raw
}

// csvRecord writes a record as CSV, without its end.
func csvRecord(fields []string, format string) string {
	var out bytes.Buffer
	for i, f := range fields {
		if i > 0 {
			out.WriteByte(separator(format))
		}
		if bytes.ContainsAny([]byte(f), "\"\r\n"+string(separator(format))) {
			f = `"` + string(bytes.ReplaceAll([]byte(f), []byte(`"`), []byte(`""`))) + `"`
		}
		out.WriteString(f)
	}
	return out.String()
}

// A rawReader reads single rows by their index. It stands where the last one
// ended, so that ascending reads do not begin again.
type rawReader struct {
	mu    sync.Mutex
	chunk int
	next  int64 // index of the next row
	pull  func() (rawRow, bool)
	stop  func()
}

type rawRow struct {
	at  place
	raw []byte
	err error
}

func (r *rawReader) row(d *Dataset, index int64) (place, []byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if index < 0 || index >= d.info.Rows {
		return place{}, nil, errors.New("there is no row " + itoa(index))
	}
	chunk, found := slices.BinarySearchFunc(d.chunks, index, func(s Chunk, i int64) int { return int(s.First - i) })
	if !found {
		chunk--
	}
	if r.pull == nil || r.chunk != chunk || index < r.next {
		if err := r.start(d, chunk); err != nil {
			return place{}, nil, err
		}
	}
	for {
		got, ok := r.pull()
		switch {
		case !ok:
			r.end()
			return place{}, nil, d.changed(chunk)
		case got.err != nil:
			r.end()
			return place{}, nil, got.err
		}
		r.next = got.at.index + 1
		if got.at.index == index {
			return got.at, got.raw, nil
		}
	}
}

// start begins a slice, after checking that it is what it was.
func (r *rawReader) start(d *Dataset, chunk int) error {
	r.end()
	if err := d.unchanged(context.Background(), chunk); err != nil {
		return err
	}
	r.chunk, r.next = chunk, d.chunks[chunk].First
	r.pull, r.stop = iter.Pull(d.allRows(chunk))
	return nil
}

func (r *rawReader) end() {
	if r.stop != nil {
		r.stop()
	}
	r.pull, r.stop = nil, nil
}

func (r *rawReader) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end()
}

// allRows yields every row of a slice, selected or not.
func (d *Dataset) allRows(chunk int) iter.Seq[rawRow] {
	return func(yield func(rawRow) bool) {
		index := d.chunks[chunk].First
		err := d.cutChunk(context.Background(), chunk, sha256.New(), func(f *file, b *batch) bool {
			for _, sp := range b.rows {
				if !yield(rawRow{at: place{sp, index, f}, raw: slices.Clone(b.text(sp))}) {
					return false
				}
				index++
			}
			return true
		})
		if err != nil {
			yield(rawRow{err: err})
		}
	}
}
