package datasets

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strconv"

	"nightshift"
	"nightshift/datasets/internal/problem"
	"nightshift/datasets/internal/source"
	"nightshift/internal/words"
)

// A Part is one of several datasets that are read as one.
type Part struct {
	Name string // stands before the ids of its rows, with a slash
	Spec Spec
}

// A Section is the place of one of several datasets in the whole.
type Section struct {
	Name  string
	Info  Info
	First int64 // row of the whole that is its first
}

// A joined part is a dataset with its place in the whole.
type joinedPart struct {
	name  string
	data  *Dataset
	chunk int   // of the whole that is its first
	row   int64 // of the whole that is its first
	bytes int64 // before it
}

// Sections are the datasets that this one was joined of; nil for a plain one.
func (d *Dataset) Sections() (list []Section) {
	for _, p := range d.parts {
		list = append(list, Section{p.name, p.data.info, p.row})
	}
	return list
}

// Only is the section with that number alone, its rows under their numbers in the
// whole. d closes it.
func (d *Dataset) Only(section int) *Dataset {
	p := d.parts[section]
	one := &Dataset{spec: d.spec, info: p.data.info,
		chunks: d.chunks[p.chunk : p.chunk+len(p.data.chunks)]}
	p.chunk = 0
	one.parts = []joinedPart{p}
	return one
}

// partSpec is the spec of a part, where those before it are open:
// the whole's choice of rows and its versions go to the parts that they concern.
func (s *Spec) partSpec(k int, before *Dataset) Spec {
	one := s.Parts[k].Spec
	one.Spool, one.Notice, one.Stdin = s.Spool, s.Notice, s.Stdin
	one.Downloads = cmp.Or(one.Downloads, s.Downloads)
	one.firstStream = k * streamsOfPart
	base := before.info.Rows
	if choose := s.SelectRows; choose != nil {
		one.SelectRows = func(index int64) bool { return choose(base + index) }
	}
	if k < len(s.Parts)-1 {
		return one
	}
	for _, v := range s.Versions { // rows are added to the last part only
		if v.Rows >= base && v.Length >= before.info.Bytes {
			one.Versions = append(one.Versions, Version{v.Rows - base, v.Length - before.info.Bytes})
		}
	}
	return one
}

// streamsOfPart keeps the copies of the streams of different parts apart.
const streamsOfPart = 1000

// join opens every part with open and puts them one behind the other. Problems of
// all parts are told together.
func join(s Spec, open func(k int, one Spec) (*Dataset, error)) (*Dataset, error) {
	d := &Dataset{spec: s}
	var all problem.Problems
	for k, part := range s.Parts {
		one, err := open(k, s.partSpec(k, d))
		var some *Problems
		switch {
		case !errors.Is(err, ErrStale) && errors.As(err, &some):
			all.Merge(problemsOf(part.Name, some))
		case err != nil:
			return nil, errors.Join(d.inPart(part.Name, k < len(s.Parts)-1, err), one.Close(), d.Close())
		}
		if one != nil {
			d.append(part.Name, one)
		}
	}
	if all.Total > 0 {
		return nil, errors.Join(&all, d.Close())
	}
	d.describeParts()
	return d, nil
}

// inPart is an error of a part. Rows that were added to one that others follow
// cannot be taken in.
func (d *Dataset) inPart(name string, followed bool, err error) error {
	var changed *ChangedError
	if !errors.As(err, &changed) {
		return fmt.Errorf("dataset %s: %w", name, err)
	}
	if changed.Chunk >= 0 {
		changed.Chunk += len(d.chunks)
	}
	if changed.Appended && followed {
		changed.Appended = false
		changed.What += "; of several datasets only the last can be extended, and " + name + " is not the last"
	}
	return err
}

// append puts a part behind those that are there.
func (d *Dataset) append(name string, one *Dataset) {
	p := joinedPart{name, one, len(d.chunks), d.info.Rows, d.info.Bytes}
	d.parts = append(d.parts, p)
	one.info.RawFormat, one.info.RawHeader = source.JSONL, "" // rows of all parts go into one file
	for _, c := range one.chunks {
		c.First, c.Offset = c.First+p.row, c.Offset+p.bytes
		d.chunks = append(d.chunks, c)
	}
	i, own := &d.info, one.info
	i.Rows, i.Selected, i.Blank, i.Bad = i.Rows+own.Rows, i.Selected+own.Selected, i.Blank+own.Blank, i.Bad+own.Bad
	i.SameIDs, i.NoID, i.Bytes = i.SameIDs+own.SameIDs, i.NoID+own.NoID, i.Bytes+own.Bytes
	i.OnDisk, i.Epochs, i.Files = i.OnDisk+own.OnDisk, i.Epochs || own.Epochs, append(i.Files, own.Files...)
	problems := own.Problems
	problems.List = slices.Clone(problems.List)
	for n := range problems.List {
		if problems.List[n].Row >= 0 {
			problems.List[n].Row += p.row
		}
	}
	i.Problems.Merge(problems)
	for _, field := range own.Fields {
		if !slices.Contains(i.Fields, field) {
			i.Fields = append(i.Fields, field)
		}
	}
}

