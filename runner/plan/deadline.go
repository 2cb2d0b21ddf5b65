package plan

import (
	"fmt"
	"net/url"
	"time"
)

// DeadlineAt is the time that a deadline names: a time of day, which is the next
// one after now in its time zone, or a date with a time. Without a zone that is of
// now's time zone too.
func DeadlineAt(text string, now time.Time) (time.Time, error) {
	for _, layout := range []string{"15:04", "15:04:05"} {
		t, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		on := func(day int) time.Time {
			return time.Date(now.Year(), now.Month(), day, t.Hour(), t.Minute(), t.Second(), 0, now.Location())
		}
		if at := on(now.Day()); at.After(now) {
			return at, nil
		}
		return on(now.Day() + 1), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02T15:04:05"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time; write 07:00, \"2026-12-24 07:00\" or 2026-12-24T07:00:00Z", text)
}

// deadline sees that the deadline is a time.
func (c *checker) deadline() {
	if c.plan.Deadline == "" {
		return
	}
	if _, err := DeadlineAt(c.plan.Deadline, time.Now()); err != nil {
		c.at("deadline", "", "%v", err)
	}
}

// notify sees that there is an address to post to. It may hold a secret, so it is
// not repeated.
func (c *checker) notify() {
	if c.plan.Notify == "" {
		return
	}
	u, err := url.Parse(c.plan.Notify)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		c.at("notify", "write http://… or https://…", "notify is no URL that can be posted to")
	}
}
