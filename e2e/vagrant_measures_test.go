package e2e

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"dockreg/e2e/testbed"
)

// leads says whether the member at endpoint is etcd's leader. With it, etcd loses
// what it knew of the age of leases: the next leader gives each its whole time.
func (w *walk) leads(ctx context.Context, t *testing.T, endpoint string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	status, err := w.etcd.Status(ctx, endpoint)
	if err != nil {
		t.Fatal(err)
	}
	return status.Leader == status.Header.MemberId
}

// walkRate is how many requests a second HAProxy serves through the whole walk.
const walkRate = 300

// startLoad begins to ask HAProxy, from this machine.
func startLoad() *testbed.Load {
	return testbed.StartLoad(walkRate, func() (string, error) { return "10.1.0.101:80", nil })
}

// wantNoneLost ends a load, of which no request may have failed but those that were
// under way when a host died, if one did.
func wantNoneLost(t *testing.T, load *testbed.Load, through string, died time.Time) {
	t.Helper()
	o := load.Stop()
	since := o.Since(died)
	if len(since.Failures) > 0 {
		t.Error(since.Failures)
	}
	inFlight := len(o.Failures) - len(since.Failures)
	fmt.Printf("==> through %s: %d of %d requests failed", through, len(o.Failures), o.Sent)
	if !died.IsZero() {
		fmt.Printf(", %d of them under way on host-2 when it died", inFlight)
	}
	fmt.Println()
	if o.Sent < 1000 || inFlight > walkRate/3 {
		t.Errorf("%d requests were sent, and %d under way at the loss", o.Sent, inFlight)
	}
}

// wantGoneAtOnce wants that of the three keys one went when its container got the signal
// of a stop or a kill, and before that command was done if it is a stop. It returns when that was.
func (w *walk) wantGoneAtOnce(ctx context.Context, t *testing.T, where, what string, began time.Time) (signalled time.Time) {
	t.Helper()
	returned := time.Now()
	gone := w.gone(ctx, t, 2, began)
	out, err := vagrant(ctx, nil, "ssh", where, "-c", fmt.Sprintf(
		"docker events --since %d --until 0s --filter event=kill --format '{{.TimeNano}}' | head -n 1", began.Unix()))
	if err != nil {
		t.Fatal(err)
	}
	nanos, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	signalled = time.Unix(0, nanos)
	took := gone.Sub(signalled)
	fmt.Printf("==> from the %s to the key gone: %.2f s\n", what, took.Seconds())
	// Of which supervisord takes up to one to react to a stop.
	// A stop is done after the drain. A kill is at once, and the host's service comes after it.
	if took > 2*time.Second+busy || what == "stop" && gone.After(returned) {
		t.Errorf("the key was gone %s after the %s, and %s before the command was done", took, what, returned.Sub(gone))
	}
	return signalled
}

// wantLapsed wants P8: the keys on the lost host-2 went in time. It returns when the
// host died.
func (w *walk) wantLapsed(ctx context.Context, t *testing.T, limit time.Duration) (died time.Time) {
	t.Helper()
	id, err := os.ReadFile(vagrantDir + "/.vagrant/machines/host-2/docker/id")
	if err != nil {
		t.Fatal(err)
	}
	if died, err = (&testbed.Container{ID: string(id)}).Finished(); err != nil {
		t.Fatal(err)
	}
	took := w.gone(ctx, t, 1, died).Sub(died)
	fmt.Printf("==> from host-2's end to its keys gone: %.1f s\n", took.Seconds())
	if took > limit {
		t.Errorf("host-2's keys were gone %s after its end, want %s at most", took, limit)
	}
	return died
}

// gone waits until no more than that many keys are left, and returns when the last
// one went.
func (w *walk) gone(ctx context.Context, t *testing.T, left int, since time.Time) (at time.Time) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	if err := w.keys.AwaitPresent(ctx, left); err != nil {
		t.Fatal(err)
	}
	for _, e := range w.keys.History() {
		if e.Gone && e.At.After(since) {
			at = e.At
		}
	}
	if at.IsZero() {
		t.Fatalf("no key went after %s: %v", since, w.keys.History())
	}
	return at
}
