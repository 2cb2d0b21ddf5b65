package store

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"nightshift/internal/words"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/rundir"
	"slices"
	"strings"
	"time"
)

// check refuses an identity that cannot be stored.
func (id *Identity) check() error {
	if id.Epochs < 1 {
		return fmt.Errorf("store: %d epochs", id.Epochs)
	}
	if len(id.Models) == 0 {
		return errors.New("store: a run needs a model")
	}
	seen := map[string]bool{}
	for _, m := range id.Models {
		if m == "" || seen[m] {
			return fmt.Errorf("store: model name %q is empty or there twice", m)
		}
		seen[m] = true
	}
	var next int64
	for i, s := range id.Chunks {
		if s.First != next || s.Rows < 1 || s.Skipped < 0 || s.Skipped > s.Rows {
			return fmt.Errorf("store: slice %d covers rows %d to %d, want it to begin at %d", i, s.First, s.First+s.Rows-1, next)
		}
		next += s.Rows
	}
	if next != id.DatasetRows {
		return fmt.Errorf("store: the slices cover %d rows of %d", next, id.DatasetRows)
	}
	if len(id.Plan) > 0 && !json.Valid(id.Plan) {
		return errors.New("store: the plan is not JSON")
	}
	return nil
}

// identify creates the run's own files, or compares them with the identity.
func (r *Run) identify() error {
	b, err := disk.ReadAll(r.fs, r.dir.At(rundir.RunFile))
	if errors.Is(err, fs.ErrNotExist) {
		return r.create()
	}
	if err != nil {
		return disk.Wrap("reading", r.dir.At(rundir.RunFile), err)
	}
	if err := json.Unmarshal(b, &r.doc); err != nil {
		return &disk.StorageError{Op: "reading", Path: r.dir.At(rundir.RunFile), Err: err,
			Hint: "the file is damaged: restore it from a copy, or give another --out"}
	}
	if r.doc.Format != rundir.FormatVersion {
		return &disk.StorageError{Op: "reading", Path: r.dir.At(rundir.RunFile),
			Err:  fmt.Errorf("format %d, this program knows %d", r.doc.Format, rundir.FormatVersion),
			Hint: "use the version of the program that made it"}
	}
	there, err := rundir.ReadChunks(r.fs, r.dir, r.doc.Shards)
	if err != nil {
		return &disk.StorageError{Op: "reading", Path: r.dir.At(rundir.ShardsFile), Err: err,
			Hint: "the file is damaged: restore it from a copy, or give another --out"}
	}
	if slices.Contains(r.doc.MovedPlans, r.id.PlanHash) {
		r.id.PlanHash = r.doc.PlanHash
	}
	if diff := r.differences(there); len(diff) > 0 {
		return r.reconcile(diff)
	}
	return r.remakeDirs()
}

// remakeDirs makes what is missing of the directories of a run that is there.
func (r *Run) remakeDirs() error {
	if err := r.makeDirs(); err != nil {
		return err
	}
	return disk.Wrap("syncing", string(r.dir), r.fs.SyncDir(string(r.dir)))
}

func (r *Run) makeDirs() error {
	for _, d := range []string{rundir.JournalDir, rundir.ResultsDir, rundir.ScoresDir, rundir.TmpDir,
		rundir.QuarantineDir} {
		if err := r.fs.Mkdir(r.dir.At(d)); err != nil {
			return disk.Wrap("creating", r.dir.At(d), err)
		}
	}
	return nil
}

