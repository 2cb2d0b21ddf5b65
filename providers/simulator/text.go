package simulator

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"nightshift/providers/simulator/internal/batches"
)

// setters are what a text form may set, by name.
type setters map[string]func(string) error

// read reads "name=value,name=value"; a name without a value is given "true".
func (set setters) read(what, text string) error {
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if name == "" && !ok {
			continue
		}
		if !ok {
			value = "true"
		}
		f := set[name]
		if f == nil {
			return fmt.Errorf("%s: unknown setting %q, have %s", what, name, strings.Join(slices.Sorted(maps.Keys(set)), ", "))
		}
		if err := f(value); err != nil {
			return fmt.Errorf("%s: %s: %w", what, name, err)
		}
	}
	return nil
}

// into returns a setter that keeps what parse makes of a text.
func into[T any](place *T, parse func(string) (T, error)) func(string) error {
	return func(s string) (err error) { *place, err = parse(s); return err }
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a length of time such as 250ms or 2m", s)
	}
	return d, nil
}

func parseInt[T int | int64](s string) (T, error) {
	v, err := strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 10, 64)
	if err != nil || v < 0 {
		return 0, fmt.Errorf("%q is not a whole number of 0 or more", s)
	}
	return T(v), nil
}

// parseFloat reads "0.5" or "50%".
func parseFloat(s string) (float64, error) {
	number, percent := strings.CutSuffix(s, "%")
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !(v >= 0) {
		return 0, fmt.Errorf("%q is not a number of 0 or more", s)
	}
	if percent {
		v /= 100
	}
	return v, nil
}

// parseShare reads "5%" or "0.05".
func parseShare(s string) (float64, error) {
	v, err := parseFloat(s)
	if err != nil || v > 1 {
		return 0, fmt.Errorf("%q is not a share such as 5%% or 0.05", s)
	}
	return v, nil
}

func parseText(s string) (string, error) { return s, nil }

// parseWindow reads LENGTH@START.
func parseWindow(s string) (w Window, err error) {
	length, start, ok := strings.Cut(s, "@")
	if w.For, err = parseDuration(length); err == nil && ok {
		w.At, err = parseDuration(start)
	}
	return w, err
}

// ParseLatency reads the text form of a Latency.
func ParseLatency(s string) (l Latency, err error) {
	err = l.UnmarshalText([]byte(s))
	return l, err
}

// UnmarshalText reads the form "base=20ms,first=200ms,token=5ms,jitter=0.3,queue=5s";
// first_token and per_token are understood too.
func (l *Latency) UnmarshalText(text []byte) error {
	*l = Latency{}
	first, token := into(&l.FirstToken, parseDuration), into(&l.PerToken, parseDuration)
	return setters{
		"base": into(&l.Base, parseDuration), "jitter": into(&l.Jitter, parseFloat), "queue": into(&l.Queue, parseDuration),
		"first": first, "first_token": first, "token": token, "per_token": token,
	}.read("latency", string(text))
}

// ParseLimits reads the text form of Limits.
func ParseLimits(s string) (l Limits, err error) {
	err = l.UnmarshalText([]byte(s))
	return l, err
}

// UnmarshalText reads the form "requests=600,input=40000,output=8000,
// tokens=90000,concurrency=24,burst=5s,window=60s,sliding=60s,
// charge=max_tokens,headers=openai,per_model".
func (l *Limits) UnmarshalText(text []byte) error {
	*l = Limits{}
	return setters{
		"requests": into(&l.Requests, parseInt), "input": into(&l.Input, parseInt), "output": into(&l.Output, parseInt),
		"tokens": into(&l.Tokens, parseInt), "concurrency": into(&l.Concurrency, parseInt),
		"burst": into(&l.Burst, parseDuration), "window": into(&l.Window, parseDuration),
		"sliding": into(&l.Sliding, parseDuration), "charge": into(&l.Charge, parseText),
		"headers": into(&l.Headers, parseText), "per_model": into(&l.PerModel, strconv.ParseBool),
	}.read("limits", string(text))
}

// UnmarshalText reads the form "share=50%,busy=10s,period=60s".
func (n *Competitor) UnmarshalText(text []byte) error {
	*n = Competitor{}
	return setters{
		"share": into(&n.Share, parseFloat), "busy": into(&n.Busy, parseDuration), "period": into(&n.Period, parseDuration),
	}.read("neighbour", string(text))
}

// UnmarshalText reads the form "LENGTH@START", such as "60s@120s".
func (w *Window) UnmarshalText(text []byte) (err error) {
	*w, err = parseWindow(string(text))
	return err
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
// ";contains=TEXT" and ";first=1" after it where wanted; faults of batches take
// ";batch=2" and ";call=1-3" too. The outage is
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
	err = setters{
		"during": into(&f.During, parseWindow), "hold": into(&f.Hold, parseDuration), "stream": stream,
		"protocol": into(&f.Only.Protocol, parseText), "model": into(&f.Only.Model, parseText),
		"contains": into(&f.Only.Contains, parseText), "first": into(&f.Only.First, parseInt),
		"batch": into(&f.Only.Batch, batches.ParseSpan), "call": into(&f.Only.Call, batches.ParseSpan),
	}.read("fault "+f.Kind, strings.ReplaceAll(rest, ";", ","))
	if err != nil {
		return err
	}
	return f.validate()
}
