package parquetfile

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// Footer keys for checksums.
const (
	// dataBytes is the number of bytes before the page indexes and the footer.
	dataBytes = "data_bytes"
	// dataChecksum is the CRC-32C of those bytes.
	dataChecksum = "data_crc32c"
	// rowsChecksum is the checksum of all values. The checksums of pages cover
	// neither their headers nor the footer.
	rowsChecksum = "rows_crc32c"
)

// Meta is what a file of records says about itself in its footer.
type Meta struct {
	RunID, Run, Tool, Model                        string
	Shard, Gen                                     int
	First, Rows, Skipped                           int64 // dataset rows
	Epochs                                         int
	DatasetHash, ChunkHash, PlanHash, PriceTableID string
}

// Items is the number of records that the file holds.
func (m Meta) Items() int64 { return (m.Rows - m.Skipped) * int64(m.Epochs) }

func (m Meta) keyValues() map[string]string {
	return map[string]string{
		"schema_version": SchemaVersion,
		"tool_version":   m.Tool,
		"run_id":         m.RunID,
		"run":            m.Run,
		"model":          m.Model,
		"unit":           strconv.Itoa(m.Shard),
		"generation":     strconv.Itoa(m.Gen),
		"first_row":      strconv.FormatInt(m.First, 10),
		"dataset_rows":   strconv.FormatInt(m.Rows, 10),
		"skipped_rows":   strconv.FormatInt(m.Skipped, 10),
		"epochs":         strconv.Itoa(m.Epochs),
		"dataset_hash":   m.DatasetHash,
		"slice_hash":     m.ChunkHash,
		"plan_hash":      m.PlanHash,
		"price_table":    m.PriceTableID,
		"columns":        ColumnMeanings,
	}
}

// Meta reads the footer of a file of records.
func (f *File) Meta() (Meta, error) {
	var m Meta
	var bad []string
	text := func(key string) string {
		v, ok := f.Lookup(key)
		if !ok {
			bad = append(bad, key)
		}
		return v
	}
	number := func(key string) int64 {
		n, err := strconv.ParseInt(text(key), 10, 64)
		if err != nil {
			bad = append(bad, key)
		}
		return n
	}
	m.RunID, m.Run, m.Tool, m.Model = text("run_id"), text("run"), text("tool_version"), text("model")
	m.Shard, m.Gen, m.Epochs = int(number("unit")), int(number("generation")), int(number("epochs"))
	m.First, m.Rows, m.Skipped = number("first_row"), number("dataset_rows"), number("skipped_rows")
	m.DatasetHash, m.ChunkHash = text("dataset_hash"), text("slice_hash")
	m.PlanHash, m.PriceTableID = text("plan_hash"), text("price_table")
	if v := text("schema_version"); v != SchemaVersion {
		return m, fmt.Errorf("schema version %q, this program reads %q", v, SchemaVersion)
	}
	if len(bad) > 0 {
		return m, fmt.Errorf("footer lacks %v", bad)
	}
	return m, nil
}

// Fits compares the footer with what it must say. The versions of program and
// price table may differ: they may change between starts.
func (f *File) Fits(want Meta) error {
	got, err := f.Meta()
	if err != nil {
		return err
	}
	got.Tool, got.PriceTableID = want.Tool, want.PriceTableID
	says, should := got.keyValues(), want.keyValues()
	for _, k := range slices.Sorted(maps.Keys(should)) {
		if says[k] != should[k] {
			return fmt.Errorf("its footer says %s %q, want %q", k, says[k], should[k])
		}
	}
	return nil
}
