package store

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"nightshift"
	"nightshift/runner/store/internal/batchlog"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/rundir"
)

// spaceStep is after how many bytes of a file the free space is looked at.
const spaceStep = 32 << 20

// A batchFile is a file of a batch that is being written: in tmp, until it is
// whole.
type batchFile struct {
	r      *Run
	tmp    string
	f      disk.File
	w      *bufio.Writer
	hash   hash.Hash
	bytes  int64
	lines  int64
	ended  bool  // the last byte was a newline
	looked int64 // bytes when free space was looked at
}

func (r *Run) newBatchFile(name string) (*batchFile, error) {
	if err := r.roomForBatches(); err != nil {
		return nil, err
	}
	b := &batchFile{r: r, tmp: r.tmpName(name), hash: sha256.New(), ended: true}
	var err error
	if b.f, err = r.fs.Open(b.tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL); err != nil {
		return nil, r.batchFailure(b.tmp, err)
	}
	b.w = bufio.NewWriterSize(b.f, 128<<10)
	return b, nil
}

// roomForBatches fails when the disk has little left: a file of a batch can
// wait, the answers that come meanwhile cannot.
func (r *Run) roomForBatches() error {
	r.lookAtSpace()
	return r.Err()
}

func (r *Run) batchFailure(name string, err error) error {
	err = disk.Wrap("writing", name, err)
	if err != nil {
		r.fail(err)
	}
	return err
}

// Write appends to the file.
func (b *batchFile) Write(p []byte) (int, error) {
	if b.bytes-b.looked >= spaceStep {
		b.looked = b.bytes
		if err := b.r.roomForBatches(); err != nil {
			return 0, err
		}
	}
	n, err := b.w.Write(p)
	if err != nil {
		return n, b.r.batchFailure(b.tmp, err)
	}
	b.hash.Write(p)
	b.bytes += int64(n)
	b.lines += int64(bytes.Count(p, []byte{'\n'}))
	if n > 0 {
		b.ended = p[n-1] == '\n'
	}
	return n, nil
}

// finish makes the file durable under its name in the folder of batches.
func (b *batchFile) finish(name string) error {
	err := cmp.Or(b.w.Flush(), b.f.Sync())
	err = errors.Join(err, b.f.Close())
	disk.CrashPoint("batch.file-written")
	if err == nil {
		err = b.r.makeBatchesDir()
	}
	to := b.r.dir.At(rundir.BatchesDir, name)
	if err == nil {
		err = b.r.fs.Replace(b.tmp, to)
	}
	disk.CrashPoint("batch.file-named")
	if err == nil {
		err = b.r.fs.SyncDir(filepath.Dir(to))
	}
	return b.r.batchFailure(to, err)
}

// makeBatchesDir makes the folder when the first batch needs it.
func (r *Run) makeBatchesDir() error {
	r.batches.writing.Lock()
	defer r.batches.writing.Unlock()
	if r.batches.folder {
		return nil
	}
	err := r.fs.Mkdir(r.dir.At(rundir.BatchesDir))
	if err == nil {
		err = r.fs.SyncDir(string(r.dir))
	}
	r.batches.folder = err == nil
	return err
}

func (b *batchFile) discard() {
	b.f.Close()
	_ = b.r.fs.Remove(b.tmp)
}

func (b *batchFile) sum() string { return hex.EncodeToString(b.hash.Sum(nil)) }

// A BatchInput is the input file of a batch that is being cut. It is for one
// goroutine.
type BatchInput struct {
	N    int    // number of the batch, which no other batch of the run has
	Name string // of the file and of the batch at the provider

	file  *batchFile
	key   rundir.Key
	round int
	items batchlog.Items
}

// NewBatch begins a batch of rows of one shard. Round is 1 for their first
// trip. The caller ends it with Finish or Discard.
func (r *Run) NewBatch(model string, shard, round int) (*BatchInput, error) {
	if err := r.Err(); err != nil {
		return nil, err
	}
	key := rundir.Key{Model: r.modelIndex(model), Shard: shard}
	if shard < 0 || shard >= len(r.id.Chunks) {
		return nil, fmt.Errorf("store: run %s has no shard %d", r.id.Name, shard)
	}
	r.batches.mu.Lock()
	r.batches.last++
	n := r.batches.last
	r.batches.mu.Unlock()
	f, err := r.newBatchFile(rundir.BatchInputName(n))
	if err != nil {
		return nil, err
	}
	return &BatchInput{
		N: n, Name: fmt.Sprintf("ns1-%s-%d-b%d.jsonl", r.RunMark(), shard, n), file: f, key: key, round: round,
	}, nil
}

// RunMark is the piece of the run's id that marks its batches.
func (r *Run) RunMark() string { return r.doc.RunID[:min(6, len(r.doc.RunID))] }

// Add writes the line, with its newline, of one item: see [Shard.Item]. Items
// best come in order.
func (in *BatchInput) Add(item int64, line []byte) error {
	if _, err := in.file.Write(line); err != nil {
		return err
	}
	in.items = in.items.Add(item)
	return nil
}

// Rows and Bytes are what was added so far.
func (in *BatchInput) Rows() int64  { return in.items.Count() }
func (in *BatchInput) Bytes() int64 { return in.file.bytes }

