package scoring

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"nightshift/runner/store/view"
)

// trialReplies is how many replies a judge has to give one that can be read.
const trialReplies = 20

// A Trial watches the first replies of a judge. When none of them can be read,
// no further one is worth its money. A Trial is safe for concurrent use.
type Trial struct {
	judging *Judging

	mu      sync.Mutex
	passed  bool
	count   int
	example string // the first reply
	lacks   string // what it lacks
}

// UnreadableError stops a judge whose first replies all hold no verdict.
type UnreadableError struct {
	Replies int
	Why     string // what one of them lacks
	Reply   string // that one
}

func (e *UnreadableError) Error() string {
	reply := strings.Join(strings.Fields(e.Reply), " ")
	if runes := []rune(reply); len(runes) > 300 {
		reply = string(runes[:300]) + "…"
	}
	return fmt.Sprintf("none of its first %d replies can be read, so it is stopped: %s. One reply: %q\n"+
		"change the judge's template, or take a model that keeps to it", e.Replies, e.Why, reply)
}

// Trial begins with the replies on record to what is asked now.
func (j *Judging) Trial(ctx context.Context) (*Trial, error) {
	t := &Trial{judging: j}
	begun, _, err := j.Batches()
	if err != nil || len(begun) == 0 {
		return t, err
	}
	replies, err := j.openReplies()
	if err != nil {
		return nil, err
	}
	defer replies.close()
	for one, err := range j.judgements() {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		for _, q := range one.questions {
			h, err := replies.find(q)
			if err != nil {
				return nil, err
			}
			for _, r := range []*replyRow{h.first, h.again} {
				if r != nil && r.Outcome.Answered() {
					t.Hear(view.Value(r.Text))
				}
			}
		}
		if t.over() {
			break
		}
	}
	return t, nil
}

// Hear counts a reply.
func (t *Trial) Hear(reply string) {
	if t == nil {
		return // whatever comes passes
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.passed || t.count >= trialReplies {
		return
	}
	why := t.judging.unreadable(reply)
	if t.passed = why == ""; t.passed {
		return
	}
	if t.count++; t.count == 1 {
		t.example, t.lacks = reply, why
	}
}

func (t *Trial) over() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.passed || t.count >= trialReplies
}

// Err is an [*UnreadableError] once the judge has failed.
func (t *Trial) Err() error {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.passed || t.count < trialReplies {
		return nil
	}
	return &UnreadableError{t.count, t.lacks, t.example}
}

// unreadable says what a reply lacks; empty when it can be read.
func (j *Judging) unreadable(reply string) string {
	if j.reads(reply) {
		return ""
	}
	if j.Pairs != nil {
		return "it never gives a verdict on offer in double brackets, such as [[A]]"
	}
	graded := strings.Contains(strings.ToUpper(reply), "GRADE") || !j.Grader.Graded()
	if r := j.Grader.Verdict(reply); graded && r.Explanation != nil {
		return *r.Explanation
	}
	return "it never says GRADE:"
}

// Current reports whether a batch asks what is asked now, by the first of its
// requests: another template asks in other words.
func (j *Judging) Current(dir string) (bool, error) {
	f, err := os.Open(filepath.Join(dir, RequestsFile))
	if err != nil {
		return false, err
	}
	defer f.Close()
	var first request
	if err := json.NewDecoder(f).Decode(&first); err != nil {
		return false, err
	}
	for one, err := range j.judgements() {
		if err != nil {
			return false, err
		}
		for _, q := range one.questions {
			if strings.HasPrefix(first.ID, q.place+"-") {
				return first.ID == q.id(false) || first.ID == q.id(true), nil
			}
		}
	}
	return false, nil
}
