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
	queue  [][]byte
	spare  []byte // room for a piece
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
	var alone []byte
	if f.size() > piece { // not while others wait for the lock
		var err error
		if alone, err = f.Append(make([]byte, 0, 8+f.size())); err != nil {
			return err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return net.ErrClosed
	}
	if alone != nil {
		k.queue = append(k.queue, alone)
	} else if err := k.join(f); err != nil {
		return err
	}
	select {
	case k.ready <- struct{}{}:
	default:
	}
	return nil
}

// piece is how many bytes of small frames are written at once.
const piece = 64 << 10

// join adds a small frame to the last piece, or begins another; k.mu is held.
func (k *Conn) join(f Frame) (err error) {
	last := len(k.queue) - 1
	if last < 0 || cap(k.queue[last])-len(k.queue[last]) < 8+f.size() {
		next := k.spare
		if k.spare = nil; next == nil {
			next = make([]byte, 0, piece+8)
		}
		k.queue = append(k.queue, next)
		last++
	}
	k.queue[last], err = f.Append(k.queue[last])
	return err
}

// shortest is the shortest time between two writes: where there is much to say,
// each costs more than what it carries.
const shortest = time.Millisecond

// write sends what is queued, as much at once as there is.
func (k *Conn) write() {
	defer close(k.done)
	var last time.Time
	for range k.ready {
		time.Sleep(shortest - time.Since(last))
		k.mu.Lock()
		batch := k.queue
		k.queue = nil
		k.mu.Unlock()
		for _, b := range batch {
			if err := k.writeAll(b); err != nil {
				k.Close()
				return
			}
		}
		last = time.Now()
		k.reuse(batch)
	}
}

// writeAll writes a piece, a part at a time within the time for one.
func (k *Conn) writeAll(b []byte) error {
	const atOnce = 1 << 20
	for len(b) > 0 {
		_ = k.conn.SetWriteDeadline(time.Now().Add(writeWithin))
		n, err := k.conn.Write(b[:min(len(b), atOnce)])
		if b = b[n:]; err != nil {
			return err
		}
	}
	return nil
}

// reuse keeps the room of what was written for the next piece.
func (k *Conn) reuse(batch [][]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, b := range batch {
		if cap(b) == piece+8 {
			k.spare = b[:0]
		}
	}
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
