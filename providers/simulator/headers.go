package simulator

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"nightshift/providers/simulator/internal/ratelimit"
	"nightshift/providers/simulator/internal/requests"
)

// limitHeaders tells the state of the limits in the given dialect.
func limitHeaders(h http.Header, dialect string, readings []ratelimit.Reading, now time.Time) {
	if len(readings) == 0 {
		return
	}
	switch dialect {
	case "anthropic":
		anthropicHeaders(h, readings, now)
	case "openai":
		openaiHeaders(h, readings, func(d time.Duration) string { return d.Round(time.Millisecond).String() })
	case "azure":
		openaiHeaders(h, readings, wholeSeconds)
		set(h, "X-Ratelimit-Renewalperiod-Requests", "60")
		set(h, "X-Ratelimit-Renewalperiod-Tokens", "60")
	}
}

func set(h http.Header, canonical, value string) { h[canonical] = []string{value} }

var anthropicNames = [ratelimit.Dimensions]string{"Requests", "Input-Tokens", "Output-Tokens", "Tokens"}

func anthropicHeaders(h http.Header, readings []ratelimit.Reading, now time.Time) {
	for _, r := range readings {
		name := "Anthropic-Ratelimit-" + anthropicNames[r.Dimension]
		remaining := r.Remaining
		if r.Dimension != ratelimit.Requests && r.Limit >= 100_000 {
			remaining = (remaining + 500) / 1000 * 1000 // as the vendor does
		}
		set(h, name+"-Limit", strconv.FormatInt(r.Limit, 10))
		set(h, name+"-Remaining", strconv.FormatInt(remaining, 10))
		set(h, name+"-Reset", now.Add(r.Reset).UTC().Add(time.Second-1).Format(time.RFC3339))
	}
}

// openaiHeaders tells requests and tokens. Tokens are input and output
// together in this dialect: a limit on one of them has no header, and a client
// that took it for both would pace its input by it.
func openaiHeaders(h http.Header, readings []ratelimit.Reading, format func(time.Duration) string) {
	for _, r := range readings {
		switch r.Dimension {
		case ratelimit.Requests:
			openaiHeader(h, "Requests", r, format)
		case ratelimit.Tokens:
			openaiHeader(h, "Tokens", r, format)
		}
	}
}

func openaiHeader(h http.Header, name string, r ratelimit.Reading, format func(time.Duration) string) {
	set(h, "X-Ratelimit-Limit-"+name, strconv.FormatInt(r.Limit, 10))
	set(h, "X-Ratelimit-Remaining-"+name, strconv.FormatInt(r.Remaining, 10))
	set(h, "X-Ratelimit-Reset-"+name, format(r.Reset))
}

func wholeSeconds(d time.Duration) string {
	return strconv.FormatInt(int64(math.Ceil(d.Seconds())), 10)
}

// waitHeaders tells how long to wait on a 429 and returns what a client must
// understand from it; 0 when the dialect says nothing.
func waitHeaders(h http.Header, dialect string, r *ratelimit.Refusal, now time.Time) time.Duration {
	if r.Wait <= 0 {
		return 0
	}
	seconds := time.Duration(math.Ceil(r.Wait.Seconds())) * time.Second
	switch dialect {
	case "anthropic":
		set(h, "X-Should-Retry", "true")
		set(h, "Retry-After", wholeSeconds(r.Wait))
	case "openai", "azure":
		millis := int64(math.Ceil(float64(r.Wait) / 1e6))
		set(h, "Retry-After-Ms", strconv.FormatInt(millis, 10))
		set(h, "Retry-After", wholeSeconds(r.Wait))
		if dialect == "openai" {
			return time.Duration(millis) * time.Millisecond
		}
	case "openrouter":
		set(h, "X-Ratelimit-Limit", strconv.FormatInt(r.Limit, 10))
		set(h, "X-Ratelimit-Remaining", "0")
		set(h, "X-Ratelimit-Reset", strconv.FormatInt(now.Add(r.Wait).UnixMilli()+1, 10))
		return r.Wait
	case "retry-after":
		set(h, "Retry-After", wholeSeconds(r.Wait))
	default:
		return 0
	}
	return seconds
}

// dialectFor resolves the configured header dialect.
func dialectFor(configured string, p requests.Protocol) string {
	switch {
	case configured != "" && configured != "auto":
		return configured
	case p.LikeChat():
		return "openai"
	case p == requests.Embeddings:
		return "openai"
	case p == requests.Envelope, p == requests.GeminiEmbeddings, p == requests.Gemini:
		return "none"
	}
	return "anthropic"
}

// rateLimitMessage words a 429 as the protocol's vendor does.
func rateLimitMessage(p requests.Protocol, model string, r *ratelimit.Refusal) string {
	if r.Dimension < 0 {
		return fmt.Sprintf("Number of concurrent connections has exceeded your rate limit (%d). Please try again "+
			"later.", r.Limit)
	}
	if p.LikeChat() {
		words := [ratelimit.Dimensions]string{"requests per min (RPM)", "input tokens per min (TPM)",
			"output tokens per min (TPM)", "tokens per min (TPM)"}[r.Dimension]
		if r.Never {
			return fmt.Sprintf("Request too large for %s in organization org-simulator on %s: Limit %d, Requested "+
				"%d. The input or output tokens must be reduced in order to run successfully.", model, words, r.Limit, r.Requested)
		}
		return fmt.Sprintf("Rate limit reached for %s in organization org-simulator on %s: Limit %d, Used %d, "+
			"Requested %d. Please try again in %s.", model, words, r.Limit, r.Used, r.Requested, r.Wait.Round(time.Millisecond))
	}
	words := [ratelimit.Dimensions]string{"requests", "input tokens", "output tokens", "tokens"}[r.Dimension]
	return fmt.Sprintf("This request would exceed the rate limit of %d %s per minute (org: simulator, model: %s). "+
		"Please reduce the prompt length or the maximum tokens requested, or try again later.", r.Limit, words, model)
}
