package session

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"nightshift/reports/scoring"
	"nightshift/runner/plan"
)

// TestUnreadableJudgeIsStopped: a judge whose first 20 replies hold no verdict
// is asked no more, a reply is shown, and the next start sends nothing. One that
// is asked in other words is asked anew.
func TestUnreadableJudgeIsStopped(t *testing.T) {
	var asked atomic.Int64
	reply := "I like this answer."
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id": "x", "object": "chat.completion", "model": "j", "choices": [{"index": 0,
			"finish_reason": "stop",
			"message": {"role": "assistant", "content": %q}}], "usage": {"prompt_tokens": 10, "completion_tokens": 5,
			"total_tokens": 15}}`, reply)
	}))
	defer server.Close()
	const concurrency = 4
	yaml := fmt.Sprintf(`endpoints:
  judge: {base_url: %s/v1, protocol: chat, auth: {scheme: none}, limits: {concurrency: %d}}
scorers: [{type: judge_grade, name: helpful, endpoint: judge, model: j, params: {max_tokens: 50}, template: TEMPLATE}]
`, server.URL, concurrency)
	p := simulated(t, 60, strings.Replace(yaml, "TEMPLATE", `"Is this good? {answer}"`, 1))
	score := func(p *plan.Resolved) (int64, error) {
		before := asked.Load()
		_, err := Run(t.Context(), p, Options{})
		return asked.Load() - before, err
	}
	n, err := score(p)
	var unreadable *scoring.UnreadableError
	if n < 20 || n > 20+9*concurrency || ReasonOf(err) != Stopped || !errors.As(err, &unreadable) {
		t.Errorf("%d requests, %v", n, err)
	}
	for _, words := range []string{"none of its first 20 replies", "it never says GRADE:", reply} {
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("the error lacks %q: %v", words, err)
		}
	}
	if n, err = score(p); n != 0 || !errors.As(err, &unreadable) {
		t.Errorf("the second start: %d requests, %v", n, err)
	}

	reply = "Good. GRADE: C"
	other := again(t, p, strings.Replace(yaml, "TEMPLATE", `"Is this good? {answer} End with GRADE: C or GRADE: I."`, 1))
	if n, err = score(other); n != 60 || err != nil {
		t.Errorf("with another template: %d requests, %v", n, err)
	}
}
