package estimate

import (
	"fmt"
	"net"
	"net/url"

	"nightshift/internal/words"
)

// What one machine sends. docs/performance.md has the rate, of streamed answers
// and two processors; the connections are the ports that a Linux system uses for
// one address of a server by default.
const (
	machineRate     = 2_000
	machineInFlight = 28_000
)

// A machinesForecast says whether further machines would make an endpoint's work
// end sooner.
type machinesForecast struct {
	Help string `json:"help"` // yes, no or not known
	Why  string `json:"why"`
}

// machines says whether more machines would help an endpoint, whose hours are
// known where they can be.
func (e *endpointForecast) machines() {
	m := &e.Machines
	l, rate := e.limits, e.rate()
	switch {
	case e.simulated:
		*m = machinesForecast{"no", "the simulator is in this process; workers cannot reach it"}
	case onlyHere(e.baseURL):
		*m = machinesForecast{"yes", fmt.Sprintf("where each has a model server of its own, as this address is one of the "+
			"machine itself: nightshift work worker.join --endpoint %s=%s", e.Name, e.baseURL)}
	case rate > machineRate:
		*m = machinesForecast{"yes", fmt.Sprintf("its limit on %s lets %s requests a second through, and one machine of two "+
			"processors sends about %s", e.Limited, words.Short(int64(rate)), words.Short(machineRate))}
	case rate > 0:
		*m = machinesForecast{"no", fmt.Sprintf("its limit on %s decides (%.3g requests a second), and all machines "+
			"share it; another key or region would help (routes:)", e.Limited, rate)}
	case l.Concurrency > machineInFlight:
		*m = machinesForecast{"yes", fmt.Sprintf("its concurrency is %s, and one machine has ports for about %s connections "+
			"to an address", words.Short(int64(l.Concurrency)), words.Short(machineInFlight))}
	case l.Concurrency > 0:
		*m = machinesForecast{"no", fmt.Sprintf("its concurrency of %d decides, which one machine keeps in flight alone; "+
			"all machines share it", l.Concurrency)}
	default:
		*m = machinesForecast{"not known", fmt.Sprintf("no limits are configured. One machine of two processors sends about "+
			"%s requests a second and keeps up to %s in flight; what limits the run, status says while it runs",
			words.Short(machineRate), words.Short(machineInFlight))}
	}
}

// rate is how many requests a second the limits a minute let through; 0 when
// none decides.
func (e *endpointForecast) rate() float64 {
	l := e.limits
	if e.Hours == nil || e.Hours.Likely == 0 || l.Requests+l.Tokens+l.InputTokens+l.OutputTokens == 0 ||
		e.Limited == byConcurrency {
		return 0
	}
	return e.Requests / e.Hours.Likely / 3600
}

// onlyHere reports whether an address is one that a machine has for itself.
func onlyHere(base string) bool {
	u, err := url.Parse(base)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

func (f *Forecast) printMachines(p *printer) {
	for i, e := range f.Endpoints {
		if i == 0 {
			p.line("\nwould more machines help?")
		}
		p.line("  %s: %s: %s", words.Visible(e.Name), e.Machines.Help, words.Visible(e.Machines.Why))
	}
}
