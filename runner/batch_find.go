package runner

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"nightshift"
)

// lookUps are the times between looks for a batch whose create call was not
// answered; the last one repeats.
var lookUps = []time.Duration{2 * time.Second, 5 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute}

const (
	// grace is how long such a batch is looked for before it counts as not
	// created. Nobody documents how late a list may be.
	grace = 15 * time.Minute
	// lookBack is how far before the create call a batch is taken for its own, as
	// clocks differ.
	lookBack = 10 * time.Minute
)

// lookUp looks for a batch whose create call was not answered, or not read:
// adopts it, looks again later, or makes sure that it cannot come any more.
func (b *batches) lookUp(a *batch) error {
	found, err := b.find(a)
	if err != nil {
		return b.later(a, "the search", err)
	}
	if len(found) > 0 {
		return b.adopt(a, found)
	}
	if len(a.Suspects) > 0 && a.due.After(time.Now()) {
		return nil
	}
	if b.API.ServerTime().Sub(a.Creating) < grace/speedup {
		a.due = time.Now().Add(lookUps[min(a.tries+1, len(lookUps)-1)] / speedup)
		a.tries++
		return nil
	}
	return b.fence(a)
}

// find lists the batches that are surely of this order, oldest first.
func (b *batches) find(a *batch) ([]nightshift.Batch, error) {
	list, err := b.API.Find(b.feed, b.order(a), a.Creating.Add(-lookBack))
	crashPoint("batch.listed")
	if err != nil {
		return nil, err
	}
	var sure, suspects []nightshift.Batch
	for _, found := range list {
		switch {
		case b.ours(found.ID), slices.Contains(a.cleared, found.ID):
		case found.Suspect:
			suspects = append(suspects, found)
		default:
			sure = append(sure, found)
		}
	}
	if len(sure) > 0 || len(suspects) == 0 {
		return sure, b.suspect(a, nil)
	}
	return b.examine(a, suspects)
}

// ours reports whether a batch at the provider is one of ours, which have
// their ids on record.
func (b *batches) ours(id string) bool {
	return slices.ContainsFunc(b.list, func(a *batch) bool {
		_, known := a.RemoteOf(id)
		return known
	})
}

// examine reads the first result of suspects that have ended: the id in it says
// whose they are. As long as one has not, the rows stay away.
func (b *batches) examine(a *batch, suspects []nightshift.Batch) (sure []nightshift.Batch, err error) {
	var waiting []nightshift.Batch
	for _, s := range suspects {
		if !s.Phase.Ended() {
			waiting = append(waiting, s)
			continue
		}
		id, err := b.firstResult(s)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(id, stem(a.Name)) {
			sure = append(sure, s)
		} else {
			a.cleared = append(a.cleared, s.ID)
		}
	}
	if len(waiting) > 0 {
		a.due = time.Now().Add(b.polling.most)
	}
	return sure, b.suspect(a, waiting)
}

// suspect notes which batches may be this one, where that has changed.
func (b *batches) suspect(a *batch, list []nightshift.Batch) error {
	var ids []string
	for _, s := range list {
		ids = append(ids, s.ID)
	}
	if slices.Equal(ids, a.Suspects) {
		return nil
	}
	due := a.due
	err := b.changed(a, b.Store.BatchSuspects(a.N, ids))
	a.due = due
	return err
}

// firstResult is the id in the first line of a batch's results; empty when
// there is none.
func (b *batches) firstResult(s nightshift.Batch) (string, error) {
	for _, handle := range s.Results {
		first := &firstLine{}
		err := b.API.Fetch(b.feed, s, handle, first)
		if first.whole {
			return b.API.ResultID(first.Bytes()), nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", nil
}

// A firstLine keeps the first line that is written to it and refuses the rest.
type firstLine struct {
	bytes.Buffer
	whole bool
}

var errEnough = errors.New("the first line is enough")

func (f *firstLine) Write(p []byte) (int, error) {
	line, _, whole := bytes.Cut(p, []byte{'\n'})
	f.Buffer.Write(line)
	if f.whole = whole; whole {
		return len(line), errEnough
	}
	return len(p), nil
}

// adopt takes batches that a create call has made after all. The oldest leads;
// what the others have run by the time they are cancelled is paid for twice.
func (b *batches) adopt(a *batch, found []nightshift.Batch) error {
	for _, f := range found {
		if err := b.created(a, f, true); err != nil {
			return err
		}
	}
	for _, extra := range found[1:] {
		b.Log.Warn("the provider has made a batch twice; the later one is cancelled, and what it has run is paid for twice",
			"model", b.pool.Model, "batch", a.Name, "id", extra.ID)
		if err := b.cancel(a, extra.ID, "run"); err != nil {
			return err
		}
	}
	return nil
}

// fence makes sure that a batch that no list shows cannot come any more, and
// frees its rows: a create call that is still on its way fails without its
// input file. Where requests travel within the call there is no such fence.
func (b *batches) fence(a *batch) error {
	if a.File.ID != "" {
		if err := b.API.Delete(b.feed, nightshift.Batch{FileID: a.File.ID}); err != nil {
			return b.later(a, "deleting the input file", err)
		}
		crashPoint("batch.fenced")
		found, err := b.find(a)
		if err != nil {
			return b.later(a, "the search", err)
		}
		if len(found) > 0 {
			return b.adopt(a, found)
		}
	}
	if b.SkipUnknown {
		return b.giveUp(a, nightshift.Batch{}, "no list of the provider shows it")
	}
	b.Log.Warn(fmt.Sprintf("%s was not created as far as the provider's lists show; it is created again", a.Name),
		"model", b.pool.Model)
	if err := b.changed(a, b.Store.BatchUploaded(a.N, nightshift.BatchFile{})); err != nil {
		return err
	}
	if !b.limits.Inline {
		return b.uploadAnew(a)
	}
	return nil
}

// giveUp ends a batch at the provider of which nothing more can be learned: its
// rows may have been paid for. It has no id when none is known.
func (b *batches) giveUp(a *batch, r nightshift.Batch, why string) error {
	b.Log.Error(fmt.Sprintf("%s is given up: %s; its %d rows may have been paid for", a.Name, why, a.Rows),
		"model", b.pool.Model, "id", r.ID, "at_most_usd", a.WorstCost.Dollars())
	r.Phase, r.State, r.Results = nightshift.BatchGone, why, nil
	return b.changed(a, b.Store.BatchEnded(a.N, r))
}
