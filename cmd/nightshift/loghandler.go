package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
)

// A plainHandler writes log records as people read them: warnings marked,
// attributes behind the message.
type plainHandler struct {
	mu    sync.Mutex
	w     io.Writer
	level slog.Level
	attrs string
}

func (h *plainHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

func (h *plainHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	if r.Level >= slog.LevelWarn {
		b.WriteString("! ")
	}
	b.WriteString(r.Message)
	b.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		b.WriteString(attrText(a))
		return true
	})
	b.WriteByte('\n')
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.WriteString(h.w, b.String())
	return err
}

func attrText(a slog.Attr) string { return fmt.Sprintf("  %s=%v", a.Key, a.Value) }

func (h *plainHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	text := h.attrs
	for _, a := range attrs {
		text += attrText(a)
	}
	return &plainHandler{w: h.w, level: h.level, attrs: text}
}

func (h *plainHandler) WithGroup(string) slog.Handler { return h }

// A switchWriter passes writes on to a writer that may change, so that the
// log can go through the progress bar while there is one.
type switchWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *switchWriter) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(b)
}

func (s *switchWriter) redirect(w io.Writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w = w
}
