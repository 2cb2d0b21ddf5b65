package scoring

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"nightshift"
	"nightshift/reports/scorers"
	"nightshift/runner/store/view"
)

// A Judging is the work of one judge on one run. Its requests are the rows of
// durable runs of their own below the run's judges/ folder: the first asks
// about every answer, later ones ask again where a reply could not be read, or
// about answers that came since. What was asked is part of a request's id, so
// an answer, a template or a judge that has changed is sent again, and nothing
// else is.
//
// Requests are made, and replies looked up, in the order of the run's records:
// nothing here holds more than a batch of them.
type Judging struct {
	Run    string   // run directory
	Models []string // of the run, in its order
	// Baseline is the model that pairwise judges compare the others with, and Along
	// what models with variants are compared along; see [Opponents].
	Baseline, Along string
	Ways            []Way // of Models; only where Along is set
	// Key identifies the judge: model, endpoint and parameters. Another key
	// asks anew.
	Key string

	// Datasets are those whose answers are judged, in runs with several; nil is all.
	Datasets []string

	Grader *scorers.Grader    // one of the two
	Pairs  *scorers.PairJudge // is set
}

// Described names the judge for the run's files.
func (j *Judging) Described() (d Described) {
	if j.Grader != nil {
		d = Describe(j.Grader)
	} else {
		d = Describe(j.Pairs)
	}
	d.Datasets = j.Datasets
	return d
}

// answers yields what a model answered, as far as it is judged.
func (j *Judging) answers(model string) iter.Seq2[answerRow, error] {
	return Described{Datasets: j.Datasets}.only(view.Rows[answerRow](j.Run, view.ReadOptions{Models: []string{model}}))
}

// against is what the scores of one pair carry as parameters.
func (d Described) against(opponent string) Described {
	params := map[string]json.RawMessage{}
	if json.Unmarshal(d.Params, &params) == nil {
		params["against"], _ = json.Marshal(opponent) // a string always encodes
		d.Params, _ = json.Marshal(params)
	}
	return d
}

// RequestsFile holds a judge run's requests, one JSON object a line.
const RequestsFile = "requests.jsonl"

// Batches are the directories of the judge's runs that have begun, oldest
// first, and next is where another would go.
func (j *Judging) Batches() (begun []string, next string, err error) {
	return batchesAt(j.Described().Dir(j.Run))
}

// batchesAt are the directories base, base.2, base.3 and so on in which a run
// has begun, and the next of them.
func batchesAt(base string) (begun []string, next string, err error) {
	for n := 1; ; n++ {
		dir := base
		if n > 1 {
			dir = base + "." + strconv.Itoa(n)
		}
		if _, err := os.Stat(filepath.Join(dir, "run.json")); errors.Is(err, fs.ErrNotExist) {
			return begun, dir, nil
		} else if err != nil {
			return nil, "", err
		}
		begun = append(begun, dir)
	}
}

// A question is one request: its prompt and the two parts of its id. Ids
// ascend in the order of the records.
type question struct {
	place  string // what is judged
	digest string // of what is asked, and whom
	prompt string
}

func (q question) id(reask bool) string {
	if reask {
		return q.place + "-" + q.digest + "-again"
	}
	return q.place + "-" + q.digest
}

// A judgement is one answer, or pair of answers, to be judged.
type judgement struct {
	scorer    Described // with the opponent of a pair
	rec       *nightshift.Record
	other     *nightshift.Record // of a pair
	notRun    string             // why there is nothing to judge; empty when there is
	questions []question
}

func (j *Judging) question(model, against int, rec *nightshift.Record, order, prompt string) question {
	sum := sha256.Sum256([]byte(j.Key + "\x00" + prompt))
	return question{
		place:  fmt.Sprintf("%03d-%03d-%010d-%05d-%s", model, against, rec.Row, rec.Epoch, order),
		digest: hex.EncodeToString(sum[:6]), prompt: prompt,
	}
}

