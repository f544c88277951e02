package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
)

// connect returns a client that is connected to the member in use: the one that is
// there, or a new one. It takes no longer than within, or than the patience, or than
// twice as long as the last time: many round trips may go into a connection. Members that
// refuse a connection, which takes no time, are passed over.
func (c *Client) connect(ctx context.Context, within time.Duration) (*clientv3.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, c.connecting.of(c.patience.of(within)))
	defer cancel()
	for others := len(c.members.urls) - 1; ; others-- {
		err := c.reach(ctx, within)
		if !errors.Is(err, errUnreachable) || others <= 0 || ctx.Err() != nil {
			return c.client, err
		}
		c.Close()
		c.members.advance()
	}
}

// reach connects to the member in use, if there is no connection to it.
func (c *Client) reach(ctx context.Context, within time.Duration) error {
	if c.client != nil && c.client.ActiveConnection().GetState() == connectivity.Ready {
		return nil
	}
	return c.connecting.try(ctx, c.patience.of(within), func(ctx context.Context) error {
		if c.client == nil {
			if err := c.members.refresh(ctx); err != nil {
				return err
			}
			if err := c.dial(ctx); err != nil {
				return err
			}
		}
		return ready(ctx, c.client.ActiveConnection())
	})
}

// ready waits until a connection is there, or has failed.
func ready(ctx context.Context, conn *grpc.ClientConn) error {
	for {
		switch state := conn.GetState(); state {
		case connectivity.Ready:
			return nil
		case connectivity.TransientFailure, connectivity.Shutdown:
			return errUnreachable
		default: // requests would wait for it until their deadline
			conn.Connect()
			if !conn.WaitForStateChange(ctx, state) {
				return fmt.Errorf("connect: %w", ctx.Err())
			}
		}
	}
}

// dial makes a client of the member in use, which has authenticated if there is a
// user.
func (c *Client) dial(ctx context.Context) error {
	at := c.members.current()
	c.link = c.link.next()
	var transport credentials.TransportCredentials = newPlain(c.link)
	if strings.HasPrefix(at, "https://") {
		transport = newSecure(c.link, c.session.files)
	}
	client, err := clientv3.New(clientv3.Config{
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
				MinConnectTimeout: c.patience.of(Timeout),
			}),
			grpc.WithContextDialer(c.link.dial),
			grpc.WithTransportCredentials(transport),
			grpc.WithPerRPCCredentials(c.session),
			grpc.WithChainUnaryInterceptor(c.session.call),
		},
	})
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	c.client = client
	if c.config.Username == "" {
		return nil
	}
	if err = c.session.login(ctx, client.ActiveConnection()); err != nil {
		c.Close()
	}
	return err
}
