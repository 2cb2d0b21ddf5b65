// Package bucket keeps a run in an S3-compatible bucket: the run works in a
// local directory as always, and what it writes there is shipped.
//
// The bucket holds
//
//	log/000000000001 …  what was written, in numbered pieces
//	results/*.parquet   the Parquet files, under their own names
//	files/…             other large files of the run, under names never used again
//	report.html, report.md, summary.json, scores/*.parquet
//	                    copies for people and other programs, when a run ends
//
// # One writer
//
// Every piece of the log is created under the condition that nothing has its
// number yet, and a writer uses the number after its last. Whoever takes a run
// over creates the next number as a claim. So the writer before finds its next
// number taken, and knows that it is no longer the writer, before it has written
// anything. A request is sent only when its intent is in the log; therefore
// that writer sends nothing either. No clock takes part in this.
//
// Pieces whose content has been replaced are deleted. Claims are not: the
// number that a former writer will try next is always that of a claim. The
// highest piece is not: the number after it is what a new writer claims. A
// writer that claims looks at the list again afterwards. When there is a higher
// number its claim came too late, and it does not count.
package bucket

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"nightshift/internal/s3"
)

const (
	logDir    = "log/"
	filesDir  = "files/"
	resultDir = "results"

	pieceSize = 8 << 20       // bytes of entries from which a piece is full
	mostPiece = 4 * pieceSize // that a reader accepts, unpacked
)

// A head is the first entry of a piece: who wrote it.
type head struct {
	Kind   string    `json:"k"` // claim, data or end
	Seq    int64     `json:"seq"`
	Writer string    `json:"writer"` // random, of one start of a run
	Host   string    `json:"host,omitempty"`
	PID    int       `json:"pid,omitempty"`
	Since  time.Time `json:"since"`
	At     time.Time `json:"at"`
}

const (
	kindClaim = "claim"
	kindData  = "data"
	kindEnd   = "end" // the writer has let go
)

// An entry is one change of the run's files. data follows it in the piece.
type entry struct {
	Kind   string `json:"k"`
	Path   string `json:"path"` // in the run, with slashes
	Off    int64  `json:"off,omitempty"`
	Len    int64  `json:"len,omitempty"` // of data
	Object string `json:"object,omitempty"`
	Size   int64  `json:"size,omitempty"`
	SHA256 string `json:"sha256,omitempty"` // in hex

	data []byte
}

const (
	entryAt     = "at"     // data belongs at this offset of a file that only grows
	entryFile   = "file"   // data is the file
	entryObject = "object" // the file is an object of its own
	entryGone   = "gone"   // the file was removed
)

// A piece is one object of the log.
type piece struct {
	head    head
	entries []entry
	size    int64 // of the object
}

func pieceKey(seq int64) string { return fmt.Sprintf("%s%012d", logDir, seq) }

// pieceSeq is the number of a piece; false where a key is none.
func pieceSeq(key string) (int64, bool) {
	digits, ok := strings.CutPrefix(key, logDir)
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, ok && err == nil && n > 0 && len(digits) >= 12
}

var (
	packer = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
		if err != nil {
			panic(err) // the options are constant
		}
		return e
	})
	unpacker = sync.OnceValue(func() *zstd.Decoder {
		d, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(mostPiece), zstd.WithDecoderConcurrency(4))
		if err != nil {
			panic(err) // the options are constant
		}
		return d
	})
)

// encode packs a piece: a length and a JSON object for the head and each entry,
// which its data follows.
func (p *piece) encode() ([]byte, error) {
	var out []byte
	put := func(v any, data []byte) error {
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		out = binary.AppendUvarint(out, uint64(len(text)))
		out = append(append(out, text...), data...)
		return nil
	}
	if err := put(p.head, nil); err != nil {
		return nil, err
	}
	for _, e := range p.entries {
		if err := put(e, e.data); err != nil {
			return nil, err
		}
	}
	return packer().EncodeAll(out, nil), nil
}

// decode unpacks a piece that may be anything.
func decode(packed []byte) (piece, error) {
	p := piece{size: int64(len(packed))}
	raw, err := unpacker().DecodeAll(packed, nil)
	if err != nil {
		return p, err
	}
	r := bytes.NewReader(raw)
	next := func(v any) error {
		n, err := binary.ReadUvarint(r)
		if err != nil {
			return err
		}
		if n > uint64(r.Len()) {
			return io.ErrUnexpectedEOF
		}
		text := raw[len(raw)-r.Len():][:n]
		_, _ = r.Seek(int64(n), io.SeekCurrent) // n is within
		return json.Unmarshal(text, v)
	}
	if err := next(&p.head); err != nil {
		return p, fmt.Errorf("its head: %w", err)
	}
	for r.Len() > 0 {
		var e entry
		if err := next(&e); err != nil {
			return p, err
		}
		if err := e.check(); err != nil {
			return p, err
		}
		if e.Len > int64(r.Len()) {
			return p, io.ErrUnexpectedEOF
		}
		e.data = raw[len(raw)-r.Len():][:e.Len]
		_, _ = r.Seek(e.Len, io.SeekCurrent) // Len is within
		p.entries = append(p.entries, e)
	}
	return p, nil
}

