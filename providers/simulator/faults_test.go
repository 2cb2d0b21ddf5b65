package simulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"nightshift/providers/simulator/internal/ledger"
)

// faultWants says what each kind looks like to a client, on a stream and
// without. A kind without an entry fails TestEveryFault.
var faultWants = map[string]func(t *testing.T, path string, stream bool, g got){
	"rate_limit":       wantStatus(429, "1"),
	"retry_after_date": wantStatus(429, "GMT"),
	"retry_after_year": wantStatus(429, "31536000"),
	"retry_after_zero": wantStatus(429, "0"),
	"retry_after_junk": wantStatus(429, "soon"),
	"empty_429": func(t *testing.T, _ string, _ bool, g got) {
		if g.status != 429 || g.body != "" || g.header.Get("Retry-After") != "" {
			t.Errorf("%+v", g)
		}
	},
	"quota":            wantError(429, "insufficient_quota"),
	"no_capacity":      wantError(429, "Resource Unavailable"),
	"payment":          wantError(402, ""),
	"bad_request":      wantError(400, "invalid_request_error"),
	"context_length":   wantError(400, "prompt is too long"),
	"auth":             wantError(401, ""),
	"forbidden":        wantError(403, ""),
	"not_found":        wantError(404, ""),
	"conflict":         wantError(409, ""),
	"request_timeout":  wantError(408, ""),
	"too_large":        wantPage(413),
	"server_error":     wantError(500, ""),
	"unavailable":      wantText(503, "upstream connect error"),
	"bad_gateway_html": wantPage(502),
	"gateway_timeout":  wantPage(504),
	"cloudflare":       wantPage(524),
	"html_200":         wantPage(200),
	"error_array":      wantText(429, `[{"error"`),
	"error_200":        wantError(200, "overload"),
	"overloaded": func(t *testing.T, path string, stream bool, g got) {
		want := 503
		if path == messagesPath {
			want = 529
		}
		wantError(want, "overload")(t, path, stream, g)
	},
	"redirect": func(t *testing.T, _ string, _ bool, g got) {
		if g.status != 307 || !strings.Contains(g.header.Get("Location"), "redirected.invalid") {
			t.Errorf("%+v", g)
		}
	},
	"reset": func(t *testing.T, _ string, _ bool, g got) {
		if g.err == nil || g.status != 0 {
			t.Errorf("%+v", g)
		}
	},
	"timeout": func(t *testing.T, _ string, _ bool, g got) {
		if g.err == nil || g.status != 0 {
			t.Errorf("%+v", g)
		}
	},
	"empty": func(t *testing.T, _ string, _ bool, g got) {
		if g.status != 200 || g.body != "" || g.err != nil {
			t.Errorf("%+v", g)
		}
	},
	"cut_stream":   wantCut,
	"cut_body":     wantCut,
	"stall_stream": wantCut,
	"cut_clean":    wantCutClean,
	"done_after_cut": func(t *testing.T, path string, stream bool, g got) {
		wantCutClean(t, path, stream, g)
		if done := strings.Contains(g.body, "[DONE]"); done != (stream && path == chatPath) {
			t.Errorf("[DONE] %v: %q", done, g.body)
		}
	},
	"error_in_stream": func(t *testing.T, path string, stream bool, g got) {
		if !stream {
			return
		}
		last := lastEvent(g.body)
		if g.status != 200 || !strings.Contains(last, `"Overloaded"`) || !strings.Contains(last, "data: {") ||
			finished(g.body) {
			t.Errorf("%+v", g)
		}
	},
	"bare_error": func(t *testing.T, path string, stream bool, g got) {
		if stream && (g.status != 200 || !json.Valid([]byte(lastEvent(g.body))) || finished(g.body)) {
			t.Errorf("%+v", g)
		}
	},
	"keepalive_only": func(t *testing.T, path string, stream bool, g got) {
		if g.err == nil || stream && (g.status != 200 || g.body == "" || strings.Contains(g.body, "delta")) {
			t.Errorf("%+v", g)
		}
	},
	"two_answers": func(t *testing.T, path string, stream bool, g got) {
		if n := strings.Count(g.body, `"type":"message_start"`); stream && path == messagesPath && n != 2 {
			t.Errorf("%d starts: %s", n, g.body)
		}
	},
	"malformed_json": func(t *testing.T, path string, stream bool, g got) {
		if !stream && json.Valid([]byte(g.body)) || finished(g.body) || g.err != nil {
			t.Errorf("%+v", g)
		}
	},
	"no_choices": wantText(200, `"choices":[]`),
	"no_usage": func(t *testing.T, path string, _ bool, g got) {
		if strings.Contains(g.body, `"usage":{`) || parse(t, path, g).Text == "" {
			t.Errorf("%s", g.body)
		}
	},
	"duplicate_usage": func(t *testing.T, path string, stream bool, g got) {
		if n := strings.Count(g.body, `tokens":`); stream && path == chatPath && strings.Count(g.body,
			`"prompt_tokens":`) != 2 || n == 0 {
			t.Errorf("%s", g.body)
		}
	},
	"bad_usage": func(t *testing.T, path string, _ bool, g got) {
		if !strings.Contains(g.body, `_tokens":-`) {
			t.Errorf("%s", g.body)
		}
	},
	"truncated":      wantStop("max_tokens", "length"),
	"refusal":        wantStop("refusal", "stop"),
	"content_filter": wantStop("refusal", "content_filter"),
	"unknown_stop":   wantStop("galactic_alignment", "galactic_alignment"),
	"pause":          wantStop("pause_turn", "pause_turn"),
	"model_mismatch": func(t *testing.T, path string, _ bool, g got) {
		if a := parse(t, path, g); a.Model != "m-fallback" {
			t.Errorf("model %q", a.Model)
		}
	},
	"null_content": wantEmpty,
	"empty_answer": wantEmpty,
	"bad_utf8": func(t *testing.T, _ string, _ bool, g got) {
		if utf8.ValidString(g.body) {
			t.Errorf("%s", g.body)
		}
	},
	"control_characters": func(t *testing.T, path string, _ bool, g got) {
		if a := parse(t, path, g); !strings.Contains(a.Text, "\x1b[31m\u202e\x00") {
			t.Errorf("%q", a.Text)
		}
	},
	"padding": func(t *testing.T, path string, stream bool, g got) {
		first, rest, _ := strings.Cut(g.body, "\n\n")
		if stream {
			g.body = rest
			if !strings.HasPrefix(first, ": ") {
				t.Errorf("%q", first)
			}
		} else if g.body[0] != '\n' {
			t.Errorf("%q", g.body)
		}
		wantWhole(t, path, stream, g)
	},
	"no_done": func(t *testing.T, path string, stream bool, g got) {
		if strings.Contains(g.body, "[DONE]") || parse(t, path, g).Stop == "" {
			t.Errorf("%s", g.body)
		}
	},
	"crlf": func(t *testing.T, path string, stream bool, g got) {
		if stream && !strings.Contains(g.body, "\r\n\r\n") {
			t.Errorf("%q", g.body)
		}
		g.body = strings.ReplaceAll(strings.ReplaceAll(g.body, "\r\n", "\n"), "data:", "data: ")
		wantWhole(t, path, stream, g)
	},
	"slow_drip": wantWhole,
}

