package limits

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"nightshift"
)

// DefaultMaxStall is how long a Limiter waits for a single success.
const DefaultMaxStall = 2 * time.Hour

// A Limiter decides when a request may be sent to one endpoint with one key.
// Everybody who shares the key shares the Limiter. It paces by the limits that
// are configured or told by the server, learns where nothing is told, pauses
// everybody when one request is refused, bounds the requests in flight, and
// probes gently while the endpoint is down. It knows no HTTP.
//
// A Limiter is safe for concurrent use and starts no goroutine of its own.
type Limiter struct {
	start    time.Time
	maxStall float64

	mu         sync.Mutex
	random     *rand.Rand // for jitter
	cfg        Config
	dims       [numDims]dimension
	share      share
	refusing   float64 // moving average of refusals
	window     window
	health     health
	pause      pause
	learn      learner
	background background
	sendRate   sendRate
	latency    float64 // usual time from sending to answer
	repeats    retryBudget
	queue      queue
	inFlight   int
	peak       peak
	at         float64 // when share and evidence were last brought up to date
	active     float64 // since when nothing has succeeded, idle times left out

	idleSince          float64   // when the last request ended
	comesAgain         bool      // the row of that request waits by itself, to be sent again
	judged             judgement // of the refusal in hand
	concurrencyLimited bool      // the last reaction was to a limit on requests in flight
	limitedBy          LimitedBy
	limitedFor         [numLimits]float64
	biggest            int64 // most tokens, at their worst, of a request that passed
	counts             counts
	failures           failures
	stopped            *nightshift.StopError
	halt               chan struct{} // closed while stopped is set

	timer  *time.Timer
	wakeAt float64 // +Inf while the timer is not set
}

type counts struct{ sent, succeeded, refused, failed int64 }

// New returns a Limiter that knows cfg.
func New(cfg Config) *Limiter {
	l := &Limiter{
		start:      time.Now(),
		cfg:        cfg,
		random:     rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
		share:      share{now: 1, last: 1},
		window:     newWindow(cfg.Concurrency),
		maxStall:   cfg.MaxStall.Seconds(),
		halt:       make(chan struct{}),
		wakeAt:     math.Inf(1),
		background: newBackground(),
	}
	if l.maxStall <= 0 {
		l.maxStall = DefaultMaxStall.Seconds()
	}
	l.repeats.credit = mostCredit
	for d, rate := range [numDims]float64{cfg.Requests, cfg.Tokens, cfg.InputTokens, cfg.OutputTokens} {
		l.dims[d] = newDimension(dim(d), rate, cfg.Charge)
	}
	return l
}

// Seed makes the jitter of l, and of the clients that use it, repeatable. It is
// for simulations: clients that all wait equally long come back together.
func (l *Limiter) Seed(seed uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.random = rand.New(rand.NewPCG(seed, 1))
}

// Random returns a number in [0, 1) for jitter.
func (l *Limiter) Random() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.random.Float64()
}

// Cost is what one attempt is expected to use, in tokens.
type Cost struct {
	Input     int64 // estimate
	Output    int64 // estimate
	MaxOutput int64 // most that the request permits; 0 is unknown
	Turn      Turn
	History   *RowHistory // what its row has met so far; may be nil
}

// worst is the most tokens that c can stand for.
func (c Cost) worst() int64 { return c.Input + max(c.Output, c.MaxOutput) }

// A Permit allows one attempt. Exactly one of its methods ends it: the first
// that is called.
type Permit struct {
	limiter     *Limiter
	cost        Cost
	flow        *flow
	sent        float64
	number      int  // in flight when it was sent, itself included
	fillsWindow bool // it, or one sent with it, used the window up
	trial       bool
	probe       bool
	nth         float64 // of all requests so far
	ended       bool
	charges     [numDims]charge
}

// A Refusal says what a refused request may conclude about itself.
type Refusal struct {
	// Trial is true when the request was sent alone after a pause, so that
	// the refusal is about it or about the endpoint, not about many.
	Trial bool
	// Biggest is true when nothing as large has passed so far.
	Biggest bool
	// Passed counts the requests that have succeeded so far.
	Passed int64
	// Own is true when such refusals come at any rate: nobody waits but the
	// row itself, for RetryAfter where the server asked for it (0 where not).
	Own        bool
	RetryAfter time.Duration
}

