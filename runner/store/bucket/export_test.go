package bucket

import (
	"errors"
	"time"
)

// Kill ends a writer as the end of its process would.
func (w *Writer) Kill() {
	w.fail(errors.New("killed"))
	w.cancel(errors.New("killed"))
	w.closeWithout()
}

// closeWithout ends the goroutine without a last look.
func (w *Writer) closeWithout() {
	answer := make(chan error, 1)
	w.closing <- answer
	<-w.done
	w.lock.Close()
}

// JoinAt is how many small pieces are joined.
func (w *Writer) JoinAt(n int) { w.opts.pieces = n }

// A Named is a file that a piece of the log names.
type Named struct{ Path, Object, SHA256 string }

// Decode is decode for the fuzzer: the files that a piece names, and the piece
// packed anew. It is applied to nothing but a state.
func Decode(b []byte) (names []Named, again []byte, err error) {
	p, err := decode(b)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range p.entries {
		names = append(names, Named{e.Path, e.Object, e.SHA256})
	}
	s := newState()
	s.apply(p)
	s.obsolete()
	again, err = p.encode()
	return names, again, err
}

// Pack packs what is to be a piece.
func Pack(raw []byte) []byte { return packer().EncodeAll(raw, nil) }

// Unpack is the other way.
func Unpack(b []byte) ([]byte, error) { return unpacker().DecodeAll(b, nil) }

// SearchAgain makes the next [Folder.Refresh] look for new runs.
func (f *Folder) SearchAgain() { f.searched = time.Time{} }
