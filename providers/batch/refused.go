package batch

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"nightshift"
	"nightshift/internal/pattern"
	"nightshift/providers"
	"nightshift/providers/wire"
)

// refused is the error of a call, with what is to follow.
func refused(reply wire.Reply, e *nightshift.Error) *nightshift.BatchError {
	r := &nightshift.BatchError{Err: e, Next: nextOf(e), RetryAfter: reply.Wait}
	r.Cause, r.Line, r.Limit = causeOf(e)
	if e.Class == nightshift.ClassInvalidRequest {
		r.Next = nightshift.BatchStop // what is wrong with a whole batch is wrong with the next, too
	}
	if r.Cause != "" {
		r.Next = nightshift.BatchAgain
	}
	return r
}

// nextOf is what follows an error of a row or of a call.
func nextOf(e *nightshift.Error) nightshift.BatchNext {
	switch p := providers.PolicyOf(e); {
	case p.Retry, e.Class == nightshift.ClassCancelled:
		return nightshift.BatchAgain
	case p.StopsEndpoint, p.StopsModel:
		return nightshift.BatchStop
	}
	return nightshift.BatchFinal
}

// created decides about a create call that brought an error: whether there can
// be a batch now all the same. Certainly there is none when the request cannot
// have arrived whole, and when the server refused it with words of its own.
func created(reply wire.Reply, err error) error {
	var b *nightshift.BatchError
	if !errors.As(err, &b) {
		return err
	}
	b.Lost = !reply.Unsent && !certain(reply)
	return b
}

// certain reports whether a status says that nothing was made. Of those of
// servers only 501 does: others come from proxies, and from servers that had
// done half of it.
func certain(reply wire.Reply) bool {
	switch s := reply.Status; {
	case s == http.StatusRequestTimeout, s == http.StatusTooEarly, s == 499:
		return false
	case s >= 300 && s < 400:
		return true // never followed
	case s >= 400 && s < 500, s == http.StatusNotImplemented:
		return reply.Bytes > 0
	}
	return false
}

// unread is a create call that was answered, but with no batch that can be
// read: there may be one.
func unread(reply wire.Reply, why string) error {
	e := strange(reply, why)
	e.Lost = true
	return e
}

// strange is an answer that cannot be read, of a call that may be made again.
func strange(reply wire.Reply, why string) *nightshift.BatchError {
	e := failed(nightshift.BatchAgain, nightshift.ClassBadResponse, why)
	e.Err.Status = reply.Status
	return e
}

// failed is an error that this side states.
func failed(next nightshift.BatchNext, class nightshift.ErrorClass, why string) *nightshift.BatchError {
	return &nightshift.BatchError{Next: next, Err: &nightshift.Error{Class: class, Message: why}}
}

// cut is a download that is not what the server said it would be.
func cut(why string) error { return failed(nightshift.BatchAgain, nightshift.ClassCut, why) }

// fileMissing makes a 404 of a file say so.
func fileMissing(err error) error {
	var b *nightshift.BatchError
	if errors.As(err, &b) && isMissing(b) {
		b.Cause, b.Next = nightshift.BatchFileMissing, nightshift.BatchAgain
	}
	return err
}

func isMissing(b *nightshift.BatchError) bool {
	return b.Err.Status == http.StatusNotFound || b.Err.Status == http.StatusGone
}

// gone reports whether an error says that what was asked for is not there.
func gone(err error) bool {
	var b *nightshift.BatchError
	return errors.As(err, &b) && isMissing(b)
}

var (
	// queueWords are how servers say that too much waits already.
	queueWords = pattern.Late(`(?i)token_limit_exceeded|enqueued|in[ _]?progress[^.]{0,40}limit|` +
		`queue (?:is )?full|batch(?:es)? (?:limit|quota)|too many (?:active |concurrent |running )?batch|` +
		`concurrent batch|limit of (?:active |concurrent )?batch`)
	// fileWords are how servers say that they cannot find the input file.
	fileWords = pattern.Late(`(?i)(?:cannot|could not|can't|couldn't) find (?:the )?(?:input )?file|` +
		`does not have access to it|no such file|(?:input )?file[^.]{0,80}(?:not found|does not exist|not exist)|` +
		`dataset[^.]{0,80}(?:not found|does not exist)|file_not_found`)
	// queueLimit is the number that a refusal names.
	queueLimit = pattern.Late(`(?i)limit:?\s*(?:of\s*)?([0-9][0-9,_]*)`)
	// rowWords name a row: by its line, or by its place in a list from 0.
	lineWords = pattern.Late(`(?i)\bline[ :#]*([0-9]{1,9})\b`)
	listWords = pattern.Late(`\brequests[.\[]([0-9]{1,9})[.\]]`)
)

// causeOf reads the causes on which something other than the class decides what
// follows.
func causeOf(e *nightshift.Error) (cause nightshift.BatchCause, line int, limit int64) {
	said := e.Code + " " + e.Message
	ofRows := e.Class == nightshift.ClassInvalidRequest || e.Class == nightshift.ClassNotFound || e.Status == 422
	switch {
	case e.Class != nightshift.ClassQuota && queueWords().MatchString(said):
		return nightshift.BatchQueueFull, 0, limitIn(e.Message)
	case fileWords().MatchString(said):
		return nightshift.BatchFileMissing, 0, 0
	case !ofRows:
	case lineWords().MatchString(e.Message):
		line, _ = strconv.Atoi(lineWords().FindStringSubmatch(e.Message)[1])
		return badRow(line)
	case listWords().MatchString(e.Message):
		line, _ = strconv.Atoi(listWords().FindStringSubmatch(e.Message)[1])
		return badRow(line + 1)
	}
	return "", 0, 0
}

// badRow is the cause of a line; of line 0, which is none, nothing is known.
func badRow(line int) (nightshift.BatchCause, int, int64) {
	if line <= 0 {
		return "", 0, 0
	}
	return nightshift.BatchBadRow, line, 0
}

// limitIn is the limit that a message names, in tokens; 0 for none.
func limitIn(message string) int64 {
	m := queueLimit().FindStringSubmatch(message)
	if m == nil {
		return 0
	}
	digits := strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, m[1])
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
