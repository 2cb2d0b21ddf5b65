package simulator

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// settings reads "name=value,name=value" into the setters; a name without a
// value is given "true".
func settings(what, text string, set map[string]func(string) error) error {
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			value = "true"
		}
		f := set[name]
		if f == nil {
			return fmt.Errorf("%s: unknown setting %q, have %s", what, name, strings.Join(sortedKeys(set), ", "))
		}
		if err := f(value); err != nil {
			return fmt.Errorf("%s: %s: %w", what, name, err)
		}
	}
	return nil
}

func setDuration(d *time.Duration) func(string) error {
	return func(s string) (err error) { *d, err = parseDuration(s); return err }
}

func setInt[T int | int64](n *T) func(string) error {
	return func(s string) error {
		v, err := strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 10, 64)
		if err != nil || v < 0 {
			return fmt.Errorf("%q is not a whole number of 0 or more", s)
		}
		*n = T(v)
		return nil
	}
}

func setFloat(f *float64) func(string) error {
	return func(s string) (err error) {
		if *f, err = strconv.ParseFloat(s, 64); err != nil || *f < 0 {
			return fmt.Errorf("%q is not a number of 0 or more", s)
		}
		return nil
	}
}

func setText(t *string) func(string) error {
	return func(s string) error { *t = s; return nil }
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a length of time such as 250ms or 2m", s)
	}
	return d, nil
}

// parseShare reads "5%" or "0.05".
func parseShare(s string) (float64, error) {
	number, percent := strings.CutSuffix(s, "%")
	v, err := strconv.ParseFloat(number, 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v <= 1) {
		return 0, fmt.Errorf("%q is not a share such as 5%% or 0.05", s)
	}
	return v, nil
}

// UnmarshalText reads the form "base=20ms,first=200ms,token=5ms,jitter=0.3";
// first_token and per_token are understood too.
func (l *Latency) UnmarshalText(text []byte) error {
	*l = Latency{}
	return settings("latency", string(text), map[string]func(string) error{
		"base": setDuration(&l.Base), "jitter": setFloat(&l.Jitter),
		"first": setDuration(&l.FirstToken), "first_token": setDuration(&l.FirstToken),
		"token": setDuration(&l.PerToken), "per_token": setDuration(&l.PerToken),
	})
}

// MarshalText writes what UnmarshalText reads.
func (l Latency) MarshalText() ([]byte, error) {
	var f fields
	f.duration("base", l.Base)
	f.duration("first", l.FirstToken)
	f.duration("token", l.PerToken)
	f.float("jitter", l.Jitter)
	return f.text(), nil
}

// ParseLatency reads the text form of a Latency.
func ParseLatency(s string) (Latency, error) {
	var l Latency
	err := l.UnmarshalText([]byte(s))
	return l, err
}

// UnmarshalText reads the form "requests=600,input=40000,output=8000,
// tokens=90000,concurrency=24,burst=5s,window=60s,sliding=60s,
// charge=max_tokens,headers=openai,per_model".
func (l *Limits) UnmarshalText(text []byte) error {
	*l = Limits{}
	perModel := func(s string) (err error) { l.PerModel, err = strconv.ParseBool(s); return err }
	return settings("limits", string(text), map[string]func(string) error{
		"requests": setInt(&l.Requests), "input": setInt(&l.Input), "output": setInt(&l.Output),
		"tokens": setInt(&l.Tokens), "concurrency": setInt(&l.Concurrency),
		"burst": setDuration(&l.Burst), "window": setDuration(&l.Window), "sliding": setDuration(&l.Sliding),
		"charge": setText(&l.Charge), "headers": setText(&l.Headers), "per_model": perModel,
	})
}

// MarshalText writes what UnmarshalText reads.
func (l Limits) MarshalText() ([]byte, error) {
	var f fields
	f.int("requests", l.Requests)
	f.int("input", l.Input)
	f.int("output", l.Output)
	f.int("tokens", l.Tokens)
	f.int("concurrency", int64(l.Concurrency))
	f.duration("burst", l.Burst)
	f.duration("window", l.Window)
	f.duration("sliding", l.Sliding)
	f.word("charge", l.Charge)
	f.word("headers", l.Headers)
	if l.PerModel {
		f = append(f, "per_model")
	}
	return f.text(), nil
}

// ParseLimits reads the text form of Limits.
func ParseLimits(s string) (Limits, error) {
	var l Limits
	err := l.UnmarshalText([]byte(s))
	return l, err
}

// UnmarshalText reads the form "share=50%,busy=10s,period=60s".
func (n *Competitor) UnmarshalText(text []byte) error {
	*n = Competitor{}
	share := func(s string) (err error) {
		number, percent := strings.CutSuffix(s, "%")
		if err = setFloat(&n.Share)(number); percent {
			n.Share /= 100
		}
		return err
	}
	return settings("neighbour", string(text), map[string]func(string) error{
		"share": share, "busy": setDuration(&n.Busy), "period": setDuration(&n.Period),
	})
}

