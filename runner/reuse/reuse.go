// Package reuse finds answers of earlier runs by the requests that they answer.
package reuse

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"slices"
	"strings"

	"nightshift"
	"nightshift/runner/store/view"
)

// A Request is what an answer is found by. Two requests are equal when all of it
// is: where it goes, as what, and every byte of the body.
type Request struct {
	Place    string // the endpoint: its base URL, or its name
	Protocol string
	Model    string // as the endpoint knows it
	Hash     string // hex SHA-256 of the body; of several turns see [Turns]
	Epoch    int32
}

// Turns stands for the hash of a request whose later turns are not known before
// its earlier answers: the hash of all that the row asks.
func Turns(promptHash string) string { return "turns " + promptHash }

// A Run is a run directory whose answers may be taken over.
type Run struct {
	Dir   string
	RunID string
	Name  string
	// Place says what [Request.Place] is for a model and an endpoint of the run.
	Place func(model, endpoint string) string
}

// Answers are the answers of runs, found by their requests. They hold 32 bytes
// an answer in memory; the answers themselves stay in the run directories.
type Answers struct {
	tables []table
	list   []entry // sorted by key, then in the order of the runs
}

// A table is the answers of one model of one run.
type table struct {
	run   *Run
	model string
}

// An entry is one answer.
type entry struct {
	key   [16]byte // of its request
	id    uint32   // of its row's id, to tell rows apart that ask the same
	table uint32
	row   int64
}

// A Place is where an answer stands.
type Place struct {
	table uint32
	row   int64
	epoch int32
}

// known is what an answer is found by.
type known struct {
	Row            int64              `parquet:"row"`
	ID             string             `parquet:"id"`
	Epoch          int32              `parquet:"epoch"`
	Model          string             `parquet:"model,dict"`
	Endpoint       string             `parquet:"endpoint,dict"`
	Protocol       string             `parquet:"protocol,dict"`
	RequestedModel string             `parquet:"requested_model,dict"`
	Outcome        nightshift.Outcome `parquet:"outcome,dict"`
	PromptHash     string             `parquet:"prompt_hash"`
	RequestHash    *string            `parquet:"request_hash,optional"`
	Flags          *string            `parquet:"flags,optional,dict"`
}

// multiTurn is the flag of rows that took several requests.
const multiTurn = "multi_turn"

func (k *known) turns() bool {
	return k.Flags != nil && slices.Contains(strings.Split(*k.Flags, ","), multiTurn)
}

// Open reads which answers runs have. Rows that failed have none. Of damaged
// Parquet files notice is told; their answers are not found.
func Open(runs []Run, notice func(string)) (*Answers, error) {
	a := &Answers{}
	for i := range runs {
		if err := a.read(&runs[i], notice); err != nil {
			return nil, fmt.Errorf("%s: %w", runs[i].Dir, err)
		}
	}
	slices.SortFunc(a.list, func(x, y entry) int {
		return cmp.Or(bytes.Compare(x.key[:], y.key[:]), cmp.Compare(x.table, y.table), cmp.Compare(x.row, y.row))
	})
	a.list = slices.Clip(a.list)
	return a, nil
}

func (a *Answers) read(run *Run, notice func(string)) error {
	for k, err := range view.Rows[known](run.Dir, view.ReadOptions{}) {
		var damage *view.DamageError
		if errors.As(err, &damage) {
			notice("answers that cannot be read are not taken over: " + damage.Error())
			continue
		}
		if err != nil {
			return err
		}
		if !k.Outcome.Answered() || k.RequestHash == nil {
			continue
		}
		req := Request{run.Place(k.Model, k.Endpoint), k.Protocol, k.RequestedModel, *k.RequestHash, k.Epoch}
		if k.turns() {
			req.Hash = Turns(k.PromptHash)
		}
		a.list = append(a.list, entry{req.key(), idHash(k.ID), a.table(run, k.Model), k.Row})
	}
	return nil
}

// table is the number of a model's table; rows come model by model.
func (a *Answers) table(run *Run, model string) uint32 {
	t := table{run, model}
	if n := len(a.tables); n == 0 || a.tables[n-1] != t {
		a.tables = append(a.tables, t)
	}
	return uint32(len(a.tables) - 1)
}

func (r *Request) key() (key [16]byte) {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q %q %d", r.Place, r.Protocol, r.Model, r.Hash, r.Epoch)
	copy(key[:], h.Sum(nil))
	return key
}

func idHash(id string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(id))
	return h.Sum32()
}

// Len is how many answers there are.
func (a *Answers) Len() int { return len(a.list) }

// Find is where the answer to a request stands. Of several it is that of the row
// with the id, else the first: the same one whenever it is asked for.
func (a *Answers) Find(req Request, id string) (Place, bool) {
	key := req.key()
	i, found := slices.BinarySearchFunc(a.list, key, func(e entry, key [16]byte) int {
		return bytes.Compare(e.key[:], key[:])
	})
	if !found {
		return Place{}, false
	}
	best := a.list[i]
	for want := idHash(id); i < len(a.list) && a.list[i].key == key; i++ {
		if a.list[i].id == want {
			best = a.list[i]
			break
		}
	}
	return Place{best.table, best.row, req.Epoch}, true
}

// A Found is an answer as it was read, with what run it is of.
type Found struct {
	Place  Place
	Record nightshift.Record
	From   string // the run that paid for it: name@run_id
}

// Read yields the answers at some places, each once, a run after the other. What
// cannot be read any more is left out, and notice told.
func (a *Answers) Read(places []Place, notice func(string)) iter.Seq2[Found, error] {
	return func(yield func(Found, error) bool) {
		wanted := map[Place]bool{}
		rows := map[uint32][]int64{}
		for _, p := range places {
			wanted[p] = true
			rows[p.table] = append(rows[p.table], p.row)
		}
		for n, t := range a.tables {
			if !a.readTable(uint32(n), t, rows[uint32(n)], wanted, notice, yield) {
				return
			}
		}
	}
}

func (a *Answers) readTable(n uint32, t table, rows []int64, wanted map[Place]bool, notice func(string),
	yield func(Found, error) bool) bool {
	if len(rows) == 0 {
		return true
	}
	for rec, err := range view.At[nightshift.Record](t.run.Dir, t.model, rows) {
		var damage *view.DamageError
		if errors.As(err, &damage) {
			notice("answers that cannot be read are not taken over: " + damage.Error())
			continue
		}
		if err != nil {
			yield(Found{}, fmt.Errorf("taking over answers of %s: %w", t.run.Dir, err))
			return false
		}
		p := Place{n, rec.Row, rec.Epoch}
		if !wanted[p] {
			continue
		}
		from := t.run.Name + "@" + t.run.RunID
		if rec.ReusedFrom != nil {
			from = *rec.ReusedFrom
		}
		if !yield(Found{p, rec, from}, nil) {
			return false
		}
	}
	return true
}
