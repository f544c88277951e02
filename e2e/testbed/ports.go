package testbed

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
)

// Ports from 10000 to 19999 are for what runs here: those that systems hand out for
// outgoing connections, from 32768 on, could be taken again before their process listens,
// and those from 20000 on are the product's unit tests'. Processes that run at the same
// time have blocks of their own.
const (
	firstPort = 10000
	lastPort  = 19999
	blockSize = 200
)

var ports struct {
	sync.Mutex
	next, end int
	claims    []net.Listener // one for each block, until this process ends
}

// LowPort returns a free port that stays free until somebody listens there.
func LowPort(host string) (int, error) {
	l, err := listenLow(host)
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

func listenLow(host string) (net.Listener, error) {
	ports.Lock()
	defer ports.Unlock()
	for {
		if ports.next == ports.end {
			if err := claimPorts(); err != nil {
				return nil, err
			}
		}
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(ports.next)))
		ports.next++
		if err == nil {
			return l, nil
		}
	}
}

// claimPorts takes a block of ports that no other process has.
func claimPorts() error {
	const blocks = (lastPort + 1 - firstPort) / blockSize
	for i := range blocks {
		// One that the latest process did not have.
		first := firstPort + (os.Getpid()+i)%blocks*blockSize
		// A name that is free again when the process ends, however it does.
		claim, err := net.Listen("unix", fmt.Sprintf("@dockreg-test-ports-%d", first))
		if err == nil {
			ports.next, ports.end = first, first+blockSize
			ports.claims = append(ports.claims, claim)
			return nil
		}
	}
	return errors.New("no port is free")
}