// Wait blocks until a request of that cost may be sent for flow. Flows that
// wait at the same time get equal shares of tokens; retries go first.
//
// The error is that of ctx, or a *nightshift.StopError when the endpoint must
// not be asked: it asked for a pause too long to sit out, nothing has
// succeeded for too long, or Stop was called.
func (l *Limiter) Wait(ctx context.Context, flow string, c Cost) (*Permit, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	now := l.now()
	if err := l.closed(); err != nil {
		l.mu.Unlock()
		return nil, err
	}
	if idle := now - l.idleSince; !l.comesAgain && l.inFlight == 0 && l.queue.waiting == 0 && idle > idleFor {
		l.active += idle // with nothing to send, nothing can succeed
	}
	w := &waiter{cost: c, flow: l.queue.flow(flow)}
	l.queue.push(w)
	l.dispatch(now)
	if w.permit != nil {
		l.mu.Unlock()
		return w.permit, nil
	}
	w.ready = make(chan struct{})
	l.mu.Unlock()

	select {
	case <-w.ready:
		return w.result()
	case <-ctx.Done():
	}
	l.mu.Lock()
	if w.list != nil {
		l.queue.remove(w)
		l.dispatch(l.now())
	}
	l.mu.Unlock()
	if w.permit != nil {
		w.permit.Cancel()
	}
	return nil, ctx.Err()
}

// Try is Wait without waiting; ok is false where that would have waited or
// failed.
func (l *Limiter) Try(flow string, c Cost) (p *Permit, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed() != nil {
		return nil, false
	}
	w := &waiter{cost: c, flow: l.queue.flow(flow)}
	l.queue.push(w)
	l.dispatch(l.now())
	if w.list != nil {
		l.queue.remove(w)
		l.dispatch(l.now())
	}
	return w.permit, w.permit != nil
}

// InFlight is the permit of a request that has been sent already: it takes its
// place beside the others at once.
func (l *Limiter) InFlight(flow string, c Cost) *Permit {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.advance(now)
	return l.grant(now, &waiter{cost: c, flow: l.queue.flow(flow)})
}

func (w *waiter) result() (*Permit, error) {
	if w.err != nil {
		return nil, w.err
	}
	return w.permit, nil
}

// now is the time on the limiter's clock, in seconds: monotonic, so that
// setting the wall clock changes nothing.
func (l *Limiter) now() float64 { return time.Since(l.start).Seconds() }

// closed returns the error that stops the endpoint, if it still does.
func (l *Limiter) closed() error {
	if l.stopped == nil {
		return nil
	}
	if until := l.stopped.Until; !until.IsZero() && !time.Now().Before(until) {
		l.stopped, l.halt = nil, make(chan struct{})
		return nil
	}
	return l.stopped
}

// Stopped returns a channel that is closed once Wait would return an error: a
// row that waits by itself need not wait any longer.
func (l *Limiter) Stopped() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.halt
}

// Stop ends all waiting with err, now and later; until err.Until where that is
// set. Permits that are out stay valid.
func (l *Limiter) Stop(err *nightshift.StopError) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stop(err)
}

func (l *Limiter) stop(err *nightshift.StopError) {
	if l.stopped == nil {
		close(l.halt)
	}
	l.stopped = err
	for _, w := range l.queue.drain() {
		w.err = err
		if w.ready != nil {
			close(w.ready)
		}
	}
}

