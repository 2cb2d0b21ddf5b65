package recordings_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers"
	"nightshift/providers/formats"
	"nightshift/providers/internal/testdata/recordings"
	"nightshift/providers/sse"
)

func dir(t *testing.T) string {
	t.Helper()
	d, err := recordings.Dir()
	if err != nil {
		t.Skip(err)
	}
	return d
}

// TestEveryRecordingHasAnExpectation: none is left out, none is made up.
func TestEveryRecordingHasAnExpectation(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(dir(t), "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings: %v", err)
	}
	for _, table := range recordings.Tables() {
		_, format, ok := strings.Cut(strings.TrimSuffix(table, ".json"), "-")
		if !ok {
			continue
		}
		more, err := filepath.Glob(filepath.Join(recordings.More(dir(t)), format+"-*.json"))
		if err != nil || len(more) == 0 {
			t.Errorf("no recordings of %s: %v", format, err)
		}
		files = append(files, more...)
	}
	known := map[string]bool{}
	for _, e := range recordings.Expectations() {
		if e.Line == 0 {
			known[e.File] = true
		}
	}
	for _, f := range files {
		if name := strings.TrimSuffix(filepath.Base(f), ".json"); !known[name] {
			t.Errorf("nothing is expected of %s", name)
		}
	}
	if len(known) != len(files) {
		t.Errorf("%d expectations of whole recordings for %d recordings", len(known), len(files))
	}
}

// reading is what a body was read as.
type reading struct {
	resp nightshift.Response
	err  *nightshift.Error
}

func read(e recordings.Expectation, x recordings.Exchange, body string) reading {
	if e.Streamed {
		return stream(e, strings.NewReader(body))
	}
	if e.Line == 0 {
		h := http.Header{}
		for name, value := range x.Response.Headers {
			h.Set(name, value)
		}
		if err := providers.Classify(x.Response.Status, h, []byte(body)); err != nil {
			return reading{err: err}
		}
	}
	return decode(e.Format, []byte(body))
}

// of is the format of a protocol; a body that is no answer is read as Chat.
func of(p nightshift.Protocol) formats.Format {
	if f, ok := formats.Of(p); ok {
		return f
	}
	f, _ := formats.Of(nightshift.Chat)
	return f
}

func decode(p nightshift.Protocol, body []byte) (r reading) {
	root, err := rawjson.Scan(body)
	if err != nil {
		return reading{err: &nightshift.Error{Class: nightshift.ClassBadResponse, Err: err}}
	}
	r.err = of(p).Decode(&r.resp, root)
	return r
}

func newStream(e recordings.Expectation) formats.Stream {
	return of(e.Format).NewStream(formats.StreamOptions{DoneMarkerOnly: e.DoneMarkerOnly})
}

func stream(e recordings.Expectation, body io.Reader) reading {
	s := newStream(e)
	for r := eventsOf(body); !s.Done(); {
		ev, err := r.Next()
		if err != nil {
			break
		}
		if ev.Comment {
			continue
		}
		if _, err := s.Event(ev.Data); err != nil {
			break
		}
	}
	var out reading
	out.resp, out.err = s.End()
	return out
}

// eventsOf reads the events of a stream, or the elements of a list that is one.
func eventsOf(body io.Reader) interface{ Next() (sse.Event, error) } {
	r := bufio.NewReader(body)
	if first, _ := r.Peek(1); string(first) == "[" {
		return sse.NewArrayReader(r, 0)
	}
	return sse.NewReader(r, 0)
}

// describe brings a reading into the form of an expectation.
func describe(e recordings.Expectation, r reading) recordings.Expectation {
	got := recordings.Expectation{
		File: e.File, Line: e.Line, Status: e.Status, Format: e.Format, Streamed: e.Streamed,
		DoneMarkerOnly: e.DoneMarkerOnly, Note: e.Note,
		ID: r.resp.ID, Model: r.resp.ServedModel, Fingerprint: r.resp.Fingerprint,
		Text: recordings.Of(r.resp.Text), Thinking: recordings.Of(r.resp.Thinking), ToolCalls: r.resp.ToolCalls,
		Stop: r.resp.StopReason, RawStop: r.resp.RawStopReason, Sequence: r.resp.StopSequence,
		Usage: r.resp.Usage, HasUsage: r.resp.UsageRaw != nil, Flags: r.resp.Flags,
	}
	if r.err != nil {
		got.Class = r.err.Class
	}
	for _, c := range r.resp.Choices {
		choice := recordings.Choice{ToolCalls: c.ToolCalls, RawStop: c.RawStopReason}
		if c.Text != "" {
			choice.Text = recordings.Of(&c.Text)
		}
		got.Choices = append(got.Choices, choice)
	}
	if e.Format == "" { // no answer: only the class is expected
		got = recordings.Expectation{File: e.File, Line: e.Line, Status: e.Status, Class: got.Class, Note: e.Note}
	}
	return got
}

