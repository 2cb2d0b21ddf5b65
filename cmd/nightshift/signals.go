package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"nightshift/runner/session"
)

// grace is how long what is in flight may take after the first interrupt.
const grace = 60 * time.Second

var errInterruptedAgain = errors.New("interrupted again")

// interrupts turns signals into two contexts. The first Ctrl-C (or SIGTERM)
// ends waiting: nothing more is sent. The second, or the end of the grace
// time, ends calls: what is in flight is given up. The third ends the process.
// say is told what happens; stop releases the signals.
func interrupts(parent context.Context, say func(string)) (calls, waiting context.Context, stop func()) {
	return interruptsWithin(parent, grace, say)
}

// interruptsWithin is interrupts with another grace time.
func interruptsWithin(parent context.Context, grace time.Duration, say func(string)) (
	calls, waiting context.Context, stop func()) {
	calls, cancelCalls := context.WithCancelCause(parent)
	waiting, cancelWaiting := context.WithCancelCause(calls)
	signals := make(chan os.Signal, 3)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		select {
		case <-signals:
		case <-done:
			return
		}
		say("stopping: nothing more is sent; waiting up to " + grace.String() +
			" for what is in flight (Ctrl-C again to give that up)")
		cancelWaiting(session.ErrInterrupted)
		select {
		case <-signals:
			say("giving up what is in flight; it may be billed and is listed as unknown (Ctrl-C again to exit at once)")
		case <-time.After(grace):
			say("the grace time is over: giving up what is still in flight")
		case <-done:
			return
		}
		cancelCalls(errInterruptedAgain)
		select {
		case <-signals:
			os.Exit(exitInterrupted)
		case <-done:
		}
	}()
	return calls, waiting, func() {
		signal.Stop(signals)
		close(done)
		cancelWaiting(nil)
		cancelCalls(nil)
	}
}
