package etcdreg

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

// dial returns the client in use, or a new one on the present endpoint, which has
// authenticated if there is a user.
func (r *Registry) dial(ctx context.Context) (*clientv3.Client, error) {
	if r.client != nil {
		return r.client, nil
	}
	at := r.members.current()
	r.link = r.link.next()
	var transport credentials.TransportCredentials = newPlain(r.link)
	if strings.HasPrefix(at, "https://") {
		transport = newSecure(r.link, r.session.files)
	}
	c, err := clientv3.New(clientv3.Config{
		Endpoints: []string{at},
		Logger:    zap.NewNop(), // what matters comes back as an error
		// A member that has no leader would be asked a hundred times. Another one is
		// better.
		MaxUnaryRetries: 1,
		// These come after the client's own, and so replace them.
		DialOptions: []grpc.DialOption{
			grpc.WithConnectParams(grpc.ConnectParams{
				// gRPC's own back-off grows to 120 s; after an outage of any length
				// the key is to be back within two seconds.
				Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 2, Jitter: 0.2, MaxDelay: 500 * time.Millisecond},
				MinConnectTimeout: r.patience.of(callTimeout),
			}),
			grpc.WithContextDialer(r.link.dial),
			grpc.WithTransportCredentials(transport),
			grpc.WithPerRPCCredentials(r.session),
			grpc.WithChainUnaryInterceptor(r.session.call),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	r.client, r.hangUp = c, func() {
		_ = c.Close() // only ever says that its context was cancelled
		r.client, r.hangUp = nil, func() {}
	}
	if r.Username != "" {
		if err := r.session.login(ctx, c.ActiveConnection()); err != nil {
			r.hangUp()
			return nil, err
		}
	}
	return c, nil
}

// explained is an error in words for those who can mend it.
type explained struct {
	error
	cause error
}

func (e explained) Unwrap() error { return e.cause }

// explain names the member that a call failed at, and says why. The same cause has
// the same words each time.
func (r *Registry) explain(err error) error {
	at := r.members.current()
	down := r.link.state()
	late := errors.Is(err, context.DeadlineExceeded)
	switch refusal := r.refusal(err); {
	case refusal != nil:
		return explained{fmt.Errorf("etcd at %s: %w", at, refusal), err}
	case late && down == nil:
		return fmt.Errorf("etcd at %s did not answer in time", at)
	case !late && !errors.Is(err, errUnreachable) && !broke(err):
		return fmt.Errorf("etcd at %s: %w", at, err)
	case down == nil:
		return explained{fmt.Errorf("etcd at %s: the connection to it broke", at), err}
	}
	return explained{fmt.Errorf("etcd at %s can't be reached: %w", at, down), err}
}

// broke says whether a call failed with its connection, which gRPC tells with the
// ports of it.
func broke(err error) bool {
	var etcds rpctypes.EtcdError
	return !errors.As(err, &etcds) && status.Code(err) == codes.Unavailable
}
