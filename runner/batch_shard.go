package runner

import (
	"context"

	"nightshift/runner/store"
)

// openShard opens a shard, or takes a share of it where it is open. The caller
// settles it: with the last share the shard is committed when all rows have a
// record, and let go of when some are away, so that it takes no memory.
func (b *batches) openShard(i int) (*shard, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u := b.open[i]
	if u == nil {
		su, err := b.Store.OpenShard(b.pool.Model, i)
		if err != nil {
			return nil, err
		}
		u = &shard{Shard: su, giveBack: func(u *shard) { b.giveBack(i, u) }}
		b.open[i] = u
	}
	u.pending.Add(1)
	return u, nil
}

func (b *batches) giveBack(i int, u *shard) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if u.pending.Add(-1) > 0 {
		return
	}
	delete(b.open, i)
	finish := u.Release
	if !u.incomplete.Load() && u.Remaining() == 0 {
		finish = u.Commit
	}
	if err := finish(); err != nil {
		b.stopRun(err)
	}
	select {
	case b.woken <- struct{}{}:
	default:
	}
}

// busy reports whether rows of a shard are in hand.
func (b *batches) busy(i int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open[i] != nil
}

// close deletes or leaves the files of a collected batch at the provider, now
// that its shard is committed, and closes it.
func (b *batches) close(a *batch) error {
	left := "files left at the provider"
	if b.Delete {
		left = b.deleted(b.calls, a)
	}
	crashPoint("batch.remote-deleted")
	if err := b.Store.CloseBatch(a.N, left); err != nil {
		return err
	}
	a.Stage = store.BatchClosed
	b.forget(a)
	return nil
}

// deleted deletes what a batch has at the provider and says what came of it:
// what stays there expires by itself.
func (b *batches) deleted(ctx context.Context, a *batch) string {
	var failed error
	for _, r := range a.Remotes {
		if err := b.API.Delete(ctx, r.Batch); err != nil {
			failed = err
		}
	}
	if failed != nil {
		b.Log.Warn("files of "+a.Name+" stay at the provider", "model", b.pool.Model, "error", failed.Error())
		return "files left at the provider: they could not be deleted"
	}
	return "files deleted at the provider"
}

// tidy closes the batches whose shards were committed by rows that went live.
func (b *batches) tidy() {
	for _, a := range append([]*batch(nil), b.list...) {
		if a.Stage != store.BatchCollected || b.waits(a) {
			continue
		}
		if err := b.close(a); err != nil {
			b.stopRun(err)
			return
		}
	}
}
