package providers

import (
	"slices"
	"strings"

	"nightshift"
)

// takeJob takes the last attempt of an earlier process out of the history when
// nobody knows its outcome, but the server can be asked for its answer: the
// attempt goes on, and is not another one.
func (k *call) takeJob() {
	n := len(k.attempts) - 1
	if n < k.req.Settled || n < 0 {
		return
	}
	last := k.attempts[n]
	remote := strings.HasPrefix(last.Job, nightshift.WorkerJob)
	if last.Class != nightshift.ClassUnknownOutcome || last.Job == "" || remote && !k.RoutesCome {
		return
	}
	k.job, k.attempts = &last, k.attempts[:n]
}

// workersJob reports whether the attempt that goes on was given to a worker: to ask
// for its answer sends nothing, so nothing is waited for, and also a worker that
// takes nothing new is asked.
func (k *call) workersJob() bool {
	return k.job != nil && strings.HasPrefix(k.job.Job, nightshift.WorkerJob)
}

// returnJob puts an attempt that nothing has followed back where it was taken
// from: the request ended otherwise, and that attempt may have been paid for.
func (k *call) returnJob() {
	if k.job != nil {
		k.attempts = append(k.attempts, *k.job)
		k.job = nil
	}
}

// route picks the route of the next attempt: the one that makes the answer in
// the background, where there is one.
func (k *call) route() (int, error) {
	if k.job != nil {
		named := func(r ClientRoute) bool { return r.Name == k.job.Route }
		i := slices.IndexFunc(k.list(), named)
		switch {
		case k.workersJob() && len(k.list()) > 0:
			return max(i, 0), nil // each of them asks all workers
		case i >= 0 && !k.at(i).away() && k.stop(i, k.req.Model) == nil:
			return i, nil
		}
	}
	return k.choose(k.req.Model)
}

// followJob lets an attempt go on with the answer that an earlier process has
// asked for, where there is one, and puts on record under which id the server
// makes one in the background.
func (k *call) followJob(t *ticket, in nightshift.Intent) {
	if k.job != nil {
		t.prepared.Job, t.sentAt = k.job.Job, k.job.StartedAt
		if k.workersJob() {
			t.prepared.Attempt = k.job.Job
		}
		k.job = nil
		return
	}
	log := k.req.AttemptLog
	if log == nil {
		return
	}
	in.Route = k.at(t.route).Name
	t.prepared.Accepted = func(id string) {
		in.Job = id
		// Where the record of runs fails, the run ends; what the server makes is
		// waited for all the same.
		_ = log.Accepted(in)
	}
}
