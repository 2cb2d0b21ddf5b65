package scoring

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"

	"nightshift"
	"nightshift/reports/scorers"
	"nightshift/runner/store/view"
)

// An Embedding is the work of one embedding scorer on one run. As a judge's, its
// requests are the rows of durable runs below the run's judges/ folder. A text
// is asked for once, however many answers and targets it is: what was asked, and
// whom, is the id of a request.
type Embedding struct {
	Run    string // run directory
	Models []string
	// Key identifies the model, its endpoint and its parameters. Another key
	// asks anew.
	Key    string
	Scorer *scorers.Embedder
	// Datasets are those whose answers are scored, in runs with several; nil is all.
	Datasets []string
}

// Described names the scorer for the run's files.
func (e *Embedding) Described() Described {
	d := Describe(e.Scorer)
	d.Datasets = e.Datasets
	return d
}

// Batches are the directories of the scorer's runs that have begun, oldest
// first, and next is where another would go.
func (e *Embedding) Batches() (begun []string, next string, err error) {
	return batchesAt(e.Described().Dir(e.Run))
}

// A digest names a text at a model.
type digest [16]byte

func (e *Embedding) digest(text string) digest {
	sum := sha256.Sum256([]byte(e.Key + "\x00" + text))
	return digest(sum[:16])
}

// records yields the records of the run, by model and row.
func (e *Embedding) records() iter.Seq2[*nightshift.Record, error] {
	return func(yield func(*nightshift.Record, error) bool) {
		for r, err := range e.Described().only(view.Rows[answerRow](e.Run, view.ReadOptions{Models: e.Models})) {
			if !yield(r.record(), err) || err != nil {
				return
			}
		}
	}
}

// texts are what is to be embedded for a record; why says that there is nothing
// to compare.
func (e *Embedding) texts(rec *nightshift.Record) (answer string, targets []string, why *scorers.Result) {
	a, answered := scorers.FromRecord(rec)
	if !answered {
		r := scorers.NotRun(failure(rec))
		return "", nil, &r
	}
	return e.Scorer.Texts(a, scorers.TargetOf(rec))
}

// Prepare writes the texts that have not been asked for into a new batch at dir
// and returns how many there are; without any, nothing is left there.
func (e *Embedding) Prepare(ctx context.Context, dir string) (n int64, err error) {
	asked, err := e.asked()
	if err != nil {
		return 0, err
	}
	return writeBatch(dir, func(w io.Writer) (int64, error) { return e.write(ctx, w, asked) })
}

// asked are the texts that are on record, in whatever outcome.
func (e *Embedding) asked() (map[digest]bool, error) {
	dirs, _, err := e.Batches()
	if err != nil {
		return nil, err
	}
	asked := map[digest]bool{}
	for _, dir := range dirs {
		for row, err := range view.Rows[struct {
			ID string `parquet:"id"`
		}](dir, view.ReadOptions{}) {
			if err != nil {
				return nil, err
			}
			if d, ok := digestOf(row.ID); ok {
				asked[d] = true
			}
		}
	}
	return asked, nil
}

func digestOf(id string) (d digest, ok bool) {
	b, err := hex.DecodeString(id)
	return digest(append(b, make([]byte, len(d))...)[:len(d)]), err == nil && len(b) == len(d)
}

// A textRequest is one line of the dataset of such a run.
type textRequest struct {
	ID     string `json:"id"`
	Prompt string `json:"prompt"`
}

func (e *Embedding) write(ctx context.Context, w io.Writer, asked map[digest]bool) (n int64, err error) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for rec, err := range e.records() {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return n, err
		}
		answer, targets, why := e.texts(rec)
		if why != nil {
			continue
		}
		for _, text := range append([]string{answer}, targets...) {
			d := e.digest(text)
			if asked[d] {
				continue
			}
			asked[d] = true
			if err := enc.Encode(textRequest{hex.EncodeToString(d[:]), text}); err != nil {
				return n, err
			}
			n++
		}
	}
	return n, nil
}

