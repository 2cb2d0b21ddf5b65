package batches

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"nightshift/providers/simulator/internal/random"
)

// A Fault makes a share of what its kind is about go wrong.
type Fault struct {
	Kind  string
	Share float64
	// Hold is how long delays last; 0 means the kind's own time, which is the
	// vendors' and scaled as theirs.
	Hold time.Duration
	// Model and Contains choose rows by the prefix of the model's name and by
	// a part of the line; First only the first so many tries of a row.
	Model, Contains string
	First           int
	// Batch and Call choose by number: of the call that would make the batch,
	// and of the call among those of its operation.
	Batch, Call Span
}

// A Span is a stretch of numbers from 1; its zero value holds all.
type Span struct{ From, To int }

// ParseSpan reads "3" or "2-5".
func ParseSpan(text string) (s Span, err error) {
	from, to, ranged := strings.Cut(text, "-")
	if s.From, err = strconv.Atoi(from); err == nil {
		s.To = s.From
		if ranged {
			s.To, err = strconv.Atoi(to)
		}
	}
	if err != nil || s.From < 1 || s.To < s.From {
		return Span{}, fmt.Errorf("%q is not a number from 1, or a stretch such as 2-5", text)
	}
	return s, nil
}

func (s Span) holds(n int) bool { return s == Span{} || n >= s.From && n <= s.To }

// The kinds of faults.
const (
	uploadError        = "upload_error"
	uploadCut          = "upload_cut"
	fileUnseen         = "file_unseen"
	createError        = "create_error"
	createErrorMade    = "create_error_made"
	createTimeoutMade  = "create_timeout_made"
	createCutMade      = "create_cut_made"
	createNoID         = "create_no_id"
	listLag            = "list_lag"
	listHidesNewest    = "list_hides_newest"
	listDisorder       = "list_disorder"
	sameSizeOthers     = "same_size_others"
	get404             = "get_404"
	get429             = "get_429"
	unknownState       = "unknown_state"
	stuckValidating    = "stuck_validating"
	stuckRunning       = "stuck_running"
	failedLine         = "failed_line"
	failedTokenLimit   = "failed_token_limit"
	lateHandle         = "late_handle"
	emptyHandle        = "empty_handle"
	wrongCounts        = "wrong_counts"
	expiredHalf        = "expired_half"
	cancelledByOthers  = "cancelled_by_others"
	cancelIgnored      = "cancel_ignored"
	cancelledRowLost   = "cancelled_row_lost"
	countersBack       = "counters_back"
	content404         = "content_404"
	downloadCut        = "download_cut"
	downloadStall      = "download_stall"
	wrongBytes         = "wrong_bytes"
	rowsShuffled       = "rows_shuffled"
	rowMissing         = "row_missing"
	rowTwice           = "row_twice"
	rowInBoth          = "row_in_both"
	foreignRow         = "foreign_row"
	badLine            = "bad_line"
	rowStatus0         = "row_status_0"
	bodyAsText         = "body_as_text"
	errorAsText        = "error_as_text"
	rowError           = "row_error"
	creditEnds         = "credit_ends"
	rows400            = "rows_400"
	rowNoUsage         = "row_no_usage"
	rowNoTier          = "row_no_tier"
	hugeRow            = "huge_row"
	otherProject       = "other_project"
	batchDeleted       = "batch_deleted"
	resultsExpired     = "results_expired"
	clockAhead         = "clock_ahead"
	failedFileNotFound = "failed_file_not_found"
)

// What a kind's share is a share of.
const (
	ofCalls   = "calls"
	ofBatches = "batches"
	ofRows    = "rows"
	ofServers = "server"
)

// A Kind is one way for batches to go wrong.
type Kind struct {
	Name, About string
	Of          string // what Fault.Share is a share of: calls, batches, rows, or the server
}

