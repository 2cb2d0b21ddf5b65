package exchange

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/reports/scoring"
	"nightshift/runner/store/view"
)

// Formats of [Export].
const (
	Inspect = "inspect" // Inspect's JSON log
	LMEval  = "lm-eval" // lm-evaluation-harness's samples, a JSON line for each row
)

// source is one model of a run that is written in another tool's format.
type source struct {
	dir   string
	model string
	info  view.Info
	means []*mean // by scorer, in the order of the run's evaluation
}

// A mean is what a scorer says of all answers.
type mean struct {
	scorer     string
	n          int64
	sum, sumSq float64
}

func (m *mean) add(v *float64) {
	if v != nil {
		m.n, m.sum, m.sumSq = m.n+1, m.sum+*v, m.sumSq+*v**v
	}
}

// of is the mean and its standard error; nil where there is none.
func (m *mean) of() (value, se any) {
	if m.n == 0 {
		return nil, nil
	}
	n := float64(m.n)
	avg := m.sum / n
	if m.n < 2 {
		return avg, nil
	}
	return avg, math.Sqrt(math.Max(m.sumSq-n*avg*avg, 0) / (n - 1) / n)
}

func newSource(dir, model string) (*source, error) {
	s := &source{dir: dir, model: model}
	var err error
	if s.info, err = view.ReadInfo(dir); err != nil {
		return nil, err
	}
	e, err := scoring.ReadEvaluation(dir)
	if err != nil {
		return nil, err
	}
	for _, d := range e.Scorers {
		if d.Type != "judge_pairwise" { // it says of two answers which is better
			s.means = append(s.means, &mean{scorer: d.Name})
		}
	}
	return s, nil
}

func (s *source) rows() iter.Seq2[view.ScoredRecord, error] {
	return view.Scored(s.dir, view.ReadOptions{Models: []string{s.model}})
}

// Models are the names of the models of a run that are asked for: all where none is
// named.
func Models(dir string, wanted []string) ([]string, error) {
	info, err := view.ReadInfo(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range wanted {
		if !slices.Contains(info.Models, name) {
			return nil, &FileError{fmt.Sprintf("%s has no model %s; there are %s", dir, name,
				strings.Join(info.Models, ", "))}
		}
	}
	return slices.DeleteFunc(info.Models, func(m string) bool {
		return len(wanted) > 0 && !slices.Contains(wanted, m)
	}), nil
}

// Export writes the answers of one model, with their scores, in another tool's
// format.
func Export(w io.Writer, dir, model, format string) error {
	s, err := newSource(dir, model)
	if err != nil {
		return err
	}
	if format == Inspect {
		return s.writeInspect(w)
	}
	return s.writeSamples(w)
}

// ExportFolder writes the models of a run into a folder, as the other tool lays out
// its own, and returns the files.
func ExportFolder(folder, dir string, models []string, format string) (files []string, err error) {
	for _, model := range models {
		s, err := newSource(dir, model)
		if err != nil {
			return files, err
		}
		created := s.info.CreatedAt.UTC()
		task, name := plainName(s.info.Name), plainName(model)
		if format == Inspect {
			file := filepath.Join(folder, created.Format("2006-01-02T15-04-05-00-00_")+task+"_"+name+".json")
			if err := writeFile(file, s.writeInspect); err != nil {
				return files, err
			}
			files = append(files, file)
			continue
		}
		date := created.Format("2006-01-02T15-04-05.000000")
		samples := filepath.Join(folder, name, "samples_"+task+"_"+date+".jsonl")
		if err := writeFile(samples, s.writeSamples); err != nil {
			return files, err
		}
		results := filepath.Join(folder, name, "results_"+date+".json")
		if err := writeFile(results, s.writeResults); err != nil {
			return files, err
		}
		files = append(files, samples, results)
	}
	return files, nil
}

// writeFile writes a file whole or not at all, and the folders that it is in.
func writeFile(name string, write func(io.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".export-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	out := bufio.NewWriterSize(f, 1<<20)
	if err = write(out); err == nil {
		err = out.Flush()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// plainName is a name for a file: the other tools cut theirs at underscores.
func plainName(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '-':
			return r
		}
		return '-'
	}, s)
}

// A message is one of a prompt, as other tools write it.
type message struct {
	Role    string `json:"role"`
	Content any    `json:"content"`
}

// prompt is what was asked, the system prompt first.
func prompt(rec *nightshift.Record) []message {
	var all []message
	if rec.System != nil {
		all = append(all, message{"system", *rec.System})
	}
	if rec.Input == nil {
		return all
	}
	v, err := rawjson.Scan([]byte(*rec.Input))
	if messages := v.Get("messages"); err == nil && messages.Kind() == rawjson.Array {
		v = messages // a row of a batch file is a whole request
	}
	if err != nil || v.Kind() != rawjson.Array || !v.First().Get("role").Set() {
		return append(all, message{"user", *rec.Input})
	}
	for m := v.First(); m.Exists(); m = m.Next() {
		role := m.Get("role").String()
		switch role {
		case "developer":
			role = "system"
		case "model":
			role = "assistant"
		case "system", "user", "assistant", "tool":
		default:
			role = "user"
		}
		all = append(all, message{role, contentText(m.Get("content"))})
	}
	return all
}

// question is a prompt as one value: a text where it is one message of a user.
func question(all []message) any {
	if len(all) == 1 && all[0].Role == "user" {
		return all[0].Content
	}
	return all
}

// target is a text, or the list of texts of which any is right.
func target(rec *nightshift.Record) any {
	if rec.Target == nil {
		return ""
	}
	if rec.TargetIsList != nil && *rec.TargetIsList {
		var texts []string
		v, err := rawjson.Scan([]byte(*rec.Target))
		for one := v.First(); err == nil && one.Exists(); one = one.Next() {
			if text := plainText(one); text != "" {
				texts = append(texts, text)
			}
		}
		if texts != nil {
			return texts
		}
	}
	return *rec.Target
}

func hashText(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// textOf is the answer; empty where there is none.
func textOf(rec *nightshift.Record) string {
	if rec.Text == nil {
		return ""
	}
	return *rec.Text
}
