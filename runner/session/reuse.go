package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nightshift"
	"nightshift/internal/fsx"
	"nightshift/internal/s3"
	"nightshift/internal/words"
	"nightshift/providers"
	"nightshift/providers/wire"
	"nightshift/reports"
	"nightshift/runner"
	"nightshift/runner/plan"
	"nightshift/runner/reuse"
	"nightshift/runner/store/view"
)

// reuseFile keeps in the run directory whose answers are taken over, so that a
// second start takes over the same.
const reuseFile = "reuse.json"

// reuseNone in place of a run forgets the runs of earlier starts.
const reuseNone = "none"

// A reusedRun is a run whose answers are taken over.
type reusedRun struct {
	Dir   string `json:"dir"` // absolute, or the URL of one in a bucket
	RunID string `json:"run_id"`
}

// reusedRuns are the runs to take answers from: those of earlier starts, and
// those that are asked for now.
func (s *Session) reusedRuns(ctx context.Context) ([]reusedRun, error) {
	list, err := keptReuse(s.Plan.Out)
	if err != nil {
		return nil, err
	}
	for _, dir := range s.Reuse {
		if dir == reuseNone {
			list = nil
			continue
		}
		one, err := s.reusable(ctx, dir)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(list, one) {
			list = append(list, one)
		}
	}
	for _, r := range list {
		dir, err := s.reading(ctx, r.Dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("--reuse: %w", err)
		}
		info, err := view.ReadInfo(dir)
		if err != nil || info.RunID != r.RunID {
			return nil, Usagef("answers of the run %s are taken over here, and it is not there any more: put it back, or start "+
				"with --reuse none to send for what is left", r.Dir)
		}
	}
	return list, nil
}

func keptReuse(out string) (list []reusedRun, err error) {
	path := filepath.Join(out, reuseFile)
	if err := fsx.ReadJSON(path, &list); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return list, nil
}

// reusable is the run in a directory or a bucket, to be taken over into this one.
func (s *Session) reusable(ctx context.Context, run string) (reusedRun, error) {
	full, err := absolute(run)
	if err != nil {
		return reusedRun{}, err
	}
	if here, err := filepath.Abs(s.Plan.Out); full == s.place() || err == nil && here == full {
		return reusedRun{}, Usagef("--reuse: %s is the run's own directory, which resumes without it; name an earlier run, "+
			"or another --out", run)
	}
	dir, err := s.reading(ctx, full)
	if err != nil {
		return reusedRun{}, Usagef("--reuse: %w", err)
	}
	info, err := view.ReadInfo(dir)
	if err != nil {
		return reusedRun{}, Usagef("--reuse: %s is no run directory: %w", run, err)
	}
	return reusedRun{full, info.RunID}, nil
}

// absolute is a run's directory or URL in the form that means the same anywhere.
func absolute(run string) (string, error) {
	if s3.IsURL(run) {
		return strings.TrimRight(run, "/"), nil
	}
	return filepath.Abs(run)
}

// openReuse reads which answers can be taken over; nil where none are to be.
// The judges' requests of those runs are among them.
func (s *Session) openReuse(ctx context.Context) (*reuse.Answers, error) {
	list, err := s.reusedRuns(ctx)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	var runs []reuse.Run
	for _, r := range list {
		outer, err := s.reading(ctx, r.Dir)
		if err != nil {
			return nil, err
		}
		for _, dir := range append([]string{outer}, reports.InnerRuns(outer)...) {
			one, err := s.sourceRun(dir)
			if err != nil {
				return nil, err
			}
			runs = append(runs, one)
		}
	}
	return reuse.Open(runs, func(text string) { s.Log.Warn(text) })
}

// sourceRun describes a run to take answers from. The same model is one at the
// same URL; with [Options.MovedEndpoint] one at an endpoint of the same name.
func (s *Session) sourceRun(dir string) (reuse.Run, error) {
	info, err := view.ReadInfo(dir)
	if err != nil {
		return reuse.Run{}, Usagef("%w", err)
	}
	var as planAsRun
	var models struct {
		Models []struct {
			Name    string `json:"name"`
			BaseURL string `json:"base_url"`
			Path    string `json:"path"`
		} `json:"models"`
	}
	if json.Unmarshal(info.Plan, &as) == nil {
		_ = json.Unmarshal(as.Plan, &models) // without it nothing is at a known place
	}
	urls := map[string]string{}
	for _, m := range models.Models {
		urls[m.Name] = m.BaseURL + m.Path
	}
	place := func(model, endpoint string) string {
		if s.MovedEndpoint {
			return endpoint
		}
		return urls[model]
	}
	return reuse.Run{Dir: dir, RunID: info.RunID, Name: info.Name, Place: place}, nil
}