// Kinds are all faults of batches.
var Kinds = []Kind{
	{uploadError, "503 to an upload", ofCalls},
	{uploadCut, "an upload's connection breaks in the middle", ofCalls},
	{fileUnseen, "an uploaded file cannot be seen for 3 s", ofCalls},
	{createError, "500 to a create call that has made no batch", ofCalls},
	{createErrorMade, "500 to a create call that has made the batch", ofCalls},
	{createTimeoutMade, "no answer to a create call that has made the batch", ofCalls},
	{createCutMade, "half an answer to a create call that has made the batch", ofCalls},
	{createNoID, "a create answer without the batch's id", ofCalls},
	{listLag, "lists show a batch only after 60 s", ofBatches},
	{listHidesNewest, "a list lacks its newest page", ofCalls},
	{listDisorder, "a page of a list is shuffled, with a batch of the page before it", ofCalls},
	{sameSizeOthers, "somebody else makes a batch of the same size at the same time", ofBatches},
	{get404, "404 for the first get of a batch", ofBatches},
	{get429, "429 with Retry-After to a get or a list", ofCalls},
	{unknownState, "a state that nobody knows while the batch runs", ofBatches},
	{stuckValidating, "the batch is never checked", ofBatches},
	{stuckRunning, "the batch stops after half of its rows and never ends, not when it expires either", ofBatches},
	{failedLine, "the batch fails for one line that it names", ofBatches},
	{failedTokenLimit, "the batch fails for the limit of enqueued tokens", ofBatches},
	{lateHandle, "the result files of an ended batch are named 15 min late", ofBatches},
	{emptyHandle, "a result file that is not there has the name \"\"", ofBatches},
	{wrongCounts, "counts are null, zero or wrong", ofBatches},
	{expiredHalf, "the batch expires with half of its rows done", ofBatches},
	{cancelledByOthers, "somebody else cancels the batch when half of its rows are done", ofBatches},
	{cancelIgnored, "a cancelled batch runs to its end", ofBatches},
	{cancelledRowLost, "one finished row of a cancelled batch is in no file", ofBatches},
	{countersBack, "counts are sometimes lower than before", ofBatches},
	{content404, "404 to a download", ofCalls},
	{downloadCut, "a download ends early, broken or as if it were whole", ofCalls},
	{downloadStall, "a download stops in the middle for the hold time, then breaks", ofCalls},
	{wrongBytes, "result files are said to be longer than they are", ofBatches},
	{rowsShuffled, "result rows come in another order", ofBatches},
	{rowMissing, "a row that was answered and billed is in no file", ofRows},
	{rowTwice, "a row comes twice", ofRows},
	{rowInBoth, "a row comes as an answer and as an error", ofRows},
	{foreignRow, "a row that nobody asked for comes too", ofRows},
	{badLine, "one row's line is not JSON, and the last line has no end", ofBatches},
	{rowStatus0, "a row has status 0, an empty body and no error", ofRows},
	{bodyAsText, "a row's body is a text that holds JSON", ofRows},
	{errorAsText, "a row's error is a bare text", ofRows},
	{rowError, "a row fails with 429, 500 or 503", ofRows},
	{creditEnds, "the credit ends in the middle of the batch", ofBatches},
	{rows400, "all rows fail with 400", ofBatches},
	{rowNoUsage, "a row's answer has no usage", ofRows},
	{rowNoTier, "a row's answer has no service tier, or says default", ofRows},
	{hugeRow, "one row's answer is 10 MB long", ofBatches},
	{otherProject, "the key is another project's from the batch's creation on: 404", ofBatches},
	{batchDeleted, "somebody else deletes the batch once it has ended", ofBatches},
	{resultsExpired, "the results of the batch are gone once it has ended", ofBatches},
	{clockAhead, "the server's clock is ahead by 10 min, or by the hold time", ofServers},
	{failedFileNotFound, "the batch fails because its file cannot be found, which is there", ofBatches},
}

// Mixes are named mixes of kinds.
var Mixes = map[string][]string{
	// what a client must come home from with every row answered and paid once
	"batch_mixed": {createError, createErrorMade, createTimeoutMade, createCutMade, createNoID, listLag, listHidesNewest,
		listDisorder, sameSizeOthers, failedTokenLimit, lateHandle, expiredHalf, cancelIgnored, downloadCut},
}

// hold is how long a fault's delay lasts.
func hold(f *Fault, otherwise time.Duration) time.Duration {
	if f.Hold > 0 {
		return f.Hold
	}
	return otherwise
}

// held is hold with the kind's own time in the vendors' time.
func (s *Service) held(f *Fault, otherwise time.Duration) time.Duration {
	return hold(f, s.cfg.scaled(otherwise))
}

// A circumstance is what a fault is drawn for.
type circumstance struct {
	batch, call int // numbers; 0 is none
	line        string
	model       string
	try         int
	seed        random.Seed
}

// drawn returns the fault of a kind that strikes; nil when none does.
func (s *Service) drawn(kind string, at circumstance) *Fault {
	faults := s.faults[kind]
	if faults == nil {
		return nil
	}
	u := at.seed.WithInt(uint64(s.seed)).Roll(kind)
	for i := range faults {
		f := &faults[i]
		switch {
		case !f.Batch.holds(at.batch), !f.Call.holds(at.call), !strings.HasPrefix(at.model, f.Model),
			!strings.Contains(at.line, f.Contains), f.First > 0 && at.try >= f.First:
			continue
		case u < f.Share:
			s.book.Fault(kind)
			return f
		}
		u -= f.Share
	}
	return nil
}

// struck draws a fault of calls.
func (c *call) struck(kind string, batch int) *Fault {
	seed := random.Start.With(c.at.op).WithInt(uint64(c.number))
	return c.drawn(kind, circumstance{batch: batch, call: c.number, seed: seed})
}

// draw chooses the faults of a batch.
func (s *Service) draw(b *batch) {
	b.faults = map[string]*Fault{}
	if b.foreign {
		return
	}
	at := circumstance{batch: b.number, model: b.model, seed: random.Start.With("batch").WithInt(uint64(b.number))}
	for _, k := range Kinds {
		if k.Of == ofBatches && s.faults[k.Name] != nil {
			if f := s.drawn(k.Name, at); f != nil {
				b.faults[k.Name] = f
			}
		}
	}
}

func (b *batch) is(kind string) bool { return b.faults[kind] != nil }

// rowFaults are the kinds that strike single rows.
func (s *Service) rowFaults() (kinds []string) {
	for _, k := range Kinds {
		if k.Of == ofRows && s.faults[k.Name] != nil {
			kinds = append(kinds, k.Name)
		}
	}
	return kinds
}
