package session

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nightshift"
	"nightshift/datasets"
	"nightshift/runner/store"
	"nightshift/runner/store/view"
)

// chosenFile keeps in the run directory which rows of the earlier run were
// chosen, so that a second start chooses the same even if that run has moved on.
const chosenFile = "rows.json"

// chosenRows are rows of a dataset that an earlier run picked out. nil is all
// rows.
type chosenRows struct {
	From        string `json:"from"`  // run directory, or the URL of one in a bucket
	Which       string `json:"which"` // failed, different, …
	Count       int64  `json:"count"`
	DatasetHash string `json:"dataset_hash"`
	Hash        string `json:"hash"` // of the rows
	// Versions are those of the earlier run's dataset, so that this one is cut
	// into the same slices.
	Versions []datasets.Version `json:"stages,omitempty"`

	dir  string // where the run is read
	bits []byte // bit n is row n
}

// chosenOnDisk is chosenRows with the rows.
type chosenOnDisk struct {
	chosenRows
	Bits []byte `json:"bits"`
}

// rowChoices are the words of --rows.
var rowChoices = map[string]nightshift.Outcome{
	"failed": nightshift.OutcomeFailed, "truncated": nightshift.OutcomeTruncated,
	"refused": nightshift.OutcomeRefused, "empty": nightshift.OutcomeEmpty, "different": "",
}