// describeParts fills in what is said of all parts together.
func (d *Dataset) describeParts() {
	same := func(of func(Info) string, otherwise string) string {
		first := of(d.parts[0].data.info)
		for _, p := range d.parts {
			if of(p.data.info) != first {
				return otherwise
			}
		}
		return first
	}
	i := &d.info
	i.Shape = words.Counted(int64(len(d.parts)), "dataset")
	i.Target = same(func(i Info) string { return i.Target }, "by dataset")
	i.Format = same(func(i Info) string { return i.Format }, "mixed")
	i.Packed = same(func(i Info) string { return i.Packed }, "mixed")
	i.RawFormat = source.JSONL
	sum := sha256.New()
	for _, p := range d.parts {
		fmt.Fprintf(sum, "%q %s\n", p.name, p.data.info.Hash)
	}
	i.Hash = hex.EncodeToString(sum.Sum(nil))
}

// problemsOf says of which dataset the problems are that name no file.
func problemsOf(name string, p *Problems) Problems {
	out := Problems{List: slices.Clone(p.List), Total: p.Total}
	for i := range out.List {
		if out.List[i].File == "" {
			out.List[i].What = "dataset " + name + ": " + out.List[i].What
		}
	}
	return out
}

// partAt is the part that a chunk is of, nil in a plain dataset.
func (d *Dataset) partAt(chunk int) *joinedPart {
	for k := len(d.parts) - 1; k >= 0; k-- {
		if d.parts[k].chunk <= chunk {
			return &d.parts[k]
		}
	}
	return nil
}

// read yields the rows that are wanted of one of the part's chunks, as rows of the
// whole.
func (p *joinedPart) read(ctx context.Context, chunk, epochs int, wanted func(row int64) bool,
) iter.Seq2[nightshift.Sample, error] {
	here := func(row int64) bool { return wanted(row + p.row) }
	return p.named(p.data.ReadRows(ctx, chunk-p.chunk, epochs, here))
}

// named are rows of the part as rows of the whole.
func (p *joinedPart) named(rows iter.Seq2[nightshift.Sample, error]) iter.Seq2[nightshift.Sample, error] {
	return func(yield func(nightshift.Sample, error) bool) {
		for s, err := range rows {
			if s.File != "" || err == nil { // else there is no row
				s.Index, s.ID, s.Dataset = s.Index+p.row, p.name+"/"+s.ID, p.name
			}
			if !yield(s, p.whole(err)) {
				return
			}
		}
	}
}

// whole is an error of a part with the places of the whole.
func (p *joinedPart) whole(err error) error {
	var bad *RowError
	var changed *ChangedError
	switch {
	case errors.As(err, &bad):
		moved := *bad
		moved.Index += p.row
		return &moved
	case errors.As(err, &changed) && changed.Chunk >= 0:
		changed.Chunk += p.chunk
	}
	return err
}

// rawOfParts yields rows of all parts, as JSON lines.
func (d *Dataset) rawOfParts(ctx context.Context, rows []int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, p := range d.parts {
			n, _ := slices.BinarySearch(rows, p.row+p.data.info.Rows)
			var own []int64
			for _, row := range rows[:n] {
				own = append(own, row-p.row)
			}
			rows = rows[n:]
			for raw, err := range p.data.Raw(ctx, own) {
				if !yield(raw, p.whole(err)) {
					return
				}
			}
		}
		if len(rows) > 0 {
			yield(nil, fmt.Errorf("there is no row %d", rows[0]))
		}
	}
}

// firstOfParts yields up to n rows, about as many from the start of every part.
func (d *Dataset) firstOfParts(ctx context.Context, n int) iter.Seq2[nightshift.Sample, error] {
	return func(yield func(nightshift.Sample, error) bool) {
		for k := range d.parts {
			each := (n + len(d.parts) - k - 1) / (len(d.parts) - k)
			n -= each
			for s, err := range d.parts[k].named(d.parts[k].data.First(ctx, each)) {
				if !yield(s, err) {
					return
				}
			}
		}
	}
}

// joinedVariant is the dataset with other templates for every part.
func (d *Dataset) joinedVariant(ctx context.Context, name string, texts []Templates) (*Dataset, error) {
	v := &Dataset{spec: d.spec, chunks: d.chunks, info: d.info}
	var all problem.Problems
	for k, p := range d.parts {
		one, err := p.data.Variant(ctx, name, texts[k:k+1])
		var some *Problems
		if errors.As(err, &some) {
			all.Merge(problemsOf(p.name, some))
		} else if err != nil {
			return nil, err
		}
		if one != nil {
			one.info.RawFormat, one.info.RawHeader = source.JSONL, ""
			v.info.Epochs = v.info.Epochs || one.info.Epochs
			p.data = one
			v.parts = append(v.parts, p)
		}
	}
	return v, all.Err()
}

// partIndex is the file that keeps the index of a part: the first has the name of
// the whole's.
func partIndex(path string, k int) string {
	if k == 0 {
		return path
	}
	return path + "." + strconv.Itoa(k+1)
}

// resumePart takes up a part by its index, or reads it where there is none yet.
func resumePart(ctx context.Context, path string, s Spec) (*Dataset, error) {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return Open(ctx, s)
	}
	return Resume(ctx, path, s)
}
