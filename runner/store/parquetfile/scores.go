package parquetfile

import (
	"iter"

	"nightshift"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/records"
)

// WriteScores writes and syncs a new file of scores. name must not exist. An
// error of scores ends the writing and is returned as it is.
func WriteScores(fsys disk.FS, name string, scores iter.Seq2[nightshift.Score, error]) error {
	w, err := create(fsys, name, map[string]string{"schema_version": SchemaVersion}, WeighScore)
	if err != nil {
		return disk.Wrap("writing", name, err)
	}
	defer w.close()
	for s, err := range scores {
		if err != nil {
			return err
		}
		sound := records.RepairScore(s)
		if err := w.add(&sound); err != nil {
			return disk.Wrap("writing", name, err)
		}
	}
	return disk.Wrap("writing", name, w.finish())
}

// WeighScore is about how many bytes a score takes before compression.
func WeighScore(s *nightshift.Score) int64 {
	n := int64(200)
	for _, p := range []*string{s.Answer, s.Explanation} {
		if p != nil {
			n += int64(len(*p))
		}
	}
	return n
}
