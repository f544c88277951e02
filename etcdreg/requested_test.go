package etcdreg

import (
	"context"
	"fmt"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/etcdreg/etcd"
)

// A request counts for the member that answered it, where another one that refuses connections
// was passed over.
func TestRequestsAreCountedForWhoAnswered(t *testing.T) {
	t.Parallel()
	s := startServer(t, binaries["3.7"])
	gone := fmt.Sprintf("http://127.0.0.1:%d", freePort(t))
	for range 20 { // each begins with either of the two
		client := etcd.New(etcd.Config{Endpoints: []string{gone, s.url}, Requested: func(member string, _ time.Duration, err error) {
			if member != s.url || err != nil {
				t.Errorf("a request of %s, %v; want one of %s", member, err, s.url)
			}
		}})
		if err := client.Do(t.Context(), etcd.Timeout, func(ctx context.Context, c *clientv3.Client) error {
			_, err := c.Get(ctx, key)
			return err
		}); err != nil {
			t.Error(err)
		}
		client.Close()
	}
}
