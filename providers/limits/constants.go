package limits

import "time"

// All figures by which a Limiter decides, each with its reason. Times are in
// seconds where no unit is given. Those that were measured were chosen so that
// the simulated hours of docs/rate-control.md use most of the limits with
// fewest refusals; a figure that is only "long" or "few" may be changed without
// much effect.

// Pacing below a known rate.
const (
	pace   = 0.985 // of a rate that is asked for: the rest pays for wrong estimates and for clocks that differ
	ahead  = 2.0   // seconds of its rate that are saved up while there is nothing to send
	behind = 75.0  // and while the server's bucket is empty: what could not be sent then is still ours

	defaultPeriod = 60.0  // of a limit that names none
	longestPeriod = 600.0 // pacing by a longer one would make no sense within a run's patience

	spreadOver = 0.1  // what was saved up behind a small bucket is sent over that, not in one instant:
	spreadMost = 0.02 // an answer that ends meanwhile would have all of it refused

	// Large requests are kept apart so far that the server sees them in the
	// order in which they were sent: by a share of the time that the rate takes
	// for them, as the rule that charges most has it.
	orderShare   = 0.02
	orderReserve = 0.5   // and of the time that is booked, at most
	orderMost    = 0.1   // at most that
	orderLeast   = 0.002 // less is not worth a timer

	anyOrder = 0.02 // seconds within which requests may overtake each other on their way

	usualWeight = 0.1 // of one request in the mean of what requests book
)

// bursts are the sizes of a server's bucket that are tried, in seconds of its
// rate. The longest comes first: it is believed until something speaks against
// it.
var bursts = []float64{60, 30, 15, 8, 4, 2, 1, 0.5}

// Models of a server's bucket.
const (
	fixedWindow = 60.0 // length of a count that starts anew: no vendor has another
	smallBurst  = 5.0  // seconds; a smaller bucket is empty now and then at the right rate

	// needs: what a bucket should hold where output is charged at the end.
	needOfRate   = 0.25 // seconds of the rate: answers end meanwhile
	needOfBucket = 2.0  // at most this part (1/n) of the bucket
	mostOfBucket = 0.98 // no request needs more: a full bucket is never exactly full

	marginOfRate = 0.15 // seconds of the rate by which a model may be wrong without having excluded anything
	deepestDebt  = 2.0  // buckets; deeper debt only says that the model is wrong
	shortFor     = 1.0  // an empty bucket that was waited for so long is tried with one request first

	// Errors of a model: what its predictions got wrong, and how far it is from
	// what the server says, in seconds of the rate.
	errorOfPass     = 0.25 // a request passed that it had excluded: late answers explain some
	errorKept       = 0.85 // of old errors at each refusal
	errorOfReport   = 2.0  // a second's difference weighs as much as so many refusals
	betterBy        = 0.75 // another model is believed where its error is below that share
	betterByAtLeast = 0.4  // and that much more
	agreesWithin    = 0.3  // seconds: a model agrees with the server

	reportMemory  = 20.0 // seconds after which what the server said before weighs 1/e
	reportWeight  = 0.05 // of one report at least
	mostDifferent = 10.0 // seconds; more says nothing more
	correction    = 0.3  // of the difference by which a level is corrected at once

	coarsestGrain = 1000.0 // to which servers round what remains
	grainStep     = 10.0   // and the next finer

	edgeRise   = 10.0 // seconds of the rate more than any bucket fills: the window began anew
	edgeOfFull = 0.3  // of the window, too
	edgeApart  = 2.0  // seconds from where it was thought to be

	// Going back to a rule that allows more.
	exploreFactor = 2.0    // its error may be that much more
	exploreSlack  = 0.25   // and so much
	firstExplore  = 300.0  // seconds until the next try
	exploreGrowth = 3.0    // times longer each time
	lastExplore   = 7200.0 // at most
)