// judgements yields everything that the judge is to judge.
func (j *Judging) judgements() iter.Seq2[judgement, error] {
	if j.Grader != nil {
		return j.grades()
	}
	return j.pairs()
}

func (j *Judging) grades() iter.Seq2[judgement, error] {
	d := j.Described()
	return func(yield func(judgement, error) bool) {
		for m, model := range j.Models {
			for r, err := range j.answers(model) {
				if err != nil {
					yield(judgement{}, err)
					return
				}
				if !yield(j.grade(d, m, r.record()), nil) {
					return
				}
			}
		}
	}
}

func (j *Judging) grade(d Described, model int, rec *nightshift.Record) judgement {
	one := judgement{scorer: d, rec: rec}
	if !rec.Outcome.Answered() {
		one.notRun = failure(rec)
		return one
	}
	one.questions = []question{j.question(model, model, rec, "a", j.Grader.Prompt(material(rec)))}
	return one
}

// pairs walks the records of each two models that meet side by side. Of two
// models the baseline is the opponent, else the one that the run names first.
func (j *Judging) pairs() iter.Seq2[judgement, error] {
	baseline := slices.Index(j.Models, j.Baseline)
	return func(yield func(judgement, error) bool) {
		if baseline < 0 {
			yield(judgement{}, fmt.Errorf("judge %s: the run has no model %q to compare with", j.Described().Name,
				j.Baseline))
			return
		}
		opponents := make([]int, len(j.Models))
		for m := range opponents {
			opponents[m] = baseline
		}
		if j.Along != "" {
			opponents = Opponents(j.Ways, baseline, j.Along)
		}
		for m := range j.Models {
			for against := range j.Models {
				meet := against == opponents[m] || j.Pairs.AllPairs() && m != baseline && against < m
				if m != against && meet && !j.pair(m, against, yield) {
					return
				}
			}
		}
	}
}

func (j *Judging) pair(m, against int, yield func(judgement, error) bool) bool {
	d := j.Described().against(j.Models[against])
	theirs, stop := iter.Pull2(j.answers(j.Models[against]))
	defer stop()
	other, err, more := theirs()
	for r, rowErr := range j.answers(j.Models[m]) {
		for more && err == nil && (other.Row < r.Row || other.Row == r.Row && other.Epoch < r.Epoch) {
			other, err, more = theirs()
		}
		if bad := errors.Join(rowErr, err); bad != nil {
			yield(judgement{}, bad)
			return false
		}
		one := judgement{scorer: d, rec: r.record()}
		if more && other.Row == r.Row && other.Epoch == r.Epoch {
			one.other = other.record()
		}
		j.ask(&one, m, against)
		if !yield(one, nil) {
			return false
		}
	}
	return true
}

// ask makes the questions of a pair: one for each order.
func (j *Judging) ask(one *judgement, m, against int) {
	switch {
	case !one.rec.Outcome.Answered():
		one.notRun = failure(one.rec)
		return
	case one.other == nil:
		one.notRun = j.Models[against] + " has no answer on record"
		return
	case !one.other.Outcome.Answered():
		one.notRun = j.Models[against] + ": " + failure(one.other)
		return
	}
	shown := material(one.rec)
	shown.Answer2 = view.Value(one.other.Text)
	one.questions = []question{j.question(m, against, one.rec, "a", j.Pairs.Prompt(shown, false))}
	if j.Pairs.Swap() {
		one.questions = append(one.questions, j.question(m, against, one.rec, "b", j.Pairs.Prompt(shown, true)))
	}
}

// material is what a judge is shown of a record.
func material(rec *nightshift.Record) scorers.Material {
	m := scorers.Material{Question: conversation(rec), Answer: view.Value(rec.Text), Target: view.Value(rec.Target)}
	if rec.Metadata != nil {
		var row struct {
			Criterion json.RawMessage `json:"criterion"`
		}
		if json.Unmarshal([]byte(*rec.Metadata), &row) == nil && row.Criterion != nil {
			m.Criterion = words(row.Criterion)
		}
	}
	return m
}

