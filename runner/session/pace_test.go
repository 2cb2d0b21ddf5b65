package session

import (
	"testing"
	"time"

	"nightshift/runner/store/view"
)

// TestPace: the time left is that of the slowest model at its pace of late,
// whatever others do and whatever the first hours were like.
func TestPace(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	type step struct {
		after      time.Duration
		fast, slow int64
	}
	for _, tc := range []struct {
		name  string
		steps []step
		want  time.Duration // 0 is not known
		each  int64
	}{
		{"one is done, one is slow",
			[]step{{0, 0, 0}, {10 * time.Minute, 1000, 100}, {14 * time.Minute, 1000, 140},
				{15 * time.Minute, 1000, 150}}, 85 * time.Minute, 1000},
		{"both go on", []step{{0, 0, 0}, {time.Minute, 600, 60}}, 15*time.Minute + 40*time.Second, 1000},
		{"it was slow and is quick now",
			[]step{{0, 0, 0}, {time.Hour, 1000, 10}, {time.Hour + time.Minute, 1000, 500},
				{time.Hour + 6*time.Minute, 1000, 900}}, 75 * time.Second, 1000},
		{"it stands still",
			[]step{{0, 0, 0}, {time.Minute, 1000, 10}, {10 * time.Minute, 1000, 10}, {20 * time.Minute, 1000, 10}}, 0, 1000},
		{"nothing yet", []step{{0, 0, 0}}, 0, 1000},
	} {
		p := &pace{models: []string{"fast", "slow"}, each: tc.each}
		var now []view.ModelPace
		for _, s := range tc.steps {
			now = p.take(begin.Add(s.after),
				view.Totals{Models: map[string]view.Tally{"fast": {Rows: s.fast}, "slow": {Rows: s.slow}}})
		}
		left, ok := slowest(now)
		if ok != (tc.want > 0) || (left-tc.want).Abs() > time.Second {
			t.Errorf("%s: %v, known %v; want %v", tc.name, left, ok, tc.want)
		}
	}
}

// Many samples take no more memory than the window needs.
func TestPaceForgets(t *testing.T) {
	p := &pace{models: []string{"m"}, each: 1 << 40}
	at := time.Now()
	for i := range int64(100_000) {
		p.take(at.Add(time.Duration(i)*100*time.Millisecond), view.Totals{Models: map[string]view.Tally{"m": {Rows: i}}})
	}
	if n := len(p.samples); n > 70 {
		t.Errorf("%d samples are kept", n)
	}
	if rate := p.now()[0].PerHour; rate < 35_900 || rate > 36_100 {
		t.Errorf("%v an hour, want 36,000", rate)
	}
}