// check refuses paths that lead out of the run, and keys that are not its own.
func (e *entry) check() error {
	clean := path.Clean(e.Path)
	if clean != e.Path || clean == "." || strings.HasPrefix(clean, "/") || strings.HasPrefix(clean, "../") ||
		clean == ".." || strings.ContainsAny(clean, "\\:\x00") || !shipped(clean) {
		return fmt.Errorf("%q is no file of a run", e.Path)
	}
	if e.Len < 0 || e.Off < 0 || e.Size < 0 || e.Off > 1<<50 {
		return fmt.Errorf("%s: a negative or absurd length", e.Path)
	}
	if sum, err := hex.DecodeString(e.SHA256); err != nil || len(sum) != sha256.Size && e.Kind == entryObject {
		return fmt.Errorf("%s: %q is no SHA-256", e.Path, e.SHA256) // copies are kept under it
	}
	switch e.Kind {
	case entryAt, entryFile, entryGone:
		return nil
	case entryObject:
		if e.Object != e.Path && !strings.HasPrefix(e.Object, filesDir) {
			return fmt.Errorf("%s: %q is no object of a run", e.Path, e.Object)
		}
		return nil
	}
	return fmt.Errorf("%s: an entry of kind %q, which this version does not know", e.Path, e.Kind)
}

// readPiece reads one piece. The error is [s3.ErrNotFound] when it was deleted.
func readPiece(ctx context.Context, b *s3.Bucket, seq int64) (piece, s3.Object, error) {
	body, info, err := b.Get(ctx, pieceKey(seq), mostPiece)
	if err != nil {
		return piece{}, info, err
	}
	p, err := decode(body)
	if err == nil && p.head.Seq != seq {
		err = fmt.Errorf("it says that it is piece %d", p.head.Seq)
	}
	if err != nil {
		return p, info, fmt.Errorf("%s is damaged: %w", b.Address(pieceKey(seq)), err)
	}
	return p, info, nil
}

// listPieces returns the numbers of the pieces after a number, and the store's
// clock.
func listPieces(ctx context.Context, b *s3.Bucket, after int64) (seqs []int64, date time.Time, err error) {
	from := ""
	if after > 0 {
		from = pieceKey(after)
	}
	list, err := retried(ctx, func() (list []s3.Object, err error) {
		list, date, err = b.List(ctx, logDir, from, 0)
		return list, err
	})
	for _, o := range list {
		if seq, ok := pieceSeq(o.Key); ok && seq > after {
			seqs = append(seqs, seq)
		}
	}
	return seqs, date, err
}

// readAhead is how many pieces are asked for at once.
const readAhead = 16

// readPieces gives the pieces with these numbers to apply, in their order.
// Pieces that were deleted meanwhile are left out; missed reports whether there
// were any: what they held is in pieces that came later, or was replaced.
func readPieces(ctx context.Context, b *s3.Bucket, seqs []int64, apply func(piece) error) (missed bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		p   piece
		err error
	}
	queue := make(chan chan result, readAhead)
	go func() {
		defer close(queue)
		for _, seq := range seqs {
			answer := make(chan result, 1)
			select {
			case queue <- answer:
			case <-ctx.Done():
				return
			}
			go func() {
				p, err := retried(ctx, func() (piece, error) {
					p, _, err := readPiece(ctx, b, seq)
					return p, err
				})
				answer <- result{p, err}
			}()
		}
	}()
	for answer := range queue {
		r := <-answer
		switch {
		case errors.Is(r.err, s3.ErrNotFound):
			missed = true
		case r.err != nil:
			return missed, r.err
		default:
			if err := apply(r.p); err != nil {
				return missed, err
			}
		}
	}
	return missed, ctx.Err()
}

// retried repeats what may succeed later, for some seconds.
func retried[T any](ctx context.Context, do func() (T, error)) (v T, err error) {
	wait := 100 * time.Millisecond
	for range 7 { // 12.7 s of waiting
		if v, err = do(); err == nil || !s3.Passing(err) {
			return v, err
		}
		if !sleep(ctx, wait) {
			return v, errors.Join(context.Cause(ctx), err)
		}
		wait *= 2
	}
	return v, err
}

// sleep waits; false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
