package etcdreg

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dockreg/etcdreg/etcd"
	"dockreg/record"
)

// actor is one instance, and those that replace it after it died. Its requests wait
// at a gate.
type actor struct {
	*Registry
	records record.Records // that it registers
	client  *clientv3.Client
	busy    bool          // an operation is under way, and waits at the gate
	gate    chan fate     // lets its next request through
	halted  chan struct{} // it waits at the gate
	done    chan error    // its operation ended
	trace   []string      // how its operations ended
}

// fate is what becomes of a request.
type fate int

const (
	answered   fate = iota
	unanswered      // executed, but the answer is lost
	lost            // not even executed
)

type actorKey struct{}

// newWorkers makes actors whose requests go through a gate, and then to where they
// are answered, if that is not the server.
func newWorkers(t *testing.T, where store, url string, unary grpc.UnaryClientInterceptor, stream grpc.StreamClientInterceptor) *workers {
	w := &workers{store: where}
	for i := range w.actors {
		a := &actor{gate: make(chan fate), halted: make(chan struct{}), done: make(chan error, 1)}
		opts := []grpc.DialOption{grpc.WithChainUnaryInterceptor(a.unary), grpc.WithChainStreamInterceptor(a.stream)}
		if unary != nil {
			opts = append(opts, grpc.WithChainUnaryInterceptor(unary), grpc.WithChainStreamInterceptor(stream))
		}
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{url}, Logger: zap.NewNop(), DialOptions: opts})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		a.client = c
		w.actors[i] = a
	}
	return w
}

var errLostOnTheWay = status.Error(codes.Internal, "lost on the way")

// pass holds up a request until it is let through.
func (a *actor) pass(ctx context.Context, request func() error) error {
	if ctx.Value(actorKey{}) == nil {
		return request() // a watch's
	}
	a.halted <- struct{}{}
	switch f := <-a.gate; f {
	case lost:
		return errLostOnTheWay
	case unanswered:
		_ = request()
		return errLostOnTheWay
	default:
		return request()
	}
}

func (a *actor) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if txn, ok := req.(*etcdserverpb.TxnRequest); ok {
		for _, op := range append(txn.Success, txn.Failure...) {
			if op.GetRequestDeleteRange() != nil {
				return errors.New("a Txn that deletes")
			}
		}
	} else if !strings.Contains(method, ".Lease/") && !strings.HasSuffix(method, "/Range") {
		return fmt.Errorf("a request %s", method)
	}
	return a.pass(ctx, func() error { return invoke(ctx, method, req, reply, cc, opts...) })
}

func (a *actor) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (stream grpc.ClientStream, err error) {
	err = a.pass(ctx, func() error { stream, err = open(ctx, desc, cc, method, opts...); return err })
	return stream, err
}

// start begins an operation, which then waits at the gate, or is over.
func (a *actor) start(operation func(context.Context) error) {
	a.busy = true
	ctx := context.WithValue(context.Background(), actorKey{}, true)
	go func() { a.done <- operation(ctx) }()
	a.settle()
}

// step lets one request through, and waits until the next one comes.
func (a *actor) step(f fate) {
	a.gate <- f
	a.settle()
}

func (a *actor) settle() {
	select {
	case <-a.halted:
	case err := <-a.done:
		a.busy = false
		a.trace = append(a.trace, outcomeOf(err))
	}
}

// finish lets all of an operation's requests through.
func (a *actor) finish() {
	for a.busy {
		a.step(answered)
	}
}

// outcomeOf is what the trace keeps of an error: no lease's number, no address.
func outcomeOf(err error) string {
	var state *stateError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &state):
		text, _, _ := strings.Cut(state.Error(), ",")
		return text
	}
	_, text, _ := strings.Cut(err.Error(), "rpc error")
	return text
}

// direct makes requests over one client, and never over another one.
type direct struct{ *clientv3.Client }

func (d direct) Do(ctx context.Context, _ time.Duration, request func(context.Context, *clientv3.Client) error) error {
	return request(ctx, d.Client)
}

func (d direct) Renew(ctx context.Context, _ time.Duration, lease clientv3.LeaseID) (bool, error) {
	return etcd.KeepAlive(ctx, d.Client, lease)
}

func (d direct) Within(usual time.Duration) time.Duration { return usual }

// born makes the actor a new instance.
func (a *actor) born() *Registry {
	r := New(direct{a.client}, Config{TTL: time.Minute, Spare: time.Minute, Log: slog.New(slog.DiscardHandler)})
	a.Registry = r
	return r
}