// Success ends a permit whose request was answered. used says what it used as
// far as known, r what the answer said about the limits.
func (p *Permit) Success(used nightshift.Usage, r Report) {
	l := p.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	now, ok := p.end()
	if !ok {
		return
	}
	in, out := p.usage(used)
	for i := range l.dims {
		d := &l.dims[i]
		d.settle(p.charges[i], p.cost, in, out)
		d.accepted(p.charges[i])
		d.used.add(now, d.charged(in, out))
	}
	l.queue.charge(p.flow, in+out-float64(p.cost.Input+p.cost.Output))
	l.adopt(r, &p.charges)
	if p.sent < l.pause.reacted {
		p.number = 0
	}
	l.window.accepted(now, p.number, p.fillsWindow)
	l.closeBreaker(p)
	l.health.answered, l.health.lastAnswer = max(l.health.answered, p.sent), now
	if p.trial {
		l.pause.over()
	}
	if p.sent >= l.pause.reacted {
		l.pause.row = 0
	}
	l.learn.answered++
	l.latency += latencyWeight * (now - p.sent - l.latency)
	l.counts.succeeded++
	l.refusing -= refusalWeight * l.refusing
	l.biggest = max(l.biggest, p.cost.worst())
	l.active = now
	l.failures.answered()
	l.dispatch(now)
}

// Refused ends a permit whose request was refused for a rate limit. It pauses
// everybody who shares the limiter.
func (p *Permit) Refused(r Report) Refusal {
	l := p.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	now, ok := p.end()
	if !ok {
		return Refusal{}
	}
	l.counts.refused++
	l.pause.took(now - p.sent)
	verdict := Refusal{Trial: p.trial, Biggest: p.cost.worst() > l.biggest, Passed: l.counts.succeeded}
	if l.unrelated(now, p, r) {
		p.refund(false)
		wait, _ := r.wait(false)
		l.dispatch(now)
		return Refusal{Passed: verdict.Passed, Own: true, RetryAfter: wait}
	}
	l.refusing += refusalWeight * (1 - l.refusing)
	p.refund(false)
	// Requests that were sent before the last reaction tell nothing new.
	fresh := p.sent >= l.pause.reacted
	predicted := fresh && l.judged != undecided && l.predicted(p)
	l.adopt(r, &[numDims]charge{})
	if fresh {
		l.believe(r)
		l.react(now, p, r, predicted)
	} else if l.concurrencyLimited {
		l.window.lower()
	}
	l.dispatch(now)
	return verdict
}

// unrelated reports whether a refusal is one of those that come at any rate, so
// that nobody else has to wait for it.
func (l *Limiter) unrelated(now float64, p *Permit, r Report) bool {
	l.judged = aboutRate
	if p.sent < l.pause.reacted {
		l.background.stale(p.nth)
		return false
	}
	wait, _ := r.wait(false)
	rate := l.sendRate.rate(now, max(rateOver, rateLatencies*l.latency))
	if wait > longestPause*time.Second {
		return false
	}
	if !p.trial && !l.explainedByLimit(p) && l.background.explains(now, p.nth, l.sendRate.since(p.sent, now), 60*rate) {
		l.background.confirm(now, rate, l.peak.since(p.sent, now))
		return true
	}
	if l.reported() && !l.unconstrained() {
		return false
	}
	if l.isolated(now, p, rate) && l.background.guess(now, p.nth) {
		return true
	}
	l.judged = l.background.judge(now, refusalContext{
		number:        p.nth,
		rate:          rate,
		inFlight:      l.peak.since(p.sent, now),
		resumed:       l.pause.until,
		growing:       l.growing(),
		exceeded:      l.learn.rate == 0 && (l.growing() || l.window.passedWith(p.number) >= enoughTogether),
		extraEvidence: l.extraEvidence(now),
	})
	if l.judged != aboutNone {
		return false
	}
	l.resetInferred(now)
	l.background.accept(p.nth)
	return true
}

// isolated reports whether a refusal says so little of a limit that nobody else
// has to wait for it: no limit has been met, none that is known is in use, and
// so many requests are sent that one would show soon.
func (l *Limiter) isolated(now float64, p *Permit, rate float64) bool {
	return !p.trial && rate >= guessRate && l.growing() && l.extraEvidence(now) == 0 && !l.explainedByLimit(p)
}

// reported reports whether the server says what remains.
func (l *Limiter) reported() bool {
	for i := range l.dims {
		if l.dims[i].reported {
			return true
		}
	}
	return false
}

