package wire_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/simulator"
	"nightshift/providers/wire"
)

// A line carries requests to a server in this process and counts them. fault,
// when not nil, may answer in its place.
type line struct {
	to    http.RoundTripper
	fault func(r *http.Request, n int) (*http.Response, error) // n counts the GETs so far
	posts int
	gets  int
}

func (l *line) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPost && !strings.HasSuffix(r.URL.Path, "/cancel") {
		l.posts++
	} else if r.Method == http.MethodGet {
		l.gets++
	}
	if l.fault != nil {
		if resp, err := l.fault(r, l.gets); resp != nil || err != nil {
			if r.Body != nil {
				_, _ = io.Copy(io.Discard, r.Body)
			}
			return resp, err
		}
	}
	return l.to.RoundTrip(r)
}

func says(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)),
		ContentLength: int64(len(body))}
}

// background is a simulator that needs a minute for each answer.
func background() *simulator.Server {
	return simulator.New(
		simulator.Config{Latency: simulator.Latency{Queue: 20 * time.Second, FirstToken: 40 * time.Second}})
}

func prepare(t *testing.T, l *line, total time.Duration, more ...nightshift.Param) (*wire.Wire, providers.Prepared) {
	t.Helper()
	e := providers.Endpoint{Name: "b", Protocol: nightshift.Responses, BaseURL: "http://localhost",
		Auth: providers.Auth{Scheme: providers.AuthNone}}
	e.Timeouts.Total = total
	w, err := wire.New(wire.Config{Endpoint: e, Transport: l})
	if err != nil {
		t.Fatal(err)
	}
	params := append([]nightshift.Param{{Name: "background", Value: []byte("true")}}, more...)
	p, err := w.Prepare(nightshift.Request{
		Model: "sim-large", Messages: []nightshift.Message{{Role: nightshift.RoleUser, Text: "Describe a harbour."}},
		Params: params,
	})
	if err != nil {
		t.Fatal(err)
	}
	return w, p
}

// One request is sent, and its answer asked for until it is there, whatever
// happens to the connection meanwhile. Whoever keeps the id has it before.
func TestBackground(t *testing.T) {
	for name, fault := range map[string]func(*http.Request, int) (*http.Response, error){
		"usual": nil,
		"lost connections": func(r *http.Request, n int) (*http.Response, error) {
			if r.Method == http.MethodGet && n < 6 {
				return nil, &net.OpError{Op: "read", Err: io.ErrUnexpectedEOF}
			}
			return nil, nil
		},
		"a gateway that fails": func(r *http.Request, n int) (*http.Response, error) {
			if r.Method == http.MethodGet && n < 6 {
				return says([]int{502, 429, 200, 503, 200}[n-1],
					[]string{"<html>", `{"error":{"message":"slow down"}}`,
						`{"error":{"message":"busy","code":"overloaded"}}`, "", ""}[n-1]), nil
			}
			return nil, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := background()
				l := &line{to: s.Transport(), fault: fault}
				w, p := prepare(t, l, 0)
				var id string
				p.Accepted = func(job string) {
					if id != "" || l.gets > 0 {
						t.Errorf("accepted %s after %s and %d questions", job, id, l.gets)
					}
					id = job
				}
				x := w.Send(t.Context(), p)
				if x.Err != nil || x.Response.Text == nil || *x.Response.Text == "" || x.Response.ID != id || !x.Sent {
					t.Fatalf("%v %+v", x.Err, x.Response)
				}
				ledger := s.Ledger()
				if l.posts != 1 || ledger.Received != 1 || x.Response.Usage.Output.N() != ledger.Billed.Output || l.gets > 40 {
					t.Errorf("%d requests, %d questions, ledger %+v", l.posts, l.gets, ledger)
				}
				if x.Response.Latency < time.Minute || x.Response.Latency > 80*time.Second {
					t.Errorf("latency %v", x.Response.Latency)
				}
			})
		})
	}
}