// chooseRows chooses the rows of an earlier run that are asked for. What was
// chosen at an earlier start is chosen again.
func (s *Session) chooseRows(ctx context.Context) error {
	if s.RowsFrom == "" {
		return nil
	}
	words := strings.Split(s.WhichRows, ",")
	for _, w := range words {
		if _, ok := rowChoices[w]; !ok {
			return Usagef("--rows: %q is none of failed, truncated, refused, empty, different", w)
		}
	}
	kept, err := readChosen(filepath.Join(s.Plan.Out, chosenFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil && sameRun(kept.From, s.RowsFrom) && kept.Which == s.WhichRows {
		s.rows = kept
		return nil
	}
	dir, err := s.reading(ctx, s.RowsFrom)
	if err != nil {
		return Usagef("--rows-from: %w", err)
	}
	s.rows, err = chooseFrom(dir, s.RowsFrom, words)
	if err == nil && s.rows.Count == 0 {
		err = Usagef("--rows-from: %s has no rows that are %s", s.RowsFrom, strings.Join(words, " or "))
	}
	return err
}

// sameRun reports whether two names are of one run.
func sameRun(one, other string) bool {
	a, errA := absolute(one)
	b, errB := absolute(other)
	return a == b && errA == nil && errB == nil
}

func readChosen(path string) (*chosenRows, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var kept chosenOnDisk
	if err := json.Unmarshal(b, &kept); err != nil {
		return nil, &store.StorageError{Op: "reading", Path: path, Err: err}
	}
	kept.bits = kept.Bits
	return &kept.chosenRows, nil
}

// chooseFrom goes through an earlier run, whose name is from.
func chooseFrom(dir, from string, words []string) (*chosenRows, error) {
	info, err := view.ReadInfo(dir)
	if err != nil {
		return nil, Usagef("--rows-from: %w", err)
	}
	c := &chosenRows{From: from, dir: dir, Which: strings.Join(words, ","), DatasetHash: info.DatasetHash,
		Versions: versionsOf(info.Extensions), bits: make([]byte, (info.DatasetRows+7)/8)}
	if err := c.byOutcome(words); err != nil {
		return nil, fmt.Errorf("--rows-from: %w", err)
	}
	if slices.Contains(words, "different") {
		if len(info.Models) < 2 {
			return nil, Usagef("--rows different: %s has one model only", from)
		}
		if err := c.byDifference(info); err != nil {
			return nil, fmt.Errorf("--rows-from: %w", err)
		}
	}
	sum := sha256.Sum256(c.bits)
	c.Hash = hex.EncodeToString(sum[:])
	return c, nil
}

// byOutcome chooses rows by what became of them with any model. Rows that
// could not be sent and rows whose answer was lost count as failed.
func (c *chosenRows) byOutcome(words []string) error {
	type row struct {
		Row     int64              `parquet:"row"`
		Outcome nightshift.Outcome `parquet:"outcome,dict"`
	}
	var wanted []nightshift.Outcome
	for _, w := range words {
		if o := rowChoices[w]; o != "" {
			wanted = append(wanted, o)
		}
		if w == "failed" {
			wanted = append(wanted, nightshift.OutcomeInputError, nightshift.OutcomeUnknown)
		}
	}
	if wanted == nil {
		return nil
	}
	for r, err := range view.Rows[row](c.dir, view.ReadOptions{}) {
		if err != nil {
			return err
		}
		if slices.Contains(wanted, r.Outcome) {
			c.choose(r.Row)
		}
	}
	return nil
}

// byDifference chooses rows that models did differently on: in their scores
// where the run has some, else in the words of their answers.
func (c *chosenRows) byDifference(info view.Info) error {
	d := difference{rows: c, first: make([]uint32, info.DatasetRows), now: make([]uint32, info.DatasetRows)}
	tables, err := view.ScoreTables(c.dir)
	if err != nil {
		return err
	}
	for _, model := range info.Models {
		read := d.answers
		if len(tables) > 0 {
			read = d.scores
		}
		if err := read(model); err != nil {
			return err
		}
		d.next()
	}
	return nil
}

// difference compares what models made of each row, by sums that do not depend
// on the order in which things come. 0 is nothing.
type difference struct {
	rows       *chosenRows
	first, now []uint32
}

func (d *difference) add(row int64, words ...any) {
	h := fnv.New32a()
	fmt.Fprint(h, words...)
	if row >= 0 && row < int64(len(d.now)) {
		d.now[row] += h.Sum32() | 1
	}
}

// next compares a model with those before it and starts on another.
func (d *difference) next() {
	for row, sum := range d.now {
		switch {
		case sum == 0:
		case d.first[row] == 0:
			d.first[row] = sum
		case d.first[row] != sum:
			d.rows.choose(int64(row))
		}
	}
	clear(d.now)
}

func (d *difference) answers(model string) error {
	type row struct {
		Row   int64   `parquet:"row"`
		Epoch int32   `parquet:"epoch"`
		Text  *string `parquet:"text,optional"`
	}
	for r, err := range view.Rows[row](d.rows.dir, view.ReadOptions{Models: []string{model}}) {
		if err != nil {
			return err
		}
		if r.Text != nil {
			d.add(r.Row, r.Epoch, strings.ToLower(strings.Join(strings.Fields(*r.Text), " ")))
		}
	}
	return nil
}

func (d *difference) scores(model string) error {
	for s, err := range view.Scores(d.rows.dir) {
		if err != nil {
			return err
		}
		if s.Model == model && s.Value != nil {
			d.add(s.Row, s.Scorer, s.Epoch, *s.Value)
		}
	}
	return nil
}

func (c *chosenRows) choose(row int64) {
	if row < 0 || row/8 >= int64(len(c.bits)) || c.has(row) {
		return
	}
	c.bits[row/8] |= 1 << (row % 8)
	c.Count++
}

// has reports whether a row was chosen.
func (c *chosenRows) has(row int64) bool {
	return row >= 0 && row/8 < int64(len(c.bits)) && c.bits[row/8]&(1<<(row%8)) != 0
}

// fits sees that the rows are rows of this dataset.
func (c *chosenRows) fits(info datasets.Info) error {
	if c == nil || c.DatasetHash == info.Hash {
		return nil
	}
	return Usagef("--rows-from: %s ran another dataset than %s, so its row numbers mean nothing here",
		c.From, strings.Join(info.Files, ", "))
}

// mark makes the choice a part of what identifies a run.
func (c *chosenRows) mark(planHash string) string {
	if c == nil {
		return planHash
	}
	sum := sha256.Sum256([]byte(planHash + " " + c.Hash))
	return hex.EncodeToString(sum[:])
}

// keepRows writes the choice into the run directory.
func (s *Session) keepRows() error {
	if s.rows == nil {
		return nil
	}
	return writeFile(filepath.Join(s.Plan.Out, chosenFile), func(w io.Writer) error {
		b, err := json.Marshal(chosenOnDisk{*s.rows, s.rows.bits})
		if err == nil {
			_, err = w.Write(b)
		}
		return err
	})
}
