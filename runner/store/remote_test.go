package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nightshift"
	"nightshift/runner/store/internal/testdata/storetest"
)

// copies keeps the journals as they were when it was asked last, and fails
// when it is told to.
type copies struct {
	text string
	fail error
}

func (c *copies) Ship(dir string) error {
	if c.fail != nil {
		return c.fail
	}
	names, err := filepath.Glob(filepath.Join(dir, "journal", "*"))
	c.text = ""
	for _, name := range names {
		b, readErr := os.ReadFile(name)
		c.text, err = c.text+string(b), errors.Join(err, readErr)
	}
	return err
}

func (c *copies) Failed() <-chan struct{} { return nil }
func (c *copies) Err() error              { return c.fail }

// Nothing is sent before the place where the run is kept besides has its intent,
// and nothing once that place takes no more.
func TestIntentsAreKeptElsewhere(t *testing.T) {
	there := &copies{}
	r := mustOpen(t, t.TempDir(), identity(1, 1, 3, 1), Options{Remote: there})
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	for n := 1; n <= 2; n++ {
		storetest.Must(t, u.AttemptLog(0, 0).Sending(nightshift.Intent{Attempt: n}))
		if got := strings.Count(there.text, `{"k":"intent"`); got != n {
			t.Fatalf("%d intents are kept elsewhere when attempt %d is sent", got, n)
		}
	}
	storetest.Must(t, u.AttemptLog(0, 0).Accepted(nightshift.Intent{Attempt: 2, Job: "resp_7"}))
	if !strings.Contains(there.text, "resp_7") {
		t.Error("the id of an answer that is being made is not kept elsewhere")
	}
	there.fail = errors.New("the bucket is full")
	for range 2 {
		if err := u.AttemptLog(1, 0).Sending(nightshift.Intent{Attempt: 1}); !errors.Is(err, there.fail) {
			t.Fatalf("an attempt may be sent: %v", err)
		}
	}
}
