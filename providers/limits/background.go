package limits

import "math"

// A background tells refusals that depend on our rate from those that do not:
// some queues, gateways and shared servers answer 429 now and then whatever is
// sent.
//
// A server that limits a rate is empty-handed when it refuses. So its rate is
// at most what was sent just before a refusal, and at least what it let pass
// from one refusal on. Where it let pass clearly more than was sent before
// some refusal, that refusal was not about the rate. To find out, the limiter
// goes on growing after a first refusal, or holds a lower rate for a while and
// sees whether refusals come all the same.
//
// From then on a share of refusals is expected. They concern their own request
// alone, unless more come than that share explains.
type background struct {
	share float64 // of requests that are refused at any rate; 0 is none known
	seen  float64 // requests on which it was measured, at most those that count
	found float64 // the share when it was found; it only falls until it is found again
	slow  alarm   // more than expected
	quick alarm   // hardly anything passes

	most                    float64 // the server's rate is at most that, requests a second
	least                   float64 // and at least that
	began                   float64 // when the refusal came from which passed counts
	passed                  float64 // requests sent since then, less those refused
	sends                   float64 // since the first refusal that is being looked into, for the share
	refused                 float64
	against                 int     // refusals that were not about the rate
	need                    int     // how many are needed
	clusters                int     // refusals in a row that came with others
	number                  float64 // requests sent so far
	reacted                 float64 // the number when everybody was paused last
	groupFrom, groupRefused float64 // what became of those sent with the one that was refused
	judged                  float64 // up to which the alarms have been told
	recent                  float64 // refusals that paused everybody, the older the less

	// isGuess is set while share is a guess: a first refusal came while many
	// requests around it passed. It is confirmed or withdrawn by more refusals.
	isGuess   bool
	explained int     // refusals since then
	after     float64 // when the next guess may be made

	hold hold
}

// A hold is an experiment: a lower rate for a while, to see whether refusals
// come all the same.
type hold struct {
	rate    float64 // requests a second; 0 where none is under way
	level   float64
	at      float64
	steps   int
	worth   float64 // recent refusals that make another worth its cost
	until   float64
	most    int     // in flight
	before  int     // in flight when it began
	from    float64 // the number of its first request
	enough  float64 // requests within it that confirm a guess, or not
	sent    float64 // within it
	refused float64
	again   float64 // when the next may begin
	gap     float64 // between the last two
}

func newBackground() background {
	return background{most: math.Inf(1), need: 1, hold: hold{gap: firstGap}}
}

// sent counts a request. It reports whether it belongs to an experiment.
func (b *background) sent() (number float64) {
	b.passed++
	b.sends++
	b.number++
	if b.hold.rate > 0 {
		b.hold.sent++
		b.hold.level--
	}
	return b.number
}

// advance brings the experiment up to date, and reports whether it has ended.
func (b *background) advance(now float64) (ended bool) {
	h := &b.hold
	dt := now - h.at
	h.at = now
	b.recent *= math.Exp2(-max(dt, 0) / recentHalfLife)
	if h.rate == 0 || dt <= 0 {
		return false
	}
	h.level = min(max(1, holdBurst*h.rate), h.level+dt*h.rate)
	if now < h.until && !(b.isGuess && h.sent >= h.enough) {
		return false
	}
	b.concluded(now)
	return true
}

// concluded ends an experiment in which no refusal came that speaks against a
// limit: what was thought to come at any rate does not.
func (b *background) concluded(now float64) {
	h := &b.hold
	if b.share > 0 {
		expected := b.share * h.sent
		b.measure(h.refused, h.sent)
		switch {
		case !b.isGuess && h.refused == 0 && expected > expectedRefusals, b.isGuess && h.sent >= h.enough &&
			h.refused < confirmed-1:
			b.reject(now)
		case h.refused >= confirmed:
			b.isGuess = false
		}
	}
	h.rate, h.steps, h.worth = 0, 0, laterWorth
	h.again = now + h.gap
	h.gap = min(2*h.gap, longestGap)
	b.most = math.Inf(1)
}

// guess guesses that a first refusal is one that comes at any rate, as many
// passed around it, and reports whether it does. Refusals that follow in a row
// show a limit.
func (b *background) guess(now, number float64) bool {
	if b.share > 0 || now < b.after || b.number-b.reacted < enoughTogether {
		return false
	}
	b.share, b.found, b.seen = firstGuess, mostGuess, guessSeen
	b.slow, b.quick, b.judged = alarm{}, alarm{}, number
	b.isGuess, b.explained = true, 0
	return true
}

