package reports

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"nightshift/providers/pricing"
	"nightshift/runner/store/view"
)

// CostOptions say how to bill. The zero value bills by model, as recorded.
type CostOptions struct {
	By     []string       // of Dimensions; nil means model
	Prices *pricing.Table // to price again with; nil keeps the recorded costs
}

// Cost bills runs and files of results. A path is a run directory or a Parquet
// file of its results. The judges of a run are billed with it, in lines of
// their own. It takes no lock and works on runs that are going on.
func Cost(paths []string, o CostOptions) (*Bill, error) {
	if err := checkPaths(paths); err != nil {
		return nil, err
	}
	by := o.By
	if by == nil {
		by = []string{"model"}
	}
	if err := CheckDimensions(by); err != nil {
		return nil, err
	}
	c := &costing{
		bill:   &Bill{Sources: paths, By: by, Prices: "as recorded"},
		models: newBiller(by, o.Prices), judges: newBiller([]string{"run"}, o.Prices),
	}
	if o.Prices != nil {
		c.bill.Prices = o.Prices.ID()
	}
	for _, path := range paths {
		if err := c.source(path); err != nil {
			return nil, err
		}
	}
	return c.close(), nil
}

// checkPaths refuses to bill anything twice.
func checkPaths(paths []string) error {
	seen := map[string]string{}
	for _, p := range paths {
		abs, err := filepath.Abs(p)
		if err != nil {
			return err
		}
		if real, err := filepath.EvalSymlinks(abs); err == nil {
			abs = real
		}
		for dir := abs; ; dir = filepath.Dir(dir) {
			if other, there := seen[dir]; there {
				return fmt.Errorf("%s is part of %s: it would be billed twice", p, other)
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
		for other, name := range seen {
			if rel, err := filepath.Rel(abs, other); err == nil && filepath.IsLocal(rel) {
				return fmt.Errorf("%s is part of %s: it would be billed twice", name, p)
			}
		}
		seen[abs] = p
	}
	return nil
}

// A costing is a bill in the making.
type costing struct {
	bill           *Bill
	models, judges *biller
	unsettled      *entry
}

func (c *costing) source(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	if st.IsDir() {
		return c.run(path)
	}
	if err := isParquet(path); err != nil {
		return err
	}
	c.models.begin(filepath.Base(path), nil, false)
	return c.files(c.models, []view.ShardFile{{Path: path}}, "")
}

// isParquet refuses files of which a bill would say $0.00 because nothing in them
// can be billed. Damage to Parquet files is told in the bill.
func isParquet(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, 4)
	if _, err := io.ReadFull(f, head); err != nil || string(head) != "PAR1" {
		return fmt.Errorf("%s is neither a run directory nor a Parquet file of answers; name the directory that a run "+
			"wrote (out: in a plan). What a plan will cost is said by: nightshift check PLAN", path)
	}
	return nil
}

// files bills units, several at once.
func (c *costing) files(b *biller, files []view.ShardFile, dir string) error {
	next := make(chan view.ShardFile)
	workers := make([]*costing, min(runtime.GOMAXPROCS(0), max(len(files), 1)))
	errs := make([]error, len(workers))
	var wg sync.WaitGroup
	for i := range workers {
		workers[i] = &costing{bill: &Bill{}, models: b.likewise()}
		wg.Go(func() {
			for f := range next {
				if errs[i] == nil {
					errs[i] = workers[i].file(f, dir)
				}
			}
		})
	}
	for _, f := range files {
		next <- f
	}
	close(next)
	wg.Wait()
	for _, w := range workers {
		b.merge(w.models)
		c.bill.Damage = append(c.bill.Damage, w.bill.Damage...)
	}
	return errors.Join(errs...)
}

// file bills one unit: from its Parquet file, or row by row where a journal
// lies over it. Of one that cannot be read to its end nothing is billed.
func (c *costing) file(f view.ShardFile, dir string) error {
	batches := view.FileBatches[billRow](f.Path)
	if f.Path == "" {
		batches = oneByOne(view.Rows[billRow](dir,
			view.ReadOptions{Models: []string{f.Model}, From: f.First, To: f.First + f.Rows}))
	}
	own := c.models.likewise()
	for rows, err := range batches {
		var damage *view.DamageError
		switch {
		case errors.As(err, &damage):
			c.bill.Damage = append(c.bill.Damage, damage.Error())
			return nil
		case err != nil:
			return err
		}
		for i := range rows {
			own.add(&rows[i])
		}
	}
	c.models.merge(own)
	return nil
}

// oneByOne is rows as batches of one.
func oneByOne[T any](rows iter.Seq2[T, error]) iter.Seq2[[]T, error] {
	return func(yield func([]T, error) bool) {
		for row, err := range rows {
			if !yield([]T{row}, err) {
				return
			}
		}
	}
}

// units bills all rows of a run.
func (c *costing) units(b *biller, dir string) error {
	files, err := view.ShardFiles(dir)
	if err != nil {
		return err
	}
	return c.files(b, files, dir)
}

func (c *costing) run(dir string) error {
	info, err := view.ReadInfo(dir)
	if err != nil {
		return err
	}
	c.models.begin(info.Name, runPrices(info.Plan), false)
	if err := c.models.settleLate(dir); err != nil {
		return err
	}
	if err := c.units(c.models, dir); err != nil {
		return err
	}
	c.bill.Projection = append(c.bill.Projection, c.models.project(info.Models, perModel(info))...)
	if err := c.unrecorded(dir); err != nil {
		return err
	}
	for _, inner := range InnerRuns(dir) {
		if err := c.judge(inner); err != nil {
			return err
		}
	}
	return nil
}

// perModel is how many answers the run wants of each model.
func perModel(info view.Info) int64 { return info.Items() / int64(max(len(info.Models), 1)) }

// unrecorded adds what was spent on rows that have no record yet.
func (c *costing) unrecorded(dir string) error {
	st, err := view.Status(dir)
	if err != nil {
		return err
	}
	for _, m := range st.Batches {
		c.bill.Extras += m.Extras
		c.bill.ExtraNanoUSD += int64(m.ExtraCost)
	}
	if st.Unsettled.Attempts == 0 && len(st.Unknown) == 0 && st.Unsettled.Cost == 0 {
		return nil
	}
	if c.unsettled == nil {
		c.unsettled = newEntry()
	}
	e := unsettledEntry(st)
	c.unsettled.add(&e)
	return nil
}

func unsettledEntry(st view.StatusInfo) entry {
	t := st.Unsettled
	e := entry{
		Attempts: t.Attempts + int64(len(st.Unknown)),
		Input:    t.BilledInputTokens.N(), Output: t.BilledOutputTokens.N(),
		CostNanoUSD: int64(t.Cost), NoUsage: t.MaybeBilled + int64(len(st.Unknown)),
	}
	most := int64(t.Cost + t.MaybeCost)
	for _, u := range st.Unknown {
		most += int64(u.WorstCost)
	}
	e.AtMostNanoUSD = &most
	return e
}

// InnerRuns lists the run directories below a run whose costs are the run's:
// those of its judges and of its calibrations.
func InnerRuns(dir string) []string {
	var dirs []string
	for _, folder := range []string{"judges", CalibrationDir} {
		found, _ := filepath.Glob(filepath.Join(escapeGlob(dir), folder, "*", "run.json"))
		for _, f := range found {
			dirs = append(dirs, filepath.Dir(f))
		}
	}
	slices.Sort(dirs)
	return dirs
}

// innerName is how bills call the line of an inner run.
func innerName(key []string) string {
	name := strings.Join(key, " ")
	if name == CalibrationDir {
		return name
	}
	return "judge " + name
}

// CalibrationDir is the folder of a run that holds its calibrations.
const CalibrationDir = "calibration"

// escapeGlob makes a path stand for itself in a pattern.
func escapeGlob(path string) string {
	var b []byte
	for i := range len(path) {
		if c := path[i]; c == '*' || c == '?' || c == '[' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, path[i])
	}
	return string(b)
}

