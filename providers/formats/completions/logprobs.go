package completions

import (
	"fmt"
	"math"
	"strings"
	"unicode"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers"
	"nightshift/providers/formats/internal/body"
)

// Score implements formats.Scoring. The prompt of the request is the text before
// and the text to be scored in one, which the server is asked to echo with the
// log-probabilities of its tokens and without a token of its own. prompt_logprobs
// among the parameters (vLLM) asks for them otherwise, and leaves out the echo.
//
// White space at the end of the text before belongs to the text to be scored, as
// tokenizers have it, and as lm-evaluation-harness does.
func (Format) Score(req nightshift.Request) (nightshift.Request, providers.Scored, error) {
	before := ""
	for _, m := range req.Messages {
		if m.Raw != nil {
			return req, providers.Scored{}, &nightshift.Error{
				Class: nightshift.ClassUntranslatable, Code: "loglikelihood",
				Message: "a prompt that is not plain text cannot be scored", Hint: useTemplate,
			}
		}
		before += m.Text
	}
	scored := providers.Scored{
		Prompt: before + req.Continuation,
		From:   len(strings.TrimRightFunc(before, unicode.IsSpace)),
	}
	params, err := scoreParams(req.Params)
	if err != nil {
		return req, scored, err
	}
	req.Params, req.Stream, req.Continuation = params, false, ""
	if n := len(req.Messages); n > 0 {
		req.Messages = append([]nightshift.Message(nil), req.Messages...)
		req.Messages[n-1].Text += scored.Prompt[len(before):]
	} else {
		req.Messages = []nightshift.Message{{Role: nightshift.RoleUser, Text: scored.Prompt}}
	}
	return req, scored, nil
}

// scoreParams adds to the user's parameters what asks for log-probabilities.
func scoreParams(params []nightshift.Param) ([]nightshift.Param, error) {
	for _, p := range params {
		if capsAnswer(p) {
			return nil, body.Invalid(p.Name,
				fmt.Sprintf("%s is %s, and a request for log-probabilities writes no answer", p.Name, p.Value),
				"leave it out, or set 1 for a server that refuses 0")
		}
	}
	wants := []nightshift.Param{
		{Name: "max_tokens", Value: []byte("0")},
		{Name: "echo", Value: []byte("true")},
		{Name: "logprobs", Value: []byte("1")},
	}
	if body.Has(params, "prompt_logprobs") {
		wants = []nightshift.Param{{Name: "max_tokens", Value: []byte("1")}}
	}
	for _, p := range wants {
		if !body.Has(params, p.Name) {
			params = append(params[:len(params):len(params)], p)
		}
	}
	return params, nil
}

// capsAnswer reports whether a parameter lets the server write an answer.
func capsAnswer(p nightshift.Param) bool {
	if p.Name != "max_tokens" && p.Name != "max_completion_tokens" {
		return false
	}
	v, err := rawjson.Scan(p.Value)
	n, ok := v.Int()
	return err == nil && (!ok || n > 1)
}

// A token is a piece of the prompt as the server cut it.
type token struct {
	text    string
	logprob float64
	known   bool // a log-probability came with it
}

// Loglikelihood implements formats.Scoring.
func (Format) Loglikelihood(root rawjson.Value, s providers.Scored) (nightshift.Loglikelihood, *nightshift.Error) {
	tokens := promptTokens(root)
	if len(tokens) == 0 {
		return nightshift.Loglikelihood{}, missing("it gave none at all")
	}
	spans, end := align(tokens, s.Prompt)
	if end < len(s.Prompt) {
		return nightshift.Loglikelihood{}, uncovered(s.Prompt, end)
	}
	return sum(tokens, spans, s)
}

// promptTokens are the tokens of the prompt and whatever was written after it, in
// any of the places where servers put them.
func promptTokens(root rawjson.Value) []token {
	first := root.Get("choices").First()
	for _, place := range []rawjson.Value{
		first.Get("prompt_logprobs"),               // vLLM, asked for by that name
		root.Get("prompt").First().Get("logprobs"), // Together
		first.Get("logprobs"),
	} {
		if tokens := readTokens(place); len(tokens) > 0 {
			return tokens
		}
	}
	return nil
}

// readTokens reads the format's own lists, Chat's list of objects, or vLLM's list
// of candidates by their numbers, of which the prompt's own comes first.
func readTokens(v rawjson.Value) (tokens []token) {
	v, err := rawjson.Scan(v.Raw()) // logprobs are not looked into before
	switch {
	case err != nil:
	case v.Kind() == rawjson.Array:
		for candidates := v.First(); candidates.Exists(); candidates = candidates.Next() {
			own := candidates.First()
			tokens = append(tokens, newToken(own.Get("decoded_token"), own.Get("logprob")))
		}
	case v.Get("content").Kind() == rawjson.Array:
		for t := v.Get("content").First(); t.Exists(); t = t.Next() {
			tokens = append(tokens, newToken(t.Get("token"), t.Get("logprob")))
		}
	default:
		p := v.Get("token_logprobs").First()
		for t := v.Get("tokens").First(); t.Exists(); t = t.Next() {
			tokens = append(tokens, newToken(t, p))
			if p.Exists() {
				p = p.Next()
			}
		}
	}
	return tokens
}

