package protocol

import (
	"encoding/binary"
	"math"
	"reflect"

	"nightshift"
	"nightshift/providers/limits"
)

// Requests and answers of the usual kind have a head in a short form: fields in a
// fixed order, without names. They are nearly all of what hub and workers say, and
// JSON takes ten times as long. Where a message holds anything beyond these fields
// its head is JSON, so that nothing is left out because it is rare or new.

// shortForm is the first byte of such a head; JSON begins with a brace.
const shortForm = 1

// A coder writes fields, or reads them: which they are, and in which order, is
// said once for both. A field that is written becomes zero, so that what is left
// shows whether there is more.
type coder struct {
	b       []byte // while writing
	rest    string // while reading
	reading bool
	bad     bool // while reading: it ended early, or says what cannot be
}

// shortHead writes a message, and reports whether the fields are all of it. The
// message is used up.
func shortHead[T any](message T, fields func(*coder, *T)) (head []byte, whole bool) {
	c := coder{b: append(make([]byte, 0, 512), shortForm)}
	fields(&c, &message)
	return c.b, reflect.ValueOf(&message).Elem().IsZero()
}

func isShort(head []byte) bool { return len(head) > 0 && head[0] == shortForm }

// readShort reads a head in the short form, all of it.
func readShort[T any](head []byte, fields func(*coder, *T)) (message T, err error) {
	c := coder{rest: string(head[1:]), reading: true}
	fields(&c, &message)
	if c.bad || c.rest != "" {
		return message, ErrDamaged
	}
	return message, nil
}

func (c *coder) unsigned(n *uint64) {
	if !c.reading {
		c.b = binary.AppendUvarint(c.b, *n)
		return
	}
	*n = 0
	for shift := 0; shift < 64 && c.rest != ""; shift += 7 {
		b := c.rest[0]
		c.rest = c.rest[1:]
		if *n |= uint64(b&0x7f) << shift; b < 0x80 {
			return
		}
	}
	c.bad = true
}

// number writes small numbers in a byte, also negative ones.
func number[T ~int | ~int64](c *coder, n *T) {
	folded := uint64(*n)<<1 ^ uint64(*n>>63)
	c.unsigned(&folded)
	if *n = 0; c.reading {
		*n = T(folded>>1) ^ -T(folded&1)
	}
}

func (c *coder) flags(flags ...*bool) {
	var bits uint64
	for i, f := range flags {
		if *f {
			bits |= 1 << i
		}
	}
	c.unsigned(&bits)
	for i, f := range flags {
		*f = c.reading && bits&(1<<i) != 0
	}
}

// length is that of what follows, of which each part takes a byte at least.
func (c *coder) length(n int) int {
	size := uint64(n)
	if c.unsigned(&size); size > uint64(len(c.rest)) && c.reading {
		c.bad = true
		return 0
	}
	return int(size)
}

func text[T ~string](c *coder, s *T) {
	n := c.length(len(*s))
	if !c.reading {
		c.b = append(c.b, *s...)
		*s = ""
		return
	}
	*s, c.rest = T(c.rest[:n]), c.rest[n:]
}

func (c *coder) texts(list *[]string) {
	n := c.length(len(*list))
	var read []string
	for i := range n {
		var s string
		if !c.reading {
			s = (*list)[i]
		}
		if text(c, &s); c.reading {
			read = append(read, s)
		}
	}
	*list = read
}

func (c *coder) float(f *float64) {
	if !c.reading {
		c.b = binary.LittleEndian.AppendUint64(c.b, math.Float64bits(*f))
		*f = 0
		return
	}
	if len(c.rest) < 8 {
		c.bad = true
		return
	}
	*f = math.Float64frombits(binary.LittleEndian.Uint64([]byte(c.rest[:8])))
	c.rest = c.rest[8:]
}

// pointer is a value that may be missing.
func pointer[T any](c *coder, p **T, value func(*coder, *T)) {
	there := *p != nil
	var v T
	if there {
		v = **p
	}
	*p = nil
	present := there
	c.flags(&present)
	if there || present {
		value(c, &v)
	}
	if present {
		*p = &v
	}
}

func (c *coder) count(n *nightshift.Count) {
	var p *int64
	if n.Known() {
		p = n.Pointer()
	}
	pointer(c, &p, number)
	if *n = (nightshift.Count{}); p != nil {
		*n = nightshift.Tokens(*p)
	}
}

// do are the fields of a request.
func (c *coder) do(d *Do) {
	p := &d.Prepared
	text(c, &d.ID)
	text(c, &d.Endpoint)
	text(c, &p.Hash)
	text(c, &p.Key)
	text(c, &p.Model)
	c.flags(&p.Stream, &p.Media.AudioInput, &p.Media.AudioOutput, &p.Media.ImageInput, &p.Media.ImageOutput, &p.Begun)
	for _, n := range []*int64{&p.InputText, &p.Other, &p.Choices, &p.Texts, &p.MaxOutput} {
		number(c, n)
	}
}

// done are the fields of an answer. Its attempt comes first: [IDOf] reads no more.
func (c *coder) done(d *done) {
	r := &d.Response
	text(c, &d.ID)
	c.flags(&d.Sent, &d.Text, &d.Thinking, &d.Raw, &d.UsageRaw)
	text(c, &r.ID)
	text(c, &r.StopReason)
	for _, s := range []*string{&r.RawStopReason, &r.StopSequence, &r.ServedModel, &r.Fingerprint, &r.RequestID,
		&r.RequestHash} {
		text(c, s)
	}
	number(c, &r.Status)
	number(c, &r.Latency)
	number(c, &r.FirstToken)
	c.texts(&r.Flags)
	c.usage(&r.Usage)
	c.limits(&d.Limits)
}

func (c *coder) usage(u *nightshift.Usage) {
	for _, n := range []*nightshift.Count{&u.Input, &u.CacheRead, &u.CacheWrite5m, &u.CacheWrite1h, &u.Output,
		&u.Reasoning, &u.AudioInput, &u.ImageInput, &u.AudioOutput, &u.ImageOutput, &u.Searches} {
		c.count(n)
	}
	text(c, &u.ServiceTier)
	text(c, &u.Region)
	pointer(c, &u.Reported, number)
}

func (c *coder) limits(r *limits.Report) {
	for _, w := range []**limits.Window{&r.Requests, &r.Tokens, &r.Input, &r.Output} {
		pointer(c, w, (*coder).window)
	}
	number(c, &r.RetryAfter)
	c.flags(&r.HasRetryAfter)
	pointer(c, &r.ShouldRetry, func(c *coder, b *bool) { c.flags(b) })
}

func (c *coder) window(w *limits.Window) {
	c.float(&w.Limit)
	number(c, &w.Period)
	c.float(&w.Remaining)
	number(c, &w.Reset)
}
