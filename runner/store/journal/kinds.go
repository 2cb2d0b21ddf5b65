package journal

import (
	"nightshift"
	"nightshift/runner/store/internal/records"
	"time"
)

// Kinds of journal lines.
const (
	kindHead   = "journal" // first line: whose journal this is
	KindIntent = "intent"  // an attempt is about to be sent
	KindFailed = "failed"  // an attempt ended without a final answer
	KindTurn   = "turn"    // an answer of a row that has more turns
	KindResult = "result"  // the record of an item
	KindSeal   = "seal"    // all items have one
)

// Head is the first line of a journal file.
type Head struct {
	K         string    `json:"k"`
	RunID     string    `json:"run_id"`
	Model     string    `json:"model"`
	Shard     int       `json:"unit"`
	Gen       int       `json:"generation"`
	Epoch     int       `json:"journal"` // number of the file among those of the shard
	First     int64     `json:"first_row"`
	Rows      int64     `json:"rows"`
	ChunkHash string    `json:"slice_sha256"`
	PID       int       `json:"pid"`
	At        time.Time `json:"at"`
}

// Line is every other line, except for results and intents, as it is written.
type Line struct {
	K       string              `json:"k"`
	Row     int64               `json:"row"`
	Epoch   int32               `json:"epoch"`
	At      time.Time           `json:"at"`
	Attempt *nightshift.Attempt `json:"attempt,omitempty"`
	Turn    *TurnResponse       `json:"response,omitempty"`
}

// TurnResponse is a Response as JSON. The server's usage object goes in as
// text, because json.RawMessage must be valid JSON to be written.
type TurnResponse struct {
	nightshift.Response
	UsageRaw []byte
}

// ScannedLine is a line as the index reads it: everything but the texts.
type ScannedLine struct {
	K       string              `json:"k"`
	Row     int64               `json:"row"`
	Epoch   int32               `json:"epoch"`
	At      time.Time           `json:"at"`
	Intent  *nightshift.Intent  `json:"intent"`
	Attempt *nightshift.Attempt `json:"attempt"`
	Record  *records.Columns    `json:"record"`
	Turn    *struct {
		Attempts []nightshift.Attempt
	} `json:"response"`
}