// create makes everything but run.json, with which the run exists: started writes it.
// The list of shards is made durable together with the names of the directories.
func (r *Run) create() error {
	if err := r.refuseRemains(); err != nil {
		return err
	}
	if err := r.makeDirs(); err != nil {
		return err
	}
	disk.CrashPoint("create.dirs-made")
	var id [8]byte
	rand.Read(id[:])
	now := time.Now().UTC()
	r.doc = rundir.Document{
		Format: rundir.FormatVersion, RunID: hex.EncodeToString(id[:]), CreatedAt: now,
		Name: r.id.Name, PlanHash: r.id.PlanHash, DatasetHash: r.id.DatasetHash, DatasetRows: r.id.DatasetRows,
		DatasetSize: r.id.DatasetSize, Shards: len(r.id.Chunks), Epochs: r.id.Epochs, Models: r.id.Models,
	}
	shards, err := rundir.EncodeChunks(r.doc.RunID, r.id.Chunks)
	if err != nil {
		return err
	}
	if err := disk.WriteFile(r.fs, r.tmpName(rundir.ShardsFile), r.dir.At(rundir.ShardsFile), shards); err != nil {
		return disk.Wrap("writing", r.dir.At(rundir.ShardsFile), err)
	}
	disk.CrashPoint("create.units-written")
	return nil
}

// refuseRemains refuses a directory that holds answers but not whose they are.
func (r *Run) refuseRemains() error {
	if there, err := r.exists(r.dir.At(rundir.BatchLogFile)); err != nil || there {
		return r.remains(rundir.BatchLogFile, err)
	}
	for _, d := range []string{rundir.ResultsDir, rundir.JournalDir} {
		names, err := r.fs.List(r.dir.At(d))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return disk.Wrap("reading", r.dir.At(d), err)
		}
		if len(names) > 0 {
			return r.remains(d+"/"+names[0], nil)
		}
	}
	return nil
}

// remains is the error that something of a run is there, but not whose it is.
func (r *Run) remains(what string, err error) error {
	if err != nil {
		return disk.Wrap("reading", r.dir.At(what), err)
	}
	return &disk.StorageError{
		Op: "opening", Path: string(r.dir), Err: fmt.Errorf("it holds %s, but there is no %s", what, rundir.RunFile),
		Hint: "restore " + rundir.RunFile + " from a copy, or give another --out",
	}
}

// started notes a new process in run.json, which a new run gets here.
func (r *Run) started() error {
	s := rundir.Start{At: time.Now().UTC(), Tool: r.id.Tool, Done: r.Totals().Sum().Rows}
	r.doc.Starts = append(r.doc.Starts, s)
	if n := len(r.doc.Starts); n > 20 {
		r.doc.Starts = r.doc.Starts[n-20:]
	}
	return r.setState("running")
}

// setState writes run.json. The identity must match; plan, tool and price
// table are those of this start.
func (r *Run) setState(state string) error {
	r.docMu.Lock()
	defer r.docMu.Unlock()
	r.doc.State = state
	r.doc.UpdatedAt = time.Now().UTC()
	r.doc.Tool, r.doc.PriceTable = r.id.Tool, r.id.PriceTable
	r.doc.Plan = r.id.Plan
	if len(r.doc.Plan) == 0 {
		r.doc.Plan = json.RawMessage("null")
	}
	b, err := json.MarshalIndent(r.doc, "", "  ")
	if err != nil {
		return err
	}
	err = disk.WriteFile(r.fs, r.tmpName(rundir.RunFile), r.dir.At(rundir.RunFile), append(b, '\n'))
	return disk.Wrap("writing", r.dir.At(rundir.RunFile), err)
}

// A difference is one thing in which two identities differ; path is its place
// in the plan, empty where it has none.
type difference struct{ path, text string }

func texts(list []difference) []string {
	out := make([]string, len(list))
	for i, d := range list {
		out[i] = d.text
	}
	return out
}

