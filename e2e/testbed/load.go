package testbed

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// requestTimeout is how long a request of a Load may take: longer than a proxy tries, or
// a busy machine takes. One that hangs that long has failed.
const requestTimeout = 20 * time.Second

// Load sends requests at a steady rate, whether or not earlier ones were answered,
// and counts those that fail. It never tries one again.
type Load struct {
	call  func() (address string, err error)
	close func() // once all calls have ended
	stop  chan struct{}
	ended chan struct{}

	mu      sync.Mutex
	outcome Outcome
}

// Outcome is what became of the requests of a Load.
type Outcome struct {
	Sent     int
	Due      int           // that had been sent, were every one in time
	Pause    time.Duration // the longest in which none could be sent
	Failures []Failure
}

// tooLong is a pause in which a proxy's check of an app, for which it has a second, may fail.
const tooLong = 800 * time.Millisecond

// Starved says whether more than a tenth could not even be sent in time, or none for a moment:
// a machine that is so busy does not serve them in time either.
func (o Outcome) Starved() bool { return o.Sent < o.Due*9/10 || o.Pause > tooLong }

// Since returns the outcome without the failures of requests that were sent before then.
func (o Outcome) Since(then time.Time) Outcome {
	o.Failures = slices.DeleteFunc(slices.Clone(o.Failures), func(f Failure) bool { return f.At.Before(then) })
	return o
}

// Failure is one request that was not answered with 200, and when it was sent.
type Failure struct {
	At      time.Time
	Address string
	Err     error
}

func (f Failure) String() string {
	return fmt.Sprintf("%s %s: %v", f.At.Format("15:04:05.000"), f.Address, f.Err)
}

// StartLoad begins to send rate requests a second, each to GET / at the address
// that pick returns for it. Connections are kept, as a load balancer does.
func StartLoad(rate int, pick func() (address string, err error)) *Load {
	client := &http.Client{
		Timeout:   requestTimeout,
		Transport: &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: 2 * time.Second},
	}
	l := StartCalls(rate, func() (string, error) {
		address, err := pick()
		if err == nil {
			err = get(client, address)
		}
		return address, err
	})
	l.close = client.CloseIdleConnections
	return l
}

// StartCalls begins to call rate times a second. A call returns whom it asked, if it knows,
// and fails as a request does.
func StartCalls(rate int, call func() (address string, err error)) *Load {
	l := &Load{call: call, close: func() {}, stop: make(chan struct{}), ended: make(chan struct{})}
	go l.run(rate)
	return l
}

func (l *Load) run(rate int) {
	defer close(l.ended)
	var sending sync.WaitGroup
	defer sending.Wait()
	start := time.Now()
	latest, pause := start, time.Duration(0)
	ticks := time.NewTicker(time.Second / time.Duration(rate))
	defer ticks.Stop()
	for {
		select {
		case <-l.stop:
			l.mu.Lock()
			l.outcome.Due = int(time.Since(start).Seconds() * float64(rate))
			l.outcome.Pause = max(pause, time.Since(latest))
			l.mu.Unlock()
			return
		case <-ticks.C:
			now := time.Now()
			latest, pause = now, max(pause, now.Sub(latest))
			sending.Go(l.send)
		}
	}
}

func (l *Load) send() {
	at := time.Now()
	address, err := l.call()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outcome.Sent++
	if err != nil {
		l.outcome.Failures = append(l.outcome.Failures, Failure{at, address, err})
	}
}

func get(client *http.Client, address string) error {
	resp, err := client.Get("http://" + address + "/")
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// Stop ends the load, waits for the requests under way and returns the outcome.
func (l *Load) Stop() Outcome {
	close(l.stop)
	<-l.ended
	l.close()
	return l.outcome
}
