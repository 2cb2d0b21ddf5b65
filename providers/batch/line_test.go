package batch

import (
	"errors"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers"
)

// reader is a Batcher that only reads, with a price of 1 a token.
func reader(t testing.TB, p nightshift.Protocol) *Batcher {
	t.Helper()
	e, _ := providers.Lookup("simulator", p, nil)
	price := func(_ string, u nightshift.Usage) (nightshift.NanoUSD, string, bool) {
		return nightshift.NanoUSD(u.Total().N()), "p/" + u.ServiceTier, true
	}
	b, err := New(Config{Endpoint: e, Model: "m-1", Price: price})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	chatBody = `{"id":"c1","object":"chat.completion","model":"m-1","choices":[{"index":0,` +
		`"message":{"role":"assistant","content":"4"},"finish_reason":"stop"}],` +
		`"usage":{"prompt_tokens":20,"completion_tokens":5}TIER}`
	messageBody = `{"id":"msg_1","type":"message","model":"m-1","content":[{"type":"text","text":"4"}],` +
		`"stop_reason":"end_turn","usage":{"input_tokens":20,"output_tokens":5,"service_tier":"batch"}}`
)

func chat(tier string) string { return strings.Replace(chatBody, "TIER", tier, 1) }

// jsonText is a JSON text as a JSON string.
func jsonText(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"` }

const (
	final = nightshift.BatchFinal
	again = nightshift.BatchAgain
	stop  = nightshift.BatchStop
)

// TestRead reads result lines of all shapes.
func TestRead(t *testing.T) {
	wrapped := func(status, body string) string {
		return `{"custom_id":"a","response":{"status_code":` + status + `,"request_id":"q1","body":` + body +
			`},"error":null}`
	}
	errored := func(kind, message string) string {
		return `{"custom_id":"a","result":{"type":"errored","error":{"type":"error","error":{"details":null,"type":"` +
			kind + `","message":"` + message + `"},"request_id":null}}}`
	}
	refusal := func(message, kind, code string) string {
		return `{"error":{"message":"` + message + `","type":"` + kind + `","code":` + code + `}}`
	}
	for _, c := range []struct {
		name, line string
		class      nightshift.ErrorClass // "" is an answer
		next       nightshift.BatchNext
		status     int
		billed     bool // maybe
	}{
		{"OpenAI", wrapped("200", chat("")), "", final, 200, false},
		{"OpenAI, a status in words", wrapped(`"200"`, chat("")), "", final, 200, false},
		{"OpenAI, body as a text", wrapped("200", jsonText(chat(""))), "", final, 200, false},
		{"OpenAI, byte order mark and blanks", "\xef\xbb\xbf " + wrapped("200", chat("")) + " \r\n", "", final, 200, false},
		{"OpenAI, 400", wrapped("400", refusal("bad value", "invalid_request_error", `"decimal_above_max_value"`)),
			nightshift.ClassInvalidRequest, final, 400, false},
		{"OpenAI, too long", wrapped("400", refusal("This model's maximum context length is 8192 tokens.",
			"invalid_request_error", `"context_length_exceeded"`)), nightshift.ClassContextLength, final, 400, false},
		{"OpenAI, 429", wrapped("429", refusal("Rate limit reached for requests", "requests", `"rate_limit_exceeded"`)),
			nightshift.ClassRateLimit, again, 429, false},
		{"OpenAI, quota", wrapped("429", refusal("You exceeded your current quota", "insufficient_quota",
			`"insufficient_quota"`)), nightshift.ClassQuota, stop, 429, false},
		{"OpenAI, 500", wrapped("500", refusal("The server had an error", "server_error", "null")),
			nightshift.ClassServer, again, 500, false},
		{"OpenAI, 504 of a proxy", wrapped("504", jsonText("<html></html>")), nightshift.ClassServer, again, 504, false},
		{"OpenAI, status 0", wrapped("0", "{}"), nightshift.ClassServer, again, 0, true},
		{"OpenAI, not decodable", wrapped("200", `{"hello":1}`), nightshift.ClassBadResponse, again, 200, true},
		{"OpenAI, no body", wrapped("200", "null"), nightshift.ClassBadResponse, again, 200, true},
		{"OpenAI, expired", `{"id":"r","custom_id":"a","response":null,"error":{"code":"batch_expired","message":"late"}}`,
			nightshift.ClassBatchExpired, again, 0, false},
		{"OpenAI, cancelled", `{"custom_id":"a","response":null,"error":{"code":"batch_cancelled","message":""}}`,
			nightshift.ClassCancelled, again, 0, false},
		{"OpenAI, timeout", `{"custom_id":"a","error":{"code":"request_timeout","message":"no answer"}}`,
			nightshift.ClassServer, again, 0, false},
		{"nothing at all", `{"custom_id":"a","response":null,"error":null}`, nightshift.ClassBadResponse, again, 0, true},
		{"Mistral, 400 with a text", wrapped("400", jsonText(`{"object":"error","message":"bad",`+
			`"type":"invalid_request_error"}`)), nightshift.ClassInvalidRequest, final, 400, false},
		{"Together, error row", `{"id":"x","custom_id":"a","error":{"code":"invalid_request","message":"bad"}}`,
			nightshift.ClassInvalidRequest, final, 0, false},
		{"DeepInfra, code in words", `{"custom_id":"a","response":null,"error":{"code":"400","message":"bad"}}`,
			nightshift.ClassInvalidRequest, final, 400, false},
		{"DeepInfra, 500", `{"custom_id":"a","response":null,"error":{"code":"500","message":"stream not supported"}}`,
			nightshift.ClassServer, again, 500, false},
		{"bare text", `{"custom_id":"a","error":"the model is overloaded, try again later"}`,
			nightshift.ClassOverloaded, again, 0, false},
		{"Anthropic", `{"custom_id":"a","result":{"type":"succeeded","message":` + messageBody + `}}`, "", final, 200, false},
		{"Anthropic, bad", errored("invalid_request_error", "messages: Field required"),
			nightshift.ClassInvalidRequest, final, 0, false},
		{"Anthropic, credit", errored("invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
			nightshift.ClassQuota, stop, 0, false},
		{"Anthropic, overloaded", errored("overloaded_error", "Overloaded"), nightshift.ClassOverloaded, again, 0, false},
		{"Anthropic, server", errored("api_error", "Internal server error"), nightshift.ClassServer, again, 0, false},
		{"Anthropic, key", errored("authentication_error", "invalid x-api-key"), nightshift.ClassAuth, stop, 0, false},
		{"Anthropic, model", errored("not_found_error", "model: m-1"), nightshift.ClassNotFound, stop, 0, false},
		{"Anthropic, expired", `{"custom_id":"a","result":{"type":"expired"}}`,
			nightshift.ClassBatchExpired, again, 0, false},
		{"Anthropic, canceled", `{"custom_id":"a","result":{"type":"canceled"}}`, nightshift.ClassCancelled, again, 0, false},
		{"Gemini", `{"key":"a","response":{"candidates":[{"content":{"parts":[{"text":"4"}],"role":"model"},` +
			`"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":20,"candidatesTokenCount":5}}}`, "", final, 200, false},
		{"Gemini, error", `{"key":"a","error":{"code":400,"message":"bad","status":"INVALID_ARGUMENT"}}`,
			nightshift.ClassInvalidRequest, final, 400, false},
		{"Gemini, busy", `{"key":"a","error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}`,
			nightshift.ClassOverloaded, again, 503, false},
		{"Gemini, key in metadata", `{"metadata":{"key":"a"},"error":{"code":500,"message":"Internal"}}`,
			nightshift.ClassServer, again, 500, false},
		{"xAI", `{"batch_request_id":"a","batch_result":{"response":{"chat_get_completion":` + chat("") + `}}}`,
			"", final, 200, false},
		{"xAI, error", `{"batch_request_id":"a","error_message":"internal error"}`, nightshift.ClassServer, again, 0, false},
		{"Fireworks", `{"custom_id":"a","response":` + chat("") + `}`, "", final, 200, false},
		{"error with a number of its own", `{"custom_id":"a","response":{"error":{"code":429,"message":"slow down"}}}`,
			nightshift.ClassRateLimit, again, 429, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := reader(t, nightshift.Chat)
			r, err := b.Read([]byte(c.line))
			if err != nil || r.ID != "a" || b.ResultID([]byte(c.line)) != "a" {
				t.Fatalf("%+v, %v", r, err)
			}
			checkRow(t, r, c.class, c.next, c.status, c.billed)
		})
	}
}

func checkRow(
	t *testing.T, r nightshift.BatchResult,
	class nightshift.ErrorClass, next nightshift.BatchNext, status int, billed bool,
) {
	t.Helper()
	a := r.Response.Attempts[0]
	if class == "" {
		if r.Err != nil || r.Response.Text == nil || *r.Response.Text != "4" || a.Cost == nil || *a.Cost != 25 {
			t.Errorf("%+v, attempt %+v", r, a)
		}
		if a.PriceID != "p/batch" || a.Status != 200 || a.ServedModel == "" && len(r.Response.Usage.ServiceTier) == 0 {
			t.Errorf("attempt %+v", a)
		}
		return
	}
	if r.Err == nil || r.Err.Class != class || r.Next != next || r.Response.Status != status {
		t.Fatalf("%v (status %d, next %d), want %s, %d, %d", r.Err, r.Response.Status, r.Next, class, status, next)
	}
	if r.Err.MaybeBilled != billed || (a.Cost == nil) != billed || a.Class != class || a.MaybeBilled != billed {
		t.Errorf("maybe billed %v, attempt %+v", r.Err.MaybeBilled, a)
	}
}

// TestLinesThatAreNone sees that a line which holds no result is told from one
// that does.
func TestLinesThatAreNone(t *testing.T) {
	b := reader(t, nightshift.Chat)
	for _, line := range []string{"", "\n", "{", `{"custom_id":"a","respon`, "[1]", `"a"`, "null", "\xff\xfe"} {
		if r, err := b.Read([]byte(line)); !errors.Is(err, errNoRow) || b.ResultID([]byte(line)) != "" {
			t.Errorf("Read(%q) = %+v, %v", line, r, err)
		}
	}
}

// TestTiers sees that a batch's row is priced as one whatever its answer says,
// and that another tier which changes prices is kept and flagged.
func TestTiers(t *testing.T) {
	b := reader(t, nightshift.Chat)
	for tier, want := range map[string]string{
		"": "batch", "default": "batch", "standard": "batch", "auto": "batch", "batch": "batch", "priority": "priority",
	} {
		said := ""
		if tier != "" {
			said = `,"service_tier":"` + tier + `"`
		}
		r, err := b.Read([]byte(`{"custom_id":"a","response":{"status_code":200,"body":` + chat(said) + `}}`))
		if err != nil || r.Response.Usage.ServiceTier != want || r.Response.PriceID != "p/"+want {
			t.Errorf("%q: %q, price %s, %v", tier, r.Response.Usage.ServiceTier, r.Response.PriceID, err)
		}
		if flagged := strings.Contains(strings.Join(r.Response.Flags, " "), "tier_not_batch"); flagged != (want != "batch") {
			t.Errorf("%q: flags %v", tier, r.Response.Flags)
		}
	}
}

// TestTicks sees that xAI's own word for the price is kept.
func TestTicks(t *testing.T) {
	b := reader(t, nightshift.Chat)
	body := strings.Replace(chat(""), `"completion_tokens":5`, `"completion_tokens":5,"cost_in_usd_ticks":739000`, 1)
	r, err := b.Read([]byte(`{"batch_request_id":"a","batch_result":{"response":{"chat_get_completion":` + body + `}}}`))
	if err != nil || r.Response.Usage.Reported == nil || *r.Response.Usage.Reported != 73900 {
		t.Errorf("%+v, %v", r.Response.Usage, err)
	}
}

// FuzzRead reads lines of any kind: whatever they hold, there is a result with
// one attempt, or an error.
func FuzzRead(f *testing.F) {
	for _, line := range []string{
		`{"custom_id":"a","response":{"status_code":200,"body":` + chat("") + `},"error":null}`,
		`{"custom_id":"a","response":{"status_code":0,"body":{}},"error":null}`,
		`{"custom_id":7,"response":{"status_code":1e9,"body":"{"},"error":"x"}`,
		`{"custom_id":"a","result":{"type":"errored","error":{"type":"error","error":{"type":"api_error"}}}}`,
		`{"key":"a","error":{"code":-1,"message":[]}}`,
		`{"batch_request_id":"a","batch_result":{"response":{"x":{"choices":[]}}},"error_message":"e"}`,
	} {
		f.Add([]byte(line))
	}
	b := reader(f, nightshift.Chat)
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := b.Read(line)
		if err != nil {
			return
		}
		a := r.Response.Attempts
		if len(a) != 1 || r.ID != b.ResultID(line) || (a[0].Class == "") != (r.Err == nil) {
			t.Fatalf("%+v", r)
		}
		if r.Err != nil && r.Err.Class == "" || r.Err == nil && r.Next != nightshift.BatchFinal {
			t.Fatalf("%+v", r.Err)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	text := strings.Replace(chat(""), `"content":"4"`, `"content":"`+strings.Repeat("lorem ipsum ", 230)+`"`, 1)
	line := []byte(`{"custom_id":"a","response":{"status_code":200,"request_id":"q1","body":` + text + `},"error":null}`)
	r := reader(b, nightshift.Chat)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Read(line); err != nil {
			b.Fatal(err)
		}
	}
}