func finished(body string) bool {
	return strings.Contains(body, "message_stop") || strings.Contains(body, `"finish_reason":"`) ||
		strings.Contains(body, `"stop_reason":"`)
}

func lastEvent(body string) string {
	parts := strings.Split(strings.TrimSpace(body), "\n\n")
	return parts[len(parts)-1]
}

func wantStatus(status int, retryAfter string) func(*testing.T, string, bool, got) {
	return func(t *testing.T, _ string, _ bool, g got) {
		if g.status != status || !strings.Contains(g.header.Get("Retry-After"), retryAfter) || !json.Valid([]byte(g.body)) {
			t.Errorf("%+v", g)
		}
	}
}

func wantError(status int, word string) func(*testing.T, string, bool, got) {
	return func(t *testing.T, path string, _ bool, g got) {
		var e struct {
			Error struct{ Message string }
		}
		if g.err != nil || g.status != status || json.Unmarshal([]byte(g.body), &e) != nil || e.Error.Message == "" ||
			!strings.Contains(g.body, word) {
			t.Errorf("%+v", g)
		}
	}
}

func wantPage(status int) func(*testing.T, string, bool, got) {
	return func(t *testing.T, _ string, _ bool, g got) {
		if g.status != status || !strings.HasPrefix(g.body, "<!DOCTYPE html>") ||
			!strings.HasPrefix(g.header.Get("Content-Type"), "text/html") {
			t.Errorf("%+v", g)
		}
	}
}

