package testbed

import (
	"errors"
	"fmt"
	"os"
)

// StartAlone runs a cluster of one member of this etcd, on loopback.
func StartAlone(binary string) (*Cluster, error) {
	c, err := newCluster()
	if err != nil {
		return nil, err
	}
	var urls [2]string // for clients, for peers
	for i := range urls {
		port, err := LowPort("127.0.0.1")
		if err != nil {
			return nil, errors.Join(err, c.Stop())
		}
		urls[i] = fmt.Sprintf("http://127.0.0.1:%d", port)
	}
	c.Members = []*Member{{}}
	clients, peers := urls[:1], urls[1:]
	return c, c.start(binary, clients, peers, clients, peers)
}

// Wipe removes the data of all members. None may be running.
func (c *Cluster) Wipe() error { return os.RemoveAll(c.dir) }
