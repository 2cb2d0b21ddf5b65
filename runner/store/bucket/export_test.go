package bucket

import "errors"

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

// Unpaced leaves out the pauses between pieces.
func (o Options) Unpaced() Options {
	o.pace = -1
	return o
}

// Decode is decode for the fuzzer.
func Decode(b []byte) (entries int, err error) {
	p, err := decode(b)
	return len(p.entries), err
}