// extraEvidence says how much evidence more is wanted before a refusal is taken for
// one that comes at any rate: much where a known limit holds us back, which
// others may have used, some where a limit was inferred.
func (l *Limiter) extraEvidence(now float64) int {
	for i := range l.dims {
		switch d := &l.dims[i]; {
		case d.rate == 0 || d.used.perMinute(now) <= usedOfMinute*d.rate:
		case d.reported && d.agrees():
			return extraReported // the server itself says that enough is left
		default:
			return extraConfigured
		}
	}
	if l.learn.rate > 0 {
		return extraInferred
	}
	return 0
}

// growing reports whether no limit has been met so far.
func (l *Limiter) growing() bool {
	w := &l.window
	met := !math.IsInf(w.ceiling, 1) || w.rated || l.learn.rate > 0 || l.share.now < 1
	return (w.slow || w.size >= w.most) && !met && l.unconstrained()
}

// explainedByLimit reports whether a limit that is known explains a refusal.
func (l *Limiter) explainedByLimit(p *Permit) bool {
	for i := range l.dims {
		if s := p.charges[i]; s.touched && s.clear&(1<<l.dims[i].best) == 0 {
			return true
		}
	}
	return false
}

// resetInferred takes back what was concluded from refusals that were about nothing.
func (l *Limiter) resetInferred(now float64) {
	l.learn = learner{at: now}
	l.share.now, l.share.last = 1, 1
	l.concurrencyLimited = false
	l.refusing = 0
	for i := range l.dims {
		l.dims[i].resetErrors()
	}
	w := &l.window
	w.ceiling, w.misses, w.rated, w.against, w.slow = math.Inf(1), 0, false, 0, true
	if l.background.hold.rate > 0 { // as before the experiment, not all at once
		w.size = min(max(w.size, float64(l.background.hold.before)), max(float64(l.background.hold.before), leastRestart))
	}
}

// predicted judges the guesses at the server's buckets by a refusal, and reports
// whether those that are believed had seen it coming.
func (l *Limiter) predicted(p *Permit) (expected bool) {
	for i := range l.dims {
		expected = l.dims[i].refused(p.charges[i], p.cost) || expected
	}
	return expected
}

// react draws the conclusions of one refusal. expected says that it was
// predicted.
func (l *Limiter) react(now float64, p *Permit, r Report, expected bool) {
	if p.nth-l.background.reacted >= severalBefore {
		l.pause.row = 0 // they passed, though their answers are not here yet
	}
	first := l.pause.row == 0
	wait, configured := r.wait(!first)
	if wait > longestWait*time.Second {
		l.stopFor(wait)
		return
	}
	known := false
	for i := range l.dims {
		known = known || l.dims[i].rate > 0
	}
	if configured {
		l.pause.refused(now, wait.Seconds(), 0, l.random.Float64())
	} else {
		l.pause.refused(now, -1, l.learn.debt(l.inFlight), l.random.Float64())
	}
	l.background.paused(p.nth)
	if l.judged == undecided {
		l.concurrencyLimited = false
		return
	}
	most := l.peak.since(p.sent, now)
	filled := p.fillsWindow || l.window.near(most) // or another that was sent with it
	l.concurrencyLimited = (filled || !known) && !expected && l.unconstrained() && l.window.refused(most)
	switch {
	case l.concurrencyLimited && known:
	case known:
		l.emptied(now, first, expected)
	default:
		l.learn.refused(now, wait.Seconds(), first, l.window.rated)
	}
}

// unconstrained reports whether no known limit can be why a request was refused: the
// server's buckets are thought to be well filled.
func (l *Limiter) unconstrained() bool {
	for i := range l.dims {
		if d := &l.dims[i]; d.rate > 0 && d.fill() < min(unconstrainedFill, unconstrainedPart*d.bucketModels[d.best].burst) {
			return false
		}
	}
	return true
}

