package inprocess

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
)

// TestTransportWindow has a server that is far ahead of its reader wait.
func TestTransportWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for range 100 {
				n, _ := w.Write(make([]byte, 10_000))
				sent += n
			}
		})
		resp, err := (Transport{h}).RoundTrip(must(http.NewRequest("GET", "http://x/", nil)))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if sent > window+10_000 {
			t.Errorf("%d bytes sent ahead", sent)
		}
		b, err := io.ReadAll(resp.Body)
		if len(b) != 1_000_000 || err != nil {
			t.Errorf("read %d bytes, %v", len(b), err)
		}
	})
}

func TestTransportPanicLooksLikeABrokenConnection(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) })
	if _, err := (Transport{h}).RoundTrip(must(http.NewRequest("GET", "http://x/", nil))); err == nil {
		t.Error("no error")
	}
	h = func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		panic(http.ErrAbortHandler)
	}
	resp, err := (Transport{h}).RoundTrip(must(http.NewRequest("GET", "http://x/", nil)))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); string(b) != "half" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("read %q, %v", b, err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
