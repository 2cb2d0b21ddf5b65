package hub_test

import (
	"bufio"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"nightshift/runner/cluster/protocol"
)

// A network connects simulated processes: it delays each message, repeats some,
// stalls one or both directions of a connection and cuts connections, with all
// that is on its way.
type network struct {
	mu     sync.Mutex
	random *rand.Rand
	links  map[*link]bool
}

func newNetwork(seed uint64) *network {
	return &network{random: rand.New(rand.NewPCG(seed, 7)), links: map[*link]bool{}}
}

// A link is one connection between a worker and a hub.
type link struct {
	net         *network
	worker, hub string // processes at its ends
	ours, to    net.Conn
	up, down    chan frame // on their way to the hub, and to the worker
	once        sync.Once
	done        chan struct{}

	mu      sync.Mutex
	stalled [2]time.Time // until when nothing arrives: at the hub, at the worker
}

type frame struct {
	protocol.Frame
	at  time.Time // it arrives
	end bool      // of the connection
}

// dial makes a connection and returns both ends.
func (n *network) dial(worker, hub string) (client, server net.Conn) {
	l := &link{net: n, worker: worker, hub: hub, up: make(chan frame, 10_000), down: make(chan frame, 10_000),
		done: make(chan struct{})}
	client, l.ours = net.Pipe()
	server, l.to = net.Pipe()
	n.mu.Lock()
	n.links[l] = true
	n.mu.Unlock()
	go l.collect(l.ours, l.up, 0)
	go l.collect(l.to, l.down, 1)
	go l.deliver(l.up, l.to, 0)
	go l.deliver(l.down, l.ours, 1)
	return client, server
}

// collect takes messages from one end.
func (l *link) collect(from net.Conn, onto chan frame, way int) {
	r := bufio.NewReader(from)
	last := time.Time{}
	for {
		f, err := protocol.Read(r, protocol.MaxFrame)
		if err != nil {
			onto <- frame{at: last, end: true} // after what is on its way, as from a process that ended
			return
		}
		delay, twice := l.net.fate()
		if at := time.Now().Add(delay); at.After(last) {
			last = at
		}
		onto <- frame{Frame: f, at: last}
		if twice && (f.Kind == protocol.KindDo || f.Kind == protocol.KindDone || f.Kind == protocol.KindKept) {
			onto <- frame{Frame: f, at: last}
		}
	}
}

func (n *network) fate() (delay time.Duration, twice bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delay = time.Duration(n.random.IntN(80)) * time.Millisecond
	if n.random.IntN(200) == 0 {
		delay += time.Duration(n.random.IntN(12)) * time.Second
	}
	return delay, n.random.IntN(20) == 0
}

// deliver hands messages over when it is their time.
func (l *link) deliver(from chan frame, to net.Conn, way int) {
	for {
		var f frame
		select {
		case f = <-from:
		case <-l.done:
			return
		}
		for {
			l.mu.Lock()
			wait := max(time.Until(f.at), time.Until(l.stalled[way]))
			l.mu.Unlock()
			if wait <= 0 {
				break
			}
			select {
			case <-time.After(wait):
			case <-l.done:
				return
			}
		}
		if f.end {
			l.cut()
			return
		}
		b, err := f.Append(nil)
		if err == nil {
			_, err = to.Write(b)
		}
		if err != nil {
			l.cut()
			return
		}
	}
}

func (l *link) cut() {
	l.once.Do(func() {
		close(l.done)
		_ = l.ours.Close()
		_ = l.to.Close()
		l.net.mu.Lock()
		delete(l.net.links, l)
		l.net.mu.Unlock()
	})
}

// of are the links that end at a process.
func (n *network) of(process string) (list []*link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for l := range n.links {
		if l.worker == process || l.hub == process {
			list = append(list, l)
		}
	}
	return list
}

// cut ends every connection of a process.
func (n *network) cut(process string) {
	for _, l := range n.of(process) {
		l.cut()
	}
}

// stall holds up what is on its way to hub (0) or worker (1).
func (n *network) stall(process string, way int, d time.Duration) {
	for _, l := range n.of(process) {
		l.mu.Lock()
		l.stalled[way] = time.Now().Add(d)
		l.mu.Unlock()
	}
}
