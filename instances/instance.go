// Package instances reads what is registered in etcd, for people and programs that want to
// know: all of it at once (list.go), and each change as it happens, over outages, too
// (follow.go; watch.go while etcd answers). It writes nothing.
package instances

import (
	"net/netip"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/record"
)

// Instance is a key, and what is stored under it: by anybody, and so it may hold anything.
type Instance struct {
	Key, Value string
	Lease      clientv3.LeaseID // 0: none, so that it never lapses
	Created    int64            // the revision in which the key came, in the order of all keys
	Modified   int64            // that of its latest writing
}

// Address returns what the key says that consumers dial; invalid: nothing. One with a zone is
// none: it means nothing on other hosts, and may hold anything.
func (i Instance) Address() netip.AddrPort {
	for _, at := range record.AddressesIn(i.Key) {
		if at.Addr().Zone() == "" {
			return at
		}
	}
	return netip.AddrPort{}
}

func instanceOf(kv *mvccpb.KeyValue) Instance {
	return Instance{string(kv.Key), string(kv.Value), clientv3.LeaseID(kv.Lease), kv.CreateRevision, kv.ModRevision}
}

// Listing is what was registered at one revision of etcd's.
type Listing struct {
	Instances []Instance // in the order in which their keys came, oldest first
	Cluster   uint64
	Revision  int64
}

// Left is what is left of leases, each with its whole TTL at the time when it was renewed
// last. One that is not in it is not known.
type Left map[clientv3.LeaseID]time.Duration
