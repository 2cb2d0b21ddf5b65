package protocol

import (
	"bufio"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// writeWithin is how long the other side may take none of what is sent before
// the connection is given up.
const writeWithin = 30 * time.Second

// A Conn carries frames. Send never waits for the other side; one goroutine may
// Read. A Conn that fails is closed: it is whole or it is over.
type Conn struct {
	conn   net.Conn
	reader *bufio.Reader
	heard  atomic.Int64 // nanoseconds since start, of the last byte
	start  time.Time

	mu     sync.Mutex
	queue  net.Buffers
	closed bool
	ready  chan struct{} // holds one token when the queue is not empty
	done   chan struct{} // closed when nothing is written any more
}

// NewConn makes a Conn of a connection, which is then its own.
func NewConn(c net.Conn) *Conn {
	k := &Conn{conn: c, start: time.Now(), ready: make(chan struct{}, 1), done: make(chan struct{})}
	k.reader = bufio.NewReaderSize(listened{k}, 64<<10)
	go k.write()
	return k
}

// listened notes when something was heard.
type listened struct{ *Conn }

func (l listened) Read(b []byte) (int, error) {
	n, err := l.conn.Read(b)
	if n > 0 {
		l.heard.Store(int64(time.Since(l.start)))
	}
	return n, err
}

// Silence is how long nothing has come.
func (k *Conn) Silence() time.Duration { return time.Since(k.start) - time.Duration(k.heard.Load()) }

// Read reads the next frame, of at most most bytes.
func (k *Conn) Read(most int) (Frame, error) {
	f, err := Read(k.reader, most)
	if err != nil {
		k.Close()
	}
	return f, err
}

// Say sends a message.
func (k *Conn) Say(kind Kind, head any) error {
	f, err := Pack(kind, head)
	if err != nil {
		return err
	}
	return k.Send(f)
}

// Send queues a frame. An error means that it will not arrive; without one it
// may still not.
func (k *Conn) Send(f Frame) error {
	b, err := f.Append(nil)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return net.ErrClosed
	}
	k.queue = append(k.queue, b)
	select {
	case k.ready <- struct{}{}:
	default:
	}
	return nil
}

// write sends what is queued, as much at once as there is.
func (k *Conn) write() {
	defer close(k.done)
	for range k.ready {
		k.mu.Lock()
		batch := k.queue
		k.queue = nil
		k.mu.Unlock()
		for len(batch) > 0 {
			if err := k.writeSome(&batch); err != nil {
				k.Close()
				return
			}
		}
	}
}

// writeSome writes a part of a batch within the time for one.
func (k *Conn) writeSome(batch *net.Buffers) error {
	const atOnce = 64
	some := (*batch)[:min(len(*batch), atOnce)]
	*batch = (*batch)[len(some):]
	joined := join(some)
	for len(joined) > 0 {
		_ = k.conn.SetWriteDeadline(time.Now().Add(writeWithin))
		n, err := k.conn.Write(joined[:min(len(joined), 1<<20)])
		if joined = joined[n:]; err != nil {
			return err
		}
	}
	return nil
}

// join makes one piece of several, so that small messages share a packet.
func join(some net.Buffers) []byte {
	if len(some) == 1 {
		return some[0]
	}
	n := 0
	for _, b := range some {
		n += len(b)
	}
	all := make([]byte, 0, n)
	for _, b := range some {
		all = append(all, b...)
	}
	return all
}

// Finish sends what is queued and closes the connection, within a time.
func (k *Conn) Finish(within time.Duration) {
	k.mu.Lock()
	if k.closed {
		k.mu.Unlock()
		return
	}
	k.closed = true
	close(k.ready) // a token that it still holds is taken first
	k.mu.Unlock()
	select {
	case <-k.done:
	case <-time.After(within):
	}
	_ = k.conn.Close()
}

// Close closes the connection at once.
func (k *Conn) Close() {
	k.mu.Lock()
	if !k.closed {
		k.closed = true
		close(k.ready)
	}
	k.mu.Unlock()
	_ = k.conn.Close()
}