func newToken(text, logprob rawjson.Value) token {
	p, known := logprob.Float()
	return token{text: text.String(), logprob: p, known: known && !math.IsNaN(p) && p <= 0}
}

// A span is where a token stands in the prompt, in bytes.
type span struct{ from, to int }

// align finds the tokens in the prompt, and how far they reach. A token that is
// none of its text, as one for the beginning of a text, has no length. Several
// tokens that make one character come as something else than their text; they
// share what lies between the tokens around them.
func align(tokens []token, prompt string) (spans []span, end int) {
	spans = make([]span, 0, len(tokens))
	odd := 0 // tokens before this one that were not found
	share := func(to int) {
		for k := len(spans) - odd; k < len(spans); k++ {
			spans[k] = span{end, to}
		}
		end, odd = to, 0
	}
	for _, t := range tokens {
		if end == len(prompt) {
			break
		}
		gap := odd
		if odd > 0 && end == 0 && tokens[0].text == "" { // vLLM does not tell the first
			gap = longestToken
		}
		at, length := find(t.text, prompt[end:], gap, end == 0)
		if length == 0 {
			odd++
			spans = append(spans, span{end, end})
			continue
		}
		share(end + at)
		spans = append(spans, span{end, end + length})
		end += length
	}
	if odd > 0 && isFragment(tokens[len(spans)-odd]) {
		share(len(prompt))
	}
	return spans, end
}

// longestToken is how many characters a token has at most, to be found after.
const longestToken = 128

// find looks for a token at the beginning of the rest of a prompt, behind at most
// gap characters: one for each token before it that was not found. Its length is 0
// when it is not there. At the beginning of the prompt a token may have a space of
// its own.
func find(text, rest string, gap int, first bool) (at, length int) {
	text = strings.ReplaceAll(text, "▁", " ") // as SentencePiece writes a space
	if first && !strings.HasPrefix(rest, " ") {
		text = strings.TrimPrefix(text, " ")
	}
	for at := range rest {
		if text != "" && strings.HasPrefix(rest[at:], text) {
			return at, len(text)
		}
		if gap--; gap < 0 {
			break
		}
	}
	return 0, 0
}

// isFragment reports whether a token is a part of a character, which servers show
// as U+FFFD or as its bytes.
func isFragment(t token) bool {
	return strings.HasPrefix(t.text, "bytes:") || strings.HasPrefix(t.text, "<0x") ||
		strings.ContainsRune(t.text, unicode.ReplacementChar)
}

// sum adds up the tokens of the text to be scored. One that begins before it and
// reaches into it is one of them. The first token of all, with nothing before it,
// has no log-probability and is left out.
func sum(tokens []token, spans []span, s providers.Scored) (l nightshift.Loglikelihood, err *nightshift.Error) {
	reached := s.From
	for i, at := range spans {
		t := tokens[i]
		switch {
		case at.to <= s.From || at.to == at.from:
			continue
		case isFragment(t) && at.from < s.From:
			return l, misaligned("the text to be scored begins among tokens that make one character")
		case !t.known && at.from == 0:
			reached = max(reached, at.to)
			continue
		case !t.known:
			return l, missing(fmt.Sprintf("it gave none for %q, token %d of the prompt", t.text, i+1))
		}
		l.Sum += t.logprob
		l.Tokens++
		l.Bytes += int64(max(at.to-reached, 0))
		reached = max(reached, at.to)
	}
	if l.Tokens == 0 {
		return l, misaligned("the text to be scored is one token with nothing before it, which has no log-probability")
	}
	return l, nil
}

// missing is the error of a server that does not give what is asked for: no row
// will fare better.
func missing(what string) *nightshift.Error {
	return &nightshift.Error{
		Class: nightshift.ClassNoLogprobs, Message: "the server was asked for the log-probabilities of the prompt: " + what,
		Hint: "llama.cpp and most hosted models give none; vLLM and SGLang do " +
			"(echo with logprobs, or vLLM's prompt_logprobs among the params)",
	}
}

// uncovered is the error where the tokens are not those of the prompt from some
// place on: of a server that gave only those of its answer, or of one row.
func uncovered(prompt string, end int) *nightshift.Error {
	if end == 0 {
		return missing("it gave those of other text only")
	}
	return misaligned(fmt.Sprintf("the tokens that came are those of %d of the prompt's %d bytes", end, len(prompt)))
}

func misaligned(what string) *nightshift.Error {
	return &nightshift.Error{Class: nightshift.ClassBadResponse, Code: providers.CodeMisaligned, Message: what}
}
