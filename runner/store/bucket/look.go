package bucket

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"nightshift/internal/fsx"
)

// changes are what a look at the directory found that the bucket lacks.
type changes struct {
	entries []entry // data
	logs    []entry // of files in which the run notes steps: they come after what they speak of
	objects []entry // files that become objects, to be stored before the log names them
	gone    []entry // files that were removed
	seen    map[string]os.FileInfo
}

// look compares the directory with the bucket. The order in which it looks is
// that in which the store writes, backwards, so that what it sees together is
// something that was there at one moment or can be recovered from: which
// journals have gone, then the logs that say why, then what the logs speak of.
// Unless the whole directory is looked at, it is only journals, logs, and what
// logs have news of.
func (w *Writer) look(roots []string, whole bool) (changes, error) {
	c := changes{seen: map[string]os.FileInfo{}}
	there, err := w.list(roots, whole)
	if err != nil {
		return c, err
	}
	for _, name := range w.state.names() {
		if !there[name] && (whole || w.hot(name, roots)) {
			c.gone = append(c.gone, entry{Kind: entryGone, Path: name})
		}
	}
	news := false
	for _, root := range roots {
		for _, log := range []string{"manifest.jsonl", "batches.jsonl", "late.jsonl"} {
			before := len(c.logs)
			if err := w.lookAt(path.Join(root, log), &c); err != nil {
				return c, err
			}
			news = news || len(c.logs) > before
		}
	}
	if there, err = w.list(roots, whole || news); err != nil {
		return c, err
	}
	names := make([]string, 0, len(there))
	for name := range there {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if isLog(path.Base(name)) {
			continue // as it was before; what came since goes along next time
		}
		if err := w.lookAt(name, &c); err != nil {
			return c, err
		}
	}
	return c, nil
}

// hot reports whether a file is one of those that are always looked at.
func (w *Writer) hot(name string, roots []string) bool {
	return path.Base(path.Dir(name)) == "journal" && slices.Contains(roots, parentOf(path.Dir(name)))
}

// parentOf is path.Dir with "" for the top.
func parentOf(name string) string {
	if dir := path.Dir(name); dir != "." {
		return dir
	}
	return ""
}

