package worker

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"nightshift/internal/fsx"
	"nightshift/runner/cluster/protocol"
)

// mark stands before each frame of a spool, so that the next can be found after
// damage.
var mark = []byte{0xff, 'N', 'S', 'W'}

// Bounds of a spool file.
const (
	syncEvery   = 20 * time.Millisecond // shortest time between two syncs
	rewriteFrom = 64 << 20              // bytes that are of no more use, before a file is written anew
)

// A spool keeps the answers of one run that are not on record yet in a file: a
// Done for each, and a Kept for those that are. It is safe for concurrent use.
type spool struct {
	path string

	mu    sync.Mutex
	file  *os.File
	held  map[string][]byte // by attempt: the frame as it is in the file
	size  int64
	live  int64 // of it, bytes that are held
	err   error // of the last write; nil when that succeeded
	dirty bool
	wake  chan struct{}
	stop  chan struct{}
	done  sync.WaitGroup
}

// openSpool opens the file of a run's answers, and reads what it holds. damaged
// is how many pieces of it could not be read.
func openSpool(dir, run string) (s *spool, damaged int, err error) {
	s = &spool{path: filepath.Join(dir, "spool-"+run+".dat"), held: map[string][]byte{},
		wake: make(chan struct{}, 1), stop: make(chan struct{})}
	if s.file, err = fsx.OpenFile(s.path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, 0, err
	}
	all, err := io.ReadAll(s.file)
	if err != nil {
		return nil, 0, errors.Join(err, s.file.Close())
	}
	damaged = s.replay(all)
	if err := s.rewrite(); err != nil { // without what is of no use, and without a torn end
		return nil, damaged, errors.Join(err, s.file.Close())
	}
	s.done.Go(s.syncLoop)
	return s, damaged, nil
}

// replay takes in what a file holds.
func (s *spool) replay(all []byte) (damaged int) {
	for {
		at := bytes.Index(all, mark)
		if at < 0 {
			return damaged
		}
		rest := all[at+len(mark):]
		n, ok := s.take(rest)
		if !ok {
			damaged++
		}
		all = rest[n:]
	}
}

// take reads a frame and returns how long it is; 0 when it is damaged.
func (s *spool) take(b []byte) (n int, ok bool) {
	r := bytes.NewReader(b)
	buffered := bufio.NewReader(r)
	f, err := protocol.Read(buffered, min(len(b), protocol.MaxFrame))
	if err != nil {
		return 0, false
	}
	n = len(b) - r.Len() - buffered.Buffered()
	switch f.Kind {
	case protocol.KindDone:
		id, err := protocol.IDOf(f)
		if err != nil {
			return n, false
		}
		s.held[id] = bytes.Clone(b[:n])
	case protocol.KindKept:
		kept, err := protocol.Unpack[protocol.IDs](f)
		if err != nil {
			return n, false
		}
		for _, id := range kept.IDs {
			delete(s.held, id)
		}
	}
	return n, true
}

// rewrite makes the file anew of what is held. s.mu is held, or nobody else knows s.
func (s *spool) rewrite() error {
	tmp, err := fsx.OpenFile(s.path+".tmp", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(tmp)
	size := int64(0)
	for _, frame := range s.held {
		_, _ = w.Write(mark) // a bufio.Writer remembers its error
		_, _ = w.Write(frame)
		size += int64(len(mark) + len(frame))
	}
	if err := errors.Join(w.Flush(), tmp.Sync()); err != nil {
		return errors.Join(err, tmp.Close(), os.Remove(tmp.Name()))
	}
	if err := os.Rename(tmp.Name(), s.path); err != nil {
		return errors.Join(err, tmp.Close())
	}
	_ = s.file.Close() // what it held is in the new one
	s.file, s.size, s.live = tmp, size, size
	return fsx.SyncDir(filepath.Dir(s.path))
}

// keep writes an answer. It is in the file on return, so that it outlives the
// process, and soon on the disk. On error it is held in memory alone.
func (s *spool) keep(id string, f protocol.Frame) error {
	line, err := f.Append(append(make([]byte, 0, 1024), mark...))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[id] = line[len(mark):]
	s.live += int64(len(line))
	return s.append(line)
}

// append writes to the end of the file. What a failed write has left is cut off.
func (s *spool) append(line []byte) error {
	n, err := s.file.WriteAt(line, s.size)
	if s.err = err; err != nil {
		_ = s.file.Truncate(s.size) // a torn end is damage that the next start skips
		return err
	}
	s.size += int64(n)
	s.dirty = true
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

// forget lets answers go that are on record.
func (s *spool) forget(ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if frame, ok := s.held[id]; ok {
			s.live -= int64(len(mark) + len(frame))
			delete(s.held, id)
		}
	}
	switch {
	case len(s.held) == 0 && s.size > 0:
		if s.file.Truncate(0) == nil {
			s.size, s.live = 0, 0
			return
		}
	case s.size-s.live > rewriteFrom && s.live < s.size/2:
		if s.err = s.rewrite(); s.err == nil {
			return
		}
	}
	if f, err := protocol.Pack(protocol.KindKept, protocol.IDs{IDs: ids}); err == nil {
		if line, err := f.Append(bytes.Clone(mark)); err == nil {
			_ = s.append(line) // else they are said again after a start, and kept again
		}
	}
}

// frame returns the Done of an attempt as it is in the file.
func (s *spool) frame(id string) (frame []byte, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	frame, ok = s.held[id]
	return frame, ok
}

// ids are the attempts that are held.
func (s *spool) ids() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]string, 0, len(s.held))
	for id := range s.held {
		list = append(list, id)
	}
	return list
}

// failing is the error of the last write. After one it writes again, a line that
// says nothing: nothing else may be written until there is room.
func (s *spool) failing() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		return nil
	}
	f, err := protocol.Pack(protocol.KindKept, protocol.IDs{})
	if err != nil {
		return err
	}
	line, err := f.Append(bytes.Clone(mark))
	if err != nil {
		return err
	}
	return s.append(line)
}

// syncLoop puts what was written on the disk, by group.
func (s *spool) syncLoop() {
	for {
		select {
		case <-s.wake:
		case <-s.stop:
			return
		}
		s.mu.Lock()
		file := s.file
		s.mu.Unlock()
		if err := file.Sync(); err != nil && !errors.Is(err, fs.ErrClosed) { // closed: written anew meanwhile, synced
			s.mu.Lock()
			s.err = err
			s.mu.Unlock()
		}
		select {
		case <-time.After(syncEvery):
		case <-s.stop:
			return
		}
	}
}

// Close ends the spool. A file that holds nothing goes.
func (s *spool) close(remove bool) error {
	close(s.stop)
	s.done.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	err := errors.Join(s.file.Sync(), s.file.Close())
	if remove || len(s.held) == 0 {
		err = errors.Join(err, os.Remove(s.path))
	}
	return err
}
