package session

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"nightshift/reports"
	"nightshift/runner"
	"nightshift/runner/store"
	"nightshift/runner/store/view"
)

// Calibrate sends some rows, by number and in order, to every model, once each,
// under the plan's limits and budget, of which it takes off what the run has
// cost. It is a small run in a directory of its own below the run's: its answers
// are kept and billed, and asking for the same rows again sends nothing but what
// failed before.
func (s *Session) Calibrate(ctx context.Context, rows []int64) (dir string, stops []runner.Stop, err error) {
	if st, err := view.Status(s.Plan.Out); err == nil && st.Live {
		return "", nil, Usagef("%s is running (process %d), and spends the budget that --calibrate would: calibrate "+
			"before or after",
			s.Plan.Out, st.PID)
	}
	clients, err := newClients(s.Plan, s.Log)
	if err != nil {
		return "", nil, err
	}
	defer clients.Close()
	if err := clients.spendBefore(s.Plan.Out); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", nil, err
	}
	if err := clients.spendWithin(s.Plan.Out); err != nil {
		return "", nil, err
	}
	one := s.calibration()
	id := one.identity()
	for i := range id.Chunks {
		c := &id.Chunks[i]
		from, _ := slices.BinarySearch(rows, c.First)
		to, _ := slices.BinarySearch(rows, c.First+c.Rows)
		c.Skipped = c.Rows - int64(to-from)
	}
	one.Plan.Out = filepath.Join(s.Plan.Out, reports.CalibrationDir, calibrationName(id, rows))
	st, err := one.openStore(id)
	if err != nil {
		return "", nil, err
	}
	one.Sending = ctx
	if err = s.Kept.shipAll(); err == nil {
		stops, err = one.loop(context.WithoutCancel(ctx), st, clients.pools, rows)
	}
	state := "finished"
	if err != nil || len(stops) > 0 {
		state = "stopped"
	}
	return one.Plan.Out, stops, errors.Join(err, st.Close(state))
}

// calibration is the session of a calibration.
func (s *Session) calibration() *Session {
	p := *s.Plan
	p.Name, p.Epochs, p.Scorers = p.Name+"/calibration", 1, nil
	one := &Session{Options: s.Options, Plan: &p, Dataset: s.Dataset, variants: s.variants}
	one.RetryFailed, one.MovedEndpoint = true, false
	return one
}

// calibrationName is the same for the same plan, dataset and rows.
func calibrationName(id store.Identity, rows []int64) string {
	sum := sha256.Sum256(fmt.Append(nil, id.PlanHash, " ", id.DatasetHash, " ", rows))
	return hex.EncodeToString(sum[:8])
}