// reject withdraws a share, and puts off the next guess.
func (b *background) reject(now float64) {
	b.withdraw()
	b.after = now + guessPause
}

// confirm begins an experiment where a share that is isGuess matters: the
// same share should be refused at a lower rate.
func (b *background) confirm(now, rate float64, inFlight int) {
	b.explained++
	enough := confirmWith / b.share
	few := b.explained < confirmAfter || b.share < harmless || enough > holdShare*rate*confirmFor
	if !b.isGuess || few || b.hold.rate > 0 {
		return
	}
	b.begin(now, rate, inFlight)
	b.hold.before, b.hold.enough = inFlight, enough
	b.hold.until = now + confirmFor
	b.explained = 0
}

func (b *background) withdraw() {
	b.isGuess = false
	b.share, b.seen = 0, 0
	b.need = min(2*b.need, mostNeed)
	b.forget()
}

// forget drops what is being looked into.
func (b *background) forget() {
	b.most, b.least, b.against = math.Inf(1), 0, 0
	b.sends, b.refused, b.passed, b.began = 0, 0, 0, 0
}

// wait is how long the next request has to wait for an experiment.
func (b *background) wait(inFlight int) float64 {
	h := &b.hold
	switch {
	case h.rate == 0:
		return 0
	case inFlight >= h.most:
		return math.Inf(1)
	case h.level < 0:
		return -h.level / h.rate
	}
	return 0
}

// begin starts an experiment below rate, with fewer than n in flight.
func (b *background) begin(now, rate float64, n int) {
	h := &b.hold
	h.rate, h.level = holdShare*rate, 0
	h.most = max(1, int(holdShare*float64(n)))
	h.at = now
	h.steps++
	h.until = now + max(holdLength, holdPart*now)
	h.sent, h.refused, h.from = 0, 0, b.number+1
}

// explains takes in a refusal of the request with that number, and reports
// whether it is one of those that are expected. perMinute is how many requests
// are sent, and together how many so close to this one that their refusals may
// come in any order. What was sent before it and not refused by now has passed:
// a refusal comes at once, an answer takes its time.
func (b *background) explains(now, number, together, perMinute float64) bool {
	if b.share == 0 {
		return false
	}
	passed := max(0, number-b.judged-1)
	b.judged = max(b.judged, number)
	b.slow.outcomes(passed, together, b.share, b.slowShare())
	b.quick.outcomes(passed, together, b.share, quickShare)
	if most := alarmAt(perMinute); b.slow.sum >= most || b.quick.sum >= most {
		b.slow, b.quick = alarm{}, alarm{}
		switch {
		case b.isGuess:
			b.isGuess, b.share, b.seen = false, 0, 0
			b.hold.rate, b.hold.steps = 0, 0
			b.after = now + guessPause
		case b.hold.rate > 0:
			b.withdraw() // not even at a lower rate
		}
		return false
	}
	b.passed--
	if number >= b.hold.from {
		if b.hold.refused++; b.isGuess && b.hold.rate > 0 && b.hold.refused >= confirmed {
			b.hold.until = now
		}
	}
	if b.hold.rate == 0 {
		b.measure(1, passed+1)
	}
	return true
}

// measure corrects the share by n requests, k of which were refused.
func (b *background) measure(k, n float64) {
	b.seen = min(b.seen+n, memoryOfShare/b.share)
	b.share = min(b.found, b.share+(k-n*b.share)/b.seen)
	if b.share < leastExplains {
		b.withdraw()
	}
}

func (b *background) slowShare() float64 {
	return min(slowMost, max(slowFactor*b.share, b.share+slowStep))
}

// A judgement says what a refusal is about.
type judgement uint8

const (
	aboutRate judgement = iota // as far as anybody knows
	undecided                  // it comes first, and we are still growing
	aboutNone                  // it came although the rate was low enough
)

// A refusalContext is what a refusal came upon.
type refusalContext struct {
	number        float64 // of the request that was refused
	rate          float64 // what was sent lately, a second
	inFlight      int     // when it was sent, at most
	resumed       float64 // when the last pause ended
	growing       bool    // no limit has been met so far
	exceeded      bool    // requests have passed with more in flight
	extraEvidence int     // how much more evidence is wanted, as limits are known that may explain it
}

