package etcd

import (
	"testing"
	"time"
)

// P6: with the longest TTL, too, a connection on which nobody speaks any more is given up soon.
func TestP6SilenceIsNotWaitedOut(t *testing.T) {
	t.Parallel()
	c := New(Config{Endpoints: []string{"http://127.0.0.1:1"}, Patience: 24 * time.Hour})
	for range 50 { // in an outage of hours
		c.patience.grow()
		c.connecting.grow()
	}
	if within, connecting := c.Within(Timeout), c.connecting.of(Timeout); within != mostPatience || connecting != mostPatience {
		t.Errorf("a request is waited for for %s, a connection for %s; want %s", within, connecting, mostPatience)
	}
}
