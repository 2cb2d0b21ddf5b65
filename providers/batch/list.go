package batch

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/wire"
)

// Bounds on what is read of a list.
const (
	maxFindPages = 50
	perPage      = 100 // batches of one page, as most services have it
)

// A page is a part of the list of batches.
type page struct {
	batches []nightshift.Batch
	marks   []map[string]string // metadata of each
	next    url.Values          // what asks for the next; nil after the last
	wait    time.Duration
}

// newest is when the newest batch of the page was created.
func (p page) newest() (t time.Time) {
	for _, b := range p.batches {
		if b.CreatedAt.After(t) {
			t = b.CreatedAt
		}
	}
	return t
}

// each reads the list page by page, the newest batches first, until see says
// that it has seen enough.
func (b *Batcher) each(ctx context.Context, most int, see func(page) (enough bool)) error {
	asked := map[string]bool{}
	for next := (url.Values{}); next != nil && most > 0; most-- {
		if key := next.Encode(); asked[key] {
			return nil // the list leads back to where it has been
		} else {
			asked[key] = true
		}
		to := b.url(b.list, place{})
		if len(next) > 0 {
			to = withQuery(to, next.Encode())
		}
		reply, err := b.call(ctx, wire.Call{Method: http.MethodGet, URL: to})
		if err != nil {
			return err
		}
		p, err := b.page(reply, next)
		if err != nil {
			return err
		}
		if see(p) {
			return nil
		}
		next = p.next
	}
	return nil
}

// listNames are the members that hold the batches of a list.
var listNames = []string{"data", "batches", "operations", "batchInferenceJobs", "jobs", "results"}

func (b *Batcher) page(reply wire.Reply, asked url.Values) (p page, err error) {
	root, err := rawjson.Scan(reply.Body)
	if err != nil {
		return p, strange(reply, "the list of batches cannot be read: "+err.Error())
	}
	items := root
	for _, name := range listNames {
		if items.Kind() != rawjson.Array {
			items = firstSet(root.Get(name), items)
		}
	}
	if items.Kind() == rawjson.Object && items.Get("batches").Kind() == rawjson.Array {
		items = items.Get("batches")
	}
	if items.Kind() != rawjson.Array {
		if root.Kind() == rawjson.Object { // Google's lists leave out what is empty
			return page{}, nil
		}
		return p, strange(reply, "the list of batches is no list")
	}
	for item := items.First(); item.Exists(); item = item.Next() {
		if batch, ok := b.batch(item); ok {
			p.batches = append(p.batches, b.settled(batch))
			p.marks = append(p.marks, metadataOf(item))
		}
	}
	p.wait = reply.Wait
	p.next = b.nextPage(root, items.Count(), p, asked)
	return p, nil
}

func metadataOf(item rawjson.Value) map[string]string {
	m := map[string]string{}
	for v := item.Get("metadata").First(); v.Exists() && len(m) < 100; v = v.Next() {
		m[v.Key()] = v.String()
	}
	return m
}

// nextPage is what asks for the next page, in the way that the answer or the
// dialect offers it; nil when there is none.
func (b *Batcher) nextPage(root rawjson.Value, listed int, p page, asked url.Values) url.Values {
	o := object{root: root, parts: []rawjson.Value{root, root.Get("paging"), root.Get("pagination")}}
	for _, by := range []struct{ name, token string }{
		{"pageToken", o.text("nextPageToken", "next_page_token")},
		{"pagination_token", o.text("pagination_token", "next_pagination_token")},
		{"cursor", o.text("next_cursor")},
	} {
		if by.token != "" {
			return url.Values{by.name: {by.token}}
		}
	}
	switch {
	case listed == 0:
		return nil
	case b.paged:
		n, _ := strconv.Atoi(asked.Get("page"))
		if total, ok := number(root.Get("total")); ok && float64((n+1)*perPage) >= total {
			return nil
		}
		return url.Values{"page": {strconv.Itoa(n + 1)}}
	case b.after != "" && root.Get("has_more").IsTrue():
		last := o.text("last_id")
		if last == "" && len(p.batches) > 0 {
			last = p.batches[len(p.batches)-1].ID
		}
		if last != "" {
			return url.Values{b.after: {last}}
		}
	}
	return nil
}

