package e2e

import (
	"context"
	"testing"
	"time"

	"dockreg/e2e/testbed"
)

// P2: stopping one of three instances, again and again, fails no request of a client
// that follows the keys. make bench does the same for longer.
func TestP2StopsFailNoRequest(t *testing.T) {
	needDocker(t)
	t.Parallel()
	keys := testbed.FollowKeys(t.Context(), etcd.Client, "/stops/")
	present := func(n int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := keys.AwaitPresent(ctx, n); err != nil {
			t.Fatal(err)
		}
	}
	var instances []*testbed.Container
	for range 3 {
		instances = append(instances, runApp(t, "-e", "DOCKREG_KEY=stops"))
	}
	present(len(instances))

	load := testbed.StartLoad(requestRate, keys.Pick)
	for _, i := range instances {
		if _, err := i.Do("stop"); err != nil {
			t.Error(err)
		}
		present(len(instances) - 1)
		if _, err := i.Do("start"); err != nil {
			t.Error(err)
		}
		present(len(instances))
	}
	o := load.Stop()
	t.Logf("%d of %d requests failed in %d stops and starts", len(o.Failures), o.Sent, len(instances))
	if o.Sent < requestRate {
		t.Errorf("only %d requests were sent", o.Sent)
	}
	if len(o.Failures) > 0 {
		t.Errorf("such as %v", o.Failures[:min(len(o.Failures), 10)])
	}
}
