package scoring

import (
	"iter"
	"strings"

	"nightshift"
	"nightshift/runner/store/view"
)

// replyRow is what is read of a judge's record.
type replyRow struct {
	ID           string             `parquet:"id"`
	Outcome      nightshift.Outcome `parquet:"outcome,dict"`
	Text         *string            `parquet:"text,optional"`
	ErrorClass   *string            `parquet:"error_class,optional,dict"`
	ErrorMessage *string            `parquet:"error_message,optional"`
}

// heard is what is on record of one question.
type heard struct {
	first *replyRow // nil when it has not been asked
	again *replyRow // nil when it has not been asked twice
}

// reply is the one that counts: the second where there are two.
func (h heard) reply() *replyRow {
	if h.again != nil && h.again.Outcome.Answered() {
		return h.again
	}
	return h.first
}

// replies looks up questions in all batches of a judge. Questions come in the
// order of the records, and each batch is in that order too, so one pass over
// all of them side by side finds everything.
type replies struct{ cursors []*cursor }

// A cursor walks one batch.
type cursor struct {
	next func() (replyRow, error, bool)
	stop func()
	row  replyRow
	more bool
	err  error
}

func (j *Judging) openReplies() (*replies, error) {
	dirs, _, err := j.Batches()
	if err != nil {
		return nil, err
	}
	r := &replies{}
	for _, dir := range dirs {
		c := &cursor{}
		c.next, c.stop = iter.Pull2(view.Rows[replyRow](dir, view.ReadOptions{}))
		c.advance()
		r.cursors = append(r.cursors, c)
	}
	return r, nil
}

func (r *replies) close() {
	for _, c := range r.cursors {
		c.stop()
	}
}

func (c *cursor) advance() { c.row, c.err, c.more = c.next() }

// find returns what is on record of a question. Questions must be looked for
// in ascending order.
func (r *replies) find(q question) (heard, error) {
	var h heard
	for _, c := range r.cursors {
		for c.more && c.err == nil && c.place() <= q.place {
			if row := c.row; row.ID == q.id(false) {
				h.first = &row
			} else if row.ID == q.id(true) {
				h.again = &row
			}
			c.advance()
		}
		if c.err != nil {
			return h, c.err
		}
	}
	return h, nil
}

// place is the part of an id that says what is judged: all but the last parts.
func (c *cursor) place() string {
	parts := strings.SplitN(c.row.ID, "-", 6)
	if len(parts) < 6 {
		return "" // no id of ours: passed over
	}
	return strings.Join(parts[:5], "-")
}
