package instances

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
)

// store answers as an etcd does, within a test's bubble, in which the real one can't be: it
// reads keys at the latest revision and watches from any that it still has. A real one, and
// what it does, is what the end-to-end tests of dockreg watch have.
type store struct {
	etcdserverpb.UnimplementedKVServer

	mu        sync.Mutex
	cluster   uint64
	revision  int64
	compacted int64
	keys      map[string]*mvccpb.KeyValue
	history   []*clientv3.Event
	more      chan struct{} // closed when there is more of it
	away      error         // in place of an answer
	silent    bool          // watches are told of nothing
	refused   string        // the prefix that may not be read
	lists     int

	client   *clientv3.Client
	watching sync.WaitGroup
}

// newStore starts one, which ends with the test.
func newStore(t *testing.T) *store {
	t.Helper()
	s := &store{cluster: 1, revision: 1, keys: map[string]*mvccpb.KeyValue{}, more: make(chan struct{})}
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer()
	etcdserverpb.RegisterKVServer(server, s)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{"http://store"}, Context: t.Context(),
		DialOptions: []grpc.DialOption{grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) })},
	})
	if err != nil {
		t.Fatal(err)
	}
	client.Watcher = s
	s.client = client
	t.Cleanup(func() {
		s.watching.Wait()
		_ = client.Close()
		server.Stop()
		serving.Wait()
	})
	return s
}

// Do and Ask are Etcd's: there is one member.
func (s *store) Do(ctx context.Context, within time.Duration, request func(context.Context, *clientv3.Client) error) error {
	s.mu.Lock()
	away := s.away
	s.mu.Unlock()
	if away != nil {
		return away
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return request(ctx, s.client)
}

func (s *store) Ask(ctx context.Context, within time.Duration, request func(context.Context, *clientv3.Client) error) error {
	return s.Do(ctx, within, request)
}

// goAway has it answer with this; nil: as it should.
func (s *store) goAway(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = err
}

// put writes a key, and delete removes one.
func (s *store) put(key, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	kv := &mvccpb.KeyValue{Key: []byte(key), Value: []byte(value), CreateRevision: s.revision, ModRevision: s.revision, Version: 1}
	if was := s.keys[key]; was != nil {
		kv.CreateRevision, kv.Version = was.CreateRevision, was.Version+1
	}
	s.keys[key] = kv
	s.happens(&clientv3.Event{Type: clientv3.EventTypePut, Kv: kv})
}

func (s *store) delete(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revision++
	delete(s.keys, key)
	s.happens(&clientv3.Event{Type: clientv3.EventTypeDelete, Kv: &mvccpb.KeyValue{Key: []byte(key), ModRevision: s.revision}})
}

func (s *store) happens(e *clientv3.Event) {
	s.history = append(s.history, e)
	close(s.more)
	s.more = make(chan struct{})
}

// compact forgets what happened up to now.
func (s *store) compact() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.compacted, s.history = s.revision, nil
}

// refuse has it refuse what is below a prefix.
func (s *store) refuse(prefix string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = prefix
}

// listed is how often all keys were read.
func (s *store) listed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lists
}

func (s *store) header() *etcdserverpb.ResponseHeader {
	return &etcdserverpb.ResponseHeader{ClusterId: s.cluster, Revision: s.revision}
}

// within says whether a key is in a request's range.
func within(key string, from, end []byte) bool {
	if len(end) == 0 {
		return key == string(from)
	}
	return key >= string(from) && key < string(end)
}

// Range is etcdserverpb.KVServer's.
func (s *store) Range(_ context.Context, r *etcdserverpb.RangeRequest) (*etcdserverpb.RangeResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.refused != "" && strings.HasPrefix(string(r.Key), s.refused):
		return nil, rpctypes.ErrGRPCPermissionDenied
	case r.Revision > s.revision:
		return nil, rpctypes.ErrGRPCFutureRev
	case r.Revision > 0 && r.Revision < s.revision:
		return nil, errors.New("the store has the latest revision alone")
	}
	if !r.CountOnly {
		s.lists++
	}
	answer := &etcdserverpb.RangeResponse{Header: s.header()}
	for key, kv := range s.keys {
		if within(key, r.Key, r.RangeEnd) {
			answer.Count++
			answer.Kvs = append(answer.Kvs, kv)
		}
	}
	slices.SortFunc(answer.Kvs, func(a, b *mvccpb.KeyValue) int { return strings.Compare(string(a.Key), string(b.Key)) })
	if r.Limit > 0 && r.Limit < answer.Count {
		answer.Kvs, answer.More = answer.Kvs[:r.Limit], true
	}
	if r.CountOnly {
		answer.Kvs = nil
	}
	return answer, nil
}

// Watch is clientv3.Watcher's. The client's own waits for a channel that no bubble has.
func (s *store) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	watch := clientv3.OpGet(key, opts...)
	answers := make(chan clientv3.WatchResponse)
	s.watching.Go(func() {
		defer close(answers)
		for next := watch.Rev(); ; {
			answer, more := s.since(&next, watch)
			if answer.Canceled || len(answer.Events) > 0 {
				select {
				case answers <- answer:
				case <-ctx.Done():
					return
				}
			}
			if answer.Canceled {
				return
			}
			select {
			case <-more:
			case <-ctx.Done():
				return
			}
		}
	})
	return answers
}

// since is what a watch is to know from a revision on, which it moves, and what is closed when
// there is more.
func (s *store) since(next *int64, watch clientv3.Op) (answer clientv3.WatchResponse, more <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer.Header = s.header()
	if s.refused != "" && strings.HasPrefix(string(watch.KeyBytes()), s.refused) {
		answer.Canceled = true
	}
	if *next <= s.compacted {
		answer.Canceled, answer.CompactRevision = true, s.compacted
	}
	for _, e := range s.history {
		if e.Kv.ModRevision < *next || s.silent {
			continue
		}
		if within(string(e.Kv.Key), watch.KeyBytes(), watch.RangeBytes()) {
			answer.Events = append(answer.Events, e)
		}
		*next = e.Kv.ModRevision + 1
	}
	return answer, s.more
}

// Close and RequestProgress are clientv3.Watcher's.
func (s *store) Close() error                          { return nil }
func (s *store) RequestProgress(context.Context) error { return nil }
