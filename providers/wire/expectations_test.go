package wire_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/internal/testdata/recordings"
	"nightshift/providers/secrets"
	"nightshift/providers/wire"
)

// Every recorded answer, sent by a real server, is read as the table of
// expectations says, to the last token.
func TestExpectations(t *testing.T) {
	dir, err := recordings.Dir()
	if err != nil {
		t.Skip(err)
	}
	seen := 0
	for _, want := range recordings.Expectations() {
		if want.Format == "" && want.Class == "" {
			continue // another API
		}
		seen++
		t.Run(want.Name(), func(t *testing.T) {
			x, err := recordings.Load(dir, want.File)
			if err != nil {
				t.Fatal(err)
			}
			body, err := want.Body(x)
			if err != nil {
				t.Fatal(err)
			}
			checkExpectation(t, want, replayOnce(t, want, body))
		})
	}
	if seen < 100 {
		t.Errorf("%d expectations", seen)
	}
}

func replayOnce(t *testing.T, want recordings.Expectation, body string) providers.Exchange {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(want.Status)
		io.WriteString(w, body)
	}))
	defer server.Close()
	protocol := want.Format
	if protocol == "" {
		protocol = nightshift.Chat
	}
	w, err := wire.New(wire.Config{Key: secrets.Secret{}, Endpoint: providers.Endpoint{
		Name: want.File, Protocol: protocol, BaseURL: server.URL, DoneMarkerOnly: want.DoneMarkerOnly,
		Auth: providers.Auth{Scheme: providers.AuthNone},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.CloseIdleConnections()
	return w.Send(t.Context(), providers.Prepared{Body: []byte(`{}`), Stream: want.Streamed})
}

func checkExpectation(t *testing.T, want recordings.Expectation, x providers.Exchange) {
	t.Helper()
	r := x.Response
	var class nightshift.ErrorClass
	if x.Err != nil {
		class = x.Err.Class
	}
	if class != want.Class || r.Status != want.Status {
		t.Errorf("class %q, status %d (%v), want %q, %d", class, r.Status, x.Err, want.Class, want.Status)
	}
	if r.ID != want.ID || r.ServedModel != want.Model || r.Fingerprint != want.Fingerprint {
		t.Errorf("id %q, model %q, fingerprint %q, want %q, %q, %q", r.ID, r.ServedModel, r.Fingerprint, want.ID,
			want.Model, want.Fingerprint)
	}
	if got := recordings.Of(r.Text); got != want.Text {
		t.Errorf("text %v, want %v", got, want.Text)
	}
	if got := recordings.Of(r.Thinking); got != want.Thinking {
		t.Errorf("thinking %v, want %v", got, want.Thinking)
	}
	if !slices.Equal(r.ToolCalls, want.ToolCalls) {
		t.Errorf("tool calls %v, want %v", r.ToolCalls, want.ToolCalls)
	}
	if r.StopReason != want.Stop || r.RawStopReason != want.RawStop || r.StopSequence != want.Sequence {
		t.Errorf("stop %q (%q, %q), want %q (%q, %q)", r.StopReason, r.RawStopReason, r.StopSequence, want.Stop,
			want.RawStop, want.Sequence)
	}
	got, wanted := r.Usage, want.Usage
	got.Reported, wanted.Reported = nil, nil
	// A body of another API has the usage that it states: it may have been billed.
	if want.Format != "" && (got != wanted || (len(r.UsageRaw) > 0) != want.HasUsage) {
		t.Errorf("usage %+v, want %+v", r.Usage, want.Usage)
	}
	for _, flag := range want.Flags {
		if !slices.Contains(r.Flags, flag) {
			t.Errorf("flags %v, want %s among them", r.Flags, flag)
		}
	}
}

// further are the expectations of the formats that came after the first two.
func further(t *testing.T) (dir string, all []recordings.Expectation) {
	dir, err := recordings.Dir()
	if err != nil {
		t.Skip(err)
	}
	for _, table := range recordings.Tables() {
		if table != "expectations.json" {
			all = append(all, recordings.Table(table)...)
		}
	}
	return dir, all
}

// replayFrom reads a body without a network.
func replayFrom(t *testing.T, want recordings.Expectation, body io.Reader) providers.Exchange {
	t.Helper()
	protocol := want.Format
	if protocol == "" {
		protocol = nightshift.Chat
	}
	r := recording{name: want.File}
	r.Response.Status = want.Status
	w, err := wire.New(wire.Config{Transport: canned{r, body}, Endpoint: providers.Endpoint{
		Name: want.File, Protocol: protocol, BaseURL: "http://localhost", Auth: providers.Auth{Scheme: providers.AuthNone},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return w.Send(t.Context(), providers.Prepared{Body: []byte(`{}`), Stream: want.Streamed})
}

// Delivered a byte at a time, and with the wish for a stream forgotten, answers
// are read as they are at once.
func TestFurtherExpectations(t *testing.T) {
	dir, all := further(t)
	for _, want := range all {
		t.Run(want.Name(), func(t *testing.T) {
			x, err := recordings.Load(dir, want.File)
			if err != nil {
				t.Fatal(err)
			}
			body, err := want.Body(x)
			if err != nil {
				t.Fatal(err)
			}
			checkExpectation(t, want, replayFrom(t, want, oneByte{strings.NewReader(body)}))
			asked := want
			asked.Streamed = !want.Streamed
			checkExpectation(t, want, replayFrom(t, asked, strings.NewReader(body)))
		})
	}
}

// Cut at the end of any line, a stream is whole or cut, and keeps the beginning
// of its text.
func TestFurtherCut(t *testing.T) {
	dir, all := further(t)
	for _, want := range all {
		if !want.Streamed || want.Class != "" || want.File == openEnded {
			continue
		}
		x, err := recordings.Load(dir, want.File)
		if err != nil {
			t.Fatal(err)
		}
		body := x.Response.Body
		full := replayFrom(t, want, strings.NewReader(body)).Response
		for _, at := range lineEnds(body) {
			part := replayFrom(t, want, strings.NewReader(body[:at]))
			if r := part.Response; r.Text != nil && (full.Text == nil || !strings.HasPrefix(*full.Text, *r.Text)) {
				t.Errorf("%s cut at %d: text %q", want.File, at, *r.Text)
			}
			switch e := part.Err; {
			case e == nil:
				if full.Text != nil && *part.Response.Text != *full.Text {
					t.Errorf("%s cut at %d passes for whole", want.File, at)
				}
			case e.Class != nightshift.ClassCut && e.Class != nightshift.ClassEmptyResponse:
				t.Errorf("%s cut at %d: %v", want.File, at, e)
			case !e.MaybeBilled:
				t.Errorf("%s cut at %d: certainly not billed?", want.File, at)
			}
		}
	}
}

// openEnded is a recorded stream that nothing but its end ends: whether it was
// cut at the end of an event does not show.
const openEnded = "completions-writer-02"

// A stream that nothing but its end ends is cut where the connection broke.
func TestOpenEndedStream(t *testing.T) {
	dir, all := further(t)
	for _, want := range all {
		if want.File != openEnded {
			continue
		}
		x, err := recordings.Load(dir, want.File)
		if err != nil {
			t.Fatal(err)
		}
		half := strings.NewReader(x.Response.Body[:len(x.Response.Body)/2])
		part := replayFrom(t, want, io.MultiReader(half, &failing{io.ErrUnexpectedEOF}))
		if part.Err == nil || part.Err.Class != nightshift.ClassCut || part.Response.Text == nil {
			t.Errorf("%v, want class cut, with the text that had come", part.Err)
		}
	}
}

// lineEnds are at most sixty ends of lines.
func lineEnds(body string) (some []int) {
	var all []int
	for i, c := range body {
		if c == '\n' && i > 0 {
			all = append(all, i+1)
		}
	}
	for i := 0; i < len(all); i += max(1, len(all)/60) {
		some = append(some, all[i])
	}
	return some
}
