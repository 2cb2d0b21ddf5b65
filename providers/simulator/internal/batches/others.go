package batches

import (
	"fmt"
	"time"

	"nightshift/providers/simulator/internal/random"
)

// welcome puts other people's batches into an account when it is first seen;
// mu is held.
func (s *Service) welcome(c *call) {
	seen := fmt.Sprint(c.at.style, c.project)
	if s.welcomed[seen] {
		return
	}
	s.welcomed[seen] = true
	for i := range s.cfg.Others {
		s.stranger(c, c.at.style, 5+i, c.now.Add(-time.Hour))
	}
}

// neighbours makes what other people make at the same time as a batch; mu is
// held.
func (c *call) neighbours(b *batch) {
	if c.cfg.Others > 0 {
		c.stranger(c, b.style, 5+b.number%7, c.now)
	}
	if b.is(sameSizeOthers) {
		rows := len(b.rows)
		if rows == 0 && b.input != nil {
			_ = b.input.scan(func(int, int64, []byte) *failure { rows++; return nil })
		}
		c.stranger(c, b.style, rows, c.now)
	}
}

// stranger makes a batch of another client of the same account.
func (s *Service) stranger(c *call, st style, rows int, at time.Time) {
	prefix := map[style]string{openai: "batch_", anthropic: "msgbatch_", gemini: "batches/", mistral: "job-"}[st]
	b := &batch{
		id: s.newID(prefix), style: st, shape: s.cfg.Shape, project: c.project, foreign: true, created: at,
		model:    "sim-small",
		endpoint: "/v1/chat/completions", window: "24h", faults: map[string]*Fault{},
	}
	switch st {
	case anthropic:
		b.endpoint = "/v1/messages"
	case gemini:
		b.endpoint, b.name = "/v1beta/models/sim-small:generateContent", "nightly"
	default:
		b.metadata = map[string]string{"job": "nightly"}
	}
	b.validated = at.Add(s.cfg.scaled(s.cfg.Validate))
	b.ends = b.validated.Add(s.cfg.scaled(s.cfg.Run))
	b.expires = at.Add(s.cfg.scaled(24 * time.Hour))
	b.input = &file{id: s.newID("file-"), name: "nightly.jsonl", purpose: "batch", project: c.project, created: at}
	for i := range rows {
		_, _ = b.input.data.Write(strangeLine(st, random.Start.With(b.id).WithInt(uint64(i)), i))
	}
	b.input.users++
	s.files = append(s.files, b.input)
	s.batches = append(s.batches, b)
}

// strangeLine is a row of somebody else's.
func strangeLine(st style, seed random.Seed, i int) []byte {
	question := fmt.Sprintf("Sort ticket %s.", seed.Text())
	switch st {
	case anthropic:
		return fmt.Appendf(nil, `{"custom_id":"ticket-%d","params":{"model":"sim-small","max_tokens":20,`+
			`"messages":[{"role":"user","content":%q}]}}`+"\n", i, question)
	case gemini:
		return fmt.Appendf(nil, `{"key":"ticket-%d","request":{"contents":[{"role":"user","parts":[{"text":%q}]}]}}`+
			"\n", i, question)
	}
	return fmt.Appendf(nil,
		`{"custom_id":"ticket-%d","method":"POST","url":"/v1/chat/completions","body":{"model":"sim-small",`+
			`"max_tokens":20,"messages":[{"role":"user","content":%q}]}}`+"\n", i, question)
}
