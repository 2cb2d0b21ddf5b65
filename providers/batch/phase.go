package batch

import (
	"strings"
	"time"

	"nightshift"
	"nightshift/internal/rawjson"
)

// words are those of all services for how a batch stands, in lower case and
// without the beginnings that some put before them.
var words = map[nightshift.BatchPhase]string{
	nightshift.BatchWaiting: "validating validated pending queued created creating submitted unspecified " +
		"creating_input_dataset",
	nightshift.BatchRunning: "in_progress running processing progress finalizing started writing_results paused " +
		"updating",
	nightshift.BatchCancelling: "cancelling canceling cancellation_requested deleting",
	nightshift.BatchCompleted:  "completed complete succeeded success ended done finished partially_succeeded",
	nightshift.BatchExpired:    "expired timeout_exceeded timed_out",
	nightshift.BatchCancelled:  "cancelled canceled early_stopped",
	nightshift.BatchFailed:     "failed failure error",
}

// phases is what each word means.
var phases = func() map[string]nightshift.BatchPhase {
	m := map[string]nightshift.BatchPhase{}
	for phase, list := range words {
		for word := range strings.FieldsSeq(list) {
			m[word] = phase
		}
	}
	return m
}()

// phaseOf is what a word means.
func phaseOf(word string) nightshift.BatchPhase {
	plain := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(word)), "-", "_")
	for _, beginning := range []string{"batch_state_", "job_state_", "state_", "status_"} {
		plain = strings.TrimPrefix(plain, beginning)
	}
	if p, known := phases[plain]; known {
		return p
	}
	if p, known := phases[snake(strings.TrimSpace(word))]; known {
		return p
	}
	return nightshift.BatchStrange
}

// snake writes InProgress as in_progress.
func snake(word string) string {
	var b strings.Builder
	for i, r := range word {
		if r >= 'A' && r <= 'Z' {
			if i > 0 {
				b.WriteByte('_')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// phase is the server's word for how the batch stands, and what it means.
func (o object) phase() (word string, p nightshift.BatchPhase) {
	word = o.text("status", "processing_status", "state")
	if word == "" {
		return o.phaseOfCounts()
	}
	p = phaseOf(word)
	if p == nightshift.BatchFailed && o.hasResults() {
		p = nightshift.BatchCompleted // rows have run, and their results are there
	}
	return word, p
}

func (o object) hasResults() bool {
	return o.counts().Completed.N() > 0 || o.text("output_file_id", "output_file", "responsesFile") != ""
}

// phaseOfCounts is the phase of a batch that has no word for it: xAI's have
// counters, and operations say that they are done.
func (o object) phaseOfCounts() (word string, p nightshift.BatchPhase) {
	state := o.root.Get("state")
	total, pending := count(state.Get("num_requests")), count(state.Get("num_pending"))
	cancelled := count(state.Get("num_cancelled")).N() > 0 || o.get("cancel_time").Set()
	switch {
	case o.root.Get("error").Kind() == rawjson.Object && o.root.Get("done").IsTrue():
		return "", nightshift.BatchFailed
	case o.root.Get("done").IsTrue():
		return "", nightshift.BatchCompleted
	case !total.Known():
		return "", nightshift.BatchStrange
	case o.text("cancel_by_xai_message") != "" && count(state.Get("num_success")).N() == 0:
		return "", nightshift.BatchFailed
	case total.N() == 0:
		return "", nightshift.BatchWaiting
	case pending.N() > 0 && cancelled:
		return "", nightshift.BatchCancelling
	case pending.N() > 0:
		return "", nightshift.BatchRunning
	case cancelled:
		return "", nightshift.BatchCancelled
	}
	return "", nightshift.BatchCompleted
}

// settleTime is how long an end must last where counters are known to go back.
const settleTime = time.Minute

// settled holds back an end that has not lasted yet.
func (b *Batcher) settled(batch nightshift.Batch) nightshift.Batch {
	if !b.settles {
		return batch
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !batch.Phase.Ended() {
		delete(b.ending, batch.ID)
		return batch
	}
	since, seen := b.ending[batch.ID]
	if !seen {
		since = time.Now()
		b.ending[batch.ID] = since
	}
	if time.Since(since) < settleTime {
		batch.Phase, batch.Results, batch.Failure = nightshift.BatchRunning, nil, nil
	}
	return batch
}
