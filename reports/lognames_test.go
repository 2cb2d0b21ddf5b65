package reports

import (
	"strings"
	"testing"
)

// Looking through a log once finds what a search for each name finds.
func FuzzNamesInLog(f *testing.F) {
	for _, s := range []string{
		"", `"`, `[{"n":1,"status":200}]`, `{"batch":"b"}`, `{"class":"rate_limit","worker":"w","searches":1}`,
		`"expected_read":7`, `"classes"`, `"batch":1`, `""worker":"`, `{"batch": "b"}`, `x"class`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, log string) {
		want := logNames{strings.Contains(log, `"batch":"`), strings.Contains(log, `"class"`),
			strings.Contains(log, `"expected_read":`), strings.Contains(log, `"searches"`), strings.Contains(log, `"worker":"`)}
		if got := namesIn(log); got != want {
			t.Errorf("%q names %+v, want %+v", log, got, want)
		}
	})
}
