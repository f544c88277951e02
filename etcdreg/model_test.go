package etcdreg

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// model is etcd as far as a Registry uses it: keys, revisions, leases, and Txns that
// compare. It answers in a client's place, in etcd's own messages, so that ten
// thousand interleavings take seconds. TestP3Interleavings holds it against real
// servers.
type model struct {
	mu     sync.Mutex
	rev    int64
	keys   map[string]*mvccpb.KeyValue
	past   map[string][]*mvccpb.KeyValue
	leases map[int64]bool
}

func newModel() *model {
	return &model{rev: 1, keys: map[string]*mvccpb.KeyValue{}, past: map[string][]*mvccpb.KeyValue{}, leases: map[int64]bool{}}
}

func (m *model) header() *etcdserverpb.ResponseHeader {
	return &etcdserverpb.ResponseHeader{ClusterId: 1, Revision: m.rev}
}

// unary answers a request, as an interceptor.
func (m *model) unary(_ context.Context, _ string, req, reply any, _ *grpc.ClientConn, _ grpc.UnaryInvoker, _ ...grpc.CallOption) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var answer proto.Message
	switch q := req.(type) {
	case *etcdserverpb.TxnRequest:
		txn, err := m.txn(q)
		if err != nil {
			return err
		}
		answer = txn
	case *etcdserverpb.LeaseGrantRequest:
		if m.leases[q.ID] {
			return rpctypes.ErrGRPCLeaseExist
		}
		m.leases[q.ID] = true
		answer = &etcdserverpb.LeaseGrantResponse{Header: m.header(), ID: q.ID, TTL: q.TTL}
	case *etcdserverpb.LeaseRevokeRequest:
		if !m.leases[q.ID] {
			return rpctypes.ErrGRPCLeaseNotFound
		}
		m.end(q.ID)
		answer = &etcdserverpb.LeaseRevokeResponse{Header: m.header()}
	default:
		return rpctypes.ErrGRPCPermissionDenied
	}
	proto.Merge(reply.(proto.Message), answer)
	return nil
}

func (m *model) txn(q *etcdserverpb.TxnRequest) (*etcdserverpb.TxnResponse, error) {
	succeeded := true
	for _, c := range q.Compare {
		if c.Target != etcdserverpb.Compare_MOD || c.Result != etcdserverpb.Compare_EQUAL {
			return nil, rpctypes.ErrGRPCPermissionDenied
		}
		succeeded = succeeded && m.keys[string(c.Key)].GetModRevision() == c.GetModRevision()
	}
	answer := &etcdserverpb.TxnResponse{Succeeded: succeeded}
	ops := q.Failure
	if succeeded {
		ops = q.Success
	}
	for _, op := range ops { // all or nothing, and in one revision
		if p := op.GetRequestPut(); p != nil && p.Lease != 0 && !m.leases[p.Lease] {
			return nil, rpctypes.ErrGRPCLeaseNotFound
		}
	}
	if slices.ContainsFunc(ops, func(op *etcdserverpb.RequestOp) bool { return op.GetRequestPut() != nil }) {
		m.rev++
	}
	for _, op := range ops {
		switch {
		case op.GetRequestRange() != nil:
			answer.Responses = append(answer.Responses, &etcdserverpb.ResponseOp{
				Response: &etcdserverpb.ResponseOp_ResponseRange{ResponseRange: m.scan(op.GetRequestRange())},
			})
		case op.GetRequestPut() != nil:
			p := op.GetRequestPut()
			m.set(string(p.Key), string(p.Value), p.Lease)
			answer.Responses = append(answer.Responses, &etcdserverpb.ResponseOp{
				Response: &etcdserverpb.ResponseOp_ResponsePut{ResponsePut: &etcdserverpb.PutResponse{}},
			})
		default:
			return nil, rpctypes.ErrGRPCPermissionDenied
		}
	}
	answer.Header = m.header()
	return answer, nil
}

func (m *model) scan(q *etcdserverpb.RangeRequest) *etcdserverpb.RangeResponse {
	found := &etcdserverpb.RangeResponse{}
	if len(q.RangeEnd) > 0 { // all in one parent
		found.Count = int64(len(m.keys))
		return found
	}
	if kv := m.keys[string(q.Key)]; kv != nil {
		found.Kvs, found.Count = []*mvccpb.KeyValue{kv}, 1
	}
	return found
}

// set and unset write at the revision that there is.
func (m *model) set(key, value string, lease int64) {
	kv := &mvccpb.KeyValue{Key: []byte(key), Value: []byte(value), Lease: lease, ModRevision: m.rev}
	m.keys[key] = kv
	m.past[key] = append(m.past[key], kv)
}

func (m *model) unset(keys ...string) {
	keys = slices.DeleteFunc(keys, func(key string) bool { return m.keys[key] == nil })
	if len(keys) > 0 {
		m.rev++
	}
	for _, key := range keys {
		delete(m.keys, key)
		m.past[key] = append(m.past[key], nil)
	}
}

// end ends a lease, and the keys that hang on it.
func (m *model) end(lease int64) {
	delete(m.leases, lease)
	var keys []string
	for key, kv := range m.keys {
		if kv.Lease == lease {
			keys = append(keys, key)
		}
	}
	m.unset(keys...)
}

// stream answers a keepalive; a watch stays silent.
func (m *model) stream(ctx context.Context, _ *grpc.StreamDesc, _ *grpc.ClientConn, _ string, _ grpc.Streamer, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	return &modelStream{m: m, ctx: ctx}, nil
}

type modelStream struct {
	grpc.ClientStream
	m     *model
	ctx   context.Context //nolint:containedctx // a stream's
	lease int64
}

func (s *modelStream) Context() context.Context { return s.ctx }
func (s *modelStream) CloseSend() error         { return nil }

func (s *modelStream) SendMsg(msg any) error {
	if q, ok := msg.(*etcdserverpb.LeaseKeepAliveRequest); ok {
		s.lease = q.ID
	}
	return nil
}

func (s *modelStream) RecvMsg(msg any) error {
	answer, ok := msg.(*etcdserverpb.LeaseKeepAliveResponse)
	if !ok {
		<-s.ctx.Done()
		return s.ctx.Err()
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	answer.Header, answer.ID = s.m.header(), s.lease
	if s.m.leases[s.lease] {
		answer.TTL = 60
	}
	return nil
}

func (m *model) get(key string) (*mvccpb.KeyValue, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.keys[key], nil
}

func (m *model) put(key, value string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rev++
	m.set(key, value, 0)
	return nil
}

func (m *model) drop(key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unset(key)
	return nil
}

func (m *model) revoke(lease clientv3.LeaseID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.leases[int64(lease)] {
		m.end(int64(lease))
	}
	return nil
}

func (m *model) revision() (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rev, nil
}

func (m *model) history(key string, _ int64) ([]*mvccpb.KeyValue, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.past[key], nil
}

// listenForModels runs a server that takes connections, and serves nothing: the
// model answers before a request gets there.
func listenForModels(t *testing.T) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	t.Cleanup(s.Stop)
	go func() { _ = s.Serve(l) }()
	return "http://" + l.Addr().String()
}
