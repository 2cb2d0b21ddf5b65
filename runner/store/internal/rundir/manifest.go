package rundir

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/records"
	"nightshift/runner/store/journal"
	"os"
	"slices"
	"sync"
	"time"
)

// A ParquetFile is a committed shard as the manifest lists it.
type ParquetFile struct {
	K           string        `json:"k"`
	Model       string        `json:"model"`
	Shard       int           `json:"unit"`
	Gen         int           `json:"generation"`
	Name        string        `json:"name"`
	Size        int64         `json:"size"`
	SHA256      string        `json:"sha256"`
	First       int64         `json:"first_row"`
	Rows        int64         `json:"dataset_rows"`
	Items       int64         `json:"items"` // rows of the Parquet file
	CommittedAt time.Time     `json:"committed_at"`
	Totals      records.Tally `json:"totals"`
}

const (
	kindManifest    = "manifest"
	KindParquetFile = "part"
)

type manifestHead struct {
	K     string `json:"k"`
	RunID string `json:"run_id"`
}

// manifest is manifest.jsonl open for appending.
type Manifest struct {
	fs   disk.FS
	dir  Dir
	mu   sync.Mutex
	f    disk.File
	head []byte // the line that comes before the first of a new file
	name bool   // its directory has been synced
}

// manifestContent is what a manifest says.
type ManifestContent struct {
	ParquetFiles []ParquetFile // the newest of each shard
	Lines        []byte        // the good lines
	Damage       []journal.Damage
	RunID        string
}

// readManifest reads what can be read. A missing file is an empty one: the
// Parquet files describe themselves.
func ReadManifest(fsys disk.FS, dir Dir) (ManifestContent, error) {
	var m ManifestContent
	b, err := disk.ReadAll(fsys, dir.At(ManifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, err
	}
	newest := map[string]int{} // by model and shard
	err = journal.ScanLines(bytes.NewReader(b), func(s journal.Span) error {
		if why := m.line(s, newest); why != "" {
			m.Damage = append(m.Damage, journal.Damage{Off: s.Off, Bytes: bytes.Clone(s.Raw), Why: why, AtTail: true})
			return nil
		}
		for i := range m.Damage {
			m.Damage[i].AtTail = false
		}
		m.Lines = append(append(m.Lines, s.Raw...), '\n')
		return nil
	})
	return m, err
}

func (m *ManifestContent) line(s journal.Span, newest map[string]int) string {
	if s.Object == nil {
		return "checksum"
	}
	var head manifestHead
	if err := json.Unmarshal(s.Object, &head); err != nil {
		return err.Error()
	}
	switch head.K {
	case kindManifest:
		m.RunID = head.RunID
		return ""
	case KindParquetFile:
	default:
		return "unknown kind " + head.K
	}
	var p ParquetFile
	if err := json.Unmarshal(s.Object, &p); err != nil {
		return err.Error()
	}
	key := fmt.Sprintf("%d %s", p.Shard, p.Model)
	i, there := newest[key]
	switch {
	case !there:
		newest[key] = len(m.ParquetFiles)
		m.ParquetFiles = append(m.ParquetFiles, p)
	case m.ParquetFiles[i].Gen <= p.Gen:
		m.ParquetFiles[i] = p
	}
	return ""
}

// OpenManifest opens the file for appending. A new one gets the run's line with its
// first entry: until then there is nothing that need be durable.
func OpenManifest(fsys disk.FS, dir Dir, runID string) (*Manifest, error) {
	m := &Manifest{fs: fsys, dir: dir}
	var err error
	m.f, err = fsys.Open(dir.At(ManifestFile), os.O_RDWR|os.O_CREATE|os.O_APPEND)
	if err != nil {
		return nil, err
	}
	n, err := m.f.Length()
	if err == nil && n == 0 {
		m.head, _, err = journal.EncodeLine(manifestHead{K: kindManifest, RunID: runID})
	}
	if err != nil {
		m.f.Close()
		return nil, err
	}
	return m, nil
}

// Add appends an entry and makes it durable.
func (m *Manifest) Add(p ParquetFile) error {
	line, _, err := journal.EncodeLine(p)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := disk.WriteFull(m.f, slices.Concat(m.head, line)); err != nil {
		return err
	}
	m.head = nil
	disk.CrashPoint("manifest.written")
	if err := m.f.Sync(); err != nil {
		return err
	}
	if !m.name {
		if err := m.fs.SyncDir(string(m.dir)); err != nil {
			return err
		}
		m.name = true
	}
	return nil
}

func (m *Manifest) Close() { m.f.Close() }

func HashText(h [32]byte) string { return hex.EncodeToString(h[:]) }
