package hub_test

import (
	"bufio"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"nightshift/runner/cluster/protocol"
)

// A network connects simulated processes: it delays each message, repeats some,
// stalls one or both directions of a connection and cuts connections, with all
// that is on its way.
type network struct {
	seed  uint64
	quick bool // no message takes seconds
	mu    sync.Mutex
	made  uint64 // links so far
	links []*link
}

func newNetwork(seed uint64) *network { return &network{seed: seed} }

// A link is one connection between a worker and a hub.
type link struct {
	net         *network
	number      uint64
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
	n.made++
	l.number = n.made
	n.links = append(n.links, l)
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
	random := rand.New(rand.NewPCG(l.net.seed, 2*l.number+uint64(way))) // of this direction, whatever others do
	last := time.Time{}
	for {
		f, err := protocol.Read(r, protocol.MaxFrame)
		if err != nil {
			onto <- frame{at: last, end: true} // after what is on its way, as from a process that ended
			return
		}
		if at := time.Now().Add(l.net.delayOf(f.Kind, random)); at.After(last) {
			last = at
		}
		twice := random.IntN(20) == 0
		onto <- frame{Frame: f, at: last}
		if twice && (f.Kind == protocol.KindDo || f.Kind == protocol.KindDone || f.Kind == protocol.KindKept) {
			onto <- frame{Frame: f, at: last}
		}
	}
}

// delayOf is how long a message travels. The three of a handshake and the pause
// before it (2.5 s at most) take less than [hub.DefaultBack] together, so that
// nothing is given up where nothing was lost.
func (n *network) delayOf(kind protocol.Kind, random *rand.Rand) time.Duration {
	delay := time.Duration(random.IntN(80)) * time.Millisecond
	seconds, slow := random.IntN(12), random.IntN(200) == 0
	if kind <= protocol.KindReady {
		seconds %= 4
	}
	if slow && !n.quick {
		delay += time.Duration(seconds) * time.Second
	}
	return delay
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
		l.net.links = slices.DeleteFunc(l.net.links, func(o *link) bool { return o == l })
		l.net.mu.Unlock()
	})
}

// of are the links that end at a process.
func (n *network) of(process string) (list []*link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.links {
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
