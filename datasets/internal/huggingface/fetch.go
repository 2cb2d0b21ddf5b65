package huggingface

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"nightshift/internal/fsx"
	"nightshift/internal/words"
)

// A Place is where datasets are kept.
type Place struct {
	Dir    string // for the files, a folder each by dataset and revision
	Pins   string // a file that keeps which revision each name stands for; "" keeps none
	Notice func(text string)
}

// Fetch returns the files of a dataset, in order, and its name with the revision.
// What is there already is not downloaded again. A name that was fetched before
// stands for the same revision as then, for as long as the pins are kept.
func (h *Hub) Fetch(ctx context.Context, n Name, p Place) (paths []string, full Name, err error) {
	pins, err := readPins(p.Pins)
	if err != nil {
		return nil, n, err
	}
	full = n
	if pinned, ok := pins[n.String()]; ok {
		if full, err = ParseName(pinned); err != nil {
			return nil, n, fmt.Errorf("%s: %w", p.Pins, err)
		}
	} else if full, err = h.Resolve(ctx, n); err != nil {
		return nil, n, err
	}
	folder := filepath.Join(p.Dir, full.Owner+"--"+full.Dataset, full.Revision, full.Config, full.Split)
	paths, err = h.split(ctx, full, folder, p.Notice)
	if err != nil {
		return nil, full, err
	}
	pins[n.String()] = full.String()
	return paths, full, writePins(p.Pins, pins)
}

// listFile says which files a folder has when it has all.
const listFile = "files.json"

// A localFile is a file that was downloaded.
type localFile struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256,omitempty"` // as the hub says; "" where it does not
}

// split returns the files of a split, downloading those that are missing.
func (h *Hub) split(ctx context.Context, n Name, folder string, notice func(string)) ([]string, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	list, err := readList(folder)
	if err != nil {
		return nil, err
	}
	if list == nil {
		if list, err = h.download(ctx, n, folder, notice); err != nil {
			return nil, err
		}
	}
	paths := make([]string, 0, len(list))
	for _, f := range list {
		paths = append(paths, filepath.Join(folder, f.Name))
	}
	return paths, nil
}

// readList are the files of a folder that was downloaded whole and is whole
// still; nil for others.
func readList(folder string) (list []localFile, err error) {
	b, err := os.ReadFile(filepath.Join(folder, listFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if json.Unmarshal(b, &list) != nil {
		return nil, nil
	}
	for _, f := range list {
		info, err := os.Stat(filepath.Join(folder, f.Name))
		if err != nil || info.Size() != f.Size || !part().MatchString(f.Name) {
			return nil, nil
		}
	}
	return list, nil
}

func (h *Hub) download(ctx context.Context, n Name, folder string, notice func(string)) (list []localFile, err error) {
	files, partial, err := h.files(ctx, n)
	if err != nil {
		return nil, err
	}
	if partial {
		notice(fmt.Sprintf("%s: the hub has Parquet files of the beginning of this split only", n))
	}
	var size int64
	for _, f := range files {
		size += f.size()
	}
	notice(fmt.Sprintf("downloading %s: %s, %s", n, words.Counted(int64(len(files)), "file"), words.Bytes(size)))
	for _, f := range files {
		local := localFile{filepath.Base(filepath.FromSlash(f.Path)), f.size(), f.sum()}
		if err := h.file(ctx, n, f, filepath.Join(folder, local.Name)); err != nil {
			return nil, err
		}
		list = append(list, local)
	}
	b, err := json.MarshalIndent(list, "", "  ")
	if err == nil {
		err = fsx.WriteFile(filepath.Join(folder, listFile), append(b, '\n'))
	}
	return list, err
}

// file downloads one file. It is under its name only when it is whole; what came
// before an interruption is kept beside it and not asked for again.
func (h *Hub) file(ctx context.Context, n Name, f remoteFile, path string) error {
	if info, err := os.Stat(path); err == nil && info.Size() == f.size() {
		return nil
	}
	part := path + ".partial"
	for tries := 1; ; tries++ {
		before := sizeOf(part)
		err := h.fetch(ctx, n, f, part)
		if err == nil {
			break
		}
		if sizeOf(part) > before {
			tries = 1
		}
		if tries == mostTries || final(ctx, err) {
			return err
		}
		if err := h.wait(ctx, tries); err != nil {
			return err
		}
	}
	if err := whole(part, f); err != nil {
		return errors.Join(fmt.Errorf("%s of %s: %w", f.Path, n, err), os.Remove(part))
	}
	return os.Rename(part, path)
}

func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// fetch asks for what a partial file lacks.
func (h *Hub) fetch(ctx context.Context, n Name, f remoteFile, part string) (err error) {
	have := sizeOf(part)
	if have > f.size() {
		have = 0
	}
	if have == f.size() && have > 0 {
		return nil
	}
	parts := append([]string{"datasets", n.Owner, n.Dataset, "resolve", n.Revision}, strings.Split(f.Path, "/")...)
	resp, err := h.get(ctx, h.at(parts...), f.Path+" of "+n.String(), have)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if have == 0 || resp.StatusCode != http.StatusPartialContent {
		have, flags = 0, os.O_CREATE|os.O_WRONLY|os.O_TRUNC
	}
	out, err := os.OpenFile(part, flags, 0o600)
	if err != nil {
		return err
	}
	got, err := io.Copy(out, io.LimitReader(resp.Body, f.size()-have+1))
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return fmt.Errorf("%s of %s: %w", f.Path, n, err)
	}
	if have+got != f.size() {
		return fmt.Errorf("%s of %s ends after %d of %d bytes: %w", f.Path, n, have+got, f.size(), io.ErrUnexpectedEOF)
	}
	return nil
}

// whole compares a file with what the hub says of it.
func whole(path string, f remoteFile) error {
	if f.sum() == "" {
		return nil
	}
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, in); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != f.sum() {
		return fmt.Errorf("what was downloaded is not what the hub describes (SHA-256 %s, want %s): try again", got, f.sum())
	}
	return nil
}

// readPins reads which full name each name stands for.
func readPins(path string) (map[string]string, error) {
	pins := map[string]string{}
	if path == "" {
		return pins, nil
	}
	if err := fsx.ReadJSON(path, &pins); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return pins, nil
}

func writePins(path string, pins map[string]string) error {
	if path == "" {
		return nil
	}
	b, err := json.MarshalIndent(pins, "", "  ")
	if err != nil {
		return err
	}
	return fsx.WriteFile(path, append(b, '\n'))
}
