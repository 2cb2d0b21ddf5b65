package limits

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nightshift"
)

func reserve(t *testing.T, b *Budget, tokens int64, cost nightshift.NanoUSD) *Reservation {
	t.Helper()
	r, err := b.Reserve(t.Context(), tokens, cost)
	if err != nil {
		t.Fatalf("Reserve(%d, %d) = %v", tokens, cost, err)
	}
	return r
}

func TestBudgetSettlesWhatWasUsed(t *testing.T) {
	b := &Budget{Tokens: 100, Cost: 1000}
	r := reserve(t, b, 60, 600)
	if _, ok := b.TryReserve(60, 100); ok {
		t.Error("more tokens than there are were reserved")
	}
	if _, ok := b.TryReserve(10, 500); ok {
		t.Error("more money than there is was reserved")
	}
	r.Settle(20, 200)
	r.Keep() // the first call counts
	kept := reserve(t, b, 60, 600)
	kept.Keep()
	given := reserve(t, b, 20, 200)
	given.Release()
	if tokens, cost := b.Spent(); tokens != 80 || cost != 800 {
		t.Errorf("Spent = %d, %d, want 80, 800", tokens, cost)
	}
	if tokens, cost, waiting := b.Reserved(); tokens != 0 || cost != 0 || waiting != 0 {
		t.Errorf("Reserved = %d, %d, %d, want nothing", tokens, cost, waiting)
	}
	b.Spend(10, 100)
	if _, err := b.Reserve(t.Context(), 11, 0); !errors.Is(err, nightshift.ErrBudget) {
		t.Errorf("beyond the limit: %v, want %v", err, nightshift.ErrBudget)
	}
	reserve(t, b, 10, 100).Settle(10, 100)
}

func TestBudgetWithoutLimit(t *testing.T) {
	var none *Budget
	reserve(t, none, 1<<40, 1<<40).Settle(1, 1)
	if r, ok := none.TryReserve(1, 1); !ok {
		t.Error("no budget refused")
	} else {
		r.Release()
	}
	b := &Budget{}
	reserve(t, b, 1<<40, 1<<40).Settle(5, 6)
	if tokens, cost := b.Spent(); tokens != 5 || cost != 6 {
		t.Errorf("Spent = %d, %d, want 5, 6", tokens, cost)
	}
}

func TestBudgetWaitsForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &Budget{Tokens: 100}
		first := reserve(t, b, 90, 0)
		ended := make(chan error, 3)
		ask := func(ctx context.Context, n int64) {
			r, err := b.Reserve(ctx, n, 0)
			if err == nil {
				r.Settle(n, 0)
			}
			ended <- err
		}
		impatient, cancel := context.WithCancel(t.Context())
		go ask(impatient, 95) // at the head of the queue
		synctest.Wait()
		go ask(t.Context(), 10) // would fit, but is not first
		synctest.Wait()
		if _, ok := b.TryReserve(1, 0); ok {
			t.Error("someone jumped the queue")
		}
		if _, _, waiting := b.Reserved(); waiting != 2 {
			t.Errorf("%d wait, want 2", waiting)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled while waiting: %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("the smaller one behind it: %v", err)
		}
		go ask(t.Context(), 80)
		synctest.Wait()
		first.Settle(30, 0)
		if err := <-ended; !errors.Is(err, nightshift.ErrBudget) {
			t.Errorf("with nothing in flight any more: %v, want %v", err, nightshift.ErrBudget)
		}
		if _, err := b.Reserve(impatient, 1, 0); !errors.Is(err, context.Canceled) {
			t.Errorf("with a context that has ended: %v", err)
		}
	})
}

// A thousand runs of random sizes, concurrency and faults, whose requests use
// anything up to their worst case: what is billed never passes the budget,
// nobody hangs, and all but the last bit of it is used.
func TestBudgetNeverOverspends(t *testing.T) {
	for seed := range uint64(1000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		b := &Budget{Tokens: 1000 + rng.Int64N(100_000), Cost: nightshift.NanoUSD(1000 + rng.Int64N(1_000_000))}
		if rng.IntN(4) == 0 {
			b.Cost = 0
		}
		most := 1 + rng.Int64N(2000)
		var mu sync.Mutex
		var billed amount
		var wg sync.WaitGroup
		for w := range 1 + rng.IntN(32) {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(seed, uint64(w)+2))
				for {
					tokens := 1 + rng.Int64N(most)
					cost := nightshift.NanoUSD(tokens * (1 + rng.Int64N(10)))
					r, ok := b.TryReserve(tokens, cost)
					if !ok {
						var err error
						if r, err = b.Reserve(t.Context(), tokens, cost); err != nil {
							return
						}
					}
					used := amount{rng.Int64N(tokens + 1), nightshift.NanoUSD(rng.Int64N(int64(cost) + 1))}
					switch rng.IntN(10) {
					case 0:
						r.Release()
						used = amount{}
					case 1:
						r.Keep() // billed or not, we do not know
					default:
						r.Settle(used.tokens, used.cost)
					}
					mu.Lock()
					billed = billed.plus(used)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		tokens, cost := b.Spent()
		if billed.tokens > b.Tokens || (b.Cost > 0 && billed.cost > b.Cost) || billed.tokens > tokens || billed.cost > cost {
			t.Fatalf("seed %d: billed %v, booked %d and %d, of a budget of %d and %d", seed, billed, tokens, cost, b.Tokens, b.Cost)
		}
		if left := b.Tokens - tokens; left > most && (b.Cost == 0 || b.Cost-cost > nightshift.NanoUSD(10*most)) {
			t.Fatalf("seed %d: %d tokens were left over, none larger than %d was asked for", seed, left, most)
		}
		if r, _, waiting := b.Reserved(); r != 0 || waiting != 0 {
			t.Fatalf("seed %d: %d reserved and %d waiting at the end", seed, r, waiting)
		}
	}
}

func TestReserveDecidedWhileCancelled(t *testing.T) {
	// Whoever is granted a reservation in the moment its context ends gets it
	// or gives it back; none may leak.
	for range 200 {
		b := &Budget{Tokens: 10}
		first := reserve(t, b, 10, 0)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if r, err := b.Reserve(ctx, 10, 0); err == nil {
				r.Release()
			}
		}()
		time.Sleep(10 * time.Microsecond)
		go cancel()
		first.Release()
		<-done
		reserve(t, b, 10, 0)
		cancel()
	}
}
