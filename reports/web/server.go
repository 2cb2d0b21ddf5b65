// Package web shows runs in a browser: a list of them, what became of each, a
// matrix of rows and models with filters, and single rows.
package web

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"nightshift"
	"nightshift/internal/words"
	"nightshift/reports/render"
	"nightshift/runner/store/view"
)

// memory is how many bytes a Viewer keeps of what it has read of runs. More is
// held for a moment where one question needs more.
const memory = 384 << 20

// A Viewer shows runs of any size in a browser, live while they go on. It reads
// their files on demand and keeps in memory what rows are chosen and sorted
// by, so that only the first look at a large run takes long. It writes
// nothing. It is an http.Handler for requests below a secret path.
//
// Whoever serves it listens on loopback only. The handler itself refuses names
// other than those of this machine (which stops pages of other sites that
// rebind their name to it), other methods than GET, and other origins.
type Viewer struct {
	Options
	paths  []string // as given: run directories, or folders of them
	prefix string   // "/SECRET/"
	mux    *http.ServeMux
	cache  *cache

	mu   sync.Mutex
	runs map[string]*run // by name in addresses
}

// Options are what a Viewer is told beside its runs.
type Options struct {
	// Request rebuilds the body of the last request for a record from the plan
	// in the run directory. Nil shows none.
	Request func(dir string, rec *nightshift.Record) ([]byte, error)
	// Names are what people call a path given to [New], where that is another: runs
	// in buckets are copied to read them.
	Names map[string]string
	// Open is told of a run that is to be read, by its directory: files that the list
	// of runs does not need may come then. Nil is for runs that are there as a whole.
	Open func(ctx context.Context, dir string) error
}

// called is what people call a path given to [New], or one below it.
func (o *Options) called(path string) string {
	for dir, name := range o.Names {
		if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) {
			return strings.TrimSuffix(name+"/"+filepath.ToSlash(rel), "/.")
		}
	}
	return path
}

// New makes a viewer of run directories and folders of run directories. secret
// becomes the first part of every path. The error is fs.ErrNotExist where a
// path holds no run.
func New(paths []string, secret string, o Options) (*Viewer, error) {
	v := &Viewer{Options: o, paths: paths, prefix: "/" + secret + "/", mux: http.NewServeMux(),
		cache: newCache(memory), runs: map[string]*run{}}
	for _, p := range paths {
		if len(view.RunsBelow(p)) == 0 {
			return nil, v.noRun(p)
		}
	}
	v.discover()
	for pattern, h := range map[string]func(http.ResponseWriter, *http.Request) error{
		"{$}": v.home, "run/{run...}": v.runPage, "status/{run...}": v.statusPart, "row/{run...}": v.rowPage,
		"report/{run...}": v.report, "both": v.both,
	} {
		v.mux.HandleFunc("GET "+v.prefix+pattern, v.answering(h))
	}
	for name, kind := range map[string]string{"view.css": "text/css", "view.js": "text/javascript"} {
		v.mux.HandleFunc("GET "+v.prefix+name, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind+"; charset=utf-8")
			http.ServeFileFS(w, r, assets, "assets/"+name)
		})
	}
	return v, nil
}

// noRun says why there is nothing to show.
func (v *Viewer) noRun(path string) error {
	_, err := view.ReadInfo(path)
	switch _, missing := os.Stat(path); {
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case v.called(path) != path: // its local copy says nothing to a reader
		return fmt.Errorf("%s is not a run directory, and holds none", v.called(path))
	case missing == nil:
		return fmt.Errorf("%w, and there is no run below it", err)
	}
	return err
}

// policy lets pages load the style and the script of this server and nothing
// else, and send forms to it alone.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func (v *Viewer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if !ownName(r.Host) || !sameOrigin(r) {
		http.Error(w, "this page is for this machine only", http.StatusForbidden)
		return
	}
	v.mux.ServeHTTP(w, r)
}

// sameOrigin reports whether a request comes from a page of this server, or
// from no page. A link that a person follows from elsewhere is not one.
func sameOrigin(r *http.Request) bool {
	site, origin := r.Header.Get("Sec-Fetch-Site"), r.Header.Get("Origin")
	return (site == "" || site == "same-origin" || site == "none") && (origin == "" || origin == "http://"+r.Host)
}

// ownName reports whether a Host header names this machine by an address that
// no one else can hand out.
func ownName(host string) bool {
	u, err := url.Parse("http://" + host)
	if err != nil {
		return false
	}
	switch u.Hostname() {
	case "127.0.0.1", "::1", "localhost":
		return true
	}
	return false
}

// A viewError is a question that cannot be answered.
type viewError struct {
	status int
	text   string
}

func (e *viewError) Error() string { return e.text }