// Refusals and evidence.
const (
	refusalWeight = 0.01  // of one outcome in the mean of refusals
	oftenRefused  = 0.015 // more than that at a rate that should pass: somebody else uses the key
	latencyWeight = 0.05  // of one answer in the mean time to an answer
	delayWeight   = 0.2   // of one refusal or failure in the mean time to one: they are rarer
	idleFor       = 60.0  // without anything to send, silence says nothing of the endpoint
	fadeEvery     = 10.0  // old evidence fades in steps
	halfLife      = 300.0 // of evidence: a server that changes is seen anew within minutes

	unconstrainedFill = 3.0  // seconds of the rate in a bucket that cannot be why a request was refused
	unconstrainedPart = 0.75 // or that part of it, where it is small

	// How the rate of sending is measured around a refusal.
	rateOver      = 0.5 // seconds at least
	rateLatencies = 1.5 // and so many answers long

	// How many refusals more must speak against a limit where one is known.
	usedOfMinute    = 15.0 // seconds of its rate used in the last minute make a limit possible
	extraConfigured = 4    // it is configured
	extraInferred   = 2    // it was inferred
	extraReported   = 1    // the server itself says that enough is left
)

// Pauses after a refusal.
const (
	floorPause    = 0.25  // also for a Retry-After of 0
	firstPause    = 0.5   // where the server says nothing; doubled with each refusal in a row
	mostDoublings = 20    // keeps the power finite
	longestPause  = 60.0  // of our own at most: limits count in minutes
	longestWait   = 900.0 // a longer Retry-After stops the endpoint
	pauseJitter   = 0.05  // of a Retry-After, so that clients do not come back together
	stretchBase   = 1.6   // a Retry-After that was not enough is stretched by that
	mostStretch   = 8.0   // at most
	trialLead     = 0.1   // the first request after a pause is alone for so long at least,
	trialDelays   = 3.0   // or so many times as long as a refusal takes
	longestStop   = 100 * 365 * 24 * time.Hour
)

// The share of a known rate that is asked for when others use the same key.
const (
	leastShare  = 0.05
	shareStep   = 0.96  // at each refusal
	shareUp     = 0.1   // a minute, where it was not refused lately
	shareNear   = 0.98  // of where it was refused last:
	shareSlow   = 0.004 // a minute from there on,
	shareDouble = 120.0 // twice as fast after so many seconds without a refusal
)

// The window of requests in flight.
const (
	firstWindow   = 4
	leastRestart  = 8.0  // after an outage
	nearWindow    = 0.95 // of the window counts as using it up
	nearCeiling   = 1.5  // so close to a ceiling the window grows slowly:
	ceilingPasses = 75.0 // by one after so many answers, twice as many after each miss
	mostMisses    = 6
	ceilingRises  = 1.1 // a ceiling that was passed rises by that
	countedPasses = 4096
	doublesEvery  = 1.0 // second: the window at most doubles in it
	provenPasses  = 5   // with as many in flight: it was not their number
	againstRate   = 4   // refusals at the ceiling that speak for it after all
	againstNumber = 2   // refusals below the ceiling that speak for a rate
	belowCeiling  = 0.9 // of the ceiling is below it
	stepBack      = 0.75
	quietToDouble = 10.0 // seconds after a reaction before it doubles without answers
	quietFailing  = 0.1  // mean of failures up to which it does
	quietWindows  = 4    // first windows up to which it does before the first answer
)

// The breaker.
const (
	failureWeight = 0.03 // of one outcome in the mean of failures
	sick          = 0.25 // mean above which the window shrinks
	sickShrink    = 0.9  // to that
	broken        = 0.50 // above which the breaker opens
	brokenRow     = 8    // failures in a row that open it too
	longestProbe  = 5.0  // between probes at most
	mostProbes    = 4    // not answered yet, at most
	mostTries     = 10   // doublings of the time between probes
	probeJitter   = 0.25
	quickFailure  = 2.0  // slower failures make a probe's silence say nothing
	survivesFor   = 1.0  // a probe that has not failed for so long is a good sign,
	survives      = 4.0  // or so many times as long as failures take
	reopenPart    = 0.5  // of the window before the outage, on that sign
	answeredPart  = 0.75 // and on an answer
	retryRate     = 3.0  // failed requests are sent again at that many a second
	retryPart     = 0.1  // and that part of all sends, so that a sick endpoint is not hammered
	mostCredit    = 30.0
)

