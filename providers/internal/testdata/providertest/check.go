package providertest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"nightshift"
	"nightshift/providers"
)

// patience is the time after which an attempt counts as hanging. It is far
// above every timeout of the faults.
const patience = 60 * time.Second

// RunFaults tries every fault in every case: one attempt each, and the
// outcome must be exactly the one that the catalogue wants.
func RunFaults(t *testing.T, newWire Make) {
	for _, f := range Faults() {
		t.Run(fmt.Sprintf("%02d %s", f.Number, f.Name), func(t *testing.T) {
			t.Parallel()
			for _, c := range Cases() {
				if f.Applies == nil || f.Applies(c) {
					t.Run(c.String(), func(t *testing.T) {
						t.Parallel()
						f.Try(t, c, newWire)
					})
				}
			}
		})
	}
}

// Try makes one attempt at the fault and checks what came back.
func (f Fault) Try(tb testing.TB, c Case, newWire Make) {
	server := f.Start(tb, c)
	wire := newWire(tb, f.Setup(c, server))
	prepared, err := wire.Prepare(c.Request())
	if err != nil {
		tb.Fatalf("Prepare: %v", err)
	}
	x := f.send(tb, wire, prepared)
	if f.Number == 49 { // the second request is the one that must not bring a cookie
		x = f.send(tb, wire, prepared)
	}
	f.wanted(c).check(tb, c, x, server, f.Number == 49)
	checkCanary(tb, x)
}

func (f Fault) send(tb testing.TB, wire providers.Wire, p providers.Prepared) providers.Exchange {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if f.Cancel > 0 {
		time.AfterFunc(f.Cancel, cancel)
	}
	done := make(chan providers.Exchange, 1)
	go func() { done <- wire.Send(ctx, p) }()
	select {
	case x := <-done:
		return x
	case <-time.After(patience + 10*time.Second):
		tb.Fatal("Send hangs")
		return providers.Exchange{}
	}
}

func (w Want) check(tb testing.TB, c Case, x providers.Exchange, s *Server, twice bool) {
	tb.Helper()
	w.checkError(tb, x)
	w.checkResponse(tb, c, x.Response)
	if w.CheckRetryAfter {
		w.checkRetryAfter(tb, x)
	}
	if w.Also != nil {
		w.Also(tb, c, x)
	}
	want := max(w.Requests, 0)
	if w.Requests == 0 {
		want = 1
	}
	if twice {
		want *= 2
	}
	if got := s.Requests(); got != want {
		tb.Errorf("the server read %d requests, want %d", got, want)
	}
	if want > 0 && !x.Sent {
		tb.Error("Sent is false although the server read the request")
	}
	if w.Requests < 0 && x.Sent {
		tb.Error("Sent is true although nothing can have arrived")
	}
}

func (w Want) checkError(tb testing.TB, x providers.Exchange) {
	tb.Helper()
	if w.Outcome == OK {
		if x.Err != nil {
			tb.Errorf("error %v (%v), want an answer; raw %.300q", x.Err, x.Err.Err, x.Response.Raw)
		}
		return
	}
	if x.Err == nil {
		tb.Errorf("an answer %+v, want %s, class %s", x.Response, w.Outcome, w.Class)
		return
	}
	if x.Err.Class != w.Class {
		tb.Errorf("class %s (%v, cause %v), want %s", x.Err.Class, x.Err, x.Err.Err, w.Class)
	}
	if x.Err.MaybeBilled != w.MaybeBilled {
		tb.Errorf("MaybeBilled = %v (%v, cause %v)", x.Err.MaybeBilled, x.Err, x.Err.Err)
	}
	if p := providers.PolicyOf(x.Err); !w.Outcome.fits(p) {
		tb.Errorf("policy %+v, want %s", p, w.Outcome)
	}
	if x.Err.Message == "" {
		tb.Error("the error has no message")
	}
}

// fits reports whether a policy has the outcome as its consequence.
func (o Outcome) fits(p providers.Policy) bool {
	stops := p.StopsEndpoint || p.StopsModel
	switch o {
	case Wait:
		return p.Retry && p.Pauses && !p.Counts && !stops
	case Retry:
		return p.Retry && p.Counts && !stops && !p.MaybeBilled
	case Unknown:
		return p.Retry && p.Counts && !stops && p.MaybeBilled
	case Break:
		return p.Retry && p.FeedsBreaker && !stops && !p.MaybeBilled
	case Fail, Cancelled:
		return !p.Retry && !stops
	case Stop:
		return !p.Retry && p.StopsEndpoint
	case StopModel:
		return p.StopsModel && !p.StopsEndpoint
	case RetryStop:
		return p.Retry && p.MaxTries == 3 && p.StopsEndpoint
	}
	return false
}

func (w Want) checkResponse(tb testing.TB, c Case, r nightshift.Response) {
	tb.Helper()
	if w.Text != nil {
		if want := w.Text(c); want != nil && (r.Text == nil || *r.Text != *want) {
			got := "nothing"
			if r.Text != nil {
				got = fmt.Sprintf("%q", *r.Text)
			}
			tb.Errorf("text %s, want %q", got, *want)
		}
	}
	for _, flag := range w.Flags {
		if !strings.Contains(","+strings.Join(r.Flags, ",")+",", ","+flag+",") {
			tb.Errorf("flags %v, want %s among them", r.Flags, flag)
		}
	}
	if w.Outcome == OK && (r.Status != 200 || len(r.Raw) == 0 || r.RequestHash == "") {
		tb.Errorf("status %d, %d raw bytes, request hash %q", r.Status, len(r.Raw), r.RequestHash)
	}
	if w.Outcome == OK && r.Latency <= 0 {
		tb.Error("no latency")
	}
}

func (w Want) checkRetryAfter(tb testing.TB, x providers.Exchange) {
	tb.Helper()
	got, has := x.Limits.RetryAfter, x.Limits.HasRetryAfter
	if w.RetryAfter < 0 {
		if has {
			tb.Errorf("RetryAfter %v, want silence", got)
		}
		return
	}
	if diff := got - w.RetryAfter; !has || diff < -time.Second || diff > time.Second {
		tb.Errorf("RetryAfter %v, %v, want %v", got, has, w.RetryAfter)
	}
}

// checkCanary looks for the key in everything that came back, as it is and in
// the encodings in which it travels.
func checkCanary(tb testing.TB, x providers.Exchange) {
	tb.Helper()
	for _, text := range everything(x) {
		for _, form := range canaryForms() {
			if strings.Contains(text, form) {
				tb.Errorf("the key shows as %q in %.500q", form, text)
			}
		}
	}
}

// canaryForms are the forms in which the key must not be found: plain, URL-
// and base64-encoded at every offset.
func canaryForms() []string {
	forms := []string{Canary, url.QueryEscape(Canary), url.PathEscape(Canary)}
	for offset := range 3 {
		encoded := base64.RawStdEncoding.EncodeToString([]byte("xyz"[:offset] + Canary))
		forms = append(forms, encoded[4:len(encoded)-4],
			base64.RawURLEncoding.EncodeToString([]byte("xyz"[:offset] + Canary))[4:len(encoded)-4])
	}
	return forms
}

func everything(x providers.Exchange) []string {
	raw := string(x.Response.Raw)
	x.Response.Raw = nil // printed as numbers it would take minutes
	asJSON, _ := json.Marshal(x.Response)
	texts := []string{fmt.Sprintf("%+v %#v", x, x), string(asJSON), raw, x.Response.RequestID}
	for _, text := range []*string{x.Response.Text, x.Response.Thinking} {
		if text != nil {
			texts = append(texts, *text)
		}
	}
	if x.Err != nil {
		texts = append(texts, x.Err.Error(), x.Err.Code, x.Err.Hint, x.Err.RequestID, fmt.Sprintf("%+v", *x.Err))
		for err := x.Err.Err; err != nil; {
			texts = append(texts, err.Error(), fmt.Sprintf("%#v", err))
			u, ok := err.(interface{ Unwrap() error })
			if !ok {
				break
			}
			err = u.Unwrap()
		}
	}
	return texts
}