func badQuestion(format string, args ...any) error {
	return &viewError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// answering turns a function into a handler: its errors become pages, or a line of
// text for the script.
func (v *Viewer) answering(f func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := f(w, r)
		var wrong *viewError
		switch {
		case err == nil, r.Context().Err() != nil:
		case errors.As(err, &wrong):
			v.problem(w, r, wrong.text, wrong.status)
		default:
			v.problem(w, r, err.Error(), http.StatusInternalServerError)
		}
	}
}

func (v *Viewer) problem(w http.ResponseWriter, r *http.Request, text string, status int) {
	var b bytes.Buffer
	if !strings.Contains(r.Header.Get("Accept"), "text/html") ||
		templates().ExecuteTemplate(&b, "problem", struct{ Prefix, Text string }{v.prefix, text}) != nil {
		http.Error(w, render.Plain(text), status)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // a browser that has gone away
}

//go:embed assets
var assets embed.FS

// templates are the pages. What comes from a model or a dataset is escaped by
// html/template, after characters that cannot be seen became visible.
var templates = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("").Funcs(template.FuncMap{
		"plain": render.Plain, "visible": visibleLines, "count": render.Count, "counted": render.Counted,
		"ago": ago, "breakable": render.Breakable,
		"main":  func(g []render.Grid) []render.Grid { return sortedOut(g, true) },
		"rest":  func(g []render.Grid) []render.Grid { return sortedOut(g, false) },
		"len64": func(list any) int64 { return int64(reflect.ValueOf(list).Len()) },
		"to":    address,
		"named": func(name, text, id string) namedText { return namedText{name, text, id} },
	}).ParseFS(assets, "assets/*.html"))
})

// address puts an address and its query together. Both are escaped already.
func address(base, query string) template.URL {
	if query == "" {
		return template.URL(base)
	}
	return template.URL(base + "?" + query)
}

// sortedOut are the tables that are read first, scores before rows, or the
// others.
func sortedOut(grids []render.Grid, first bool) (list []render.Grid) {
	for _, g := range grids {
		switch main := g.Title == "Scores" || g.Title == "Rows"; {
		case main && first && g.Title == "Scores":
			list = append([]render.Grid{g}, list...)
		case main == first:
			list = append(list, g)
		}
	}
	return list
}

// A namedText is a text with a heading and a button that copies it.
type namedText struct{ Name, Text, ID string }

// show writes a page.
func show(w http.ResponseWriter, name string, data any) error {
	var b bytes.Buffer
	if err := templates().ExecuteTemplate(&b, name, data); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes()) // a browser that has gone away
	return nil
}

// ago says how long ago a time was.
func ago(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	if d := time.Since(t); d < 48*time.Hour {
		return words.Duration(max(0, d.Round(time.Second))) + " ago"
	}
	return t.Local().Format("2006-01-02 15:04")
}

// discover finds the runs below the paths. One run given by itself is named by
// the last part of its path.
func (v *Viewer) discover() {
	found := map[string]string{}
	for _, p := range v.paths {
		for _, dir := range view.RunsBelow(p) {
			name, err := filepath.Rel(p, dir)
			if abs, absErr := filepath.Abs(p); absErr == nil && (name == "." || len(v.paths) > 1) {
				name = filepath.Join(filepath.Base(abs), name)
			}
			if name = filepath.ToSlash(name); err != nil || found[name] != "" {
				name = filepath.ToSlash(dir)
			}
			found[name] = dir
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for name, dir := range found {
		if r := v.runs[name]; r == nil || r.dir != dir {
			v.runs[name] = &run{name: name, dir: dir, cache: v.cache, watch: view.NewWatcher(dir)}
		}
	}
	for name := range v.runs {
		if found[name] == "" {
			delete(v.runs, name)
		}
	}
}

// find is the run that an address names, to be read.
func (v *Viewer) find(ctx context.Context, name string) (*run, error) {
	name = strings.TrimSuffix(name, "/")
	for range 2 {
		v.mu.Lock()
		r := v.runs[name]
		v.mu.Unlock()
		if r != nil && v.Open != nil {
			return r, v.Open(ctx, r.dir)
		}
		if r != nil {
			return r, nil
		}
		v.discover() // a run that has begun meanwhile
	}
	return nil, &viewError{http.StatusNotFound, "there is no run " + words.Quote(name) + " here"}
}

// all are the runs, by name.
func (v *Viewer) all() (list []*run) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range v.runs {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b *run) int { return strings.Compare(a.name, b.name) })
	return list
}

// report shows report.html as it lies in the run directory. It gets an origin
// of its own and no scripts: it is a file that anybody may have written.
func (v *Viewer) report(w http.ResponseWriter, r *http.Request) error {
	run, err := v.find(r.Context(), r.PathValue("run"))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Security-Policy",
		"sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	http.ServeFile(w, r, filepath.Join(run.dir, "report.html"))
	return nil
}
