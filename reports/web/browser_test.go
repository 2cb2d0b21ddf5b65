package web_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nightshift/reports"
	"nightshift/reports/internal/testdata/demo"
)

// A browser is headless Chromium, spoken to over a pipe in its own protocol.
type browser struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   *os.File
	mu   sync.Mutex
	next int
	wait map[int]chan json.RawMessage
	tab  string // session

	requests []string
	errors   []string
}

// open starts a browser, or skips the test where there is none.
func openBrowser(t *testing.T) *browser {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("needs chromium: the page in a browser is not tested here")
	}
	toR, toW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fromR, fromW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	profile, err := os.MkdirTemp("", "browser") // not TempDir: it may still be written to when the test is over
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, in: toW, wait: map[int]chan json.RawMessage{}}
	b.cmd = exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking",
		"--allow-pre-commit-input", // else keys that come before the first paint of a page are dropped
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
		"--remote-debugging-pipe", "--user-data-dir="+profile, "about:blank")
	b.cmd.ExtraFiles = []*os.File{toR, fromW}
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	toR.Close()
	fromW.Close()
	go b.read(fromR)
	t.Cleanup(func() {
		b.send("", "Browser.close", nil)
		done := make(chan struct{})
		go func() { _ = b.cmd.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			_ = b.cmd.Process.Kill()
			<-done
		}
		os.RemoveAll(profile)
	})
	b.attach()
	return b
}

func (b *browser) attach() {
	var target struct{ TargetID string }
	b.call("", "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var session struct{ SessionID string }
	b.call("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &session)
	b.tab = session.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		b.call(b.tab, domain+".enable", nil, nil)
	}
}

// read takes messages, each ended by a NUL, until the browser ends.
func (b *browser) read(from *os.File) {
	r := bufio.NewReaderSize(from, 1<<20)
	for {
		line, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m struct {
			ID     int
			Method string
			Params json.RawMessage
			Result json.RawMessage
			Error  json.RawMessage
		}
		if json.Unmarshal(bytes.TrimRight(line, "\x00"), &m) != nil {
			continue
		}
		b.mu.Lock()
		if m.ID > 0 {
			if c := b.wait[m.ID]; c != nil {
				if m.Error != nil {
					m.Result = json.RawMessage(`{"error":` + string(m.Error) + `}`)
				}
				c <- m.Result
			}
		} else {
			b.event(m.Method, m.Params)
		}
		b.mu.Unlock()
	}
}

func (b *browser) event(method string, params json.RawMessage) {
	var p struct {
		Request          struct{ URL string }
		Type             string
		Entry            struct{ Level, Text string }
		ExceptionDetails json.RawMessage
	}
	_ = json.Unmarshal(params, &p)
	switch {
	case method == "Network.requestWillBeSent":
		b.requests = append(b.requests, p.Request.URL)
	case method == "Runtime.exceptionThrown":
		b.errors = append(b.errors, string(p.ExceptionDetails))
	case method == "Runtime.consoleAPICalled" && (p.Type == "error" || p.Type == "warning"):
		b.errors = append(b.errors, string(params))
	case method == "Log.entryAdded" && (p.Entry.Level == "error" || p.Entry.Level == "warning"):
		b.errors = append(b.errors, p.Entry.Text)
	}
}

func (b *browser) send(session, method string, params any) (chan json.RawMessage, int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	m := map[string]any{"id": b.next, "method": method}
	if params != nil {
		m["params"] = params
	}
	if session != "" {
		m["sessionId"] = session
	}
	c := make(chan json.RawMessage, 1)
	b.wait[b.next] = c
	raw, _ := json.Marshal(m)
	_, _ = b.in.Write(append(raw, 0))
	return c, b.next
}

func (b *browser) call(session, method string, params, result any) {
	b.t.Helper()
	c, _ := b.send(session, method, params)
	select {
	case raw := <-c:
		if result != nil {
			if err := json.Unmarshal(raw, result); err != nil {
				b.t.Fatalf("%s: %v: %s", method, err, raw)
			}
		}
	case <-time.After(60 * time.Second):
		b.t.Fatalf("%s: the browser does not answer", method)
	}
}

// eval runs an expression in the page.
func (b *browser) eval(expression string) any {
	b.t.Helper()
	var r struct {
		Result           struct{ Value any }
		ExceptionDetails json.RawMessage
	}
	b.call(b.tab, "Runtime.evaluate",
		map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &r)
	if r.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, r.ExceptionDetails)
	}
	return r.Result.Value
}