func wantText(status int, text string) func(*testing.T, string, bool, got) {
	return func(t *testing.T, _ string, _ bool, g got) {
		if g.status != status || !strings.Contains(g.body, text) {
			t.Errorf("%+v", g)
		}
	}
}

func wantCut(t *testing.T, _ string, _ bool, g got) {
	if !errors.Is(g.err, io.ErrUnexpectedEOF) || g.status != 200 || g.body == "" ||
		finished(g.body) && strings.Contains(g.body, "[DONE]") {
		t.Errorf("%+v", g)
	}
}

func wantCutClean(t *testing.T, _ string, stream bool, g got) {
	if g.err != nil || g.status != 200 || g.body == "" || stream && finished(g.body) ||
		!stream && json.Valid([]byte(g.body)) {
		t.Errorf("%+v", g)
	}
}

func wantStop(onMessages, onChat string) func(*testing.T, string, bool, got) {
	return func(t *testing.T, path string, _ bool, g got) {
		want := onChat
		if path == messagesPath {
			want = onMessages
		}
		if a := parse(t, path, g); a.Stop != want || !a.Finished {
			t.Errorf("stop %q, want %q", a.Stop, want)
		}
	}
}

func wantEmpty(t *testing.T, path string, _ bool, g got) {
	if a := parse(t, path, g); a.Text != "" || !a.Finished || a.Stop == "" {
		t.Errorf("%+v", a)
	}
}

func wantWhole(t *testing.T, path string, _ bool, g got) {
	if a := parse(t, path, g); a.Text == "" || !a.Finished {
		t.Errorf("%+v", a)
	}
}

// billed says which kinds are billed: those for which an answer was generated.
func billed(k faultKind) bool { return k.refuse == nil }

func TestEveryFault(t *testing.T) {
	for _, k := range faultKinds {
		if k.name == "outage" {
			continue // needs a window: see TestOutage
		}
		want := faultWants[k.name]
		if want == nil {
			t.Errorf("no test for %s", k.name)
			continue
		}
		cfg := Config{Faults: []Fault{{Kind: k.name, Share: 1, Hold: 20 * time.Millisecond}}}
		t.Run(k.name, func(t *testing.T) {
			everyWay(t, cfg, func(t *testing.T, c *caller) {
				c.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
				tellFault(t, c, k, want)
			})
		})
	}
}

func tellFault(t *testing.T, c *caller, k faultKind, want func(*testing.T, string, bool, got)) {
	prompt := "Describe the history of lighthouses in detail."
	n := int64(0)
	for _, path := range []string{messagesPath, chatPath} {
		for _, stream := range []bool{false, true} {
			extra := ""
			if stream {
				extra = `"stream":true,`
				if path == chatPath {
					extra += `"stream_options":{"include_usage":true},`
				}
			}
			want(t, path, stream, c.post(path, simple("m", prompt, extra)))
			n++
		}
	}
	waitIdle(t, c.Server)
	l := c.Ledger()
	if l.Received != n || l.Faulted != n || l.Faults[k.name] != n {
		t.Errorf("ledger: %+v, faults %v", l.Totals, l.Faults)
	}
	if (l.Billed.Output > 0) != billed(k) || (l.Answered == n) != billed(k) {
		t.Errorf("billed %+v, answered %d", l.Billed, l.Answered)
	}
	whole := k.change != nil || k.benign
	if (l.Delivered == n) != whole || !whole && l.Delivered != 0 {
		t.Errorf("delivered %d of %d", l.Delivered, n)
	}
}

func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults, err := ParseFaults("outage=60s@120s")
		if err != nil {
			t.Fatal(err)
		}
		c := inProcess(Config{Faults: faults, Outages: []Window{{At: 300 * time.Second, For: time.Second}}})
		start := time.Now()
		for time.Since(start) < 310*time.Second {
			s := time.Since(start).Seconds()
			want := 200
			if s >= 120 && s < 180 || s >= 300 && s < 301 {
				want = 503
			}
			if g := c.post(chatPath, simple("m", "Hi", "")); g.status != want {
				t.Fatalf("after %v s: %d, want %d", s, g.status, want)
			}
			time.Sleep(500 * time.Millisecond)
		}
	})
}