var counts = cmp.Comparer(func(a, b nightshift.Count) bool { return a == b })

var update = flag.Bool("update", false, "write expectations.json anew")

// write puts what was read into the place of what is expected.
func write(t *testing.T, table string, all []recordings.Expectation) {
	t.Helper()
	var b bytes.Buffer
	to := json.NewEncoder(&b)
	to.SetEscapeHTML(false)
	to.SetIndent("", "  ")
	if err := to.Encode(all); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("../testdata/recordings", table), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestRecordings reads every recorded body, streams also byte by byte, and
// prints the table. With -update it writes the table anew.
func TestRecordings(t *testing.T) {
	d := dir(t)
	for _, table := range recordings.Tables() {
		all := readTable(t, d, table)
		if *update {
			write(t, table, all)
		}
	}
}

// readTable reads the recordings of one table, and returns what they were read
// as.
func readTable(t *testing.T, d, table string) (all []recordings.Expectation) {
	verdict := map[bool]string{true: "as expected", false: "DIFFERS"}
	for _, e := range recordings.Table(table) {
		x, err := recordings.Load(d, e.File)
		if err != nil {
			t.Fatal(err)
		}
		if x.Response.Status != e.Status {
			t.Errorf("%s: status %d, want %d", e.Name(), x.Response.Status, e.Status)
		}
		body, err := e.Body(x)
		if err != nil {
			t.Fatal(err)
		}
		got := describe(e, read(e, x, body))
		all = append(all, got)
		diff := cmp.Diff(e, got, counts)
		if diff != "" && !*update {
			t.Errorf("%s (-want +got):\n%s", e.Name(), diff)
		}
		if e.Streamed {
			drip := describe(e, stream(e, iotest.OneByteReader(strings.NewReader(body))))
			if diff := cmp.Diff(got, drip, counts); diff != "" {
				t.Errorf("%s, byte by byte (-at once +drip):\n%s", e.Name(), diff)
			}
		}
		t.Logf("%-26s %s | %s", e.Name(), verdict[diff == ""], line(got))
	}
	return all
}

// line is an expectation in one line of the table.
func line(e recordings.Expectation) string {
	if e.Format == "" {
		return fmt.Sprintf("%d %s | %s", e.Status, e.Class, e.Note)
	}
	how := "whole"
	if e.Streamed {
		how = "stream"
	}
	u := e.Usage
	return fmt.Sprintf("%d %s %s %s | text %v | thinking %v | %d calls | %s (%s) | in %v read %v write %v/%v out "+
		"%v reasoning %v | %v %s",
		e.Status, e.Format, how, e.Class, e.Text, e.Thinking, len(e.ToolCalls), e.Stop, e.RawStop,
		u.Input, u.CacheRead, u.CacheWrite5m, u.CacheWrite1h, u.Output, u.Reasoning, e.Flags, e.Note)
}

// TestStreamsCutAtEveryEvent ends every recorded stream after each of its
// events, and in the middle of each event's last line. What is left is either
// the complete answer, or an error with a part of the text: never an answer
// that lacks something.
func TestStreamsCutAtEveryEvent(t *testing.T) {
	d := dir(t)
	cuts, complete := 0, 0
	for _, e := range recordings.Expectations() {
		if !e.Streamed {
			continue
		}
		x, err := recordings.Load(d, e.File)
		if err != nil {
			t.Fatal(err)
		}
		whole := read(e, x, x.Response.Body)
		for _, at := range cutPoints(x.Response.Body) {
			cuts++
			part := stream(e, strings.NewReader(x.Response.Body[:at]))
			if part.err == nil && everyPieceEnds[e.File] {
				continue
			}
			if part.err == nil {
				complete++
				sameAnswer(t, e, at, part, whole)
				continue
			}
			partOf(t, e, at, part, whole)
		}
	}
	t.Logf("%d cuts, %d of them after the answer was complete", cuts, complete)
	if cuts < 1000 || complete == 0 {
		t.Errorf("%d cuts, %d complete: the test has lost its subject", cuts, complete)
	}
}

// everyPieceEnds are the streams with a finish reason in each piece, or in none:
// nothing tells which is the last.
var everyPieceEnds = map[string]bool{"gemini-vendor-03": true, "completions-writer-02": true}

// cutPoints are the ends of all lines, and a place inside each.
func cutPoints(body string) []int {
	var points []int
	start := 0
	for i := range len(body) {
		if body[i] != '\n' {
			continue
		}
		if i-start > 20 {
			points = append(points, i-5)
		}
		points = append(points, i+1)
		start = i + 1
	}
	return points
}

// sameAnswer checks that a cut stream that counts as whole lacks nothing that
// the model wrote. Usage may still have been to come; what there is is the same.
func sameAnswer(t *testing.T, e recordings.Expectation, at int, part, whole reading) {
	t.Helper()
	if whole.err != nil {
		t.Errorf("%s cut at %d: ok, but the whole stream is class %s", e.File, at, whole.err.Class)
		return
	}
	a, b := describe(e, part), describe(e, whole)
	if part.resp.Usage.Output.Known() && !cmp.Equal(a.Usage, b.Usage, counts) && !grows[e.File] {
		t.Errorf("%s cut at %d: usage %+v, whole %+v", e.File, at, a.Usage, b.Usage)
	}
	a.Usage, b.Usage, a.HasUsage, b.HasUsage, a.Flags, b.Flags = nightshift.Usage{}, nightshift.Usage{}, false, false,
		nil, nil
	if diff := cmp.Diff(b, a, counts); diff != "" {
		t.Errorf("%s cut at %d is ok but lacks something (-whole +cut):\n%s", e.File, at, diff)
	}
}

// grows are the streams whose service tier comes with a later chunk than the
// usage.
var grows = map[string]bool{"chat-groq-01": true}

func partOf(t *testing.T, e recordings.Expectation, at int, part, whole reading) {
	t.Helper()
	switch part.err.Class {
	case nightshift.ClassCut:
	case nightshift.ClassEmptyResponse:
		if part.resp.Text != nil || part.resp.ID != "" {
			t.Errorf("%s cut at %d: empty_response, but something had come", e.File, at)
		}
	default:
		if whole.err == nil || whole.err.Class != part.err.Class {
			t.Errorf("%s cut at %d: class %s, want cut", e.File, at, part.err.Class)
		}
	}
	said := whole.err != nil && whole.err.Class == part.err.Class // by the server, which knows
	if !part.err.MaybeBilled && !said {
		t.Errorf("%s cut at %d: class %s is not marked as maybe billed", e.File, at, part.err.Class)
	}
	if part.resp.Text != nil && (whole.resp.Text == nil || !strings.HasPrefix(*whole.resp.Text, *part.resp.Text)) {
		t.Errorf("%s cut at %d: text %q is no beginning of the whole", e.File, at, *part.resp.Text)
	}
	if part.resp.Usage.Output.Known() && whole.resp.Usage.Output.N() < part.resp.Usage.Output.N() {
		t.Errorf("%s cut at %d: %v output tokens, whole %v", e.File, at, part.resp.Usage.Output, whole.resp.Usage.Output)
	}
}

// TestDoneAloneProvesNothing: without done_marker_only, a stream that ends in
// [DONE] without a finish reason is cut, and the hint names the setting.
func TestDoneAloneProvesNothing(t *testing.T) {
	d := dir(t)
	for _, e := range recordings.Expectations() {
		if !e.DoneMarkerOnly {
			continue
		}
		x, err := recordings.Load(d, e.File)
		if err != nil {
			t.Fatal(err)
		}
		e.DoneMarkerOnly = false
		r := read(e, x, x.Response.Body)
		if r.err == nil || r.err.Class != nightshift.ClassCut || !strings.Contains(r.err.Hint, "done_marker_only") {
			t.Errorf("%s without done_marker_only: %v, want class cut with a hint", e.File, r.err)
		}
	}
}

func TestAbsentRecordingsAreSaidSo(t *testing.T) {
	t.Chdir(t.TempDir())
	if _, err := recordings.Dir(); err != recordings.ErrAbsent {
		t.Errorf("Dir = %v, want ErrAbsent", err)
	}
	if _, err := recordings.Load(".", "none"); !os.IsNotExist(err) {
		t.Errorf("Load = %v", err)
	}
}