// emptied corrects the pacers after a refusal. first is set for the first of a
// row, expected where it was predicted.
func (l *Limiter) emptied(now float64, first, expected bool) {
	var lowest *dimension
	paced := false // the pacer let it through without anything saved
	for i := range l.dims {
		d := &l.dims[i]
		if d.rate == 0 {
			continue
		}
		if d.level <= ahead*d.rate { // what was saved up behind an empty bucket stays
			paced = paced || d.level < ahead/2*d.rate
			d.level = min(d.level, 0)
		}
		if lowest == nil || d.fill() < lowest.fill() {
			lowest = d
		}
	}
	if lowest.reported && lowest.agrees() && l.unconstrained() {
		return // the server itself says that enough is left: it was something else
	}
	// A small bucket is empty now and then although the rate is right.
	if !expected && (first && paced && !lowest.small() || l.refusing > oftenRefused) {
		l.share.refused(now, first)
	}
	lowest.emptied()
}

// wait returns how long the server asks to wait, if it says so. A reset time
// counts where insist is set, and where it is too far away to sit out.
func (r Report) wait(insist bool) (time.Duration, bool) {
	if r.HasRetryAfter {
		return max(0, r.RetryAfter), true
	}
	var reset time.Duration
	for _, w := range []*Window{r.Requests, r.Tokens, r.Input, r.Output} {
		if w != nil && w.Remaining == 0 {
			reset = max(reset, w.Reset)
		}
	}
	if reset > longestWait*time.Second {
		return reset, true
	}
	return min(reset, longestPause*time.Second), insist && reset > 0
}

// Until returns how long a used-up quota lasts, as far as the report says:
// the time to wait, or the latest reset of what is used up.
func (r Report) Until() (time.Duration, bool) {
	wait, ok := r.wait(true)
	return wait, ok && wait > 0
}

// stopFor stops the endpoint for as long as it asked.
func (l *Limiter) stopFor(wait time.Duration) {
	wait = min(wait, longestStop)
	l.stop(&nightshift.StopError{
		Until: time.Now().Add(wait),
		Err: &nightshift.Error{
			Class:   nightshift.ClassRateLimit,
			Message: fmt.Sprintf("the server asked to wait %v", wait.Round(time.Second)),
			Hint:    "run the same command again then",
		},
	})
}

// Failed ends a permit whose request met a sick server: 5xx, a timeout, a
// reset. It reports whether the failure counts against the request's row: false
// while the endpoint as a whole is down, unless the row fails by itself.
func (p *Permit) Failed(r Report) (own bool) {
	l := p.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	now, ok := p.end()
	if !ok {
		return false
	}
	l.counts.failed++
	p.refund(true)
	l.adopt(r, &[numDims]charge{})
	own, proved := l.countsAgainstRow(p, now, r.Err)
	if !l.health.open && !l.health.tentative {
		l.health.before = l.window.size
	}
	// Rows that fail whatever happens to others say nothing of the endpoint.
	if !proved && l.health.failed(now, p.sent, l.random.Float64()) {
		own = false
	}
	if !l.health.open && l.health.failing > sick && p.sent >= l.health.reacted {
		l.health.reacted = now
		l.window.shrink()
	}
	if p.trial {
		l.pause.over()
	}
	if r.HasRetryAfter && r.RetryAfter > 0 && p.sent >= l.pause.reacted {
		own = false
		if r.RetryAfter > longestWait*time.Second {
			l.stopFor(r.RetryAfter)
		} else {
			l.pause.refused(now, r.RetryAfter.Seconds(), 0, l.random.Float64())
		}
	}
	l.dispatch(now)
	return own
}

// Release ends a permit whose request says nothing about the endpoint's
// state: it was refused for what it is, or cancelled.
func (p *Permit) Release() { p.release(true) }

// NoCapacity ends a permit whose request was refused because its tier of service
// had no room for it. Requests at a lower rate would fare no better, so none is
// held back. Where nothing has been answered for the longest stall, it ends all
// waiting.
func (p *Permit) NoCapacity() {
	l := p.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	now, ok := p.end()
	if !ok {
		return
	}
	p.refund(false)
	l.comesAgain = true
	if p.trial {
		l.pause.over()
	}
	l.closeBreaker(p)
	if now >= l.endsAt() {
		l.stop(l.stalled(now))
		return
	}
	l.dispatch(now)
}

