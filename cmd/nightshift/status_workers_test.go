package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"nightshift/runner/cluster/hub"
	"nightshift/runner/session"
)

var someWorkers = []hub.Worker{
	{Name: "gpu-1", Version: "v1", Since: time.Unix(1, 0), Slots: 8, InFlight: 3, Answered: 40, Refused: 2, Failed: 1,
		Held:      5,
		Connected: true, LastSeen: time.Unix(90, 0), Private: []string{"local"}, Note: "drains"},
	{Name: "spot\x1b[2J", Version: "v2", Slots: 8, Lost: 6, Late: 4, LastSeen: time.Unix(50, 0), Note: "gone"},
}

// The table of workers has a line for each, and below it what is not the same
// for all. Names are what strangers chose.
func TestStatusOfWorkers(t *testing.T) {
	var out bytes.Buffer
	a := &app{out: &out}
	a.printWorkers(nil)
	if out.Len() > 0 {
		t.Errorf("without workers: %s", out.String())
	}
	a.printWorkers(someWorkers)
	for _, want := range []string{"gpu-1: version v1; reaches local at an address of its own; drains",
		"gone since " + time.Unix(50, 0).Local().Format(time.TimeOnly), "40        2        1"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("a name reached the terminal as it is: %q", out.String())
	}
}

func TestMetricsOfWorkers(t *testing.T) {
	got := gathered(t, session.State{Name: "r", Workers: someWorkers})
	for _, want := range []string{"nightshift_workers 1", "nightshift_worker_info v1 gpu-1 1",
		"nightshift_worker_requests_total answered gpu-1 40", "nightshift_worker_requests_total refused gpu-1 2",
		"nightshift_worker_requests_total lost spot\x1b[2J 6", "nightshift_worker_requests_total late spot\x1b[2J 4",
		"nightshift_worker_slots gpu-1 8", "nightshift_worker_slots spot\x1b[2J 0", "nightshift_worker_held gpu-1 5"} {
		if !slices.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, strings.Join(got, "\n"))
		}
	}
	for _, line := range gathered(t, session.State{Name: "r"}) {
		if strings.Contains(line, "worker") {
			t.Errorf("without --listen: %s", line)
		}
	}
}

// gathered are the metrics of a state: name, values of labels but the run's, figure.
func gathered(t *testing.T, s session.State) (lines []string) {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector(func() session.State { return s }))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			words := []string{f.GetName()}
			for _, l := range m.GetLabel() {
				if l.GetName() != "run" {
					words = append(words, l.GetValue())
				}
			}
			lines = append(lines, strings.Join(append(words,
				fmt.Sprint(m.GetGauge().GetValue()+m.GetCounter().GetValue())), " "))
		}
	}
	return lines
}