// list returns the files of the run: all, or the journals only.
func (w *Writer) list(roots []string, whole bool) (map[string]bool, error) {
	there := map[string]bool{}
	if whole {
		return there, w.walk("", there)
	}
	for _, root := range roots {
		dir := path.Join(root, "journal")
		names, err := os.ReadDir(w.local(dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range names {
			there[path.Join(dir, e.Name())] = true
		}
	}
	return there, nil
}

func (w *Writer) walk(dir string, there map[string]bool) error {
	list, err := os.ReadDir(w.local(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range list {
		name := path.Join(dir, e.Name())
		switch {
		case !shipped(name):
		case e.IsDir():
			if err := w.walk(name, there); err != nil {
				return err
			}
		case e.Type().IsRegular():
			there[name] = true
		}
	}
	return nil
}

func (w *Writer) local(name string) string { return filepath.Join(w.dir, filepath.FromSlash(name)) }

// lookAt adds what the bucket lacks of one file. One that has gone meanwhile is
// left to the next look.
func (w *Writer) lookAt(name string, c *changes) error {
	info, err := os.Lstat(w.local(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	old, seen := w.seen[name]
	same := seen && os.SameFile(old, info)
	if same && old.Size() == info.Size() && old.ModTime().Equal(info.ModTime()) {
		return nil
	}
	if grows(name) {
		err = w.lookAtGrowing(name, info, !seen || same, c)
	} else {
		err = w.lookAtWhole(name, info, c)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// lookAtGrowing adds what was added to a file; all of it when it is another file
// than before, or shorter.
func (w *Writer) lookAtGrowing(name string, info os.FileInfo, same bool, c *changes) error {
	from, anew := int64(0), false
	if f := w.state.files[name]; f != nil {
		from, anew = f.size, !same || info.Size() < f.size
	}
	if anew {
		from = 0
	}
	f, err := fsx.OpenFile(w.local(name), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	for from < info.Size() || anew {
		data := make([]byte, min(info.Size()-from, pieceSize))
		n, err := f.ReadAt(data, from)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		e := entry{Kind: entryAt, Path: name, Off: from, Len: int64(n), data: data[:n]}
		if anew {
			e.Kind, anew = entryFile, false
		}
		if isLog(path.Base(name)) {
			c.logs = append(c.logs, e)
		} else {
			c.entries = append(c.entries, e)
		}
		if from += int64(n); n == 0 {
			break
		}
	}
	c.seen[name] = info
	return nil
}

// lookAtWhole adds a file that is new or was replaced.
func (w *Writer) lookAtWhole(name string, info os.FileInfo, c *changes) error {
	f, err := fsx.OpenFile(w.local(name), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	e := entry{Kind: entryFile, Path: name, Size: info.Size()}
	if e.Size <= inlineSize && !isResult(name) {
		if e.data, err = io.ReadAll(io.LimitReader(f, inlineSize+1)); err != nil {
			return err
		}
		e.Size, e.Len = int64(len(e.data)), int64(len(e.data))
		if e.SHA256, err = sumOf(bytes.NewReader(e.data)); err != nil {
			return err
		}
	} else if e.SHA256, err = sumOf(f); err != nil {
		return err
	}
	c.seen[name] = info
	if had := w.state.files[name]; had != nil && had.sum == e.SHA256 && had.size == e.Size {
		return nil
	}
	if e.data == nil && e.Size > 0 {
		e.Kind, e.Object = entryObject, w.newObject(name)
		c.objects = append(c.objects, e)
		return nil
	}
	c.entries = append(c.entries, e)
	return nil
}

// join writes small pieces anew, together, when there are many: a take-over
// reads them all.
func (w *Writer) join() error {
	small := w.state.small(smallPiece)
	if len(small) < w.opts.pieces {
		return nil
	}
	var entries []entry
	size := int64(0)
	flush := func() error {
		err := w.put(piece{head: head{Kind: kindData}, entries: entries})
		entries, size = nil, 0
		return err
	}
	for _, name := range w.state.names() {
		for _, e := range w.again(name, small) {
			entries = append(entries, e)
			if size += e.Len; size < pieceSize {
				continue
			}
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if len(entries) == 0 {
		return nil
	}
	return flush()
}

// again returns a file's data that some pieces have, and makes the state forget
// that they have it. What cannot be read stays where it is.
func (w *Writer) again(name string, pieces map[int64]bool) (entries []entry) {
	f := w.state.files[name]
	if f.object != "" || f.seq != 0 && !pieces[f.seq] {
		return nil
	}
	in, err := fsx.OpenFile(w.local(name), os.O_RDONLY, 0)
	if err != nil {
		return nil
	}
	defer in.Close()
	if f.seq != 0 {
		data, err := io.ReadAll(io.LimitReader(in, inlineSize+1))
		if err != nil {
			return nil
		}
		if sum, err := sumOf(bytes.NewReader(data)); err != nil || sum != f.sum {
			return nil // it was replaced: that comes with the next look
		}
		return []entry{{Kind: entryFile, Path: name, Len: f.size, Size: f.size, SHA256: f.sum, data: data}}
	}
	var kept []part
	for _, p := range joined(f.parts, pieces) {
		if !p.again {
			kept = append(kept, p.part)
			continue
		}
		data := make([]byte, p.len)
		if _, err := in.ReadAt(data, p.off); err != nil {
			return nil
		}
		entries = append(entries, entry{Kind: entryAt, Path: name, Off: p.off, Len: p.len, data: data})
	}
	for _, p := range f.parts {
		if pieces[p.seq] {
			w.state.letGo(p.seq)
		}
	}
	f.parts = kept
	return entries
}

// A stretch is a part of a file, or several that follow each other, to be written
// again.
type stretch struct {
	part
	again bool
}

// joined puts parts together that are in some pieces and follow each other, as
// far as a piece takes them.
func joined(parts []part, pieces map[int64]bool) (list []stretch) {
	for _, p := range slices.SortedFunc(slices.Values(parts), func(a, b part) int { return int(a.off - b.off) }) {
		if !pieces[p.seq] {
			list = append(list, stretch{part: p})
			continue
		}
		if n := len(list) - 1; n >= 0 && list[n].again && list[n].off+list[n].len == p.off && list[n].len+p.len <= pieceSize {
			list[n].len += p.len
			continue
		}
		list = append(list, stretch{p, true})
	}
	return list
}
