package attemptlog_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"nightshift"
	"nightshift/internal/attemptlog"
	"nightshift/internal/rawjson"
)

// TestAppend compares what is written by hand with encoding/json, for
// every field alone and for random attempts.
func TestAppend(t *testing.T) {
	check := func(log []nightshift.Attempt) {
		t.Helper()
		want, err := rawjson.Marshal(log)
		if err != nil {
			t.Fatal(err)
		}
		if got := attemptlog.Append(nil, log); string(got) != string(want) {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		var back []nightshift.Attempt
		if err := json.Unmarshal(want, &back); err != nil {
			t.Fatal(err)
		}
		if got, err := attemptlog.Parse(string(want)); err != nil || !reflect.DeepEqual(got, back) {
			t.Errorf("%s is read as\n%+v (%v), by encoding/json as\n%+v", want, got, err, back)
		}
		if got, ok := attemptlog.Jobs(string(want)); ok && !slices.Equal(got, jobsOf(back)) {
			t.Errorf("%s has the jobs %q, not %q", want, jobsOf(back), got)
		}
	}
	check([]nightshift.Attempt{})
	check([]nightshift.Attempt{{}, {N: 2}})
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range reflect.TypeFor[nightshift.Attempt]().NumField() {
		var a nightshift.Attempt
		fill(rng, reflect.ValueOf(&a).Elem().Field(i), 0)
		check([]nightshift.Attempt{a})
	}
	for range 2000 {
		log := make([]nightshift.Attempt, rng.IntN(3))
		for i := range log {
			fill(rng, reflect.ValueOf(&log[i]).Elem(), 0.5)
		}
		check(log)
	}
}

func jobsOf(log []nightshift.Attempt) (jobs []string) {
	for _, a := range log {
		if a.Job != "" {
			jobs = append(jobs, a.Job)
		}
	}
	return jobs
}

// TestJobs reads the jobs of a log without the rest.
func TestJobs(t *testing.T) {
	log := string(attemptlog.Append(nil, []nightshift.Attempt{
		{N: 1, Message: `,"job":"no"`, Job: "worker/run-1-1", Worker: "w"}, {N: 2, Batch: "b"},
		{N: 3, Job: "worker/run-1-2"}}))
	want := []string{"worker/run-1-1", "worker/run-1-2"}
	if got, ok := attemptlog.Jobs(log); !ok || !slices.Equal(got, want) {
		t.Errorf("%s: %q, %v", log, got, ok)
	}
	if _, ok := attemptlog.Jobs(string(attemptlog.Append(nil, []nightshift.Attempt{{Job: `a"b`}}))); ok {
		t.Error("a job with a quote is not read as it is")
	}
}

var texts = []string{"x", "claude-3", "a \"quoted\" <b> & \\ text\n\x01", "Grüße, 世界 \u2028", "bad \xff byte", "\x7f"}

// fill sets a value at random, or leaves it with probability zero.
func fill(rng *rand.Rand, v reflect.Value, zero float64) {
	if rng.Float64() < zero {
		return
	}
	switch v.Interface().(type) {
	case nightshift.Count:
		v.Set(reflect.ValueOf(nightshift.Tokens(rng.Int64N(1 << 40))))
		return
	case time.Time:
		v.Set(reflect.ValueOf(time.UnixMicro(rng.Int64N(4e15)).UTC()))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(rng, v.Field(i), zero)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(rng, v.Elem(), 0)
	case reflect.String:
		v.SetString(texts[rng.IntN(len(texts))])
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat([]float64{1.25, 3, 1e-7, 1e21, -2.5e-9, 123456.789}[rng.IntN(6)])
	case reflect.Int, reflect.Int64:
		v.SetInt(rng.Int64N(1<<50) - 1<<49)
	default:
		panic(fmt.Sprint("no random value for ", v.Type()))
	}
}

func BenchmarkAttempts(b *testing.B) {
	cost := nightshift.NanoUSD(123_000)
	log := []nightshift.Attempt{{
		N: 1, StartedAt: time.Now(), DurationMS: 1234.567, QueuedMS: 0.012, Status: 200,
		RequestID:   "req_011CSHoEeqs5C35K2UUqR7Fy",
		ServedModel: "claude-sonnet-4-5-20250929",
		Usage:       nightshift.Usage{Input: nightshift.Tokens(300), Output: nightshift.Tokens(200)},
		Cost:        &cost, PriceID: "anthropic/claude-sonnet-4-5@2025-09-29",
	}}
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			attemptlog.Append(make([]byte, 0, 512), log)
		}
	})
	text := string(attemptlog.Append(nil, log))
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := attemptlog.Parse(text); err != nil {
				b.Fatal(err)
			}
		}
	})
}