// Get implements [nightshift.Batcher]. Several are looked for in the list, and
// only what that does not show is asked for by itself.
func (b *Batcher) Get(ctx context.Context, ids []string) ([]nightshift.Batch, error) {
	var found []nightshift.Batch
	missing := slices.Clone(ids)
	if len(ids) > 1 && b.list != "" {
		_ = b.each(ctx, 2+2*len(ids)/perPage, func(p page) bool { // what it does not show is asked for below
			for _, batch := range p.batches {
				if i := slices.Index(missing, batch.ID); i >= 0 {
					batch.RetryAfter = p.wait
					found, missing = append(found, batch), slices.Delete(missing, i, i+1)
				}
			}
			return len(missing) == 0
		})
	}
	for _, id := range missing {
		batch, err := b.one(ctx, id)
		if err != nil {
			return found, err
		}
		found = append(found, batch)
	}
	return found, nil
}

// one asks for a single batch.
func (b *Batcher) one(ctx context.Context, id string) (nightshift.Batch, error) {
	reply, err := b.getJSON(ctx, b.get, place{id: id})
	if gone(err) {
		return nightshift.Batch{ID: id, Phase: nightshift.BatchGone}, nil
	}
	if err != nil {
		return nightshift.Batch{}, err
	}
	root, err := rawjson.Scan(reply.Body)
	if err != nil {
		return nightshift.Batch{}, strange(reply, "the answer about a batch cannot be read: "+err.Error())
	}
	batch, ok := b.batch(root)
	if !ok || batch.ID != id {
		return nightshift.Batch{}, strange(reply, "the answer about a batch is about another one, or about none")
	}
	batch.RetryAfter = reply.Wait
	return b.settled(batch), nil
}

// Find implements [nightshift.Batcher].
func (b *Batcher) Find(ctx context.Context, o nightshift.BatchOrder, since time.Time) ([]nightshift.Batch, error) {
	if b.list == "" {
		return nil, nil
	}
	found := map[string]nightshift.Batch{}
	err := b.each(ctx, maxFindPages, func(p page) bool {
		for i, batch := range p.batches {
			if !batch.CreatedAt.IsZero() && batch.CreatedAt.Before(since) {
				continue
			}
			if sure, maybe := b.madeOf(o, batch, p.marks[i]); sure || maybe {
				batch.Suspect = !sure
				found[batch.ID] = batch
			}
		}
		newest := p.newest()
		return !newest.IsZero() && newest.Before(since)
	})
	if err != nil {
		return nil, err
	}
	all := make([]nightshift.Batch, 0, len(found))
	for _, batch := range found {
		all = append(all, batch)
	}
	slices.SortFunc(all, func(x, y nightshift.Batch) int { return x.CreatedAt.Compare(y.CreatedAt) })
	return all, nil
}

// madeOf reports whether a batch was made of an order: for sure, by its input
// file, its metadata or its name, or maybe, by its size.
func (b *Batcher) madeOf(o nightshift.BatchOrder, batch nightshift.Batch, marks map[string]string) (sure, maybe bool) {
	if batch.FileID != "" && o.File.ID != "" {
		return batch.FileID == o.File.ID, false
	}
	if len(o.Metadata) > 0 && len(marks) > 0 && hasAll(marks, o.Metadata) {
		return true, false
	}
	if name := batch.Name; name != "" && !b.inline() {
		return name+".jsonl" == o.Name || name == o.Name, false
	}
	n, known := batch.Counts.Total.Get()
	return false, b.inline() && known && n == int64(o.Rows)
}

func hasAll(have, want map[string]string) bool {
	for name, value := range want {
		if have[name] != value {
			return false
		}
	}
	return true
}