// words is the text of a JSON value.
func words(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// conversation is the prompt as a person reads it: the text of a single
// message, else every turn with its role.
func conversation(rec *nightshift.Record) string {
	var turns []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	}
	input := view.Value(rec.Input)
	if json.Unmarshal([]byte(input), &turns) != nil || len(turns) == 0 {
		return input
	}
	if len(turns) == 1 {
		return words(turns[0].Content)
	}
	var b strings.Builder
	for i, t := range turns {
		if i > 0 {
			b.WriteString("\n\n")
		}
		b.WriteString(t.Role + ": " + words(t.Content))
	}
	return b.String()
}

// reads reports whether a reply holds a verdict.
func (j *Judging) reads(reply string) bool {
	if j.Grader != nil {
		return j.Grader.Verdict(reply).Value != nil
	}
	return j.Pairs.Read(reply) != scorers.Unreadable
}

// again is what to ask after a reply without a verdict.
func (j *Judging) again(prompt, reply string) string {
	if j.Grader != nil {
		return j.Grader.Again(prompt, reply)
	}
	return j.Pairs.Again(prompt, reply)
}

func (j *Judging) reask() bool {
	if j.Grader != nil {
		return j.Grader.Reask()
	}
	return j.Pairs.Reask()
}

// Prepare writes the requests that have no reply on record into a new batch at
// dir and returns how many there are; without any, nothing is written. A batch
// that was prepared and never begun is written again.
func (j *Judging) Prepare(ctx context.Context, dir string) (n int64, err error) {
	replies, err := j.openReplies()
	if err != nil {
		return 0, err
	}
	defer replies.close()
	return writeBatch(dir, func(w io.Writer) (int64, error) { return j.writeRequests(ctx, w, replies) })
}

// writeBatch writes the requests of a new batch at dir with write, which returns
// how many there are. Without any, nothing is left there.
func writeBatch(dir string, write func(io.Writer) (int64, error)) (n int64, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	tmp, err := os.CreateTemp(dir, ".requests-*")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone once it is renamed
	w := bufio.NewWriterSize(tmp, 1<<20)
	n, err = write(w)
	if err = errors.Join(err, w.Flush(), tmp.Sync(), tmp.Close()); err != nil {
		return n, err
	}
	if n == 0 {
		_ = os.Remove(filepath.Join(dir, RequestsFile)) // of an earlier preparation
		_ = os.Remove(tmp.Name())
		_ = os.Remove(dir) // fails, rightly, when anything is in it
		return 0, nil
	}
	return n, os.Rename(tmp.Name(), filepath.Join(dir, RequestsFile))
}

// request is one line of a judge run's dataset.
type request struct {
	ID       string `json:"id"`
	Prompt   string `json:"prompt"`
	RowID    string `json:"row_id"`
	Judged   string `json:"judged"` // model
	Against  string `json:"against,omitempty"`
	RowEpoch int32  `json:"row_epoch"`
}

func (j *Judging) writeRequests(ctx context.Context, w io.Writer, replies *replies) (n int64, err error) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for one, err := range j.judgements() {
		if err = errors.Join(err, ctx.Err()); err != nil {
			return n, err
		}
		for _, q := range one.questions {
			heard, err := replies.find(q)
			if err != nil {
				return n, err
			}
			again := heard.first != nil && heard.first.Outcome.Answered() && !j.reads(view.Value(heard.first.Text)) &&
				j.reask()
			if heard.first != nil && !again || heard.again != nil {
				continue
			}
			if again {
				q.prompt = j.again(q.prompt, view.Value(heard.first.Text))
			}
			line := request{ID: q.id(again), Prompt: q.prompt, RowID: one.rec.ID, Judged: one.rec.Model,
				RowEpoch: one.rec.Epoch}
			if one.other != nil {
				line.Against = one.other.Model
			}
			if err := enc.Encode(line); err != nil {
				return n, err
			}
			n++
		}
	}
	return n, nil
}
