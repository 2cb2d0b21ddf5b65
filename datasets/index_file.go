package datasets

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"

	"nightshift/datasets/internal/problem"
	"nightshift/datasets/internal/shape"
	"nightshift/datasets/internal/source"
	"nightshift/internal/fsx"
	"nightshift/internal/words"
)

// The index file: one line that names the format, one line of JSON, then one
// record of fixed size for each chunk, then the CRC-32C of all before it.

const (
	indexMagic  = "nightshift dataset index 1\n"
	chunkRecord = 7*8 + 32
)

// ErrStale says that an index cannot be used for these files and this Spec any
// more; only reading the data again can tell whether it is the same.
var ErrStale = errors.New("the dataset's index is out of date")

// stored is the JSON line of an index.
type stored struct {
	Spec   string // fingerprint
	Files  []*source.File
	Info   Info
	Passed int64
	Target bool
	Media  map[string]shape.Stamp `json:",omitempty"`
	Chunks int                    `json:"Slices"`
}

// fingerprint of what the first pass depends on besides the files.
func (s *Spec) fingerprint() string {
	parts := []any{s.Paths, s.Format, s.Fields, s.System, s.Prompt, s.Target, s.Cluster, s.Category,
		s.Sample, s.Offset, s.Limit, s.Seed, s.Filter, s.OnBadRow, s.MaxLine, s.ShardRows, s.ShardBytes,
		s.AllowDuplicateIDs, s.RepairUTF8}
	if len(s.Versions) > 0 {
		parts = append(parts, s.Versions)
	}
	b, err := json.Marshal(parts)
	if err != nil {
		panic(err) // texts and numbers always encode
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// WriteIndex keeps the result of the first pass, so that LoadIndex can do
// without. The file is there whole or not at all.
func (d *Dataset) WriteIndex(path string) error {
	for k, p := range d.parts {
		if err := p.data.WriteIndex(partIndex(path, k)); err != nil || k == len(d.parts)-1 {
			return err
		}
	}
	var out bytes.Buffer
	out.WriteString(indexMagic)
	meta := stored{Spec: d.spec.fingerprint(), Files: d.files, Info: d.info, Passed: d.picked.passing,
		Target: d.rules.SeenTarget, Media: d.rules.Stamps(), Chunks: len(d.chunks)}
	if err := json.NewEncoder(&out).Encode(meta); err != nil {
		return err
	}
	for _, s := range d.chunks {
		for _, n := range []int64{s.First, s.Rows, s.Offset, s.Bytes, s.line, s.passed, s.Selected} {
			out.Write(binary.LittleEndian.AppendUint64(nil, uint64(n)))
		}
		out.Write(s.Hash[:])
	}
	sum := crc32.Checksum(out.Bytes(), crc32.MakeTable(crc32.Castagnoli))
	out.Write(binary.LittleEndian.AppendUint32(nil, sum))
	return fsx.WriteFile(path, out.Bytes())
}

// LoadIndex takes up a dataset without reading its rows, from what WriteIndex
// kept. The files must be the same by size, times and inode: a size that
// differs is a *ChangedError, anything else that differs is ErrStale. Chunks
// are still hashed before they are read. Standard input is not read again: its
// copy is.
//
// Spec.SelectRows is asked about every row again. Together with a Filter that
// would need the rows, so that combination is ErrStale too.
func LoadIndex(ctx context.Context, path string, s Spec) (*Dataset, error) {
	if s.Parts != nil {
		return join(s, func(k int, one Spec) (*Dataset, error) { return LoadIndex(ctx, partIndex(path, k), one) })
	}
	var p problem.Problems
	if s = s.withDefaults(&p); p.Total > 0 {
		return nil, &p
	}
	meta, all, err := readIndex(path)
	if err != nil {
		return nil, err
	}
	if meta.Spec != s.fingerprint() {
		return nil, fmt.Errorf("%w: it was made for another plan", ErrStale)
	}
	if s.SelectRows != nil && s.Filter != "" {
		return nil, fmt.Errorf("%w: a choice of rows and a filter are combined", ErrStale)
	}
	if err := stillThere(ctx, &s, meta.Files); err != nil {
		return nil, err
	}
	d := &Dataset{spec: s, files: meta.Files, chunks: all, info: meta.Info, reader: source.Reader{Options: s.source()}}
	d.decide(&p)
	if p.Total > 0 {
		return nil, fmt.Errorf("%w: %w", ErrStale, &p)
	}
	d.rules.SeenTarget = meta.Target
	d.rules.SetStamps(meta.Media)
	if s.SelectRows != nil {
		meta.Passed = d.recount()
	}
	d.picked = d.spec.selection(d.chunks, meta.Passed)
	d.info.Selected = d.picked.total
	return d, ctx.Err()
}

// recount asks SelectRows about every row.
func (d *Dataset) recount() (passed int64) {
	for i := range d.chunks {
		s := &d.chunks[i]
		s.passed = 0
		for index := s.First; index < s.First+s.Rows; index++ {
			if d.spec.SelectRows(index) {
				s.passed++
			}
		}
		passed += s.passed
	}
	return passed
}

// readIndex reads and checks an index file.
func readIndex(path string) (meta stored, all []Chunk, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return meta, nil, err
	}
	damaged := fmt.Errorf("%w: %s is damaged", ErrStale, path)
	body := data[:max(0, len(data)-4)]
	if len(data) < 4 || binary.LittleEndian.Uint32(data[len(body):]) != crc32.Checksum(body,
		crc32.MakeTable(crc32.Castagnoli)) {
		return meta, nil, damaged
	}
	r := bufio.NewReader(bytes.NewReader(body))
	magic, err := r.ReadString('\n')
	if err != nil || magic != indexMagic {
		return meta, nil, fmt.Errorf("%w: %s is of another version", ErrStale, path)
	}
	line, err := r.ReadBytes('\n')
	if err != nil || json.Unmarshal(line, &meta) != nil {
		return meta, nil, damaged
	}
	rest, err := io.ReadAll(r)
	if err != nil || len(rest) != meta.Chunks*chunkRecord {
		return meta, nil, damaged
	}
	for b := range slices.Chunk(rest, chunkRecord) {
		all = append(all, chunkOf(b))
	}
	return meta, all, nil
}

func chunkOf(b []byte) Chunk {
	n := func(i int) int64 { return int64(binary.LittleEndian.Uint64(b[8*i:])) }
	s := Chunk{First: n(0), Rows: n(1), Offset: n(2), Bytes: n(3), line: n(4), passed: n(5), Selected: n(6)}
	copy(s.Hash[:], b[7*8:])
	return s
}

// stillThere compares the files that the Spec names with those of an index.
func stillThere(ctx context.Context, s *Spec, indexed []*source.File) error {
	var p problem.Problems
	now := s.source()
	var streams []string // standard input and pipes are not opened again
	for _, f := range indexed {
		if f.Spooled {
			streams = append(streams, f.Name)
		}
	}
	now.Paths = slices.DeleteFunc(slices.Clone(s.Paths), func(path string) bool {
		return path == "-" || slices.Contains(streams, path)
	})
	var found []*source.File
	if len(now.Paths) > 0 {
		found = source.Find(ctx, &now, &p)
	}
	if p.Total > 0 {
		return &p
	}
	i := 0
	for _, old := range indexed {
		if old.Spooled {
			if err := same(old, old.Path); err != nil {
				return err
			}
			continue
		}
		if i == len(found) || absolute(found[i].Path) != absolute(old.Path) {
			return fmt.Errorf("%w: the files are not those of before", ErrStale)
		}
		if err := same(old, found[i].Path); err != nil {
			return err
		}
		i++
	}
	if i < len(found) {
		return fmt.Errorf("%w: the files are not those of before", ErrStale)
	}
	return nil
}

// absolute is a path that does not depend on the working directory.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// same compares a file with what it was.
func same(f *source.File, path string) error {
	if err := sameSize(f); err != nil {
		var changed *ChangedError
		if errors.As(err, &changed) {
			changed.Chunk = -1
			return changed
		}
		return &problem.Problems{Total: 1, List: []problem.Problem{source.ProblemOf(f.Name, err)}}
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	now := *f
	now.Path = path
	now.Identify(info)
	if now.ModTime != f.ModTime || now.Inode != f.Inode || now.Device != f.Device || now.CTime != f.CTime {
		return fmt.Errorf("%w: %s was written or moved", ErrStale, f.Name)
	}
	return nil
}

// Resume takes up a dataset by its index, as LoadIndex does. Where the index
// is stale it reads the data again, compares it with what the index says, and
// renews the index; other data is a *ChangedError. An index that is damaged or
// of another version is made again.
func Resume(ctx context.Context, path string, s Spec) (*Dataset, error) {
	if s.Parts != nil {
		return join(s, func(k int, one Spec) (*Dataset, error) { return resumePart(ctx, partIndex(path, k), one) })
	}
	d, err := LoadIndex(ctx, path, s)
	if !errors.Is(err, ErrStale) {
		return d, err
	}
	meta, before, readErr := readIndex(path)
	if errors.Is(readErr, ErrStale) && !slices.Contains(s.Paths, "-") {
		return reindex(ctx, path, s)
	}
	if readErr != nil {
		return nil, readErr
	}
	for _, f := range meta.Files {
		if f.Spooled {
			s.copies = append(s.copies, f.Path)
		}
	}
	if d, err = Open(ctx, s); err != nil {
		return d, err
	}
	if err := d.Continues(before); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	if len(d.chunks) != len(before) || d.info.Hash != hashOf(before) {
		return nil, errors.Join(&ChangedError{File: d.files[len(d.files)-1].Name, What: "rows were added", Chunk: -1,
			Appended: true}, d.Close())
	}
	return d, d.WriteIndex(path)
}

// reindex reads the data again where its index cannot be read. Whether it is
// what it was, the run directory knows by its hashes.
func reindex(ctx context.Context, path string, s Spec) (*Dataset, error) {
	d, err := Open(ctx, s)
	if err != nil {
		return d, err
	}
	return d, d.WriteIndex(path)
}

// Continues reports whether this dataset begins with all the chunks of an
// earlier one, except that the last of them may have grown. The error is a
// *ChangedError that names the first chunk that differs.
func (d *Dataset) Continues(before []Chunk) error {
	for i, old := range before {
		if i < len(d.chunks) && d.chunks[i].Hash == old.Hash && d.chunks[i].Rows == old.Rows {
			continue
		}
		if i == len(before)-1 && i < len(d.chunks) && d.beginsLike(i, old) {
			continue
		}
		return &ChangedError{File: d.files[0].Name, Chunk: i,
			What: "rows " + words.Thousands(old.First) + " to " + words.Thousands(old.First+old.Rows-1) +
				" are not what they were"}
	}
	return nil
}

// Extends reports whether this dataset begins with all the chunks of an earlier
// one, to the byte, and with the choice of rows in them. The error is a
// *ChangedError that names the first chunk that differs. The dataset must
// have been opened with the end of the earlier one as its last version.
func (d *Dataset) Extends(before []Chunk) error {
	for i, old := range before {
		changed := &ChangedError{File: d.info.Files[len(d.info.Files)-1], Chunk: i}
		rows := "rows " + words.Thousands(old.First) + " to " + words.Thousands(old.First+old.Rows-1)
		if i < len(d.chunks) {
			now := d.chunks[i]
			if now.Hash == old.Hash && now.Rows == old.Rows && now.Selected == old.Selected {
				continue
			}
			changed.File = d.changed(i).File
			if now.Hash == old.Hash && now.Rows == old.Rows {
				changed.What = "of " + rows + " others would be chosen than before"
				return changed
			}
		}
		changed.What = rows + " are not what they were"
		if d.info.Rows < old.First+old.Rows {
			changed.What = rows + " are not all there: the dataset has " + words.Thousands(d.info.Rows) + " rows"
		}
		return changed
	}
	return nil
}

// beginsLike reports whether the first bytes of a chunk are those of old.
func (d *Dataset) beginsLike(chunk int, old Chunk) bool {
	if d.chunks[chunk].Bytes < old.Bytes {
		return false
	}
	h := sha256.New()
	left := old.Bytes
	err := d.eachPiece(chunk, func(f *source.File, from, to int64) error {
		if left == 0 || f.Format == source.Parquet {
			return nil
		}
		n := min(left, to-from)
		left -= n
		return d.reader.Copy(context.Background(), h, f, from, from+n)
	})
	return err == nil && left == 0 && [32]byte(h.Sum(nil)) == old.Hash
}
