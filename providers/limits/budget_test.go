package limits

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
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
			t.Fatalf("seed %d: billed %v, booked %d and %d, of a budget of %d and %d", seed, billed, tokens, cost,
				b.Tokens, b.Cost)
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

// A thousand runs of batches and live requests that are ended and started again,
// each time with another budget: what is away stays reserved at its worst case,
// also when it exceeds a smaller budget, and nothing new is reserved until it fits.
func TestBudgetHoldsBatchesAcrossRestarts(t *testing.T) {
	refused := 0
	for seed := range uint64(1000) {
		rng := rand.New(rand.NewPCG(seed, 7))
		var spent amount  // by all starts
		var away []amount // worst cases of batches at the provider
		limit := amount{1000 + rng.Int64N(100_000), nightshift.NanoUSD(1000 + rng.Int64N(1_000_000))}
		most := limit // of all budgets so far: nothing can be spent beyond it
		for range 2 + rng.IntN(5) {
			b := &Budget{Tokens: limit.tokens, Cost: limit.cost}
			b.Spend(spent.tokens, spent.cost)
			var held []*Reservation
			var total amount
			for _, a := range away {
				held, total = append(held, b.Hold(a.tokens, a.cost)), total.plus(a)
			}
			before := spent.plus(total)
			for range 30 {
				spent, away, held = oneStep(t, rng, b, spent, away, held)
				tokens, cost := b.Spent()
				reservedTokens, reservedCost, _ := b.Reserved()
				now := amount{tokens + reservedTokens, cost + reservedCost}
				if now.tokens > max(limit.tokens, before.tokens) || now.cost > max(limit.cost, before.cost) {
					t.Fatalf("seed %d: %v is spent or reserved of %v; %v was at the start", seed, now, limit, before)
				}
				if spent != (amount{tokens, cost}) {
					t.Fatalf("seed %d: booked %d and %d, spent %v", seed, tokens, cost, spent)
				}
			}
			if before.tokens > limit.tokens {
				refused++
			}
			if spent.tokens > most.tokens || spent.cost > most.cost {
				t.Fatalf("seed %d: %v is spent, of budgets of at most %v", seed, spent, most)
			}
			limit = amount{limit.tokens/2 + rng.Int64N(limit.tokens),
				limit.cost/2 + nightshift.NanoUSD(rng.Int64N(int64(limit.cost)))}
			most = amount{max(most.tokens, limit.tokens), max(most.cost, limit.cost)}
		}
	}
	if refused < 100 {
		t.Errorf("only %d starts had a budget below what was away", refused)
	}
}

// oneStep cuts a batch row by row, collects one, or sends a live request.
func oneStep(t *testing.T, rng *rand.Rand, b *Budget, spent amount, away []amount, held []*Reservation) (
	amount, []amount, []*Reservation) {
	t.Helper()
	switch rng.IntN(3) {
	case 0:
		r, worst := b.Hold(0, 0), amount{}
		for range 1 + rng.IntN(20) {
			row := amount{1 + rng.Int64N(500), nightshift.NanoUSD(1 + rng.Int64N(5000))}
			ok, later := r.Grow(row.tokens, row.cost)
			if !ok {
				if later != (len(held) > 0) {
					t.Fatalf("%d others are away, and Grow says that it may grow later: %v", len(held), later)
				}
				break
			}
			worst = worst.plus(row)
		}
		if worst == (amount{}) {
			r.Release()
			break
		}
		away, held = append(away, worst), append(held, r)
	case 1:
		if len(away) == 0 {
			break
		}
		i := rng.IntN(len(away))
		used := amount{rng.Int64N(away[i].tokens + 1), nightshift.NanoUSD(rng.Int64N(int64(away[i].cost) + 1))}
		held[i].Settle(used.tokens, used.cost)
		if ok, later := held[i].Grow(1, 1); ok || later {
			t.Fatal("a reservation that is settled grows")
		}
		spent, away, held = spent.plus(used), slices.Delete(away, i, i+1), slices.Delete(held, i, i+1)
	default:
		worst := amount{1 + rng.Int64N(500), nightshift.NanoUSD(1 + rng.Int64N(5000))}
		if r, ok := b.TryReserve(worst.tokens, worst.cost); ok {
			r.Keep()
			spent = spent.plus(worst)
		}
	}
	return spent, away, held
}