// keepReuse notes whose answers are taken over. Without any, nothing is written.
func (s *Session) keepReuse(ctx context.Context) error {
	list, err := s.reusedRuns(ctx)
	path := filepath.Join(s.Plan.Out, reuseFile)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	return writeFile(path, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(list)
	})
}

// reusing is how a model's pool takes over answers; nil where none are to be.
// Rows that share a request have no request of their own to find them by.
func (s *Session) reusing(m plan.ResolvedModel, answers *reuse.Answers) (*runner.Reuse, error) {
	if answers == nil || m.RowsPerRequest > 1 {
		return nil, nil
	}
	w, err := EncodingWire(m)
	if err != nil {
		return nil, err
	}
	place := strings.TrimRight(m.Endpoint.BaseURL, "/") + m.Endpoint.Path
	if s.MovedEndpoint {
		place = m.Endpoint.Name
	}
	return &runner.Reuse{Answers: answers, Place: place, Hash: func(req nightshift.Request) (string, bool) {
		p, err := w.Prepare(req)
		return p.Hash, err == nil
	}}, nil
}

// nowhere is the transport of wires that only encode.
type nowhere struct{}

func (nowhere) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("nothing is sent here")
}

// EncodingWire makes the request bodies of a model without a key, and sends none
// of them.
func EncodingWire(m plan.ResolvedModel) (providers.Wire, error) {
	e := m.Endpoint
	e.Auth, e.Routes = providers.Auth{Scheme: providers.AuthNone}, nil
	w, err := wire.New(wire.Config{Endpoint: e, Transport: nowhere{}})
	if err != nil {
		return nil, Usagef("%w", err)
	}
	return w, nil
}

// withReuse gives pools the answers that they may take over.
func (s *Session) withReuse(pools []runner.Pool) error {
	if s.reused == nil {
		return nil
	}
	for i := range pools {
		r, err := s.reusing(s.model(pools[i].Model), s.reused)
		if err != nil {
			return err
		}
		pools[i].Reuse = r
	}
	return nil
}

// Reusable counts, by model, the answers that a run would take over. It reads
// every row of the dataset. The map is nil where no run is named.
func (s *Session) Reusable(ctx context.Context) (map[string]int64, error) {
	answers, err := s.openReuse(ctx)
	if answers == nil || err != nil {
		return nil, err
	}
	counts := map[string]int64{}
	for _, m := range s.Plan.Models {
		pool := runner.Pool{Model: m.Name, ModelID: m.ModelID, Protocol: m.Endpoint.Protocol, Params: m.Params,
			Stream: m.Stream, Likelihoods: runner.Likelihoods(m.Likelihoods)}
		counts[m.Name] = 0
		if pool.Reuse, err = s.reusing(m, answers); err != nil {
			return nil, err
		}
		if pool.Reuse == nil {
			continue
		}
		if counts[m.Name], err = s.reusableOf(ctx, pool); err != nil {
			return nil, err
		}
	}
	return counts, nil
}

func (s *Session) reusableOf(ctx context.Context, pool runner.Pool) (n int64, err error) {
	rows := s.RowsOf(pool.Model)
	for i := range rows.Chunks() {
		for sample, err := range rows.ReadEpochs(ctx, i, max(s.Plan.Epochs, 1)) {
			if err == nil && pool.Reusable(sample) {
				n++
			}
			if ctx.Err() != nil {
				return n, ctx.Err()
			}
		}
	}
	return n, nil
}

// sayReuse says whose answers are taken over.
func (s *Session) sayReuse() {
	if s.reused == nil {
		return
	}
	s.Log.Info(fmt.Sprintf("%s of earlier runs can be taken over where the request is the same",
		words.Counted(int64(s.reused.Len()), "answer")))
}
