package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"nightshift/internal/words"
	"nightshift/runner/cluster/hub"
)

// printWorkers says what each worker has done and does, in a table, and below it
// what is not the same for all.
func (a *app) printWorkers(list []hub.Worker) {
	if len(list) == 0 {
		return
	}
	t := tabwriter.NewWriter(a.out, 2, 8, 2, ' ', 0)
	fmt.Fprintln(t, "  worker\tsince\tslots\tin flight\tanswered\trefused\tfailed\tlost\tlate\tspool")
	for _, w := range list {
		fmt.Fprintf(t, "  %s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", words.Visible(w.Name),
			w.Since.Local().Format(time.TimeOnly), w.Slots, w.InFlight, w.Answered, w.Refused, w.Failed, w.Lost, w.Late, w.Held)
	}
	_ = t.Flush() // a.out is checked by whoever ends the command
	version := list[0].Version
	for _, w := range list {
		if w.Version != version {
			version = ""
		}
	}
	for _, w := range list {
		if said := workerWords(w, version == ""); said != "" {
			fmt.Fprintf(a.out, "  worker %s: %s\n", words.Visible(w.Name), words.Visible(said))
		}
	}
}

// workerWords say what is to know of a worker beside its figures.
func workerWords(w hub.Worker, versions bool) string {
	var said []string
	if versions {
		said = append(said, "version "+w.Version)
	}
	if len(w.Private) > 0 {
		said = append(said, "reaches "+strings.Join(w.Private, ", ")+" at an address of its own")
	}
	switch {
	case w.Note != "" && !w.Connected:
		said = append(said, w.Note+" since "+w.LastSeen.Local().Format(time.TimeOnly))
	case w.Note != "":
		said = append(said, w.Note)
	}
	return strings.Join(said, "; ")
}
