package store

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
	runFile         = "run.json"
	lockName        = "lock"
	manifestFile    = "manifest.jsonl"
	shardsFile      = "units.jsonl"
	reserveFileName = "ballast"
	journalDir      = "journal"
	resultsDir      = "results"
	scoresDir       = "scores"
	tmpDir          = "tmp"
	quarantineDir   = "quarantine"
)

// slugs gives every model a name that any file system takes. Model names that
// are plain already stay as they are; the others, and those that differ only
// by case, get a piece of their hash.
func slugs(models []string) []string {
	names := make([]string, len(models))
	taken := map[string]int{}
	for i, m := range models {
		names[i] = plainName(m)
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

func plainName(model string) string {
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

// shardKey names a unit: the position of its model in the plan and its number.
type shardKey struct{ model, shard int }

// parquetFileName is the file name of generation gen of a unit.
func parquetFileName(slug string, shard, gen int) string {
	if gen == 1 {
		return fmt.Sprintf("%s-%06d.parquet", slug, shard)
	}
	return fmt.Sprintf("%s-%06d.g%d.parquet", slug, shard, gen)
}

// journalName is the file name of the epoch-th journal of a unit.
func journalName(slug string, shard, gen, epoch int) string {
	return fmt.Sprintf("%s-%06d.g%d.e%04d.jsonl", slug, shard, gen, epoch)
}

var (
	journalPattern     = regexp.MustCompile(`^(.+)-(\d{6,9})\.g(\d{1,6})\.e(\d{4,9})\.jsonl$`)
	parquetFilePattern = regexp.MustCompile(`^(.+)-(\d{6,9})(?:\.g(\d{1,6}))?\.parquet$`)
)

// journalID is what the name of a journal file says.
type journalID struct {
	slug              string
	shard, gen, epoch int
}

func parseJournalName(name string) (journalID, bool) {
	m := journalPattern.FindStringSubmatch(name)
	if m == nil {
		return journalID{}, false
	}
	id := journalID{slug: m[1]}
	id.shard, _ = strconv.Atoi(m[2])
	id.gen, _ = strconv.Atoi(m[3])
	id.epoch, _ = strconv.Atoi(m[4])
	return id, journalName(id.slug, id.shard, id.gen, id.epoch) == name
}

func parseParquetFileName(name string) (slug string, shard, gen int, ok bool) {
	m := parquetFilePattern.FindStringSubmatch(name)
	if m == nil {
		return "", 0, 0, false
	}
	shard, _ = strconv.Atoi(m[2])
	gen = 1
	if m[3] != "" {
		gen, _ = strconv.Atoi(m[3])
	}
	return m[1], shard, gen, parquetFileName(m[1], shard, gen) == name
}

// paths joins names below a run directory.
type paths string

func (p paths) at(names ...string) string {
	return filepath.Join(append([]string{string(p)}, names...)...)
}
