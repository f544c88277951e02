package etcdreg

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"dockreg/etcdreg/etcd"
)

// P6: an etcd that is restored from an older snapshot has the key again, on a lease
// that is renewed, whatever it held then.
func TestP6OlderSnapshot(t *testing.T) {
	t.Parallel()
	for name, then := range map[string]func(t *testing.T, c *clientv3.Client, r *registration){
		"without the key": func(*testing.T, *clientv3.Client, *registration) {},
		"with an earlier instance's key": func(t *testing.T, c *clientv3.Client, _ *registration) {
			someone(t, c, "running")
		},
		"with this instance's earlier lease": func(t *testing.T, _ *clientv3.Client, r *registration) {
			register(t, r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachVersion(t, func(t *testing.T, binary string) {
				s := startServer(t, binary)
				r := newRegistry(t, 20*time.Second, s)
				then(t, s.client(), r)
				s.kill()
				snapshot := filepath.Join(t.TempDir(), "data")
				if err := os.CopyFS(snapshot, os.DirFS(filepath.Join(s.dir, "data"))); err != nil {
					t.Fatal(err)
				}
				s.run()
				s.ready()

				c := s.client()
				registerSoon(t, r)
				if err := tryDeregister(t, r); err != nil { // so that its lease is another one
					t.Fatal(err)
				}
				revisions(t, c, 20) // which the snapshot knows nothing of
				registerSoon(t, r)
				s.kill()
				s.loseData()
				if err := os.CopyFS(filepath.Join(s.dir, "data"), os.DirFS(snapshot)); err != nil {
					t.Fatal(err)
				}
				s.run()
				s.ready()
				start := time.Now()
				registerSoon(t, r)
				t.Logf("figure: back %s after etcd answered", time.Since(start).Round(time.Millisecond))
				wantKey(t, s.client(), r)
			})
		})
	}
}

// P3: an instance that stood by is not the newest one in an etcd that lost its data
// either, whichever of the two comes back first.
func TestP3StandsByAfterDataLoss(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"older", "newer"} {
		t.Run(first+" one first", func(t *testing.T) {
			t.Parallel()
			eachVersion(t, func(t *testing.T, binary string) {
				s := startServer(t, binary)
				older, newer := newRegistry(t, 20*time.Second, s), newRegistry(t, 20*time.Second, s)
				register(t, older)
				register(t, newer)
				wantDisturbed(t, older, "overwritten")
				if err := tryRegister(t, older); !standsBy(err) {
					t.Fatalf("older Register = %v, want that it stands by", err)
				}
				s.kill()
				s.loseData()
				s.run()
				s.ready()
				if first == "older" {
					registerSoon(t, older)
				}
				registerSoon(t, newer)
				wantKey(t, s.client(), newer)
				// It takes some tries to notice that its connection is the old one.
				var err error
				for deadline := time.Now().Add(time.Minute); !standsBy(err) && time.Now().Before(deadline); {
					err = tryRegister(t, older)
				}
				if !standsBy(err) {
					t.Errorf("older Register = %v, want that it stands by", err)
				}
				wantKey(t, s.client(), newer)
			})
		})
	}
}

// P3: in an etcd that lost its data, who comes later is the newer instance, however
// far the revisions had come before.
func TestP3NewerInstanceAfterDataLoss(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary)
		older, newer := newRegistry(t, 20*time.Second, s), newRegistry(t, 20*time.Second, s)
		revisions(t, s.client(), 20)
		register(t, older)
		s.kill()
		s.loseData()
		s.run()
		s.ready()
		registerSoon(t, older)
		register(t, newer)
		wantDisturbed(t, older, "overwritten")
		if err := tryRegister(t, older); !standsBy(err) {
			t.Errorf("older Register = %v, want that it stands by", err)
		}
		wantKey(t, s.client(), newer)
	})
}

// revisions makes n revisions that have nothing to do with the key.
func revisions(t *testing.T, c *clientv3.Client, n int) {
	t.Helper()
	for range n {
		if _, err := c.Put(t.Context(), "other", "x"); err != nil {
			t.Fatal(err)
		}
	}
}

// P4: a watch that tells nothing any more doesn't keep a deletion from being noticed.
func TestP4AuditNoticesWhatTheWatchDoesNot(t *testing.T) {
	t.Parallel()
	ttl := 4 * time.Second // so that it comes every 5 s
	if long {
		ttl = 20 * time.Second
	}
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary)
		c, err := clientv3.New(clientv3.Config{
			Endpoints: []string{s.url}, Logger: zap.NewNop(),
			DialOptions: []grpc.DialOption{grpc.WithChainStreamInterceptor(deaf)},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		r := &registration{New(direct{c}, Config{TTL: ttl, Spare: ttl, Log: slog.New(slog.DiscardHandler)}), nil, nil}
		t.Cleanup(r.Registry.Close)
		register(t, r)
		ctx, cancel := context.WithCancel(t.Context())
		renewed := make(chan struct{})
		go func() { // the lease is not to end before the audit
			defer close(renewed)
			for ctx.Err() == nil {
				_, _ = etcd.KeepAlive(ctx, c, r.leases.current)
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
		}()
		t.Cleanup(func() { cancel(); <-renewed })
		if _, err := s.client().Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		select {
		case reason := <-r.Disturbed():
			t.Logf("figure: noticed after %s", time.Since(start).Round(100*time.Millisecond))
			if !strings.Contains(reason.Error(), "audit: the key was deleted") {
				t.Errorf("disturbed: %v, want the audit's reason", reason)
			}
		case <-time.After(60 * time.Second):
			t.Fatal("not noticed within a minute")
		}
		cancel()
		<-renewed
		register(t, r)
		wantKey(t, s.client(), r)
	})
}

// deaf lets a watch hear nothing.
func deaf(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := open(ctx, desc, cc, method, opts...)
	if err == nil && strings.HasSuffix(method, "/Watch") {
		stream = deafStream{stream}
	}
	return stream, err
}

type deafStream struct{ grpc.ClientStream }

func (s deafStream) RecvMsg(any) error {
	<-s.Context().Done()
	return s.Context().Err()
}

// P4: a watch from a revision that etcd has compacted says so, and the key is looked
// at.
func TestP4CompactedWatch(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary)
		c, r := s.client(), newRegistry(t, 20*time.Second, s)
		register(t, r)
		revisions(t, c, 5)
		found, err := c.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Compact(t.Context(), found.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
			t.Fatal(err)
		}
		r.unwatch()
		err = unhurried(func() error {
			return r.client.Do(t.Context(), etcd.Timeout, func(_ context.Context, c *clientv3.Client) error {
				r.watch = r.observe(c, r.held(), found.Kvs[0].ModRevision+1)
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		wantDisturbed(t, r, "compacted")
		register(t, r)
		wantKey(t, c, r)
	})
}
