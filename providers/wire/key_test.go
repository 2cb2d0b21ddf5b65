package wire_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/secrets"
	"nightshift/providers/wire"
)

// gate lets requests with the key in; every answer repeats the key that came.
func gate(valid func() string, asked *atomic.Int64) roundTrip {
	return func(r *http.Request) (*http.Response, error) {
		asked.Add(1)
		status, body := 200,
			`{"choices":[{"message":{"content":"you sent %s"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,`+
				`"completion_tokens":1}}`
		if r.Header.Get("Authorization") != "Bearer "+valid() {
			status, body = 401, `{"error":{"message":"expired: %s"}}`
		}
		return &http.Response{StatusCode: status, Header: http.Header{},
			Body: io.NopCloser(strings.NewReader(fmt.Sprintf(body, r.Header.Get("Authorization"))))}, nil
	}
}

func keyedWire(t *testing.T, key string, read func() (secrets.Secret, error), to http.RoundTripper) *wire.Wire {
	t.Helper()
	w, err := wire.New(wire.Config{
		Key: secrets.New(key), ReadKey: read, Transport: to,
		Endpoint: providers.Endpoint{Name: "x", Protocol: nightshift.Chat, BaseURL: "http://localhost",
			Auth: providers.Auth{Scheme: providers.AuthBearer}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// A key that is refused is read again, once for all requests in flight, and
// neither the old nor the new one is shown.
func TestKeyReadAgain(t *testing.T) {
	const old, fresh = "ya29-old-token-000001", "ya29-new-token-000002"
	var asked, reads atomic.Int64
	w := keyedWire(t, old, func() (secrets.Secret, error) {
		reads.Add(1)
		return secrets.New(fresh), nil
	}, gate(func() string { return fresh }, &asked))
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			x := w.Send(t.Context(), providers.Prepared{Body: []byte("{}"), Model: "m"})
			if x.Err != nil || x.Response.Text == nil {
				t.Errorf("%v", x.Err)
				return
			}
			if shown := *x.Response.Text + string(x.Response.Raw); strings.Contains(shown, fresh) ||
				strings.Contains(shown, old) {
				t.Errorf("a key is shown: %s", shown)
			}
		})
	}
	all.Wait()
	if reads.Load() != 1 || asked.Load() > 40 {
		t.Errorf("read %d times, %d requests", reads.Load(), asked.Load())
	}
}

func TestKeyReadAgainInVain(t *testing.T) {
	for name, read := range map[string]func() (secrets.Secret, error){
		"the same":  func() (secrets.Secret, error) { return secrets.New("old-key-000001"), nil },
		"no key":    func() (secrets.Secret, error) { return secrets.Secret{}, errors.New("no file") },
		"as bad":    func() (secrets.Secret, error) { return secrets.New("bad-key-000003"), nil },
		"unchanged": nil,
	} {
		var asked atomic.Int64
		w := keyedWire(t, "old-key-000001", read, gate(func() string { return "good" }, &asked))
		x := w.Send(t.Context(), providers.Prepared{Body: []byte("{}"), Model: "m"})
		if x.Err == nil || x.Err.Class != nightshift.ClassAuth || asked.Load() > 2 ||
			(name != "as bad" && asked.Load() != 1) {
			t.Errorf("%s: %v after %d requests", name, x.Err, asked.Load())
		}
		if strings.Contains(x.Err.Message+string(x.Response.Raw), "-key-0000") {
			t.Errorf("%s: a key is shown: %v", name, x.Err)
		}
	}
}

// A token that says when it ends is read again before.
func TestKeyReadBeforeItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		token := func(end time.Time) string {
			payload := base64.RawURLEncoding.EncodeToString([]byte(fmt.Sprintf(`{"exp":%d}`, end.Unix())))
			return "head." + payload + ".sign"
		}
		start := time.Now()
		valid := token(start.Add(time.Hour))
		var asked atomic.Int64
		w := keyedWire(t, valid, func() (secrets.Secret, error) {
			valid = token(time.Now().Add(time.Hour))
			return secrets.New(valid), nil
		}, gate(func() string { return valid }, &asked))
		for range 100 {
			if x := w.Send(t.Context(), providers.Prepared{Body: []byte("{}"), Model: "m"}); x.Err != nil {
				t.Fatal(x.Err)
			}
			time.Sleep(90 * time.Second)
		}
		if asked.Load() != 100 {
			t.Errorf("%d requests for 100 answers: a token was used after its end", asked.Load())
		}
	})
}

// The tier that served stands in a header where the usage does not say it.
func TestTierFromHeader(t *testing.T) {
	for usage, want := range map[string]string{
		`{"promptTokenCount":1,"candidatesTokenCount":1,"totalTokenCount":2}`:                          "flex",
		`{"promptTokenCount":1,"candidatesTokenCount":1,"totalTokenCount":2,"serviceTier":"standard"}`: "standard",
	} {
		body := `{"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"STOP"}],"usageMetadata":` + usage + `}`
		w, err := wire.New(wire.Config{
			Transport: roundTrip(func(*http.Request) (*http.Response, error) {
				h := http.Header{"X-Gemini-Service-Tier": {"flex"}}
				return &http.Response{StatusCode: 200, Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
			}),
			Endpoint: providers.Endpoint{Name: "x", Protocol: nightshift.Gemini, BaseURL: "http://localhost",
				Auth: providers.Auth{Scheme: providers.AuthNone}},
		})
		if err != nil {
			t.Fatal(err)
		}
		if x := w.Send(t.Context(), providers.Prepared{Body: []byte("{}"), Model: "m"}); x.Err != nil ||
			x.Response.Usage.ServiceTier != want {
			t.Errorf("%s: tier %q, %v", usage, x.Response.Usage.ServiceTier, x.Err)
		}
	}
}
