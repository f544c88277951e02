package testbed

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Relay passes TCP on, as late as it is told.
type Relay struct {
	host      string
	delay     atomic.Int64
	listeners []net.Listener
	group     sync.WaitGroup
	mu        sync.Mutex
	conns     map[net.Conn]bool
	closed    bool
}

// NewRelay returns a Relay that listens on host and delays nothing yet.
func NewRelay(host string) *Relay { return &Relay{host: host, conns: map[net.Conn]bool{}} }

// Delay makes everything that comes from now on arrive that much later, in either
// direction.
func (r *Relay) Delay(d time.Duration) { r.delay.Store(int64(d)) }

// Listen passes on to an address, and returns at which one it listens for that.
func (r *Relay) Listen(to string) (at string, err error) {
	l, err := listenLow(r.host)
	if err != nil {
		return "", err
	}
	r.listeners = append(r.listeners, l)
	r.group.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			r.group.Go(func() { r.pass(from, to) })
		}
	})
	return l.Addr().String(), nil
}

// pass passes one connection on, both ways.
func (r *Relay) pass(from net.Conn, address string) {
	to, err := net.Dial("tcp", address)
	if err != nil {
		_ = from.Close()
		return
	}
	if !r.keep(from, to) {
		return
	}
	defer r.drop(from, to)
	var group sync.WaitGroup
	group.Go(func() { r.copy(to, from) })
	group.Go(func() { r.copy(from, to) })
	group.Wait()
}

func (r *Relay) keep(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		if r.closed {
			_ = c.Close()
			continue
		}
		r.conns[c] = true
	}
	return !r.closed
}

func (r *Relay) drop(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
		delete(r.conns, c)
	}
}

// chunk is what was read at once, and when it is due.
type chunk struct {
	data []byte
	due  time.Time
}

// copy reads on while what it read waits: a delay, and no throttle.
func (r *Relay) copy(to, from net.Conn) {
	chunks := make(chan chunk, 10000)
	go func() {
		defer close(chunks)
		for {
			buffer := make([]byte, 32<<10)
			n, err := from.Read(buffer)
			if n > 0 {
				chunks <- chunk{buffer[:n], time.Now().Add(time.Duration(r.delay.Load()))}
			}
			if err != nil {
				return
			}
		}
	}()
	broken := false
	for c := range chunks {
		if broken {
			continue
		}
		time.Sleep(time.Until(c.due))
		if _, err := to.Write(c.data); err != nil {
			broken = true
			_ = from.Close()
		}
	}
	_ = to.Close()
}

// Close ends all that the relay does.
func (r *Relay) Close() {
	for _, l := range r.listeners {
		_ = l.Close()
	}
	r.mu.Lock()
	r.closed = true
	for c := range r.conns {
		_ = c.Close()
	}
	r.mu.Unlock()
	r.group.Wait()
}
