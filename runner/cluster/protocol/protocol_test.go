package protocol_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"nightshift"
	"nightshift/internal/netx"
	"nightshift/providers"
	"nightshift/providers/limits"
	"nightshift/runner/cluster/protocol"
)

func ptr[T any](v T) *T { return &v }

// travel sends a frame through bytes.
func travel(t testing.TB, f protocol.Frame) protocol.Frame {
	t.Helper()
	b, err := f.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := protocol.Read(bufio.NewReader(bytes.NewReader(b)), protocol.MaxFrame)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// What a worker's wire says arrives at the hub as it was, whatever is in it.
func TestExchangesArriveAsTheyWere(t *testing.T) {
	should := true
	for name, ex := range map[string]providers.Exchange{
		"an answer": {Sent: true, Response: nightshift.Response{
			ID: "x", Text: ptr("Grüße \xff <b>"), Thinking: ptr(""), StopReason: nightshift.StopEnd, RawStopReason: "stop",
			ToolCalls: []nightshift.ToolCall{{ID: "1", Name: "f", Arguments: "{"}},
			Choices:   []nightshift.Choice{{Index: 1, Text: "b"}}, Vectors: []nightshift.Vector{{1.5, -2}},
			Usage:    nightshift.Usage{Input: nightshift.Tokens(3), Output: nightshift.Tokens(0), ServiceTier: "flex"},
			UsageRaw: []byte(`{"no": json`), Status: 200, Latency: time.Second, FirstToken: time.Millisecond,
			Raw: []byte{0, 1, 255}, RequestHash: "h", Flags: []string{"usage_missing"},
			Repeat: []nightshift.Message{{Role: nightshift.RoleAssistant, Raw: []byte(`{"a":[1]}`)}},
		}},
		"nothing": {},
		"a refusal": {Sent: true, Response: nightshift.Response{Status: 429, Raw: []byte{}},
			Err: &nightshift.Error{Class: nightshift.ClassRateLimit, Status: 429, Code: "slow", Message: "slow down",
				OfModel: true},
			Limits: limits.Report{RetryAfter: 3 * time.Second, HasRetryAfter: true, ShouldRetry: &should,
				Tokens: &limits.Window{Limit: 5, Remaining: -1, Reset: -1}}},
	} {
		f, err := protocol.PackDone("a-1", ex)
		if err != nil {
			t.Fatal(err)
		}
		id, got, err := protocol.UnpackDone(travel(t, f))
		if err != nil || id != "a-1" {
			t.Fatalf("%s: %q, %v", name, id, err)
		}
		if diff := cmp.Diff(ex, got, cmp.Comparer(func(a, b nightshift.Count) bool { return a == b })); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// Each field of an answer and of a request arrives, alone and with all others:
// those for which the short form has a place, and those that came later.
func TestEveryFieldArrives(t *testing.T) {
	var all providers.Exchange
	response, report := reflect.TypeFor[nightshift.Response](), reflect.TypeFor[limits.Report]()
	hubs := []string{"Attempts", "Cost", "PriceID", "Queued", "Backoff"}
	for i := range response.NumField() {
		if slices.Contains(hubs, response.Field(i).Name) {
			continue
		}
		var ex providers.Exchange
		fill(reflect.ValueOf(&ex.Response).Elem().Field(i))
		fill(reflect.ValueOf(&all.Response).Elem().Field(i))
		arrives(t, response.Field(i).Name, ex)
	}
	for i := range report.NumField() {
		if report.Field(i).Name == "Err" {
			continue // the hub's own
		}
		var ex providers.Exchange
		fill(reflect.ValueOf(&ex.Limits).Elem().Field(i))
		fill(reflect.ValueOf(&all.Limits).Elem().Field(i))
		arrives(t, report.Field(i).Name, ex)
	}
	arrives(t, "all", all)
	var usual providers.Exchange
	usual.Response.Usage, usual.Response.Flags = all.Response.Usage, all.Response.Flags
	usual.Limits = all.Limits
	arrives(t, "usual", usual)
	if f, err := protocol.PackDone("a", usual); err != nil || f.Head[0] == '{' {
		t.Error("a usual answer is not in the short form", err)
	}

	prepared := reflect.TypeFor[protocol.Prepared]()
	for i := range prepared.NumField() {
		d := protocol.Do{ID: "a", Endpoint: "e"}
		fill(reflect.ValueOf(&d.Prepared).Elem().Field(i))
		p := d.Prepared
		sent := providers.Prepared{
			Hash: p.Hash, Stream: p.Stream, Key: p.Key, Model: p.Model, InputText: p.InputText, InputOther: p.Other,
			Media: p.Media, Choices: p.Choices, Texts: p.Texts, Job: p.Job, MaxOutput: p.MaxOutput, Scored: p.Scored}
		if p.Begun {
			sent.Begun = func() {}
		}
		f, err := protocol.PackDo(d.ID, d.Endpoint, sent)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := protocol.UnpackDo(travel(t, f))
		if err != nil || !reflect.DeepEqual(got, d) {
			t.Errorf("%s arrives as %+v (%v)", prepared.Field(i).Name, got, err)
		}
	}
}

func arrives(t *testing.T, name string, ex providers.Exchange) {
	t.Helper()
	sent := fmt.Sprintf("%+v", ex)
	f, err := protocol.PackDone("a-1", ex)
	if err != nil {
		t.Fatal(err)
	}
	asText, err := protocol.PackDoneAsText("a-1", ex)
	if err != nil {
		t.Fatal(err)
	}
	if now := fmt.Sprintf("%+v", ex); now != sent {
		t.Errorf("%s: packing made %s of %s", name, now, sent)
	}
	for _, f := range []protocol.Frame{f, asText} {
		f = travel(t, f)
		if id, err := protocol.IDOf(f); id != "a-1" {
			t.Errorf("%s: it is of %q (%v)", name, id, err)
		}
		_, got, err := protocol.UnpackDone(f)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(ex, got, cmp.Comparer(func(a, b nightshift.Count) bool { return a == b })); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// fill gives every part of a value something that is not zero.
func fill(v reflect.Value) {
	switch v.Interface().(type) {
	case nightshift.Count:
		v.Set(reflect.ValueOf(nightshift.Tokens(-3)))
		return
	case json.RawMessage:
		v.SetBytes([]byte(`{"a":1}`))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.Interface:
	case reflect.String:
		v.SetString("Grüße")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(-1.5)
	case reflect.Uint8:
		v.SetUint(7)
	default:
		v.SetInt(-12345678901 % (1 << 30))
	}
}

// The hub tells failures apart by their causes, which are no text.
func TestCausesArrive(t *testing.T) {
	refused := providers.Exchange{Err: &nightshift.Error{Class: nightshift.ClassConnection, Err: netx.ErrRefused}}
	nowhere := providers.Exchange{
		Err: &nightshift.Error{Class: nightshift.ClassConnection, Err: &net.DNSError{IsNotFound: true}}}
	for _, ex := range []providers.Exchange{refused, nowhere} {
		f, err := protocol.PackDone("a", ex)
		if err != nil {
			t.Fatal(err)
		}
		_, got, err := protocol.UnpackDone(travel(t, f))
		if err != nil {
			t.Fatal(err)
		}
		var was, is *net.DNSError
		if errors.Is(got.Err, netx.ErrRefused) != errors.Is(ex.Err, netx.ErrRefused) ||
			errors.As(got.Err, &is) != errors.As(ex.Err, &was) {
			t.Errorf("%v arrived as %v", ex.Err, got.Err)
		}
	}
}

func TestRequestsArriveAsTheyWere(t *testing.T) {
	p := providers.Prepared{Body: []byte(`{"model":"m"}`), Attempt: "a-2", Hash: "h", Stream: true, Key: "k", Model: "m",
		InputText: 5, InputOther: 6, Media: nightshift.Media{ImageInput: true}, Choices: 2, Texts: 1, Job: "resp_1",
		MaxOutput: 7, Scored: &providers.Scored{Prompt: "abc", From: 2}}
	f, err := protocol.PackDo("a-2", "e", p)
	if err != nil {
		t.Fatal(err)
	}
	d, got, err := protocol.UnpackDo(travel(t, f))
	if err != nil || d.Endpoint != "e" {
		t.Fatal(d, err)
	}
	if diff := cmp.Diff(p, got, cmp.Comparer(func(a, b func(string)) bool { return a == nil && b == nil })); diff != "" {
		t.Error(diff)
	}
}

// Damage is found, and lengths that nobody sends take no memory.
func TestDamagedFrames(t *testing.T) {
	f, err := protocol.Pack(protocol.KindAlive, protocol.Alive{N: 1})
	if err != nil {
		t.Fatal(err)
	}
	whole, err := f.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		broken := bytes.Clone(whole)
		broken[i] ^= 0x10
		if _, err := protocol.Read(bufio.NewReader(bytes.NewReader(broken)), 1<<20); err == nil {
			t.Errorf("a change of byte %d was not noticed", i)
		}
		if _, err := protocol.Read(bufio.NewReader(bytes.NewReader(whole[:i])), 1<<20); err == nil {
			t.Errorf("an end after %d bytes was not noticed", i)
		}
	}
	if _, err := protocol.Read(bufio.NewReader(strings.NewReader("\xff\xff\xff\x7f0000x")),
		protocol.MaxFrame); err == nil {
		t.Error("a length of 2 GiB was believed")
	}
	huge := protocol.Frame{Kind: protocol.KindDone, Blobs: [][]byte{make([]byte, protocol.MaxFrame)}}
	if _, err := huge.Append(nil); err == nil {
		t.Error("a frame over the bound was made")
	}
}

// A side that takes nothing does not hold up the other, and is cut off in the end.
func TestSlowReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		defer b.Close()
		conn := protocol.NewConn(a)
		for n := range int64(1000) {
			if err := conn.Say(protocol.KindAlive, protocol.Alive{N: n}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if err := conn.Say(protocol.KindAlive, protocol.Alive{}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after a minute: %v", err)
		}
	})
}

// Whatever strangers send is read or refused, and what is read can be written.
func FuzzFrame(f *testing.F) {
	for _, ex := range []providers.Exchange{{}, {Response: nightshift.Response{Text: ptr("x"), Raw: []byte("y")}},
		{Err: &nightshift.Error{Class: nightshift.ClassAuth}}} {
		frame, err := protocol.PackDone("a", ex)
		if err != nil {
			f.Fatal(err)
		}
		b, _ := frame.Append(nil)
		f.Add(b[8:])
	}
	do, _ := protocol.PackDo("a", "e", providers.Prepared{Body: []byte("{}"), Begun: func() {}})
	begun, _ := protocol.Pack(protocol.KindBegun, protocol.IDs{IDs: []string{"a"}})
	for _, frame := range []protocol.Frame{do, begun} {
		b, _ := frame.Append(nil)
		f.Add(b[8:])
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		framed := protocol.Framed(content)
		frame, err := protocol.Read(bufio.NewReader(bytes.NewReader(framed)), 1<<20)
		if err != nil {
			return
		}
		if again, err := frame.Append(nil); err != nil {
			t.Fatal(err)
		} else if _, err := protocol.Read(bufio.NewReader(bytes.NewReader(again)), 1<<21); err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if id, ex, err := protocol.UnpackDone(frame); err == nil {
			if _, err := protocol.PackDone(id, ex); err != nil {
				t.Skip("it holds JSON that cannot be written")
			}
		}
		_, _, _ = protocol.UnpackDo(frame)
		_, _ = protocol.Unpack[protocol.Hello](frame)
		_, _ = protocol.Unpack[protocol.IDs](frame)
		_, _ = protocol.Unpack[protocol.Ready](frame)
		_, _ = protocol.Unpack[protocol.Welcome](frame)
	})
}
