package providers_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/limits"
)

// countingWire answers everything and counts what it was sent.
type countingWire struct{ sent int }

func (w *countingWire) Prepare(r nightshift.Request) (providers.Prepared, error) {
	return providers.Prepared{Body: []byte("{}"), Model: r.Model, InputText: int64(len(r.System)), InputOther: 1 << 20,
		MaxOutput: 10}, nil
}

func (w *countingWire) Send(context.Context, providers.Prepared) providers.Exchange {
	w.sent++
	text := "ok"
	return providers.Exchange{Sent: true, Response: nightshift.Response{Text: &text, StopReason: nightshift.StopEnd}}
}

// TestLargerThanAMinute fails a row unsent when the configured limits can never
// let it through, and sends whatever may pass.
func TestLargerThanAMinute(t *testing.T) {
	for _, tc := range []struct {
		bytes int
		most  int64
		sent  int
	}{
		{75_000, 1000, 0}, {75_000, 0, 1}, {75_000, 100_000, 1},
		{10_000, 1000, 1}, // may just pass
		{10_010, 1000, 0},
		{100, 1_000, 1}, // an image may be anything
	} {
		w := &countingWire{}
		c := providers.Client{Endpoint: "e",
			Routes: []providers.ClientRoute{{Wire: w, Limiter: limits.New(limits.Config{}), MostInput: tc.most}}}
		_, err := c.Complete(t.Context(), nightshift.Request{Model: "m", System: strings.Repeat("x", tc.bytes)})
		if w.sent != tc.sent {
			t.Errorf("%d bytes of at most %d tokens: sent %d times, want %d", tc.bytes, tc.most, w.sent, tc.sent)
		}
		var wrong *nightshift.Error
		if tc.sent == 0 && (!errors.As(err, &wrong) || wrong.Class != nightshift.ClassExceedsLimit) {
			t.Errorf("%d bytes: %v", tc.bytes, err)
		}
	}
}