// What an earlier process has asked for is asked after, and not sent again.
func TestBackgroundResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := background()
		l := &line{to: s.Transport()}
		w, p := prepare(t, l, 0)
		ctx, cancel := context.WithCancel(t.Context())
		p.Accepted = func(id string) {
			p.Job = id
			l.fault = func(*http.Request, int) (*http.Response, error) { return nil, io.EOF }
			cancel()
		}
		_ = w.Send(ctx, p) // as if the process had ended: nothing reaches the server any more
		l.fault, p.Accepted = nil, nil
		time.Sleep(5 * time.Minute)
		began := time.Now()
		x := w.Send(t.Context(), p)
		if x.Err != nil || l.posts != 1 || s.Ledger().Received != 1 || time.Since(began) > time.Second {
			t.Errorf("%v, %d requests, after %v", x.Err, l.posts, time.Since(began))
		}
	})
}

// A stream that breaks off loses nothing when the answer is made in the
// background.
func TestBackgroundStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := simulator.New(simulator.Config{Faults: []simulator.Fault{{Kind: "cut_stream", Share: 1}}})
		l := &line{to: s.Transport()}
		w, p := prepare(t, l, 0, nightshift.Param{Name: "stream", Value: []byte("true")})
		accepted := 0
		p.Accepted = func(string) { accepted++ }
		x := w.Send(t.Context(), p)
		if x.Err != nil || x.Response.StopReason != nightshift.StopEnd || l.posts != 1 || accepted == 0 {
			t.Errorf("%v, %+v, %d requests, accepted %d times", x.Err, x.Response, l.posts, accepted)
		}
	})
}

// What is given up is cancelled at the server.
func TestBackgroundGivenUp(t *testing.T) {
	for _, tc := range []struct {
		name          string
		total, cancel time.Duration
		class         nightshift.ErrorClass
	}{
		{"the caller", 0, 30 * time.Second, nightshift.ClassCancelled},
		{"the time is over", 30 * time.Second, time.Hour, nightshift.ClassTimeoutTotal},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := background()
				l := &line{to: s.Transport()}
				w, p := prepare(t, l, tc.total)
				ctx, cancel := context.WithTimeout(t.Context(), tc.cancel)
				defer cancel()
				x := w.Send(ctx, p)
				if x.Err == nil || x.Err.Class != tc.class || !x.Err.MaybeBilled || !x.Sent {
					t.Errorf("%v", x.Err)
				}
				if ledger := s.Ledger(); ledger.Cancelled != 1 || l.posts != 1 {
					t.Errorf("%d requests, ledger %+v", l.posts, ledger)
				}
			})
		})
	}
}

// What is asked after may be gone, or may have failed.
func TestBackgroundWithoutAnswer(t *testing.T) {
	for _, tc := range []struct {
		name   string
		status int
		body   string
		class  nightshift.ErrorClass
	}{
		{"gone", 404, `{"error":{"message":"Response not found."}}`, nightshift.ClassCut},
		{"failed", 200,
			`{"id":"r","object":"response","status":"failed","error":{"code":"server_error","message":"sorry"},` +
				`"output":[]}`, nightshift.ClassServer},
		{"cancelled by somebody", 200, `{"id":"r","object":"response","status":"cancelled","error":null,"output":[]}`,
			nightshift.ClassServer},
		{"refused", 401, `{"error":{"message":"no","code":"invalid_api_key"}}`, nightshift.ClassAuth},
		{"nothing for long", 503, "", nightshift.ClassServer},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := background()
				l := &line{to: s.Transport(), fault: func(r *http.Request, _ int) (*http.Response, error) {
					if r.Method == http.MethodGet {
						return says(tc.status, tc.body), nil
					}
					return nil, nil
				}}
				w, p := prepare(t, l, 0)
				began := time.Now()
				x := w.Send(t.Context(), p)
				if x.Err == nil || x.Err.Class != tc.class || !x.Err.MaybeBilled || l.posts != 1 ||
					time.Since(began) > 16*time.Minute {
					t.Errorf("%v, billed %v, %d requests, after %v", x.Err, x.Err != nil && x.Err.MaybeBilled, l.posts,
						time.Since(began))
				}
			})
		})
	}
}

// A request that did not ask for the background is not waited for.
func TestQueuedUnasked(t *testing.T) {
	l := &line{fault: func(*http.Request, int) (*http.Response, error) {
		return says(200, `{"id":"r","object":"response","status":"queued","output":[],"usage":null}`), nil
	}}
	w, p := prepare(t, l, 0)
	p.Body = []byte(`{}`)
	if x := w.Send(t.Context(), p); x.Err == nil || x.Err.Code != providers.CodeNotReady || l.gets > 0 {
		t.Errorf("%v, %d questions", x.Err, l.gets)
	}
}
