// Package source reads files as rows: it finds them, recognises their format and
// compression, and cuts their content into batches of rows.
package source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nightshift/datasets/internal/problem"
	"nightshift/internal/fsx"
)

// Options say which files to read, and within which bounds.
type Options struct {
	Paths  []string // files or globs, relative to Dir; "-" is standard input
	Dir    string   // "" is the working directory
	Format string   // "" or "auto", or what Formats lists; other names are ignored

	MaxLine  int64 // longest row in bytes
	MaxRatio int64 // most that compressed files may grow
	MaxBytes int64 // most that one compressed file may unpack to

	Stdin io.Reader // nil is os.Stdin
	Spool string    // folder for a copy of standard input
	// FirstStream is the number of the first such copy.
	FirstStream int
	Copies      []string // copies of the streams, from an earlier start
	// Downloads is a folder for datasets of the Hugging Face hub; "" is one in Spool.
	Downloads string
	Notice    func(text string) // hears of downloads; may be nil

	streams int // streams spooled so far
}

// A File is one file of a dataset. All but the handle is kept in the index.
type File struct {
	Name   string // as the user wrote it, for messages
	Path   string // where it is read from
	Format string
	Packed string // compression: "", gzip or zstd
	// Spooled is set for the copy of a stream.
	Spooled bool

	// Identity at the time of indexing.
	Size    int64
	ModTime int64 // unix nanoseconds
	Inode   uint64
	Device  uint64
	CTime   int64

	// Length is the length of the content in the file's own count: bytes after
	// decompression, or rows for Parquet. Base is the sum of the lengths of the
	// files before it.
	Length int64
	Base   int64
	Header []string // column names, for CSV
}

// Find resolves paths: globs, pipes, standard input.
func Find(ctx context.Context, o *Options, p *problem.Problems) []*File {
	var files []*File
	if len(o.Paths) == 0 {
		p.Add(problem.Problem{Row: -1, What: "no dataset file is named", Hint: "set dataset.path, or pass --dataset"})
	}
	for _, path := range o.Paths {
		found, err := o.resolve(ctx, path)
		if err != nil {
			p.Add(ProblemOf(path, err))
			continue
		}
		files = append(files, found...)
	}
	return withoutDuplicates(files, p)
}

// ProblemOf names the file of an error.
func ProblemOf(name string, err error) problem.Problem {
	q := problem.Problem{File: name, Row: -1, What: err.Error()}
	var fe *FileError
	var pe *fs.PathError
	switch {
	case errors.As(err, &fe):
		q.Line, q.What, q.Hint = fe.line, fe.what, fe.hint
	case errors.Is(err, fs.ErrNotExist):
		q.What, q.Hint = "no such file", "paths in a plan are relative to the plan"
	case errors.Is(err, fs.ErrPermission):
		q.What, q.Hint = "the file may not be read", "check its permissions"
	case errors.As(err, &pe):
		q.What = pe.Op + ": " + pe.Err.Error()
	}
	return q
}

func (o *Options) resolve(ctx context.Context, path string) ([]*File, error) {
	if path == "-" {
		return o.spooled(ctx, "standard input", cmp.Or[io.Reader](o.Stdin, os.Stdin))
	}
	if IsRemote(path) {
		return o.fromHub(ctx, path)
	}
	full := path
	if !filepath.IsAbs(full) {
		full = filepath.Join(o.Dir, path)
	}
	if strings.ContainsAny(path, "*?[") {
		if _, err := os.Lstat(full); err != nil { // a file may really be named so
			return o.glob(path, full)
		}
	}
	f, err := o.identify(ctx, path, full)
	if err != nil {
		return nil, err
	}
	return []*File{f}, nil
}

func (o *Options) glob(path, full string) ([]*File, error) {
	names, err := filepath.Glob(full)
	if err != nil {
		return nil, &FileError{what: "not a pattern that can be matched", hint: `escape [ ] and ? as \[ \] and \?`}
	}
	slices.Sort(names)
	var files []*File
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		if info.Mode().IsRegular() {
			f := &File{Name: o.short(name), Path: name}
			f.Identify(info)
			files = append(files, f)
		}
	}
	if len(files) == 0 {
		return nil, &FileError{what: "no file matches", hint: "paths in a plan are relative to the plan"}
	}
	return files, nil
}

// short is a path as a person would write it.
func (o *Options) short(path string) string {
	if rel, err := filepath.Rel(cmp.Or(o.Dir, "."), path); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return path
}

// identify looks at one path; what is read only once is spooled.
func (o *Options) identify(ctx context.Context, name, path string) (*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	switch mode := info.Mode(); {
	case mode.IsDir():
		return nil, &FileError{what: "a folder", hint: "name its files: " + filepath.Join(name, "*.jsonl")}
	case mode&(fs.ModeNamedPipe|fs.ModeSocket) != 0:
		pipe, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer pipe.Close()
		files, err := o.spooled(ctx, name, pipe)
		if err != nil {
			return nil, err
		}
		return files[0], nil
	case !mode.IsRegular():
		return nil, &FileError{what: "not a regular file", hint: "devices are not read"}
	}
	f := &File{Name: name, Path: path}
	f.Identify(info)
	return f, nil
}

// Identify notes by what an unchanged file is recognised.
func (f *File) Identify(info fs.FileInfo) {
	f.Size, f.ModTime = info.Size(), info.ModTime().UnixNano()
	if id, err := fsx.Identify(f.Path, info); err == nil {
		f.Inode, f.Device, f.CTime = id.Inode, id.Device, id.Changed
	}
}

// spooled copies a stream that can be read only once into the run's folder.
func (o *Options) spooled(ctx context.Context, name string, r io.Reader) ([]*File, error) {
	if len(o.Copies) > 0 { // a second start: the stream was read long ago
		path := o.Copies[0]
		o.Copies = o.Copies[1:]
		return spooledFile(name, path)
	}
	if o.Spool == "" {
		return nil, &FileError{what: "a stream needs a folder to be kept in",
			hint: "pass --out, or save it as a file first"}
	}
	if err := os.MkdirAll(o.Spool, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(o.Spool, fmt.Sprintf("dataset.input-%d", o.FirstStream+o.streams))
	o.streams++
	if err := spool(ctx, path, r); err != nil {
		return nil, err
	}
	return spooledFile(name, path)
}

func spooledFile(name, path string) ([]*File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	f := &File{Name: name, Path: path, Spooled: true}
	f.Identify(info)
	return []*File{f}, nil
}

// spool writes a file that is there whole or not at all.
func spool(ctx context.Context, path string, r io.Reader) error {
	tmp := path + ".tmp"
	os.Remove(tmp) // of a process that was killed
	out, err := fsx.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, &contextReader{ctx, r})
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		os.Remove(tmp)
		return fmt.Errorf("keeping the input: %w", err)
	}
	return os.Rename(tmp, path)
}

// withoutDuplicates refuses a file that is named twice, by whatever names.
func withoutDuplicates(files []*File, p *problem.Problems) []*File {
	type id struct{ device, inode uint64 }
	seen := map[id]string{}
	return slices.DeleteFunc(files, func(f *File) bool {
		key := id{f.Device, f.Inode}
		first, twice := seen[key]
		if twice = twice && key != (id{}); twice {
			p.Add(problem.Problem{File: f.Name, Row: -1, What: "the same file twice",
				Hint: "it is already read as " + first})
		}
		seen[key] = f.Name
		return twice
	})
}
