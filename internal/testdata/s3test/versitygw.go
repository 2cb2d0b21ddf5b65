package s3test

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// A Gateway is a versitygw of a process of its own: a store that others wrote.
type Gateway struct {
	URL string

	t       testing.TB
	program string
	address string
	dir     string
	cmd     *exec.Cmd
}

// NewGateway starts a versitygw with the bucket "runs", or skips the test where
// the program is not to be had. It ends with the test.
func NewGateway(t testing.TB) *Gateway {
	t.Helper()
	program := findGateway()
	if program == "" {
		t.Skip("no versitygw: GOBIN=$PWD/.cache go install github.com/versity/versitygw/cmd/versitygw@v1.8.0 in the " +
			"repository's root gets it, as .ci/run does")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	g := &Gateway{URL: "http://" + address, t: t, program: program, address: address, dir: t.TempDir()}
	if err := os.Mkdir(filepath.Join(g.dir, "runs"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Kill)
	g.Start()
	return g
}

// findGateway looks where .ci/run installs it, and in PATH.
func findGateway() string {
	dir, err := os.Getwd()
	for err == nil {
		path := filepath.Join(dir, ".cache", "versitygw")
		if _, err := os.Stat(path); err == nil {
			return path
		}
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	path, err := exec.LookPath("versitygw")
	if err != nil {
		return ""
	}
	return path
}

// Env are the variables by which it is found.
func (g *Gateway) Env() map[string]string {
	return map[string]string{"AWS_ENDPOINT_URL_S3": g.URL, "AWS_ACCESS_KEY_ID": "test-id",
		"AWS_SECRET_ACCESS_KEY": "test-secret", "AWS_REGION": "us-east-1"}
}

// Getenv looks into [Gateway.Env].
func (g *Gateway) Getenv(name string) string { return g.Env()[name] }

// Start starts it, again after a [Gateway.Kill], and waits until it answers.
func (g *Gateway) Start() {
	g.t.Helper()
	g.cmd = exec.Command(g.program, "--port", g.address, "--quiet", "posix", g.dir)
	g.cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY=test-id", "ROOT_SECRET_KEY=test-secret")
	if err := g.cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	for range 600 { // half a minute
		if resp, err := http.Get(g.URL); err == nil {
			resp.Body.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	g.t.Fatal("versitygw does not answer")
}

// Kill ends it without a word.
func (g *Gateway) Kill() {
	if g.cmd != nil {
		_ = g.cmd.Process.Kill()
		_ = g.cmd.Wait()
		g.cmd = nil
	}
}