// Finish writes the table of scores and the report from the vectors on record.
// Answers without one are unscored.
func (e *Embedding) Finish(ctx context.Context, report JudgeReport) (tallies []Tally, err error) {
	v := &vectors{places: map[digest]place{}, failed: map[digest]string{}}
	defer func() { err = errors.Join(err, v.close()) }()
	dirs, _, err := e.Batches()
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		if err := v.add(dir); err != nil {
			return nil, err
		}
	}
	d := e.Described()
	report.Scorer, report.Type = d.Name, d.Type
	tallies, err = writeTable(e.Run, d.Table(), e.scores(ctx, v, &report))
	if err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		if err := report.spend(dir); err != nil {
			return tallies, err
		}
	}
	if err := os.MkdirAll(d.Dir(e.Run), 0o700); err != nil {
		return tallies, err
	}
	return tallies, report.WriteFile(d.Dir(e.Run))
}

func (e *Embedding) scores(ctx context.Context, v *vectors, report *JudgeReport) iter.Seq2[nightshift.Score, error] {
	d := e.Described()
	return func(yield func(nightshift.Score, error) bool) {
		for rec, err := range e.records() {
			var result scorers.Result
			if err = errors.Join(err, ctx.Err()); err == nil {
				result, err = e.score(rec, v)
			}
			if err != nil {
				yield(nightshift.Score{}, err)
				return
			}
			if result.Value != nil {
				report.Judged++
			}
			if !yield(d.score(rec, result), nil) {
				return
			}
		}
	}
}

// score compares one answer with its targets.
func (e *Embedding) score(rec *nightshift.Record, v *vectors) (scorers.Result, error) {
	answer, targets, why := e.texts(rec)
	if why != nil {
		return *why, nil
	}
	all := make([][]float32, 0, len(targets)+1)
	for _, text := range append([]string{answer}, targets...) {
		vector, missing, err := v.find(e.digest(text))
		if err != nil {
			return scorers.Result{}, err
		}
		if missing != "" {
			return scorers.Result{Status: nightshift.Unscored, Explanation: &missing}, nil
		}
		all = append(all, vector)
	}
	return e.Scorer.Score(all[0], all[1:]), nil
}

// vectors are those on record, in a file, since there may be more of them than
// memory holds.
type vectors struct {
	file   *os.File // nil before the first
	out    *bufio.Writer
	size   int64
	places map[digest]place
	failed map[digest]string // why there is none
}

// A place is where a vector lies in the file.
type place struct {
	offset int64
	bytes  int
}

// vectorRow is what is read of a record of a text.
type vectorRow struct {
	ID           string             `parquet:"id"`
	Outcome      nightshift.Outcome `parquet:"outcome,dict"`
	Embedding    nightshift.Vector  `parquet:"embedding,optional,list"`
	ErrorClass   *string            `parquet:"error_class,optional,dict"`
	ErrorMessage *string            `parquet:"error_message,optional"`
}

// add takes in the vectors of one batch.
func (v *vectors) add(dir string) (err error) {
	if v.file == nil {
		if v.file, err = os.CreateTemp("", "nightshift-vectors-*"); err != nil {
			return err
		}
		v.out = bufio.NewWriterSize(v.file, 1<<20)
	}
	for row, err := range view.Rows[vectorRow](dir, view.ReadOptions{}) {
		if err != nil {
			return err
		}
		d, ours := digestOf(row.ID)
		if !ours {
			continue
		}
		if len(row.Embedding) == 0 {
			v.failed[d] = "there is no vector: " + failure(&nightshift.Record{
				Outcome: row.Outcome, ErrorClass: row.ErrorClass, ErrorMessage: row.ErrorMessage,
			})
			continue
		}
		b := row.Embedding.AppendBytes(nil)
		v.places[d] = place{v.size, len(b)}
		v.size += int64(len(b))
		if _, err := v.out.Write(b); err != nil {
			return err
		}
	}
	return v.out.Flush()
}

// find returns the vector of a text, or why there is none.
func (v *vectors) find(d digest) (vector nightshift.Vector, missing string, err error) {
	p, found := v.places[d]
	if !found {
		if why := v.failed[d]; why != "" {
			return nil, why, nil
		}
		return nil, "not embedded yet", nil
	}
	b := make([]byte, p.bytes)
	if _, err := v.file.ReadAt(b, p.offset); err != nil {
		return nil, "", fmt.Errorf("reading vectors back: %w", err)
	}
	vector, _ = nightshift.VectorOf(b)
	return vector, "", nil
}

func (v *vectors) close() error {
	if v.file == nil {
		return nil
	}
	return errors.Join(v.file.Close(), os.Remove(filepath.Clean(v.file.Name())))
}
