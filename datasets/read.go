package datasets

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strconv"

	"nightshift"
	"nightshift/datasets/internal/rowjson"
	"nightshift/datasets/internal/shape"
	"nightshift/datasets/internal/source"
	"nightshift/internal/words"
)

// Read yields the selected samples of one chunk in order, rendered for epoch 0.
// The chunk is hashed first: when it is not what was indexed, a *ChangedError
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

// ReadEpochs yields every selected row of a chunk once for each epoch, the
// epochs of a row one behind the other. A template may fail for some epochs of
// a row only; each *RowError concerns the epoch of the Sample beside it.
func (d *Dataset) ReadEpochs(ctx context.Context, chunk, epochs int) iter.Seq2[nightshift.Sample, error] {
	return d.ReadRows(ctx, chunk, epochs, allRows)
}

func allRows(int64) bool { return true }

// ReadRows is ReadEpochs of the rows that are wanted; the others are not rendered.
func (d *Dataset) ReadRows(ctx context.Context, chunk, epochs int, wanted func(row int64) bool,
) iter.Seq2[nightshift.Sample, error] {
	if p := d.partAt(chunk); p != nil {
		return p.read(ctx, chunk, epochs, wanted)
	}
	return func(yield func(nightshift.Sample, error) bool) {
		if d.chunks[chunk].Selected == 0 {
			return
		}
		err := d.unchanged(ctx, chunk)
		if err == nil {
			b := shape.NewBuilder(d.rules, false)
			err = d.rows(ctx, chunk, func(at place, raw []byte) bool {
				return !wanted(at.index) || d.yieldEpochs(b, at, raw, epochs, yield)
			})
		}
		if err != nil {
			yield(nightshift.Sample{}, err)
		}
	}
}

// peek is Read of rows that are looked at and not sent: whether the chunk is what was
// indexed is found out at its end only.
func (d *Dataset) peek(ctx context.Context, chunk int) iter.Seq2[nightshift.Sample, error] {
	return func(yield func(nightshift.Sample, error) bool) {
		b := shape.NewBuilder(d.rules, false)
		err := d.rows(ctx, chunk, func(at place, raw []byte) bool { return d.yieldEpochs(b, at, raw, 1, yield) })
		if err != nil {
			yield(nightshift.Sample{}, err)
		}
	}
}