// judge takes in a refusal that no background explains.
func (b *background) judge(now float64, s refusalContext) judgement {
	b.refused++
	b.passed--
	b.recent++
	before := s.number - b.reacted
	if before < fewBefore || b.refused > manyRefused && b.refused > mostExplains*b.sends {
		b.clustered(now)
		return aboutRate
	}
	b.clusters = 0
	first := b.began == 0
	mostlyPaused := now-s.resumed < (now-b.began)/2
	if !first && b.passed >= enoughPassed {
		b.least = max(b.least, b.passed/max(now-b.began, leastSpan))
	}
	if first || b.passed >= enoughPassed {
		b.begun(now)
	}
	if before < tellingGap {
		return aboutRate
	}
	b.most = min(b.most, s.rate)
	if b.least > clearlyMore*b.most || s.exceeded && b.othersPassed() {
		if b.against++; b.against >= b.needed(s.number, s.extraEvidence) {
			return aboutNone
		}
	}
	switch {
	case (first || b.against > 0) && s.growing && b.share == 0:
		return undecided
	case b.hold.rate > 0 && b.hold.steps < mostSteps:
		b.begin(now, b.hold.rate, b.hold.most)
		return undecided
	case b.hold.rate == 0 && !mostlyPaused && b.least > 0 && now >= b.hold.again &&
		(b.recent >= b.hold.worth || b.share > 0):
		b.hold.before = s.inFlight
		b.begin(now, min(b.least, s.rate), s.inFlight)
	}
	return aboutRate
}

// clustered takes in a refusal that came with others: that is what a limit does.
func (b *background) clustered(now float64) {
	if b.clusters++; b.clusters < clusterFrom {
		return
	}
	b.forget()
	b.hold.rate, b.hold.steps = 0, 0
	b.begun(now)
}

// othersPassed reports whether of those that were sent right after the request that
// was refused last hardly any were: an empty bucket lets nobody pass.
func (b *background) othersPassed() bool {
	sent := b.reacted - b.groupFrom
	return sent >= enoughTogether && b.groupRefused <= mostExplains*sent
}

// paused notes that the refusal of the request with that number pauses everybody.
func (b *background) paused(number float64) {
	b.reacted, b.groupFrom, b.groupRefused = b.number, number, 0
}

// stale takes in a refusal of a request that was sent before the last reaction.
func (b *background) stale(number float64) {
	b.passed--
	if number > b.groupFrom {
		b.groupRefused++
	}
	b.refused++
}

// needed is how many refusals must speak against a limit: the more, the larger
// the share that would be expected from then on. More of them come then, too.
func (b *background) needed(number float64, extraEvidence int) int {
	return b.need + extraEvidence + int(b.suspected(number)/needPerShare)
}

func (b *background) begun(now float64) {
	b.began, b.passed = now, 0
}

// suspected is the share that was refused since the first that is being looked into, up
// to the request with that number, and a standard error more.
func (b *background) suspected(number float64) float64 {
	sends := b.sends - (b.number - number)
	return clamp((b.refused+math.Sqrt(b.refused))/(max(sends, 0)+1), leastExplains, mostExplains)
}

// accept adopts what was found as the share that is refused at any rate.
func (b *background) accept(number float64) {
	b.share, b.isGuess = b.suspected(number), false
	b.found, b.seen = b.share, max(b.sends, 1)
	b.slow, b.quick, b.judged = alarm{}, alarm{}, number
	b.hold.again, b.hold.gap = 0, firstGap
	b.hold.rate, b.hold.steps = 0, 0
	b.forget()
}

// An alarm is a cumulative sum test (Page 1954): the sum of the log-likelihood
// ratios of the outcomes, kept from falling below zero, passes a threshold when
// more are refused than expected.
type alarm struct{ sum float64 }

// alarmAt is the threshold that so many outcomes a minute pass by chance less
// than once in ten minutes (Lorden 1971: on average after e^threshold outcomes).
func alarmAt(perMinute float64) float64 { return math.Log(alarmMinutes * max(perMinute, alarmLeast)) }

// outcomes takes in so many requests that passed and one that was refused. What
// passed together with it may make up for others that were refused.
func (a *alarm) outcomes(passed, together, expected, suspected float64) {
	pass := math.Log((1 - suspected) / (1 - expected))
	a.sum = max(min(a.sum, together*pass), a.sum+passed*pass)
	a.sum += math.Log(suspected / expected)
}