// Failures and rows.
const (
	lateRow      = 60   // after the last answer a row may still be suspected of failing by itself
	permanentFor = 40   // of failures that only a person can heal: the endpoint is given up, where no answer has ever come
	sameFor      = 300  // of failures that are all alike; where there were answers before, the rows are given up
	warnOutages  = 600  // between warnings of outages that begin
	silentFor    = 300  // without an answer before the first warning,
	warnSilence  = 3600 // and between the others
)

// Inferring a rate from answers between refusals, where nothing is told.
const (
	growth      = 0.02 / 60 // of the rate a second, at first
	eager       = 8.0       // times faster after the first measurement: it is a lower bound
	growsAfter  = 180.0     // without a refusal double the growth
	mostEager   = 64.0
	leastCycle  = 15.0  // what is measured over less is noise, but for
	manyInCycle = 100.0 // answers,
	shortCycle  = 1.0   // unless it is shorter than that
	fewInCycle  = 3.0   // answers measure nothing
	mostOwed    = 4.0   // debts may shorten a cycle to this part (1/n)
)

// Refusals that come at any rate: telling them from a limit.
const (
	fewBefore      = 3    // requests that pass between two refusals even where a limit is
	enoughTogether = 20   // sent at the same time tell whether a bucket was empty
	severalBefore  = 5    // and that they do not where one is
	tellingGap     = 10   // requests between two refusals that say something about the rate
	enoughPassed   = 30.0 // requests that tell a rate
	leastSpan      = 0.1  // over which one is told
	clearlyMore    = 1.3  // times; what differs less is the same
	leastExplains  = 1e-4 // a share below that is none
	mostExplains   = 0.12 // a larger one is no background
	mostNeed       = 64   // refusals that may be asked for as evidence
	needPerShare   = 0.04 // one refusal more for so large a share
	manyRefused    = 10   // refusals from which a share above mostExplains is a limit
	clusterFrom    = 2    // refusals in a row that came with others
	recentHalfLife = 60.0 // of the count of refusals that paused everybody
	memoryOfShare  = 100.0
	quickShare     = 0.5 // a share that means that hardly anything passes
	slowFactor     = 2.5 // a share that means more than expected: so many times,
	slowStep       = 0.02
	slowMost       = 0.5
	alarmMinutes   = 10.0 // between false alarms at least
	alarmLeast     = 60.0 // outcomes a minute that are assumed at least
)

// How a share is firstGuess after a first refusal that came while many passed.
const (
	firstGuess   = 0.05  // at first,
	guessSeen    = 50.0  // as if measured on so many requests,
	mostGuess    = 0.075 // and corrected up to that
	guessRate    = 30.0  // requests a second at least: a limit would show within a second
	guessPause   = 60.0  // until the next guess after one that was wrong
	harmless     = 0.005 // a share below need not be told from a limit: it costs nothing
	confirmAfter = 8     // refusals
	confirmWith  = 10.0  // refusals expected at a lower rate; confirmed where
	confirmed    = 3     // came, wrong where fewer than one less did
	confirmFor   = 30.0  // at most; where that is not enough, the share is small
)

// The experiment of sending less for a while.
const (
	holdShare        = 0.7  // of the rate: clearlyMore tells the two apart
	holdLength       = 15.0 // or
	holdPart         = 0.05 // of the time so far
	holdBurst        = 0.1  // seconds of its rate that may be sent at once
	mostSteps        = 3
	laterWorth       = 2.5    // recent refusals that make another worth its cost
	firstGap         = 60.0   // until the next, doubled each time
	longestGap       = 3600.0 // at most
	expectedRefusals = 3.0    // refusals expected in it without one: the share is none
)

// leastSpare is how ready a limiter says to be at least while it may be asked.
const leastSpare = 0.01

// Counting over the last while: number of slots, and the length of one.
const (
	meterSlots = 12 // a minute
	slotLength = 5.0

	peakSlots  = 64 // three seconds: requests that are sent together arrive within
	peakLength = 0.05

	rateSlots  = 256 // sixteen seconds
	rateLength = 0.0625
	rateEnough = 40 // requests that tell a rate
)