// until waits for an expression to be true. What it needs may not be there
// yet, while a page is being loaded.
func (b *browser) until(expression string) {
	b.t.Helper()
	for range 600 {
		if b.eval("(function () { try { return "+expression+" } catch (e) { return false } })()") == true {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.t.Fatalf("never true: %s; the page says %v", expression, b.eval(`location.href + " " + `+
		`((document.getElementById("found") || document.body).innerText.slice(0, 400))`))
}

func (b *browser) visit(url string) {
	b.t.Helper()
	b.call(b.tab, "Page.navigate", map[string]any{"url": url}, nil)
	b.until("!!document.documentElement && document.documentElement.getAttribute('data-ready') === 'yes'")
}

// quiet reports what went wrong in the page, and requests that leave it.
func (b *browser) quiet(own ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.errors {
		b.t.Errorf("console: %s", e)
	}
	for _, u := range b.requests {
		if !slices.ContainsFunc(own, func(prefix string) bool { return strings.HasPrefix(u, prefix) }) {
			b.t.Errorf("a request for %s", u)
		}
	}
}

// shoot keeps a screenshot when NIGHTSHIFT_SHOTS names a folder.
func (b *browser) shoot(name string) {
	dir := os.Getenv("NIGHTSHIFT_SHOTS")
	if dir == "" {
		return
	}
	for _, dark := range []string{"light", "dark"} {
		for _, width := range []int{1280, 400} {
			b.call(b.tab, "Emulation.setEmulatedMedia",
				map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": dark}}}, nil)
			b.call(b.tab, "Emulation.setDeviceMetricsOverride",
				map[string]any{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
			for part, from := range map[string]string{"top": "main", "rows": "#rows-title"} {
				top := b.eval(`document.querySelector("` + from + `").getBoundingClientRect().top + scrollY`)
				var shot struct{ Data string }
				b.call(b.tab, "Page.captureScreenshot", map[string]any{"captureBeyondViewport": true,
					"clip": map[string]any{"x": 0, "y": top, "width": width, "height": 1800, "scale": 1}}, &shot)
				png, err := base64.StdEncoding.DecodeString(shot.Data)
				if err != nil {
					b.t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%s-%s-%d.png", name, part, dark, width)), png,
					0o600); err != nil {
					b.t.Fatal(err)
				}
			}
		}
	}
}

const harmless = `window.pwned === undefined && document.querySelectorAll("img, iframe, object, embed, base, form, ` +
	`main script").length === 0`

// writePage makes report.html of a run and returns its address.
func writePage(t testing.TB, dir string) (url string, size int) {
	t.Helper()
	page, err := reports.BuildPage(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := page.HTML(&b); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return "file://" + path, b.Len()
}

// TestReportInBrowser opens the report of a run full of demo.Hostile texts.
func TestReportInBrowser(t *testing.T) {
	t.Parallel()
	b := openBrowser(t)
	dir := demo.Run{Rows: 200, Models: []string{"first-model", "second<i>model", "third"}, Text: 200}.Write(t)
	url, _ := writePage(t, dir)
	b.visit(url)
	if n := b.eval(`[...document.querySelectorAll("figure > svg")].filter(s => s.getBBox().width > 200 && ` +
		`s.querySelector("rect,polyline,circle")).length`); n != 6.0 {
		t.Errorf("%v charts are drawn, want 6", n)
	}
	if n := b.eval(`document.querySelectorAll("#list > details").length`); n != 50.0 {
		t.Errorf("%v rows are listed, want 50", n)
	}
	// In this order: what follows searches among all rows.
	for _, c := range []struct {
		filter string
		want   float64
	}{{"failed", 5}, {"truncated", 7}, {"all", 200}} {
		b.eval(`document.querySelector("#filters button[value=` + c.filter + `]").click()`)
		if got := b.eval(`parseInt(document.getElementById("found").textContent)`); got != c.want {
			t.Errorf("filter %s finds %v rows, want %v", c.filter, got, c.want)
		}
	}
	b.eval(`var s = document.getElementById("search"); s.value = "onerror window.pwned=2"; s.dispatchEvent(new ` +
		`Event("input"))`)
	b.until(`parseInt(document.getElementById("found").textContent) < 20`)
	b.eval(`document.querySelectorAll("#list > details").forEach(d => { d.open = true })`)
	b.until(`document.querySelectorAll("#list .answer").length >= 3`)
	if b.eval(`document.getElementById("list").textContent.includes(`+fmt.Sprintf("%q", demo.Hostile[0])+`)`) != true {
		t.Error("a demo.Hostile answer is not shown as it is")
	}
	b.eval(`s.value = ""; s.dispatchEvent(new Event("input"))`)
	b.until(`parseInt(document.getElementById("found").textContent) === 200`)
	b.eval(`[...document.querySelectorAll("#list > details")].slice(0, 14).forEach(d => { d.open = true })`)
	b.until(`document.querySelectorAll("#list .answer").length >= 24 && document.querySelectorAll("mark.diff").length > 0`)
	if n := b.eval(`(document.body.innerText.match(/[\u0000-\u0008\u000e-\u001f\u202a-\u202e\u2066-\u2069]/g) ||` +
		` []).length`); n != 0.0 {
		t.Errorf("%v hidden characters are in the page", n)
	}
	if b.eval(harmless) != true {
		t.Error("a text became markup")
	}
	if n := b.eval(`[...document.querySelectorAll("input, select")].filter(e => !e.labels ||` +
		` !e.labels.length).length + [...document.querySelectorAll("svg[role=img]:not([aria-label])")].length`); n != 0.0 {
		t.Errorf("%v controls or drawings have no name", n)
	}
	if w := b.eval(`(document.documentElement.scrollWidth - document.documentElement.clientWidth)`); w != 0.0 {
		t.Errorf("the page is %v pixels too wide", w)
	}
	b.shoot("report")
	b.quiet("file:///", "data:")
}

// TestLargeRun makes a run of 100,000 rows, opens its report and looks through
// it by the server, and says how long each took.
func TestLargeRun(t *testing.T) {
	if os.Getenv("NIGHTSHIFT_LONG") == "" {
		t.Skip("100,000 rows: set NIGHTSHIFT_LONG=1")
	}
	b := openBrowser(t)
	dir := os.Getenv("NIGHTSHIFT_LARGE_RUN") // one that is there already
	if dir == "" {
		dir = demo.Run{Rows: 100_000, Models: []string{"m"}, Chunk: 20_000, Text: 400}.Write(t)
	}
	began := time.Now()
	url, size := writePage(t, dir)
	if size > reports.DefaultMaxSize {
		t.Errorf("%d bytes", size)
	}
	t.Logf("report.html made in %v, %d bytes", time.Since(began), size)
	b.visit(url)
	ms, _ := b.eval(`performance.getEntriesByType("navigation")[0].loadEventEnd`).(float64)
	t.Logf("opened in %.0f ms", ms)
	if ms > 2000 {
		t.Errorf("the report takes %.0f ms to open, want 2,000", ms)
	}
	v := viewer(t, dir)
	for _, q := range []string{"", "show=failed", "show=truncated", "show=retried", "q=word4999",
		"q=nowhere-to-be-found", "sort=-cost"} {
		began := time.Now()
		page := body(t, v, "run/"+runName(dir)+"?"+q)
		t.Logf("%s: %s hits in %v", q, hitsPattern.FindStringSubmatch(page)[1], time.Since(began).Round(time.Millisecond))
	}
}