// Cancel gives back a permit that was not used.
func (p *Permit) Cancel() { p.release(false) }

func (p *Permit) release(sent bool) {
	l := p.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	now, ok := p.end()
	if !ok {
		return
	}
	p.refund(sent)
	switch {
	case !sent:
		l.counts.sent--
		l.pause.out = l.pause.out && !p.trial // another may be the trial
	case p.trial:
		l.pause.over()
	}
	if sent {
		l.closeBreaker(p)
		l.failures.requestFault()
	}
	l.dispatch(now)
}

// closeBreaker takes in that the endpoint answered, and closes the breaker.
func (l *Limiter) closeBreaker(p *Permit) {
	if l.health.succeeded(p.sent) {
		l.window.restart(answeredPart * l.health.before)
	}
}

// end brings the limiter up to date and takes the permit out of flight. ok is
// false when it had ended before.
func (p *Permit) end() (now float64, ok bool) {
	if p.ended {
		return 0, false
	}
	p.ended = true
	l := p.limiter
	now = l.now()
	l.advance(now)
	l.inFlight--
	l.idleSince, l.comesAgain = now, false
	if p.probe {
		l.health.probes--
	}
	return now, true
}

// usage returns the tokens that count towards limits, estimates where the
// server said nothing.
func (p *Permit) usage(u nightshift.Usage) (in, out float64) {
	in, out = float64(p.cost.Input), float64(p.cost.Output)
	total := u.InputTotal()
	if p.limiter.cfg.FreeCacheReads {
		total = u.Input.Add(u.CacheWrite5m).Add(u.CacheWrite1h)
	}
	if n, known := total.Get(); known {
		in = float64(n)
	}
	if n, known := u.Output.Get(); known {
		out = float64(n)
	}
	return in, out
}

func (p *Permit) refund(counted bool) {
	for i := range p.limiter.dims {
		p.limiter.dims[i].refund(p.charges[i], p.cost, counted)
	}
	p.limiter.queue.charge(p.flow, -float64(p.cost.Input+p.cost.Output))
}

// adopt takes in what an answer said about the limits. charges are those of its
// request, empty where the server did not charge it.
func (l *Limiter) adopt(r Report, charges *[numDims]charge) {
	for i, w := range [numDims]*Window{r.Requests, r.Tokens, r.Input, r.Output} {
		if w != nil {
			l.dims[i].report(w, charges[i])
		}
	}
	l.reconsider()
}

// believe takes what a refusal says remains at its word: it is as of now.
func (l *Limiter) believe(r Report) {
	for i, w := range [numDims]*Window{r.Requests, r.Tokens, r.Input, r.Output} {
		if w != nil && w.Remaining >= 0 {
			l.dims[i].holds(w.Remaining)
		}
	}
}

// reconsider forgets a ceiling on requests in flight that was found while the
// server was thought to charge by another rule: it may have been the rate.
func (l *Limiter) reconsider() {
	for i := range l.dims {
		if d := &l.dims[i]; d.ruleChanged {
			d.ruleChanged = false
			l.window.forget()
		}
	}
}

// advance brings everything that changes with time up to date.
func (l *Limiter) advance(now float64) {
	dt := now - l.at
	if dt <= 0 {
		return
	}
	if l.queue.waiting > 0 {
		l.limitedFor[l.limitedBy] += dt
	}
	for i := range l.dims {
		l.dims[i].advance(now, pace*l.share.now)
	}
	l.learn.advance(now)
	if l.background.advance(now) {
		l.learn.began = 0 // what was sent meanwhile measures nothing
	}
	l.repeats.advance(now)
	small := false
	for i := range l.dims {
		small = small || (l.dims[i].rate > 0 && l.dims[i].small())
	}
	l.share.advance(now, dt, small && l.refusing < oftenRefused/2)
	if int(now/fadeEvery) != int(l.at/fadeEvery) {
		keep := math.Exp2(-fadeEvery / halfLife)
		l.window.fade(keep)
		for i := range l.dims {
			l.dims[i].forget(keep)
		}
	}
	l.at = now
}