// Finish makes the file durable and plans the batch, also durable on return.
// Of b the account, the worst case and the retention are taken.
func (in *BatchInput) Finish(b Batch) (Batch, error) {
	r := in.file.r
	items, err := in.items.Sorted()
	if err == nil && len(items) == 0 {
		err = errors.New("it has no rows")
	}
	if err == nil && in.file.lines != items.Count() {
		err = fmt.Errorf("it has %d lines for %d rows", in.file.lines, items.Count())
	}
	if err == nil {
		err = in.free(items)
	}
	if err != nil {
		in.file.discard()
		return b, fmt.Errorf("store: batch %d: %w", in.N, err)
	}
	if err := in.file.finish(rundir.BatchInputName(in.N)); err != nil {
		return b, err
	}
	b.N, b.Name, b.Model, b.Shard, b.Gen = in.N, in.Name, r.id.Models[in.key.Model], in.key.Shard, r.generation(in.key)
	b.Round, b.Items, b.Rows, b.Bytes, b.SHA256 = in.round, items, items.Count(), in.file.bytes, in.file.sum()
	r.batches.writing.Lock()
	defer r.batches.writing.Unlock()
	err = r.write(b, func(g *batchlog.Log, b *Batch) error { return g.Planned(b) })
	planned, _ := r.Batch(in.N)
	return planned, err
}

// free says which row another batch has already.
func (in *BatchInput) free(items batchlog.Items) error {
	for item := range items.All() {
		if n, taken := in.file.r.inBatch(in.key, item); taken {
			return fmt.Errorf("item %d of shard %d is in batch %d", item, in.key.Shard, n)
		}
	}
	return nil
}

// Discard gives the batch up. Its number is not used again by this process.
func (in *BatchInput) Discard() { in.file.discard() }

// generation is that of a shard that is not committed.
func (r *Run) generation(key rundir.Key) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p, committed := r.parquetFiles[key]; committed {
		return p.Gen + 1
	}
	return 1
}

// A BatchReader reads a file of a batch. Its errors are a [*StorageError], but
// for io.EOF.
type BatchReader interface {
	io.Reader
	io.ReaderAt
	io.Closer
}

type batchReader struct {
	disk.File
	name string
}

func (f batchReader) Read(b []byte) (int, error) {
	n, err := f.File.Read(b)
	return n, f.wrap(err)
}

func (f batchReader) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(b, off)
	return n, f.wrap(err)
}

func (f batchReader) wrap(err error) error {
	if errors.Is(err, io.EOF) {
		return err
	}
	return disk.Wrap("reading", f.name, err)
}

// OpenBatchInput opens the input file of a batch that has not been created. It
// may be gone, or cut by a disk that failed: the error is then a
// [*StorageError].
func (r *Run) OpenBatchInput(n int) (f BatchReader, size int64, err error) {
	b, ok := r.Batch(n)
	if !ok {
		return nil, 0, fmt.Errorf("store: run %s has no batch %d, or it is closed", r.id.Name, n)
	}
	f, err = r.openBatchFile(rundir.BatchInputName(n), b.Bytes)
	return f, b.Bytes, err
}

// BatchInputPath is the name of the input file of a batch.
func (r *Run) BatchInputPath(n int) string {
	return r.dir.At(rundir.BatchesDir, rundir.BatchInputName(n))
}

// dropBatchInput deletes the input file of a batch once the provider has read all
// of it: so that the disk does not have to hold what is away.
func (r *Run) dropBatchInput(n int, p nightshift.BatchPhase) {
	switch p {
	case nightshift.BatchRunning, nightshift.BatchCancelling, nightshift.BatchCompleted, nightshift.BatchExpired,
		nightshift.BatchCancelled:
		_ = r.fs.Remove(r.BatchInputPath(n))
	}
}

func (r *Run) openBatchFile(name string, size int64) (BatchReader, error) {
	path := r.dir.At(rundir.BatchesDir, name)
	f, err := r.fs.Open(path, os.O_RDONLY)
	if err != nil {
		return nil, disk.Wrap("reading", path, err)
	}
	n, err := f.Length()
	if err == nil && n != size {
		err = fmt.Errorf("it has %d bytes, %s says %d", n, rundir.BatchLogFile, size)
	}
	if err != nil {
		f.Close()
		return nil, disk.Wrap("reading", path, err)
	}
	return batchReader{f, path}, nil
}

// A BatchResultFile is a file with results that is being fetched.
type BatchResultFile struct {
	*batchFile
	name string
}

// NewBatchResult begins the i-th file, from 0, with results of a batch. The
// caller ends it with Finish or Discard; one that was there before is replaced.
func (r *Run) NewBatchResult(n, i int) (*BatchResultFile, error) {
	name := rundir.BatchResultName(n, i)
	f, err := r.newBatchFile(name)
	if err != nil {
		return nil, err
	}
	return &BatchResultFile{f, name}, nil
}

// Bytes is how many were written.
func (f *BatchResultFile) Bytes() int64 { return f.bytes }

// Whole reports whether the file ends with a newline, or is empty.
func (f *BatchResultFile) Whole() bool { return f.ended }

// Finish makes the file durable, for [Run.BatchFetched].
func (f *BatchResultFile) Finish() (LocalFile, error) {
	if !f.ended {
		f.lines++
	}
	return LocalFile{Name: f.name, Bytes: f.bytes, SHA256: f.sum(), Lines: f.lines}, f.finish(f.name)
}

// Discard removes what was written.
func (f *BatchResultFile) Discard() { f.discard() }

// OpenBatchResult opens a file with results. It may be gone, or cut by a disk that
// failed: the error is then a [*StorageError], and the file is to be fetched
// again.
func (r *Run) OpenBatchResult(n int, file LocalFile) (BatchReader, error) {
	if of, ok := rundir.ParseBatchFileName(file.Name); !ok || of != n {
		return nil, fmt.Errorf("store: %q is no file of batch %d", file.Name, n)
	}
	return r.openBatchFile(file.Name, file.Bytes)
}
