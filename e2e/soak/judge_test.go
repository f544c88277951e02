package main

import (
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// court is a judge of two addresses, with an instance each, whose keys are there.
type court struct {
	*judge
	t         *testing.T
	addresses [2]*address
	instances [2]*instance
	revision  int64
}

func newCourt(t *testing.T) *court {
	c := &court{judge: newJudge(slog.New(slog.DiscardHandler)), t: t}
	for n, key := range []string{"/service/a", "/service/b"} {
		c.addresses[n] = &address{key: key, blamed: map[string]time.Time{}}
		c.instances[n] = &instance{record: "instance of " + key, started: time.Now()}
		c.judge.addresses[key] = c.addresses[n]
		c.behaves(c.addresses[n], passes)
		c.started(c.addresses[n], c.instances[n])
		c.puts(n, n, int64(n+1))
	}
	return c
}

// puts puts the key of an address with the record of an instance, on a lease.
func (c *court) puts(address, instance int, lease int64) {
	c.revision++
	c.take([]*clientv3.Event{{Type: clientv3.EventTypePut, Kv: &mvccpb.KeyValue{
		Key: []byte(c.addresses[address].key), Value: []byte(c.instances[instance].record), Lease: lease, ModRevision: c.revision,
	}}})
}

func (c *court) deletes(address int) {
	c.revision++
	c.take([]*clientv3.Event{{Type: clientv3.EventTypeDelete, Kv: &mvccpb.KeyValue{Key: []byte(c.addresses[address].key), ModRevision: c.revision}}})
}

// want wants so many promises of that name to be broken, and no other.
func (c *court) want(promise string, broken int) {
	c.t.Helper()
	if got := c.findings[promise].broken; got != broken || c.totals() != broken {
		c.t.Errorf("%s was found broken %d times of %d, want %d", promise, got, c.totals(), broken)
	}
}

// A key with the right record, and without a lease, or on another's, is caught at once; and
// again where nobody puts it right.
func TestJudgeCatchesAKeyWithoutItsLease(t *testing.T) {
	for name, lease := range map[string]int64{"none": 0, "another's": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCourt(t)
				time.Sleep(time.Minute)
				c.look(time.Now())
				c.want("P8", 0)
				c.puts(0, 0, lease)
				c.want("P8", 1)
				c.puts(0, 0, 3)
				c.want("P8", 1)

				// An operator's doing is not an instance's, but is to be put right.
				c.touches(c.addresses[0])
				c.puts(0, 0, lease)
				c.touched(c.addresses[0], nil)
				c.want("P8", 1)
				time.Sleep(bound("P4"))
				c.look(time.Now())
				c.want("P8", 1)
				time.Sleep(time.Millisecond)
				c.look(time.Now())
				if c.findings["P4"].broken != 1 {
					t.Error("a key that an operator took off its lease is not missed")
				}
			})
		})
	}
}

// A probe that a well app fails excuses the key of its instance, and no other: what
// happens elsewhere has its usual time.
func TestJudgeExcusesOneInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCourt(t)
		time.Sleep(time.Minute)
		c.probed(c.addresses[0], c.instances[0], errors.New("late"))
		c.deletes(0)
		c.want("P5", 0)
		c.touches(c.addresses[1])
		c.deletes(1)
		c.touched(c.addresses[1], nil)
		c.puts(0, 0, 1)
		time.Sleep(bound("P4") + time.Millisecond)
		c.look(time.Now())
		c.want("P4", 1)
	})
}
