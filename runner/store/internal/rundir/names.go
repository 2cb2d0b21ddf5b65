// Package rundir is the layout of a run directory: names, run.json, the list of
// shards, the manifest, and a snapshot of them as a reader finds it.
package rundir

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Names inside a run directory.
const (
	RunFile         = "run.json"
	LockName        = "lock"
	ManifestFile    = "manifest.jsonl"
	ShardsFile      = "units.jsonl"
	ReserveFileName = "ballast"
	BatchLogFile    = "batches.jsonl"
	BatchesDir      = "batches"
	JournalDir      = "journal"
	ResultsDir      = "results"
	ScoresDir       = "scores"
	TmpDir          = "tmp"
	QuarantineDir   = "quarantine"
)

// slugs gives every model a name that any file system takes. Model names that
// are plain already stay as they are; the others, and those that differ only
// by case, get a piece of their hash.
func Slugs(models []string) []string {
	names := make([]string, len(models))
	taken := map[string]int{}
	for i, m := range models {
		names[i] = PlainName(m)
		taken[strings.ToLower(names[i])]++
	}
	for i, m := range models {
		if names[i] != m || taken[strings.ToLower(names[i])] > 1 {
			sum := sha256.Sum256([]byte(m))
			names[i] += "-" + hex.EncodeToString(sum[:4])
		}
	}
	return names
}

func PlainName(model string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '_', r == '-':
			return r
		}
		return '_'
	}, model)
	name = strings.TrimLeft(name, ".-")
	if len(name) > 60 {
		name = name[:60]
	}
	if name == "" {
		name = "_"
	}
	return name
}

// shardKey names a shard: the position of its model in the plan and its number.
type Key struct{ Model, Shard int }

// parquetFileName is the file name of generation gen of a shard.
func ParquetFileName(slug string, shard, gen int) string {
	if gen == 1 {
		return fmt.Sprintf("%s-%06d.parquet", slug, shard)
	}
	return fmt.Sprintf("%s-%06d.g%d.parquet", slug, shard, gen)
}

// journalName is the file name of the epoch-th journal of a shard.
func JournalName(slug string, shard, gen, epoch int) string {
	return fmt.Sprintf("%s-%06d.g%d.e%04d.jsonl", slug, shard, gen, epoch)
}

var (
	journalPattern     = regexp.MustCompile(`^(.+)-(\d{6,9})\.g(\d{1,6})\.e(\d{4,9})\.jsonl$`)
	parquetFilePattern = regexp.MustCompile(`^(.+)-(\d{6,9})(?:\.g(\d{1,6}))?\.parquet$`)
)

// journalID is what the name of a journal file says.
type JournalID struct {
	Slug              string
	Shard, Gen, Epoch int
}

func ParseJournalName(name string) (JournalID, bool) {
	m := journalPattern.FindStringSubmatch(name)
	if m == nil {
		return JournalID{}, false
	}
	id := JournalID{Slug: m[1]}
	id.Shard, _ = strconv.Atoi(m[2])
	id.Gen, _ = strconv.Atoi(m[3])
	id.Epoch, _ = strconv.Atoi(m[4])
	return id, JournalName(id.Slug, id.Shard, id.Gen, id.Epoch) == name
}

func ParseParquetFileName(name string) (slug string, shard, gen int, ok bool) {
	m := parquetFilePattern.FindStringSubmatch(name)
	if m == nil {
		return "", 0, 0, false
	}
	shard, _ = strconv.Atoi(m[2])
	gen = 1
	if m[3] != "" {
		gen, _ = strconv.Atoi(m[3])
	}
	return m[1], shard, gen, ParquetFileName(m[1], shard, gen) == name
}

// paths joins names below a run directory.
type Dir string

func (p Dir) At(names ...string) string {
	return filepath.Join(append([]string{string(p)}, names...)...)
}

// BatchInputName is the name of the input file of a batch.
func BatchInputName(n int) string { return fmt.Sprintf("%06d.in.jsonl", n) }

// BatchResultName is the name of the i-th file, from 0, with results of a batch.
func BatchResultName(n, i int) string { return fmt.Sprintf("%06d.out%d.jsonl", n, i+1) }

var batchFilePattern = regexp.MustCompile(`^(\d{6,9})\.(?:in|out\d{1,4})\.jsonl$`)

// ParseBatchFileName returns the number of the batch whose file has this name.
func ParseBatchFileName(name string) (n int, ok bool) {
	m := batchFilePattern.FindStringSubmatch(name)
	if m == nil {
		return 0, false
	}
	n, _ = strconv.Atoi(m[1])
	return n, n > 0
}