// TestFaultShares counts kinds over many prompts: each share must come out
// within four standard errors, and again on the second try of those that
// were hit.
func TestFaultShares(t *testing.T) {
	faults, err := ParseFaults("rate_limit=10%,cut_stream=5%,no_usage=2%,mixed=11%")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{"rate_limit": 0.11, "cut_stream": 0.06, "no_usage": 0.02, "server_error": 0.01,
		"reset": 0.01, "error_200": 0.01}
	const n = 8_000
	c := inProcess(Config{Faults: faults})
	hit := []int{}
	for i := range n {
		before := c.book.Ledger.Faulted
		c.post(chatPath, simple("m", fmt.Sprint("Question ", i), ""))
		if waitIdle(t, c.Server); c.book.Ledger.Faulted > before {
			hit = append(hit, i)
		}
	}
	check := func(l ledger.Ledger, n float64) {
		for kind, share := range want {
			got := float64(l.Faults[kind]) / n
			if math.Abs(got-share) > 4*math.Sqrt(share*(1-share)/n) {
				t.Errorf("%s: %.4f of %.0f, want %.4f", kind, got, n, share)
			}
		}
	}
	check(c.Ledger(), n)
	again := 0
	for _, i := range hit {
		before := c.book.Ledger.Faulted
		c.post(chatPath, simple("m", fmt.Sprint("Question ", i), ""))
		if waitIdle(t, c.Server); c.book.Ledger.Faulted > before {
			again++
		}
	}
	// An answer without usage is an answer: asked again, it comes again so.
	expect := 0.26*float64(len(hit)-160) + 160
	if math.Abs(float64(again)-expect) > 80 {
		t.Errorf("%d of %d were hit again, want about %.0f", again, len(hit), expect)
	}
}

func TestOnly(t *testing.T) {
	faults, err := ParseFaults("server_error=100%;protocol=chat;model=bad;contains=whale;first=2")
	if err != nil {
		t.Fatal(err)
	}
	c := inProcess(Config{Faults: faults})
	for _, tc := range []struct {
		path, model, prompt string
		want                []int
	}{
		{chatPath, "bad-1", "A whale", []int{500, 500, 200, 500}}, // an answer starts the count again
		{messagesPath, "bad-1", "A whale", []int{200}},
		{chatPath, "good", "A whale", []int{200}},
		{chatPath, "bad-1", "A bird", []int{200}},
	} {
		for i, want := range tc.want {
			if g := c.post(tc.path, simple(tc.model, tc.prompt, "")); g.status != want {
				t.Errorf("%s %s %q, try %d: %d, want %d", tc.path, tc.model, tc.prompt, i, g.status, want)
			}
		}
	}
}

func TestStallLastsItsHold(t *testing.T) {
	for _, kind := range []string{"timeout", "stall_stream", "keepalive_only"} {
		synctest.Test(t, func(t *testing.T) {
			c := inProcess(Config{Faults: []Fault{{Kind: kind, Share: 1}}})
			start := time.Now()
			if g := c.post(chatPath, simple("m", "Hi", `"stream":true,`)); g.err == nil || time.Since(start) != defaultHold {
				t.Errorf("%s: %v after %v", kind, g.err, time.Since(start))
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			start = time.Now()
			if g := c.postCtx(ctx, chatPath, simple("m", "Ho", `"stream":true,`)); !errors.Is(g.err,
				context.DeadlineExceeded) || time.Since(start) != time.Minute {
				t.Errorf("%s: %v after %v", kind, g.err, time.Since(start))
			}
		})
	}
}

func TestMixesAreValid(t *testing.T) {
	for name, kinds := range faultMixes() {
		for _, k := range kinds {
			if findFault(k) == nil {
				t.Errorf("mix %s: unknown kind %s", name, k)
			}
		}
		if len(kinds) == 0 || slices.Contains(kinds, "outage") {
			t.Errorf("mix %s: %v", name, kinds)
		}
	}
}
