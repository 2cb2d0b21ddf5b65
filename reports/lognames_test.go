package reports

import (
	"strings"
	"testing"
)

// Looking through a log once finds what a search for each name finds.
func FuzzNamesInLog(f *testing.F) {
	for _, s := range []string{
		"", `"`, `[{"n":1,"status":200}]`, `{"batch":"b"}`, `{"class":"rate_limit","worker":"w","searches":1}`,
		`"expected_read":7`, `"expected_read":17,"expected_read":3`,
		`{"cache":{"prefix":"a"}},{"cache":{"prefix":"b"}}`, `"classes"`, `"batch":1`, `""worker":"`,
		`{"batch": "b"}`, `x"class`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, log string) {
		want := logNames{batch: strings.Contains(log, `"batch":"`), class: strings.Contains(log, `"class"`),
			searches: strings.Contains(log, `"searches"`), worker: strings.Contains(log, `"worker":"`)}
		for i, part := range strings.Split(log, `"expected_read":`) {
			if i > 0 {
				want.expected = max(want.expected, leadingNumber(part))
			}
		}
		for i, part := range strings.Split(log, `"prefix":"`) {
			if i > 0 && want.prefix == "" {
				want.prefix, _, _ = strings.Cut(part, `"`)
			}
		}
		if got := namesIn(log); got != want {
			t.Errorf("%q names %+v, want %+v", log, got, want)
		}
	})
}
