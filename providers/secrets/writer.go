package secrets

import (
	"bytes"
	"io"
	"sync"
)

// maxHeld bounds what a Writer keeps back when no line ever ends.
const maxHeld = 64 << 10

// Writer returns a writer that redacts what goes through it to w. Text is
// passed on line by line, so that a key which arrives in pieces is still
// found; a line longer than 64 KiB is passed on in parts that overlap by the
// longest key. Close (the value is an io.WriteCloser) passes on the last line
// if it has no end; it does not close w.
//
// The writer is safe for concurrent use.
func (r *Redactor) Writer(w io.Writer) io.WriteCloser {
	return &writer{redactor: r, to: w}
}

type writer struct {
	redactor *Redactor
	to       io.Writer
	mu       sync.Mutex
	held     []byte
}

// Write takes all of p; the error is that of the writer below.
func (w *writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	cut := 0
	if end := bytes.LastIndexByte(p, '\n'); end >= 0 {
		cut = len(w.held) + end + 1
	}
	w.held = append(w.held, p...)
	if cut == 0 && len(w.held) > maxHeld {
		cut = w.safeCut()
	}
	if cut == 0 {
		return len(p), nil
	}
	err := w.pass(w.held[:cut])
	w.held = append(w.held[:0], w.held[cut:]...)
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// safeCut finds where a long line may be split without splitting a key. What
// is held is redacted first, so a whole key in it is gone; only a beginning of
// one at the end can be left, and that stays held.
func (w *writer) safeCut() int {
	w.held = append([]byte(nil), w.redactor.Bytes(w.held)...)
	keep := 4 << 10
	if forms := w.redactor.forms(); len(forms) > 0 {
		keep = max(keep, len(forms[0]))
	}
	if len(w.held) <= keep {
		return 0
	}
	return len(w.held) - keep
}

func (w *writer) pass(p []byte) error {
	_, err := w.to.Write(w.redactor.Bytes(p))
	return err
}

// Close passes on what is held.
func (w *writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.held) == 0 {
		return nil
	}
	err := w.pass(w.held)
	w.held = nil
	return err
}
