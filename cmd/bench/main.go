// Command bench measures how close nightshift comes to the limits of the
// machine. Every figure is a ratio within one run: a floor that does the least
// possible against the same server process, in turn with the real program, so
// that a busy machine slows down both.
//
//	go run ./cmd/bench                       all figures, into docs/measured/performance.md
//	go run ./cmd/bench -only whole -page ""  some of them, to the terminal
//
// Everything that is measured runs in a process of its own: the program
// itself, and this one again in another role.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

// A figure is one row of the table.
type figure struct {
	name     string
	measured string
	floor    string // what it is compared with; empty when with nothing
	ratio    string
	reach    string // what was asked for
	aim      string
	reached  bool
}

// A bench is one run of the harness.
type bench struct {
	settings
	dir     string // scratch
	program string // the nightshift binary
	self    string // this binary
}

// settings are the sizes of what is measured.
type settings struct {
	rows     int // of a whole run
	pairs    int // repetitions of floor and run, in turn
	inFlight string
	manyRows int // of the run whose memory is compared
	fileRows int // of the run whose files are read
	profile  bool
	// growthRows are the sizes of runs whose growth is measured, with commas, and chart
	// is the file for the drawing.
	growthRows, chart string
	python            string // that has DuckDB
}

// sections are the parts of the table, in order.
var sections = []struct {
	name string
	run  func(*bench, context.Context) ([]figure, error)
}{
	{"whole", (*bench).wholeRuns},
	{"cheap", (*bench).cheapRuns},
	{"cluster", (*bench).cluster},
	{"inflight", (*bench).inFlightScaling},
	{"memory", (*bench).memory},
	{"growth", (*bench).growth},
	{"batches", (*bench).batches},
	{"cache", (*bench).caching},
	{"scorers", (*bench).scorers},
	{"index", (*bench).indexing},
	{"resume", (*bench).resume},
	{"parquet", (*bench).parquet},
	{"startup", (*bench).startUp},
	{"files", (*bench).files},
	{"status", (*bench).liveStatus},
	{"build", (*bench).buildSize},
}

func main() {
	if len(os.Args) > 1 {
		if role := roles[os.Args[1]]; role != nil {
			exit(role(os.Args[2:]))
		}
	}
	exit(measure())
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func measure() error {
	var b bench
	var only, page string
	flag.IntVar(&b.rows, "rows", 40_000, "rows of a whole run")
	flag.IntVar(&b.pairs, "pairs", 5, "how often floor and run are measured, in turn")
	flag.StringVar(&b.inFlight, "in-flight", "10,100,1000,5000", "requests in flight, with commas")
	flag.IntVar(&b.manyRows, "many-rows", 1_000_000, "rows of the run whose memory is compared with that of 100,000")
	flag.IntVar(&b.fileRows, "file-rows", 1_000_000, "rows of the run whose files are read, of three models")
	flag.StringVar(&b.growthRows, "growth", "10000,100000,1000000", "rows of the runs whose growth is measured, with "+
		"commas")
	flag.StringVar(&b.chart, "chart", "docs/measured/growth.svg", "draw growth into this file; empty for none")
	flag.StringVar(&b.python, "python", "python3", "a Python that has the module duckdb, to compare cost with")
	flag.BoolVar(&b.profile, "profile", true, "add the top of a processor profile of the whole run")
	flag.StringVar(&b.program, "nightshift", "", "the program; empty builds it")
	flag.StringVar(&only, "only", "", "measure only these sections, with commas: "+strings.Join(sectionNames(), ", "))
	flag.StringVar(&page, "page", "docs/measured/performance.md", "write the table into this file; empty for none")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if b.dir, err = os.MkdirTemp("", "nightshift-bench-*"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if err := b.build(ctx); err != nil {
		return err
	}
	r, err := b.all(ctx, only)
	if err != nil {
		return err
	}
	if b.profile {
		r.profile, err = b.profileRun(ctx)
		if err != nil {
			fmt.Fprintln(os.Stderr, "no profile:", err)
		}
	}
	fmt.Print(r.markdown())
	if page == "" {
		return nil
	}
	return r.write(page)
}

func sectionNames() (names []string) {
	for _, s := range sections {
		names = append(names, s.name)
	}
	return names
}

// all measures the chosen sections one after the other.
func (b *bench) all(ctx context.Context, only string) (*report, error) {
	r := newReport(ctx)
	for _, s := range sections {
		if only != "" && !strings.Contains(","+only+",", ","+s.name+",") {
			continue
		}
		begun := time.Now()
		figures, err := s.run(b, ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		r.figures = append(r.figures, figures...)
		for _, f := range figures {
			fmt.Fprintf(os.Stderr, "%s: %s, floor %s, ratio %s\n", f.name, f.measured, cmp.Or(f.floor, "none"),
				cmp.Or(f.ratio, "none"))
		}
		fmt.Fprintf(os.Stderr, "(%s took %s)\n", s.name, time.Since(begun).Round(time.Second))
	}
	r.end()
	return r, nil
}

func (b *bench) build(ctx context.Context) error {
	if b.program != "" {
		return nil
	}
	b.program = filepath.Join(b.dir, "nightshift")
	_, err := output(ctx, "go", "build", "-trimpath", "-o", b.program, "./cmd/nightshift")
	return err
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }
