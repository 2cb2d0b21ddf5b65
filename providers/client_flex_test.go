package providers_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/limits"
)

// noRoom is what a flex tier says while it has no capacity.
var noRoom = said(nightshift.ClassNoCapacity, 429, "Resource Unavailable", nil)

// Rows that a flex tier has no room for wait by themselves for as long as it
// takes. Nobody else is held back, no limit is inferred, and no row fails.
func TestNoCapacityIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		room := map[string]bool{} // rows that found room, one every ten minutes
		var mu sync.Mutex
		last := began
		wire := &script{takes: 100 * time.Millisecond, say: func(n int, key string) providers.Exchange {
			mu.Lock()
			defer mu.Unlock()
			if strings.HasPrefix(key, "live") || time.Since(last) > 10*time.Minute {
				if !strings.HasPrefix(key, "live") {
					last, room[key] = time.Now(), true
				}
				return good()
			}
			return noRoom
		}}
		client := newClient(wire)
		first := client.Routes[0].Limiter.State().Window
		ctx := t.Context()
		var rows sync.WaitGroup
		attempts := make([]int, 20)
		for i := range attempts {
			rows.Go(func() {
				resp, err := client.Complete(ctx, nightshift.Request{Model: "m", Key: fmt.Sprint(i)})
				if err != nil {
					t.Errorf("row %d failed: %v", i, err)
				}
				attempts[i] = len(resp.Attempts)
			})
		}
		time.Sleep(30 * time.Second)
		sent := time.Now()
		if _, err := client.Complete(ctx, nightshift.Request{Model: "m", Key: "live"}); err != nil {
			t.Error(err)
		}
		if took := time.Since(sent); took > time.Second {
			t.Errorf("a row that finds room at once waited %v for the others", took)
		}
		state := client.Routes[0].Limiter.State()
		if state.Inferred > 0 || state.Window < first {
			t.Errorf("the limiter has inferred %v a minute and lets %d in flight, %d at first",
				state.Inferred, state.Window, first)
		}
		rows.Wait()
		if hours := time.Since(began).Hours(); hours < 3 || hours > 6 {
			t.Errorf("20 rows with room for one every ten minutes took %.1f h", hours)
		}
		if len(room) != 20 {
			t.Errorf("%d rows found room", len(room))
		}
		for i, n := range attempts { // every five minutes at least, no more than every two or so
			if n > 150 {
				t.Errorf("row %d was sent %d times", i, n)
			}
		}
	})
}

// The wait grows from seconds to minutes, and is no shorter than the server asks.
func TestNoCapacityWaits(t *testing.T) {
	for _, tc := range []struct {
		name     string
		asked    time.Duration
		low, top time.Duration // until the eighth answer
	}{
		{"by itself", 0, 5 * time.Minute, 16 * time.Minute},
		{"as it is asked to", 15 * time.Minute, 105 * time.Minute, 111 * time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			refused := noRoom
			refused.Limits.RetryAfter, refused.Limits.HasRetryAfter = tc.asked, tc.asked > 0
			client := newClient(&script{say: lastly(refused, refused, refused, refused, refused, refused, refused, good())})
			began := time.Now()
			resp, err := client.Complete(t.Context(), nightshift.Request{Model: "m", Key: "a"})
			if took := time.Since(began); err != nil || took < tc.low || took > tc.top {
				t.Errorf("%s: %v after %v, want %v to %v", tc.name, err, took, tc.low, tc.top)
			}
			if len(resp.Attempts) != 8 || resp.Backoff < tc.low {
				t.Errorf("%s: %d attempts, %v of waiting", tc.name, len(resp.Attempts), resp.Backoff)
			}
		})
	}
}

// In a flex tier an overloaded server is one without room; elsewhere it is one
// in trouble, and rows use up their attempts.
func TestOverloadInTheFlexTier(t *testing.T) {
	busy := said(nightshift.ClassOverloaded, 503, "high demand", nil)
	for flex, want := range map[bool]string{false: "row", true: "answer"} {
		synctest.Test(t, func(t *testing.T) {
			client := newClient(&script{say: lastly(busy, busy, busy, busy, busy, busy, good())})
			client.Flex = flex
			resp, err := client.Complete(t.Context(), nightshift.Request{Model: "m", Key: "a"})
			if got := ending(err); got != want {
				t.Errorf("flex %v: it ended with %s (%v), want %s", flex, got, err, want)
			}
			if flex && !strings.HasPrefix(classesOf(resp.Attempts), "no_capacity no_capacity") {
				t.Errorf("attempts %s", classesOf(resp.Attempts))
			}
		})
	}
}

// A tier that never has room ends the run after the longest stall, resumable.
// Rows wait for seven and a half minutes at most, so all have ended by then,
// however few they are: a row that waits to be sent again is not idleness.
func TestNoCapacityForEver(t *testing.T) {
	for _, rows := range []int{1, 3, 30} {
		synctest.Test(t, func(t *testing.T) {
			client := newClient(&script{say: lastly(noRoom)})
			client.Routes[0].Limiter = limits.New(limits.Config{MaxStall: 2 * time.Hour})
			errs, took := sendAll(t, client, rows, rows)
			if took < 2*time.Hour || took > 2*time.Hour+8*time.Minute {
				t.Errorf("%d rows ended after %v", rows, took)
			}
			for i, err := range errs {
				var stop *nightshift.StopError
				if !errors.As(err, &stop) || stop.Err.Class != nightshift.ClassNoCapacity ||
					!strings.Contains(err.Error(), "no request has succeeded for 2h") {
					t.Fatalf("row %d of %d ended with %v", i, rows, err)
				}
			}
		})
	}
}

func TestNoCapacityIsRecognised(t *testing.T) {
	for _, tc := range []struct {
		status int
		body   string
		want   nightshift.ErrorClass
	}{
		{429, `{"error":{"message":"Resource Unavailable","type":"rate_limit_error","param":null,` +
			`"code":"resource_unavailable"}}`,
			nightshift.ClassNoCapacity},
		{498, `{"error":{"message":"Flex tier capacity exceeded","type":"server_error","code":"capacity_exceeded"}}`,
			nightshift.ClassNoCapacity},
		{429, `{"error":{"message":"Rate limit reached","type":"tokens","code":"rate_limit_exceeded"}}`,
			nightshift.ClassRateLimit},
		{503, `{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}`,
			nightshift.ClassOverloaded},
	} {
		if got := providers.Classify(tc.status, nil, []byte(tc.body)); got.Class != tc.want {
			t.Errorf("%d %s: class %s, want %s", tc.status, tc.body, got.Class, tc.want)
		}
	}
}
