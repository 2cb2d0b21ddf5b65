package source

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"strings"

	"nightshift/datasets/internal/huggingface"
)

// IsRemote reports whether a path names a dataset of the Hugging Face hub.
func IsRemote(path string) bool { return strings.HasPrefix(path, huggingface.Scheme) }

// pinsFile keeps in the run's folder which revision of a dataset the run reads.
const pinsFile = "downloads.json"

// fromHub are the files of a dataset of the hub, downloaded once. A second start
// reads the same revision.
func (o *Options) fromHub(ctx context.Context, path string) ([]*File, error) {
	name, err := huggingface.ParseName(path)
	if err != nil {
		return nil, &FileError{what: err.Error()}
	}
	where := huggingface.Place{Dir: o.Downloads, Notice: o.Notice}
	if where.Notice == nil {
		where.Notice = func(string) {}
	}
	if o.Spool != "" {
		where.Pins = filepath.Join(o.Spool, pinsFile)
		where.Dir = cmp.Or(where.Dir, filepath.Join(o.Spool, "downloads"))
		if err := os.MkdirAll(o.Spool, 0o700); err != nil {
			return nil, err
		}
	}
	if where.Dir == "" {
		return nil, &FileError{what: "a dataset of the hub needs a folder to be kept in",
			hint: "pass --out, or name a folder in NIGHTSHIFT_DOWNLOADS"}
	}
	hub, err := huggingface.NewHub(os.Getenv)
	if err != nil {
		return nil, &FileError{what: err.Error()}
	}
	paths, full, err := hub.Fetch(ctx, name, where)
	if err != nil {
		return nil, err
	}
	var files []*File
	for _, p := range paths {
		f, err := o.identify(ctx, full.String()+"/"+filepath.Base(p), p)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}