// differences compares the identity on disk with the one at hand.
func (r *Run) differences(chunks []rundir.Chunk) []difference {
	var diff []difference
	note := func(what string, there, here any) {
		diff = append(diff, difference{text: fmt.Sprintf("%s: %v → %v", what, there, here)})
	}
	if r.doc.Name != r.id.Name {
		note("name", r.doc.Name, r.id.Name)
	}
	if r.doc.PlanHash != r.id.PlanHash {
		places := planDifferences(r.doc.Plan, r.id.Plan, r.id.MayChange)
		if len(places) == 0 {
			note("plan hash", r.doc.PlanHash, r.id.PlanHash)
		}
		diff = append(diff, places...)
	}
	if there, here := strings.Join(r.doc.Models, ", "), strings.Join(r.id.Models, ", "); there != here {
		note("models", there, here)
	}
	if r.doc.Epochs != r.id.Epochs {
		note("epochs", r.doc.Epochs, r.id.Epochs)
	}
	if r.doc.DatasetRows != r.id.DatasetRows {
		note("dataset rows", r.doc.DatasetRows, r.id.DatasetRows)
	}
	if r.doc.DatasetHash != r.id.DatasetHash {
		note("dataset hash", words.Shorten(r.doc.DatasetHash, 17), words.Shorten(r.id.DatasetHash, 17))
	}
	for _, text := range chunkDifferences(chunks, r.id.Chunks) {
		diff = append(diff, difference{text: text})
	}
	return diff
}

// chunkDifferences says which rows have changed, the first few.
func chunkDifferences(there, here []rundir.Chunk) []string {
	const most = 5
	var diff []string
	for i := range min(len(there), len(here)) {
		a, b := there[i], here[i]
		switch {
		case a.First != b.First || a.Rows != b.Rows:
			return append(diff, fmt.Sprintf("shard %d: rows %d–%d → rows %d–%d",
				i, a.First, a.First+a.Rows-1, b.First, b.First+b.Rows-1))
		case a.Skipped != b.Skipped:
			return append(diff, fmt.Sprintf("shard %d: %d rows used → %d rows used", i, a.Rows-a.Skipped, b.Rows-b.Skipped))
		case a.Hash == b.Hash:
		case len(diff) == most:
			return append(diff, "… and more rows")
		default:
			diff = append(diff, fmt.Sprintf("dataset rows %d–%d have changed", a.First, a.First+a.Rows-1))
		}
	}
	if len(there) != len(here) {
		diff = append(diff, fmt.Sprintf("shards: %d → %d", len(there), len(here)))
	}
	return diff
}

// planDifferences lists the paths at which two plans differ.
func planDifferences(there, here json.RawMessage, mayChange []string) []difference {
	var a, b any
	if decodeNumbers(there, &a) != nil || decodeNumbers(here, &b) != nil {
		return nil
	}
	var diff []difference
	compareJSON("", a, b, func(path string, a, b any) {
		for _, free := range mayChange {
			if path == free || strings.HasPrefix(path, free+".") || strings.HasPrefix(path, free+"[") {
				return
			}
		}
		diff = append(diff, difference{path, fmt.Sprintf("%s: %s → %s", path, brief(a), brief(b))})
	})
	return diff
}

func decodeNumbers(raw json.RawMessage, v *any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return d.Decode(v)
}

type absent struct{}

func compareJSON(path string, a, b any, differ func(string, any, any)) {
	ma, isMapA := a.(map[string]any)
	mb, isMapB := b.(map[string]any)
	la, isListA := a.([]any)
	lb, isListB := b.([]any)
	switch {
	case isMapA && isMapB:
		keys := map[string]bool{}
		for k := range ma {
			keys[k] = true
		}
		for k := range mb {
			keys[k] = true
		}
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			compareJSON(join(path, k), member(ma, k), member(mb, k), differ)
		}
	case isListA && isListB:
		for i := range max(len(la), len(lb)) {
			compareJSON(fmt.Sprintf("%s[%d]", path, i), element(la, i), element(lb, i), differ)
		}
	default:
		if brief(a) != brief(b) || fmt.Sprint(a) != fmt.Sprint(b) {
			differ(path, a, b)
		}
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func member(m map[string]any, k string) any {
	if v, ok := m[k]; ok {
		return v
	}
	return absent{}
}

func element(l []any, i int) any {
	if i < len(l) {
		return l[i]
	}
	return absent{}
}

// brief renders a value for a person, at most 60 characters.
func brief(v any) string {
	if _, ok := v.(absent); ok {
		return "(absent)"
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	if s := []rune(string(b)); len(s) > 60 {
		return string(s[:60]) + "…"
	}
	return string(b)
}
