package store

import (
	"crypto/rand"
	"fmt"
	"iter"
	"nightshift"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/parquetfile"
)

// WriteScores writes scores/<name>.parquet, whole or not at all, in place of
// any that is there. It holds a batch of scores at a time. It needs no lock;
// of two writers of one name the later wins. name is a plain name without an
// ending. An error from scores ends the writing, and the old file stays.
func WriteScores(dir, name string, scores iter.Seq2[nightshift.Score, error]) error {
	return writeScores(disk.OS{}, rundir.Dir(dir), name, scores)
}

func writeScores(fsys disk.FS, dir rundir.Dir, name string, scores iter.Seq2[nightshift.Score, error]) error {
	if name == "" || name != rundir.PlainName(name) {
		return fmt.Errorf("store: %q is no name for a score table: letters, digits, dot, dash and underscore only", name)
	}
	if err := fsys.Mkdir(dir.At(rundir.ScoresDir)); err != nil {
		return disk.Wrap("creating", dir.At(rundir.ScoresDir), err)
	}
	final := dir.At(rundir.ScoresDir, name+".parquet")
	tmp := dir.At(rundir.ScoresDir, "."+name+"."+rand.Text()+".tmp")
	err := parquetfile.WriteScores(fsys, tmp, scores)
	if err == nil {
		err = disk.Wrap("writing", final, fsys.Replace(tmp, final))
	}
	if err != nil {
		_ = fsys.Remove(tmp)
		return err
	}
	return disk.Wrap("writing", final, fsys.SyncDir(dir.At(rundir.ScoresDir)))
}
