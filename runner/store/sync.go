package store

// Sync waits until everything that was written is durable, so that Totals
// count it. The error is why the store has failed, if it has.
func (r *Run) Sync() error {
	r.settleAll()
	return r.Err()
}
