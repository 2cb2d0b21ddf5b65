package runner

import (
	"encoding/json"
	"fmt"

	"nightshift"
	"nightshift/runner/reuse"
)

// A Reuse is where a pool finds answers that earlier runs have had.
type Reuse struct {
	Answers *reuse.Answers
	Place   string // what reuse.Request.Place is for the pool's endpoint
	// Hash is the hash of a request's body as the pool would send it; false where
	// it cannot be sent.
	Hash func(nightshift.Request) (string, bool)
}

// takenAtOnce is how many rows are looked up before the answers found for them
// are read; heldBytes bounds them too.
const takenAtOnce = 4096

// find is where the answer to a sample stands in an earlier run.
func (l Pool) find(s nightshift.Sample) (reuse.Place, bool) {
	for _, hash := range l.hashes(s) {
		req := reuse.Request{Place: l.Reuse.Place, Protocol: string(l.Protocol), Model: l.ModelID, Hash: hash,
			Epoch: int32(s.Epoch)}
		if at, ok := l.Reuse.Answers.Find(req, s.ID); ok {
			return at, true
		}
	}
	return reuse.Place{}, false
}

// hashes are those of the requests whose answer a sample may take over: as it
// would be sent, and as it is sent in batches, which have no streams.
func (l Pool) hashes(s nightshift.Sample) (list []string) {
	if l.Likelihoods.asks() {
		return nil // a row takes several requests, and its record names one
	}
	if len(s.Turns) > 0 {
		return []string{reuse.Turns(promptHash(s))}
	}
	req := l.Request(s)
	for _, stream := range []bool{l.Stream, !l.Stream} {
		req.Stream = stream
		if hash, ok := l.Reuse.Hash(req); ok {
			list = append(list, hash)
		}
	}
	return list
}

// Reusable reports whether the answer to a sample would be taken over. The pool
// has a [Reuse].
func (l Pool) Reusable(s nightshift.Sample) bool {
	_, found := l.find(s)
	return found
}

// takeOver puts on record what earlier runs have answered of a shard, before
// anything of it is sent.
func (w *walk) takeOver(u *shard, number int) error {
	if w.pool.Reuse == nil || w.taken[number] || u.Remaining() == 0 {
		return nil
	}
	w.taken[number] = true
	t := &taking{walk: w, u: u, wanted: map[reuse.Place][]nightshift.Sample{}}
	for s, err := range w.Dataset.ReadEpochs(w.feed, number, max(w.Epochs, 1)) {
		if w.feed.Err() != nil {
			return nil
		}
		if err != nil || !w.wantsRow(s, err) || !t.open(s) {
			continue // what is wrong with a row is said when it is sent
		}
		if err := t.want(s); err != nil {
			return err
		}
	}
	return t.flush()
}

// A taking is the answers of one shard on their way from earlier runs.
type taking struct {
	*walk
	u      *shard
	wanted map[reuse.Place][]nightshift.Sample
	rows   int
	weight int64
}

// open reports whether nothing has been sent for a sample since it was begun.
func (t *taking) open(s nightshift.Sample) bool {
	if t.u.Done(s.Index, s.Epoch) {
		return false
	}
	if _, in := t.u.InBatch(s.Index, s.Epoch); in {
		return false
	}
	begun := len(t.u.History(s.Index, s.Epoch)) > t.u.Settled(s.Index, s.Epoch)
	return !begun && len(t.u.Turns(s.Index, s.Epoch)) == 0
}

func (t *taking) want(s nightshift.Sample) error {
	at, found := t.pool.find(s)
	if !found {
		return nil
	}
	t.wanted[at] = append(t.wanted[at], s)
	t.rows++
	t.weight += weight(s)
	if t.rows < takenAtOnce && t.weight < heldBytes {
		return nil
	}
	return t.flush()
}