func (c *costing) judge(dir string) error {
	info, err := view.ReadInfo(dir)
	if err != nil {
		return err
	}
	name := filepath.Base(dir)
	if filepath.Base(filepath.Dir(dir)) == CalibrationDir {
		name = CalibrationDir
	}
	c.judges.begin(name, runPrices(info.Plan), true)
	if err := c.judges.settleLate(dir); err != nil {
		return err
	}
	if err := c.units(c.judges, dir); err != nil {
		return err
	}
	return c.unrecorded(dir)
}

// runPrices are the prices that a run keeps in its plan; nil when it keeps
// none.
func runPrices(plan json.RawMessage) map[string]RunPrice {
	var p struct {
		Prices map[string]RunPrice `json:"prices"`
	}
	if json.Unmarshal(plan, &p) != nil {
		return nil
	}
	return p.Prices
}

func (c *costing) close() *Bill { return c.closeOver(c.models.sorted()) }

// closeOver sums up: the models' lines, the judges' and the rest.
func (c *costing) closeOver(lines []billLine) *Bill {
	b := c.bill
	b.Lines, b.Judges = lines, c.judges.sorted()
	models, total := newEntry(), newEntry()
	for _, l := range b.Lines {
		models.add(&l.entry)
	}
	total.add(models)
	for _, l := range b.Judges {
		total.add(&l.entry)
	}
	if c.unsettled != nil {
		e := c.unsettled.closed()
		b.Unsettled = &e
		total.add(&e)
	}
	b.Models, b.Total = models.closed(), total.closed()
	return b
}
