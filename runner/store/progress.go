package store

import (
	"nightshift/runner/store/internal/rundir"
	"os"
	"slices"
	"time"
)

// progress returns where the run stands.
func (r *Run) Progress() rundir.Progress {
	p := rundir.Progress{At: time.Now().UTC(), RunID: r.RunID(), PID: os.Getpid(), Totals: r.Totals(),
		Unsettled: r.Unsettled()}
	r.mu.Lock()
	p.LastWrite = r.wrote
	unknown := slices.Clone(r.unknown)
	shards := map[rundir.Key]*Shard{}
	for key, u := range r.shards {
		shards[key] = u
	}
	r.mu.Unlock()
	p.OpenShards = len(shards)
	for _, u := range shards {
		u.mu.Lock()
		p.InFlight += int64(len(u.flying))
		u.mu.Unlock()
	}
	for _, x := range unknown {
		if u := shards[rundir.Key{Model: r.modelIndex(x.Model), Shard: x.Shard}]; u != nil && !u.Done(x.Row, x.Epoch) {
			p.Unknown = append(p.Unknown, x)
		}
	}
	return p
}
