package batch_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/batch"
	"nightshift/providers/simulator"
)

// faulty is a Batcher at a simulator with a fault, and short timeouts.
func faulty(t *testing.T, p nightshift.Protocol, fault string, b simulator.Batches) *batch.Batcher {
	t.Helper()
	var f simulator.Fault
	if err := f.UnmarshalText([]byte(fault)); err != nil {
		t.Fatal(err)
	}
	s := simulator.New(simulator.Config{Faults: []simulator.Fault{f}, Batches: b})
	t.Cleanup(func() { _ = s.Close() })
	e, _ := providers.Lookup("simulator", p, nil)
	e.Timeouts = providers.Timeouts{FirstByte: time.Minute, Idle: time.Minute}
	api, err := batch.New(batch.Config{Endpoint: e, Key: anyKey, Model: "m-1", Transport: s.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	return api
}

// TestCreateUnderFaults sees that every create call whose end is open is lost,
// that the others are not, and that the look-up finds what was made.
func TestCreateUnderFaults(t *testing.T) {
	for _, c := range []struct {
		fault string
		lost  bool
		made  bool
	}{
		{"create_error=1", true, false},
		{"create_error_made=1", true, true},
		{"create_timeout_made=1", true, true},
		{"create_cut_made=1", true, true},
		{"create_no_id=1", true, true},
	} {
		for _, p := range []nightshift.Protocol{nightshift.Chat, nightshift.Messages} {
			t.Run(c.fault+"-"+string(p), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					began := time.Now()
					b := faulty(t, p, c.fault, simulator.Batches{Validate: time.Minute, Run: time.Hour})
					o := order(t, b, p, 3)
					_, err := b.Create(context.Background(), o)
					var e *nightshift.BatchError
					if !errors.As(err, &e) || e.Lost != c.lost {
						t.Fatalf("Create: %v, lost %v", err, e)
					}
					found, err := b.Find(context.Background(), o, began.Add(-10*time.Minute))
					if err != nil || (len(found) == 1) != c.made {
						t.Fatalf("Find: %+v, %v", found, err)
					}
					if c.made && found[0].Suspect != (p == nightshift.Messages) {
						t.Errorf("Find: %+v", found)
					}
				})
			})
		}
	}
}

// TestFetchUnderFaults sees that what does not come whole is no whole file.
func TestFetchUnderFaults(t *testing.T) {
	for fault, want := range map[string]nightshift.BatchCause{
		"download_cut=1": "", "download_stall=1": "", "wrong_bytes=1": "", "content_404=1": nightshift.BatchFileMissing,
	} {
		t.Run(fault, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := context.Background()
				b := faulty(t, nightshift.Chat, fault, simulator.Batches{})
				made, err := b.Create(ctx, order(t, b, nightshift.Chat, 3))
				if err != nil {
					t.Fatal(err)
				}
				got, err := b.Get(ctx, []string{made.ID})
				if err != nil || len(got) != 1 || len(got[0].Results) == 0 {
					t.Fatalf("Get: %+v, %v", got, err)
				}
				var file bytes.Buffer
				var e *nightshift.BatchError
				err = b.Fetch(ctx, got[0], got[0].Results[0], &file)
				if !errors.As(err, &e) || e.Cause != want || e.Next != nightshift.BatchAgain || e.Lost {
					t.Errorf("Fetch: %#v", err)
				}
				short := e.Err.Class == nightshift.ClassCut || e.Err.Class == nightshift.ClassTimeoutIdle
				if want == "" && !short {
					t.Errorf("class %s", e.Err.Class)
				}
			})
		})
	}
}

// TestUploadUnderFaults sees that a failed upload is an error that asks for
// another.
func TestUploadUnderFaults(t *testing.T) {
	for _, fault := range []string{"upload_error=1", "upload_cut=1"} {
		synctest.Test(t, func(t *testing.T) {
			b := faulty(t, nightshift.Chat, fault, simulator.Batches{})
			_, err := b.Upload(context.Background(), "ns1-a-b-b1.jsonl", io.LimitReader(endless{}, 1<<20), 1<<20)
			var e *nightshift.BatchError
			if !errors.As(err, &e) || e.Next != nightshift.BatchAgain {
				t.Errorf("%s: Upload: %v", fault, err)
			}
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// TestFailedBatches sees what a batch that failed in validation asks for.
func TestFailedBatches(t *testing.T) {
	for _, c := range []struct {
		fault string
		cause nightshift.BatchCause
	}{
		{"failed_line=1", nightshift.BatchBadRow},
		{"failed_token_limit=1", nightshift.BatchQueueFull},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx := context.Background()
			b := faulty(t, nightshift.Chat, c.fault, simulator.Batches{Validate: time.Minute})
			made, err := b.Create(ctx, order(t, b, nightshift.Chat, 3))
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Minute)
			got, err := b.Get(ctx, []string{made.ID})
			if err != nil || got[0].Phase != nightshift.BatchFailed || got[0].Failure == nil {
				t.Fatalf("%s: %+v, %v", c.fault, got, err)
			}
			f := got[0].Failure
			badRow := c.cause == nightshift.BatchBadRow
			if f.Cause != c.cause || (f.Line > 0) != badRow || f.Line > 3 || (f.Limit > 0) == badRow {
				t.Errorf("%s: %+v", c.fault, f)
			}
		})
	}
}
