package e2e

import (
	"context"
	"net/netip"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/record"
)

type interim struct {
	w     *world
	lease clientv3.LeaseID
}

func (w *world) register(ip, port string, kinds ...string) interface{ terminate(t *testing.T) } {
	w.t.Helper()
	address := netip.AddrPortFrom(netip.MustParseAddr(ip), netip.MustParseAddrPort("1.1.1.1:"+port).Port())
	grant, err := w.etcd.Client.Grant(context.Background(), 600)
	if err != nil {
		w.t.Fatal(err)
	}
	var ops []clientv3.Op
	for _, kind := range kinds {
		k, err := record.Parse(kind, record.Options{Parent: "service", Value: "running"})
		if err != nil {
			w.t.Fatal(err)
		}
		records, err := k.Records(record.Instance{Address: address})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, r := range records {
			ops = append(ops, clientv3.OpPut(r.Key, r.Value, clientv3.WithLease(grant.ID)))
		}
	}
	if _, err := w.etcd.Client.Txn(context.Background()).Then(ops...).Commit(); err != nil {
		w.t.Fatal(err)
	}
	return interim{w, grant.ID}
}

func (i interim) terminate(t *testing.T) {
	if _, err := i.w.etcd.Client.Revoke(context.Background(), i.lease); err != nil {
		t.Fatal(err)
	}
	lasts(t, 3*time.Second)
}
