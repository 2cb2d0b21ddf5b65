package reports

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// What live.json says of stops and silent endpoints is said in words; of a run
// that has stopped, only why.
func TestStopLines(t *testing.T) {
	silent := `{"name":"c","models":["m"],"breaker_open":true,"succeeded":9,"last_error":"server (HTTP 502): away",` +
		`"failing_since":"2026-11-27T03:00:00Z"}`
	for name, tc := range map[string]struct {
		live string
		want []string
	}{
		"nothing is known": {"", nil},
		"all is well":      {`{"endpoints":[{"name":"c","succeeded":9}]}`, nil},
		"one failure among answers": {
			`{"endpoints":[{"name":"c","succeeded":9,"last_error":"cut","failing_since":"2026-11-27T03:00:00Z"}]}`, nil},
		"nothing has succeeded": {
			`{"endpoints":[{"name":"c","succeeded":0,"last_error":"cut","failing_since":"2026-11-27T03:00:00Z"}]}`,
			[]string{"c has given no answers since 2026-11-27T03:00:00Z: cut"}},
		"an outage": {`{"endpoints":[` + silent + `]}`,
			[]string{"c has given no answers since 2026-11-27T03:00:00Z: server (HTTP 502): away"}},
		"a stop": {
			`{"stops":[{"model":"m","class":"auth","reason":"endpoint c: auth"}],"endpoints":[` + silent + `]}`,
			[]string{"m was stopped: endpoint c: auth"}},
		"a file that cannot be read": {`{"endp`, nil},
	} {
		dir := t.TempDir()
		if tc.live != "" {
			if err := os.WriteFile(filepath.Join(dir, LiveFile), []byte(tc.live), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := stopLines(readStops(dir)); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}