// yieldEpochs yields one row for all its epochs. Unless a template names epoch,
// they differ in Sample.Epoch only.
func (d *Dataset) yieldEpochs(b *shape.Builder, at place, raw []byte, epochs int,
	yield func(nightshift.Sample, error) bool) bool {
	var s nightshift.Sample
	var err error
	for epoch := range epochs {
		if epoch == 0 || d.rules.Epochs() {
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
	source.Span
	index int64
	file  *source.File
}

// sample makes the sample of one row. raw must stay as it is.
func (d *Dataset) sample(b *shape.Builder, at place, raw []byte, epoch int) (nightshift.Sample, error) {
	sum := sha256.Sum256(raw)
	var s nightshift.Sample
	r, c := parse(b, at.file, at.Span, raw)
	if !c.Bad() {
		s, c = b.Sample(r, at.index, epoch)
	}
	s.Index, s.Epoch, s.File, s.Line = at.index, epoch, at.file.Name, at.Line
	copy(s.Hash[:], sum[:])
	if s.ID == "" {
		s.ID = strconv.FormatInt(at.index, 10)
	}
	if c.Bad() {
		bad := nightshift.Sample{Index: s.Index, Epoch: s.Epoch, File: s.File, Line: s.Line, ID: s.ID, Hash: s.Hash}
		return bad, &RowError{Index: at.index, File: s.File, Line: s.Line, What: c.What, Hint: c.Hint, why: c}
	}
	return s, nil
}

// rows passes the selected rows of a chunk to do, until it returns false. Each
// row's text is a copy that do may keep.
func (d *Dataset) rows(ctx context.Context, chunk int, do func(place, []byte) bool) error {
	sel := chunkRows{d: d, at: d.picked.starts[chunk], index: d.chunks[chunk].First}
	if d.rules.HasFilter() {
		sel.filter = shape.NewBuilder(d.rules, true)
	}
	h := sha256.New()
	going := true
	err := d.cutChunk(ctx, chunk, h, func(f *source.File, b *source.Batch) bool {
		for _, sp := range b.Rows {
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

// chunkRows walks over the rows of a chunk and picks those selected.
type chunkRows struct {
	d      *Dataset
	at     pick
	index  int64
	filter *shape.Builder
}

func (s *chunkRows) offer(f *source.File, b *source.Batch, sp source.Span, do func(place, []byte) bool) bool {
	index := s.index
	s.index++
	raw := b.Text(sp)
	if !s.passes(f, sp, raw, index) || !s.d.picked.next(&s.at) {
		return true
	}
	return do(place{sp, index, f}, slices.Clone(raw))
}

func (s *chunkRows) passes(f *source.File, sp source.Span, raw []byte, index int64) bool {
	if s.filter != nil {
		if r, c := parse(s.filter, f, sp, raw); !c.Bad() {
			if pass, _ := s.filter.Passes(r); !pass {
				return false
			}
		}
	}
	only := s.d.spec.SelectRows
	return only == nil || only(index)
}

// unchanged hashes a chunk and compares.
func (d *Dataset) unchanged(ctx context.Context, chunk int) error {
	h := sha256.New()
	err := d.eachPiece(chunk, func(f *source.File, from, to int64) error {
		if err := sameSize(f); err != nil {
			return err
		}
		if f.Format == source.Parquet {
			return d.cutPiece(ctx, f, from, to, from+1, h, func(*source.File, *source.Batch) bool { return true })
		}
		return d.reader.Copy(ctx, h, f, from, to)
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
	var fe *source.FileError
	var changed *ChangedError
	switch {
	case errors.As(err, &changed):
		changed.Chunk = chunk
		return changed
	case errors.As(err, &fe) && !isIO(fe.Err):
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
	e := &ChangedError{What: "rows " + words.Thousands(d.chunks[chunk].First) + " to " +
		words.Thousands(d.chunks[chunk].First+d.chunks[chunk].Rows-1) + " are not what they were", Chunk: chunk}
	if p := d.partAt(chunk); p != nil {
		e.File = p.data.changed(chunk - p.chunk).File
	}
	for i, f := range d.files {
		if s := d.chunks[chunk]; i == 0 || f.Base <= s.Offset {
			e.File = f.Name
		}
	}
	return e
}

// sameSize compares a file's size with what it was.
func sameSize(f *source.File) error {
	info, err := os.Stat(f.Path)
	if err != nil {
		return err
	}
	switch n := info.Size(); {
	case n > f.Size:
		return &ChangedError{File: f.Name, What: "the file has grown from " + words.Thousands(f.Size) + " to " +
			words.Thousands(n) + " bytes", Appended: true}
	case n < f.Size:
		return &ChangedError{File: f.Name, What: "the file has shrunk from " + words.Thousands(f.Size) + " to " +
			words.Thousands(n) + " bytes"}
	}
	return nil
}

// eachPiece names the pieces of files that a chunk covers, in the files' own
// counts.
func (d *Dataset) eachPiece(chunk int, do func(f *source.File, from, to int64) error) error {
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

// cutChunk passes the batches of a chunk to do, until it returns false, and
// writes their data to h.
func (d *Dataset) cutChunk(ctx context.Context, chunk int, h io.Writer,
	do func(*source.File, *source.Batch) bool) error {
	going := true
	return d.eachPiece(chunk, func(f *source.File, from, to int64) error {
		if !going {
			return nil
		}
		line := int64(1)
		if from > 0 {
			line = d.chunks[chunk].line
		}
		return d.cutPiece(ctx, f, from, to, line, h, func(f *source.File, b *source.Batch) bool {
			going = do(f, b)
			return going
		})
	})
}

// cutPiece cuts one piece of a file.
func (d *Dataset) cutPiece(ctx context.Context, f *source.File, from, to, line int64, h io.Writer,
	do func(*source.File, *source.Batch) bool) error {
	rows, err := d.reader.Piece(f, from, to, line)
	if err != nil {
		return err
	}
	return eachBatch(ctx, rows, func(b *source.Batch) bool {
		h.Write(b.Data)
		return do(f, b)
	})
}

// Raw yields rows in the dataset's own form, without the end of the line: a
// line of JSON (also for JSON lists and Parquet), or a CSV record;
// Info.RawFormat says which. The rows are indexes in ascending order.
func (d *Dataset) Raw(ctx context.Context, rows []int64) iter.Seq2[[]byte, error] {
	if d.parts != nil {
		return d.rawOfParts(ctx, rows)
	}
	return func(yield func([]byte, error) bool) {
		for i, c := range d.chunks {
			n, _ := slices.BinarySearch(rows, c.First+c.Rows)
			if n > 0 && !d.rawOf(ctx, i, rows[:n], yield) {
				return
			}
			rows = rows[n:]
		}
		if len(rows) > 0 {
			yield(nil, fmt.Errorf("there is no row %d", rows[0]))
		}
	}
}

// rawOf yields rows of one chunk, after checking that it is what it was.
func (d *Dataset) rawOf(ctx context.Context, chunk int, rows []int64, yield func([]byte, error) bool) bool {
	if err := d.unchanged(ctx, chunk); err != nil {
		yield(nil, err)
		return false
	}
	index, going := d.chunks[chunk].First, true
	err := d.cutChunk(ctx, chunk, io.Discard, func(f *source.File, b *source.Batch) bool {
		for _, sp := range b.Rows {
			if going && len(rows) > 0 && rows[0] == index {
				rows = rows[1:]
				going = yield(d.ownForm(place{sp, index, f}, slices.Clone(b.Text(sp))))
			}
			index++
		}
		return going && len(rows) > 0
	})
	if err != nil && going {
		going = false
		yield(nil, err)
	}
	return going
}

func (d *Dataset) ownForm(at place, raw []byte) ([]byte, error) {
	switch f, c := at.file, at.Unreadable; {
	case c != nil:
		return nil, &RowError{Index: at.index, File: f.Name, Line: at.Line, What: c.What, Hint: c.Hint, why: *c}
	case f.Format == source.JSON:
		return rowjson.Compact(raw), nil
	case d.info.RawFormat == source.JSONL: // also of files with different columns
		if converted, c := f.JSON(at.Span, raw); !c.Bad() {
			return converted, nil
		}
	}
	return raw, nil
}