// flush reads the answers that were found and puts them on record.
func (t *taking) flush() error {
	places := make([]reuse.Place, 0, len(t.wanted))
	for at := range t.wanted {
		places = append(places, at)
	}
	for found, err := range t.pool.Reuse.Answers.Read(places, func(text string) { t.Log.Warn(text) }) {
		if err != nil {
			return err
		}
		for _, s := range t.wanted[found.Place] {
			if t.feed.Err() != nil || !t.answers(&found.Record, s) {
				continue
			}
			if err := t.u.Put(t.taken(found, s)); err != nil {
				return err
			}
			t.takenOver++
			crashPoint("takeover.put")
		}
	}
	clear(t.wanted)
	t.rows, t.weight = 0, 0
	return nil
}

// answers reports whether a record is an answer to a sample: what was found may
// have changed since, and of several turns only the record knows the requests.
func (t *taking) answers(rec *nightshift.Record, s nightshift.Sample) bool {
	if !rec.Outcome.Answered() || rec.RequestHash == nil {
		return false
	}
	p := t.pool
	if len(s.Turns) > 0 {
		messages, ok := conversationOf(rec, s)
		if !ok {
			return false
		}
		s.Messages, s.Turns = messages, nil
	}
	for _, hash := range p.hashes(s) {
		if hash == *rec.RequestHash {
			return true
		}
	}
	return false
}

// conversationOf are the messages of the last request of a row with several
// turns: the row's own, and behind them what its record has.
func conversationOf(rec *nightshift.Record, s nightshift.Sample) ([]nightshift.Message, bool) {
	var list []json.RawMessage
	if rec.Input == nil || json.Unmarshal([]byte(*rec.Input), &list) != nil || len(list) < len(s.Messages) {
		return nil, false
	}
	messages := s.Messages[:len(s.Messages):len(s.Messages)]
	for _, raw := range list[len(s.Messages):] {
		messages = append(messages, messageOf(raw))
	}
	return messages, true
}

// messageOf undoes what messagesJSON does to one message.
func messageOf(raw json.RawMessage) nightshift.Message {
	var m struct {
		Role    nightshift.Role `json:"role"`
		Content string          `json:"content"`
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) == nil && len(members) == 2 && json.Unmarshal(raw, &m) == nil && m.Role != "" {
		return nightshift.Message{Role: m.Role, Text: m.Content}
	}
	return nightshift.Message{Raw: raw}
}

// taken is the record of a sample whose answer an earlier run has paid for: the
// answer as it was, the row as it is now, and the costs of this run.
func (t *taking) taken(found reuse.Found, s nightshift.Sample) *nightshift.Record {
	rec := found.Record
	if rec.ReusedFrom == nil {
		rec.ReusedFrom, rec.ReusedCostNanoUSD = &found.From, rec.CostNanoUSD
	}
	rec.Run, rec.Row, rec.ID, rec.Epoch = t.Name, s.Index, s.ID, int32(s.Epoch)
	rec.Model, rec.Endpoint = t.pool.Model, t.pool.Endpoint
	rec.Target, rec.TargetIsList = nil, nil
	messages := s.Messages
	if len(s.Turns) > 0 {
		messages = nil // as sent last, which the record has
	}
	d := draft{Record: &rec}
	d.describeSample(s, messages)
	history := t.u.History(s.Index, s.Epoch) // of requests that failed here
	rec.CostUSD, rec.CostNanoUSD, rec.ReportedCostUSD = nil, nil, nil
	if cost := costOf(history); cost != nil {
		nano, usd := int64(*cost), cost.Dollars()
		rec.CostNanoUSD, rec.CostUSD = &nano, &usd
	}
	rec.MaybeBilled, rec.AttemptLog = false, nil
	d.describeAttempts(history)
	rec.StartedAt, rec.FinishedAt, rec.QueuedMS, rec.BackoffMS = nil, nil, nil, nil
	if !t.keepsRaw(&rec) {
		rec.RawResponse, rec.RawBytes = nil, nil
	}
	return &rec
}

// sayTaken says how many answers a pool did not have to send for.
func (w *walk) sayTaken() {
	if w.takenOver > 0 {
		w.Log.Info(fmt.Sprintf("%s: %d answers were taken over from earlier runs", w.pool.Model, w.takenOver))
	}
}
