package plan

import (
	"strings"
	"testing"
	"time"
)

func TestDeadlineAt(t *testing.T) {
	zone := time.FixedZone("+01:00", 3600)
	now := time.Date(2026, 11, 30, 22, 30, 0, 0, zone)
	for text, want := range map[string]string{
		"23:00":                     "2026-11-30T23:00:00+01:00",
		"22:30":                     "2026-12-01T22:30:00+01:00", // now is not after now
		"07:00":                     "2026-12-01T07:00:00+01:00", // the next month begins
		"07:00:30":                  "2026-12-01T07:00:30+01:00",
		"2026-12-24 07:00":          "2026-12-24T07:00:00+01:00",
		"2026-12-24T07:00":          "2026-12-24T07:00:00+01:00",
		"2026-12-24T07:00:00Z":      "2026-12-24T07:00:00Z",
		"2026-12-24T07:00:00-05:00": "2026-12-24T07:00:00-05:00",
		"2020-01-01 00:00":          "2020-01-01T00:00:00+01:00",
	} {
		at, err := DeadlineAt(text, now)
		if err != nil || at.Format(time.RFC3339) != want {
			t.Errorf("%s: %s, %v, want %s", text, at.Format(time.RFC3339), err, want)
		}
	}
	for _, text := range []string{"7", "7 am", "24:00", "tomorrow", "2026-13-01 07:00", "07:60"} {
		if at, err := DeadlineAt(text, now); err == nil {
			t.Errorf("%q is taken as %s", text, at)
		}
	}
}

// The address for notifications may hold a secret: it is in no message, and it is
// not among what the run directory keeps of a start.
func TestNotifyStaysSecret(t *testing.T) {
	env := func(name string) string {
		return map[string]string{"NIGHTSHIFT_NOTIFY": "https://hooks.example/T0/s3cret", "NIGHTSHIFT_DEADLINE": "07:00"}[name]
	}
	given := Given(env, map[string][]string{"notify": {"https://hooks.example/T0/s3cret"}})
	if len(given["notify"]) != 0 || given["deadline"][0] != "07:00" {
		t.Errorf("%v", given)
	}
	p := &Plan{}
	err := p.Apply(map[string][]string{"notify": {"hooks.example/T0/s3cret"}, "dataset": {"x.jsonl"},
		"model": {"simulator/sim-large"}, "deadline": {"noon"}})
	if err == nil {
		_, err = p.Resolve(func(string) string { return "" })
	}
	if err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "--notify") ||
		!strings.Contains(err.Error(), `--deadline`) {
		t.Errorf("%v", err)
	}
	p, err = Parse("p.yaml", []byte("version: 1\nnotify: hooks.example/T0/s3cret\n"))
	if err == nil {
		_, err = p.Resolve(func(string) string { return "" })
	}
	if err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "notify is no URL") {
		t.Errorf("%v", err)
	}
}