// MarshalText writes what UnmarshalText reads.
func (n Competitor) MarshalText() ([]byte, error) {
	var f fields
	f.float("share", n.Share)
	f.duration("busy", n.Busy)
	f.duration("period", n.Period)
	return f.text(), nil
}

// UnmarshalText reads the form "LENGTH@START", such as "60s@120s".
func (w *Window) UnmarshalText(text []byte) (err error) {
	length, start, ok := strings.Cut(string(text), "@")
	if w.For, err = parseDuration(length); err != nil {
		return err
	}
	w.At = 0
	if ok {
		w.At, err = parseDuration(start)
	}
	return err
}

// MarshalText writes what UnmarshalText reads.
func (w Window) MarshalText() ([]byte, error) {
	return []byte(w.For.String() + "@" + w.At.String()), nil
}

// ParseFaults reads a list of faults such as
// "mixed=5%" or "rate_limit=2%,cut_stream=1%,outage=60s@120s".
func ParseFaults(s string) ([]Fault, error) {
	var faults []Fault
	for part := range strings.SplitSeq(s, ",") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		var f Fault
		if err := f.UnmarshalText([]byte(part)); err != nil {
			return nil, err
		}
		faults = append(faults, f)
	}
	return faults, nil
}

// UnmarshalText reads one fault: KIND=SHARE, with ";during=LENGTH@START",
// ";hold=2s", ";protocol=chat", ";model=PREFIX", ";stream=true",
// ";contains=TEXT" and ";first=1" after it where wanted. The outage is
// written outage=LENGTH@START.
func (f *Fault) UnmarshalText(text []byte) error {
	*f = Fault{}
	head, rest, _ := strings.Cut(strings.TrimSpace(string(text)), ";")
	kind, share, ok := strings.Cut(head, "=")
	f.Kind = strings.TrimSpace(kind)
	var err error
	switch {
	case !ok:
		err = fmt.Errorf("fault %q has no share: write %s=5%%", head, f.Kind)
	case f.Kind == "outage":
		f.Share, err = 1, f.During.UnmarshalText([]byte(share))
	default:
		f.Share, err = parseShare(share)
	}
	if err != nil {
		return fmt.Errorf("fault %s: %w", f.Kind, err)
	}
	stream := func(s string) error {
		b, err := strconv.ParseBool(s)
		f.Only.Stream = &b
		return err
	}
	during := func(s string) error { return f.During.UnmarshalText([]byte(s)) }
	err = settings("fault "+f.Kind, strings.ReplaceAll(rest, ";", ","), map[string]func(string) error{
		"during": during, "hold": setDuration(&f.Hold), "protocol": setText(&f.Only.Protocol),
		"model": setText(&f.Only.Model), "stream": stream,
		"contains": setText(&f.Only.Contains), "first": setInt(&f.Only.First),
	})
	if err != nil {
		return err
	}
	return f.validate()
}

// MarshalText writes what UnmarshalText reads.
func (f Fault) MarshalText() ([]byte, error) {
	window, _ := f.During.MarshalText()
	s := f.Kind + "=" + strconv.FormatFloat(f.Share, 'g', -1, 64)
	if f.Kind == "outage" {
		s = "outage=" + string(window)
	} else if f.During != (Window{}) {
		s += ";during=" + string(window)
	}
	var rest fields
	rest.duration("hold", f.Hold)
	rest.word("protocol", f.Only.Protocol)
	rest.word("model", f.Only.Model)
	if f.Only.Stream != nil {
		rest.word("stream", strconv.FormatBool(*f.Only.Stream))
	}
	rest.word("contains", f.Only.Contains)
	rest.int("first", int64(f.Only.First))
	for _, r := range rest {
		s += ";" + r
	}
	return []byte(s), nil
}

// fields collects "name=value" for text forms, leaving out what is zero.
type fields []string

func (f *fields) duration(name string, d time.Duration) {
	if d != 0 {
		*f = append(*f, name+"="+d.String())
	}
}

func (f *fields) int(name string, n int64) {
	if n != 0 {
		*f = append(*f, name+"="+strconv.FormatInt(n, 10))
	}
}

func (f *fields) float(name string, v float64) {
	if v != 0 {
		*f = append(*f, name+"="+strconv.FormatFloat(v, 'g', -1, 64))
	}
}

func (f *fields) word(name, value string) {
	if value != "" {
		*f = append(*f, name+"="+value)
	}
}

func (f fields) text() []byte { return []byte(strings.Join(f, ",")) }
