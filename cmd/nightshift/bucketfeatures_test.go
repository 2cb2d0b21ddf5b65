//go:build !windows

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nightshift/internal/testdata/s3test"
)

// TestBucketTakesAllOfARun kills runs of every kind on one machine after the other,
// each with nothing but plan, dataset and bucket. In the end every answer is on
// record once, and every request that was paid stands on the bill.
func TestBucketTakesAllOfARun(t *testing.T) {
	t.Parallel()
	const judge = "scorers:\n  - {type: judge_grade, name: helpful, endpoint: two, model: sim-small,\n" +
		"     params: {max_tokens: 60}, price: {input: 1, output: 2}, criterion: It answers.}\n"
	const batches = "batch: {min_requests: 1, max_requests: 40, poll: 50ms..200ms}\n"
	kinds := map[string]string{
		"judges in batches": batches + "judges: {mode: batch}\n" + judge,
		"several datasets": "datasets:\n  - {name: a, path: data.jsonl, limit: 60}\n" +
			"  - {name: b, path: data.jsonl, limit: 90}\n",
		"stop_when": "scorers:\n  - {type: number}\ncompare: {baseline: m, stop_when: decided, " +
			"smallest_difference: 20 points}\n",
	}
	if os.Getenv("NIGHTSHIFT_LONG") != "" {
		kinds["judges"], kinds["models in batches"] = judge, batches
		kinds["variants"] = "variants:\n  - {name: plain}\n  - {name: short, system: Be short.}\n"
	}
	for name, more := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBucketSite(t, s3test.New(t), "--batches", "scale=8640,validate=1m,run=1h,window=24h")
			b.rewrite(more, strings.Contains(name, "models in batches"))
			var order string
			for kill := range 2 {
				c := b.start("-q")
				asleep(time.Duration(300+300*kill) * time.Millisecond)
				_ = c.cmd.Process.Kill()
				if code := c.wait(t); code != -1 && code != exitOK {
					t.Fatalf("exit code %d\n%s", code, &c.errs)
				}
				// What is in the directory alone may be lost with the machine, as long as nothing was sent.
				if text, err := os.ReadFile(filepath.Join(b.machine, "order.json")); err == nil &&
					b.s.totals(t).Received > 0 {
					order = string(text)
				}
				b.otherMachine()
			}
			c := b.start("-q")
			if code := c.wait(t); code != exitOK {
				t.Fatalf("exit code %d\n%s", code, &c.errs)
			}
			text, err := os.ReadFile(filepath.Join(b.machine, "order.json"))
			if err == nil && order != "" && string(text) != order {
				t.Error("the last machine had another order of rows")
			}
			b.otherMachine()
			b.checkWhole(name == "stop_when")
		})
	}
}

// rewrite gives the plan more, in place of what it says otherwise.
func (b *bucketSite) rewrite(more string, batch bool) {
	text, err := os.ReadFile(b.d.plan)
	if err != nil {
		b.t.Fatal(err)
	}
	plan := string(text)
	if strings.HasPrefix(more, "datasets:") {
		plan = strings.Replace(plan, "dataset: {path: data.jsonl}\n", "", 1)
	}
	if batch {
		plan = strings.Replace(plan, "endpoint: two,", "endpoint: two, mode: batch,", 1)
		plan = strings.Replace(plan, "stream: true, ", "", 1)
	}
	if err := os.WriteFile(b.d.plan, []byte(plan+more), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// checkWhole sees that a run in the bucket is complete and verified, and that its
// bill has at least as many requests as the server was sent.
func (b *bucketSite) checkWhole(early bool) {
	t := b.t
	t.Helper()
	var status struct {
		Done, Items int64
		State       string
	}
	b.json(&status, "status", "s3://runs/tonight", "--json")
	if status.Done != status.Items && !(early && status.State == "stopped: decided") {
		t.Errorf("%d of %d answers, %s", status.Done, status.Items, status.State)
	}
	b.says([][2]string{{"verify s3://runs/tonight --deep", "\nok\n"}})
	var bill struct {
		Total struct{ Attempts int64 }
	}
	b.json(&bill, "cost", "s3://runs/tonight", "--json")
	if got := b.s.totals(t).Received; got == 0 || got > bill.Total.Attempts {
		t.Errorf("the server was sent %d requests, the bill has %d", got, bill.Total.Attempts)
	}
}

func (b *bucketSite) json(v any, args ...string) {
	b.t.Helper()
	cmd := exec.Command(mustBinary(b.t), args...)
	cmd.Env = b.env
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, v)
	}
	if err != nil {
		b.t.Fatalf("%v: %v\n%s", args, err, out)
	}
}

// What check --calibrate sends is part of a run in a bucket: it is shipped, on the bill,
// within the run's reach on every machine, and nobody else works on the run meanwhile.
func TestBucketCalibration(t *testing.T) {
	t.Parallel()
	b := newBucketSite(t, s3test.New(t))
	calibrate := "check " + b.d.plan + " --out s3://runs/tonight --calibrate "
	run := "run " + b.d.plan + " --out s3://runs/tonight --progress none"
	b.says([][2]string{
		{calibrate + "2", "sending 2 real requests to each of 2 models"},
		{run, "150 rows × 2 models, finished"}, // both in the default directory
		{calibrate + "2", "150 rows"},          // no request: they are on record
		{calibrate + "3 --work-dir elsewhere", "sending 3 real requests"},
		{run + " --work-dir elsewhere", "resuming s3://runs/tonight, 300 of 300"},
		{run, "another machine went on with s3://runs/tonight"},
		{"status s3://runs/tonight", "300 of 300"},
	})
	if n := b.s.totals(t).Received; n != 300+2*2+2*3 {
		t.Errorf("%d requests for 300 rows and calibrations with 2 and 3 rows", n)
	}
	var bill struct {
		Judges []struct {
			Key      []string
			Attempts int
		}
	}
	b.json(&bill, "cost", "s3://runs/tonight", "--json")
	if len(bill.Judges) != 1 || bill.Judges[0].Key[0] != "calibration" || bill.Judges[0].Attempts != 10 {
		t.Errorf("the bill has %+v", bill.Judges)
	}
	// Before, calibrating left this behind, and no run went on from it.
	left := filepath.Join(b.d.dir, "left", "calibration", "0123456789abcdef")
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	b.says([][2]string{{run + " --work-dir left", "resuming s3://runs/tonight, 300 of 300"}})
	if kept, err := filepath.Glob(filepath.Join(b.d.dir, "left", "set-aside", "*", "calibration", "*")); err != nil ||
		len(kept) != 1 {
		t.Errorf("what was there is set aside: %v %v", kept, err)
	}
}

// Whoever calibrates works on the run, so that another cannot.
func TestBucketCalibrationWhileRunning(t *testing.T) {
	t.Parallel()
	b := newBucketSite(t, s3test.New(t))
	c := b.start("-q")
	b.s.awaits(t, 5)
	sent := b.s.totals(t).Received
	b.says([][2]string{{"check " + b.d.plan + " --out s3://runs/tonight --calibrate 3 --work-dir elsewhere",
		"is in use by process"}})
	if code := c.wait(t); code != exitOK {
		t.Errorf("exit code %d after %d requests\n%s", code, sent, &c.errs)
	}
}
