package rundir

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"nightshift"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/journal"
	"time"
)

const FormatVersion = 1

// document is run.json.
type Document struct {
	Format      int             `json:"format"`
	RunID       string          `json:"run_id"`
	Name        string          `json:"name"`
	State       string          `json:"state"`
	CreatedAt   time.Time       `json:"created_at"`
	UpdatedAt   time.Time       `json:"updated_at"`
	Tool        string          `json:"tool"`
	PriceTable  string          `json:"price_table"`
	PlanHash    string          `json:"plan_hash"`
	MovedPlans  []string        `json:"moved_plans,omitempty"` // hashes of plans that reach the same models elsewhere
	DatasetHash string          `json:"dataset_hash"`
	DatasetRows int64           `json:"dataset_rows"`
	DatasetSize int64           `json:"dataset_size,omitempty"`
	Shards      int             `json:"units"` // of each model
	Extensions  []Extension     `json:"extensions,omitempty"`
	Epochs      int             `json:"epochs"`
	Models      []string        `json:"models"`
	Starts      []Start         `json:"starts"` // the last ones
	Plan        json.RawMessage `json:"plan"`
}

// A Start is one process that worked on the run.
type Start struct {
	At   time.Time `json:"at"`
	Tool string    `json:"tool"`
	Done int64     `json:"done"` // items on record when it began
}

// shardLine is a line of units.jsonl.
type shardLine struct {
	K      string `json:"k"`
	RunID  string `json:"run_id,omitempty"`
	Shards int    `json:"units,omitempty"`
	Shard  int    `json:"unit"`
	First  int64  `json:"first"`
	Rows   int64  `json:"rows"`
	Skip   int64  `json:"skipped,omitempty"`
	Hash   string `json:"sha256,omitempty"`
}

func EncodeChunks(runID string, chunks []Chunk) ([]byte, error) {
	var out []byte
	lines := make([]shardLine, 0, len(chunks)+1)
	lines = append(lines, shardLine{K: "units", RunID: runID, Shards: len(chunks)})
	for i, s := range chunks {
		lines = append(lines, shardLine{K: "unit", Shard: i, First: s.First, Rows: s.Rows, Skip: s.Skipped,
			Hash: hex.EncodeToString(s.Hash[:])})
	}
	for _, l := range lines {
		b, _, err := journal.EncodeLine(l)
		if err != nil {
			return nil, err
		}
		out = append(out, b...)
	}
	return out, nil
}

// readChunks reads the shards of a run that has so many. There are more in the
// file where an extension was cut short before run.json told of it: they do
// not count.
func ReadChunks(fsys disk.FS, dir Dir, shards int) ([]Chunk, error) {
	b, err := disk.ReadAll(fsys, dir.At(ShardsFile))
	if err != nil {
		return nil, err
	}
	want := -1
	var chunks []Chunk
	err = journal.ScanLines(bytes.NewReader(b), func(s journal.Span) error {
		if s.Object == nil {
			return fmt.Errorf("damaged at byte %d", s.Off)
		}
		var l shardLine
		if err := json.Unmarshal(s.Object, &l); err != nil {
			return fmt.Errorf("damaged at byte %d: %w", s.Off, err)
		}
		if l.K == "units" {
			want = l.Shards
			return nil
		}
		sl := Chunk{First: l.First, Rows: l.Rows, Skipped: l.Skip}
		if n, err := hex.Decode(sl.Hash[:], []byte(l.Hash)); err != nil || n != len(sl.Hash) {
			return fmt.Errorf("damaged at byte %d: hash %q", s.Off, l.Hash)
		}
		chunks = append(chunks, sl)
		return nil
	})
	switch {
	case err != nil:
		return chunks, err
	case want != len(chunks):
		return chunks, fmt.Errorf("%d shards are listed, %d announced", len(chunks), want)
	case shards > len(chunks):
		return chunks, fmt.Errorf("%d shards are listed, %s has %d", len(chunks), RunFile, shards)
	}
	return chunks[:shards], nil
}

// A Chunk is the dataset rows of one shard.
type Chunk struct {
	First, Rows int64
	Hash        [32]byte // SHA-256 of the raw rows
	// Skipped is how many of the rows are not part of the run, where it uses
	// only some of the dataset. Which ones is for the caller to know: they get
	// no record. A shard whose rows are all skipped is never opened.
	Skipped int64
}

// items is how many records the shard has in the end.
func (s Chunk) Items(epochs int) int64 { return (s.Rows - s.Skipped) * int64(epochs) }

// holder is what the lock file says about the process that holds it. It is
// for people; the lock itself is the kernel's.
type Holder struct {
	PID   int       `json:"pid"`
	Host  string    `json:"host,omitempty"`
	Since time.Time `json:"since"`
}

func ReadHolder(fsys disk.FS, dir Dir) Holder {
	var h Holder
	if b, err := disk.ReadAll(fsys, dir.At(LockName)); err == nil {
		_ = json.Unmarshal(b, &h) // a half-written name is no name
	}
	return h
}

// An Unknown is an attempt that was about to be sent when the process ended:
// it may have been billed, and no answer is on record.
type Unknown struct {
	Model       string             `json:"model"`
	Shard       int                `json:"unit"`
	Row         int64              `json:"row"`
	Epoch       int                `json:"epoch"`
	Attempt     int                `json:"attempt"`
	At          time.Time          `json:"at"`
	WorstTokens int64              `json:"worst_tokens"`
	WorstCost   nightshift.NanoUSD `json:"worst_cost_nano_usd"`
	// Job is the id under which the server can be asked for the answer.
	Job string `json:"job,omitempty"`
}

// An Extension is what the dataset was before rows were added to it.
type Extension struct {
	At          time.Time `json:"at"`
	Tool        string    `json:"tool"`
	Shards      int       `json:"units_before"` // of each model
	Rows        int64     `json:"rows_before"`
	Size        int64     `json:"size_before,omitempty"` // Identity.DatasetSize
	DatasetHash string    `json:"dataset_hash_before"`
}

// datasetHash is the hash of the dataset that a shard belongs to: as it was
// when the shard was added. ParquetFiles say it, so it must not change with later
// rows.
func DatasetHash(shard int, extensions []Extension, now string) string {
	for _, e := range extensions {
		if shard < e.Shards {
			return e.DatasetHash
		}
	}
	return now
}
