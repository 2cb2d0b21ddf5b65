package secrets

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// shapes are what keys of well-known services look like, wherever they stand.
// A group named keep is left in place. The first words of the pattern are
// literal so that the regexp engine can skip ahead. They are compiled when first needed.
var shapes = sync.OnceValue(func() []*regexp.Regexp {
	return []*regexp.Regexp{
		regexp.MustCompile(
			`(?i)(?P<keep>\bBearer\s+)(?:[A-Za-z0-9._~+/=-]{32,}|[A-Za-z._~+/=-]*[0-9][A-Za-z0-9._~+/=-]{7,}|` +
				`[A-Za-z._~+/=-]{7,}[0-9][A-Za-z0-9._~+/=-]*)`),
		regexp.MustCompile(`(?i)(?P<keep>\b(?:x-api-key|api-key|authorization)["']?\s*[:=]\s*["']?)[A-Za-z0-9._~+/=-]{16,}`),
		regexp.MustCompile(`(?P<keep>\bsk-)[A-Za-z0-9_-]{8,}`),
		regexp.MustCompile(`(?P<keep>\bAIza)[A-Za-z0-9_-]{20,}`),
		regexp.MustCompile(`(?P<keep>\bxai-)[A-Za-z0-9_-]{16,}`),
		regexp.MustCompile(`(?P<keep>\bgsk_)[A-Za-z0-9_-]{16,}`),
		regexp.MustCompile(`(?P<keep>\bpplx-)[A-Za-z0-9_-]{16,}`),
		regexp.MustCompile(`(?P<keep>\bfw_)[A-Za-z0-9_-]{16,}`),
		regexp.MustCompile(`(?P<keep>\bhf_)[A-Za-z0-9_-]{16,}`),
		regexp.MustCompile(`(?P<keep>\bnvapi-)[A-Za-z0-9_-]{16,}`),
	}
})

// marks are what any of shapes needs, in the cases in which it is written. To
// look for them is a hundred times faster than to try the expressions.
var marks = []string{
	"sk-", "AIza", "xai-", "gsk_", "pplx-", "fw_", "hf_", "nvapi-",
	"Bearer", "bearer", "BEARER", "Authorization", "authorization", "AUTHORIZATION",
	"api-key", "Api-Key", "API-Key", "Api-key", "API-KEY",
}

func hasShape(text string) bool {
	for _, mark := range marks {
		if strings.Contains(text, mark) {
			return true
		}
	}
	return false
}

// minSecret is the length below which a live key is not searched for: hiding
// every "a" would destroy the text and protect nothing.
const minSecret = 6

// A Redactor replaces keys by ***: the live ones it was given (as they are,
// URL-encoded, JSON-escaped, and base64-encoded at any offset), and whatever
// has the shape of a well-known service's key. A nil Redactor and the zero
// value know shapes only. It does not change once made and is safe for
// concurrent use.
type Redactor struct {
	// live returns the forms of the live keys, the longest first. It is a func
	// because fmt prints what it finds in a struct, but not what a func holds.
	live func() [][]byte
}

// Format shows nothing of what a Redactor knows.
func (*Redactor) Format(f fmt.State, _ rune) { io.WriteString(f, "redactor") }

// NewRedactor makes a Redactor that knows these live keys.
func NewRedactor(live ...Secret) *Redactor {
	seen := map[string]bool{}
	var forms [][]byte
	for _, s := range live {
		for _, form := range encodings(s.Reveal()) {
			if len(form) >= minSecret && !seen[form] {
				seen[form] = true
				forms = append(forms, []byte(form))
			}
		}
	}
	slices.SortStableFunc(forms, func(a, b []byte) int { return len(b) - len(a) })
	return &Redactor{live: func() [][]byte { return forms }}
}

// forms are what the live keys look like; none for a Redactor without any.
func (r *Redactor) forms() [][]byte {
	if r == nil || r.live == nil {
		return nil
	}
	return r.live()
}

// encodings lists the forms in which a key can turn up in a text.
func encodings(key string) []string {
	if len(key) < minSecret {
		return nil
	}
	forms := []string{key, url.QueryEscape(key), url.PathEscape(key), percentAll(key)}
	for _, html := range []bool{true, false} {
		forms = append(forms, jsonEscape(key, html))
	}
	for offset := range 3 {
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			forms = append(forms, base64Core(enc, key, offset))
		}
	}
	return forms
}

// percentAll is the form some proxies log: every byte that is not a letter or
// digit escaped, in lower case.
func percentAll(key string) string {
	var b strings.Builder
	const hex = "0123456789abcdef"
	for i := 0; i < len(key); i++ {
		c := key[i]
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}

func jsonEscape(key string, html bool) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(html)
	if enc.Encode(key) != nil {
		return ""
	}
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSuffix(b.String(), "\n"), `"`), `"`)
}

// base64Core is the part of the encoding of something that contains key,
// starting at the given offset modulo 3, which depends on key alone: the
// characters at both ends carry bits of the neighbours.
func base64Core(enc *base64.Encoding, key string, offset int) string {
	padded := append(make([]byte, offset), key...)
	skip := []int{0, 2, 3}[offset]
	whole := len(padded) / 3 * 4
	rest := []int{0, 1, 2}[len(padded)%3]
	text := enc.EncodeToString(padded)
	return text[min(skip, len(text)):min(whole+rest, len(text))]
}

// Redact returns s without keys.
func (r *Redactor) Redact(s string) string {
	if r.ContainsText(s) {
		for _, form := range r.forms() {
			s = strings.ReplaceAll(s, string(form), mask)
		}
	}
	if !hasShape(s) {
		return s
	}
	for _, shape := range shapes() {
		s = shape.ReplaceAllString(s, "${keep}"+mask)
	}
	return s
}

// Live returns b without the live keys, and leaves alone what merely looks
// like one. It is for bodies that must otherwise stay as they were read. The
// result is b itself when it held none; b is never changed.
func (r *Redactor) Live(b []byte) []byte {
	for _, form := range r.forms() {
		if bytes.Contains(b, form) {
			b = bytes.ReplaceAll(b, form, []byte(mask))
		}
	}
	return b
}

// Contains reports whether b holds one of the live keys in any form.
func (r *Redactor) Contains(b []byte) bool {
	for _, form := range r.forms() {
		if bytes.Contains(b, form) {
			return true
		}
	}
	return false
}

// ContainsText is Contains for a string.
func (r *Redactor) ContainsText(s string) bool {
	return len(r.forms()) > 0 && r.Contains([]byte(s))
}

// URL returns a URL for people: without user info, query and fragment, which
// is where URLs carry secrets. A text that is not a URL comes back redacted.
func (r *Redactor) URL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return r.Redact(cutURL(raw))
	}
	u.User, u.RawQuery, u.Fragment, u.RawFragment, u.ForceQuery = nil, "", "", "", false
	return r.Redact(u.String())
}

// cutURL drops query, fragment and user info from what url.Parse refuses.
func cutURL(raw string) string {
	if i := strings.IndexAny(raw, "?#"); i >= 0 {
		raw = raw[:i]
	}
	scheme, rest, found := strings.Cut(raw, "://")
	if !found {
		return raw
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest = rest[i+1:]
	}
	return scheme + "://" + rest
}
