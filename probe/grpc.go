package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// grpcBound is how much of an app's words is read in one probe. An answer is some
// hundred bytes; gRPC itself has no bound for most of what may come instead of it.
const grpcBound = 64 << 10

// grpcProbe passes if the app says SERVING over the gRPC health checking protocol
// (grpc/grpc doc/health-checking.md). It connects anew each time: a client that
// is kept waits between attempts to reconnect, longer than the app may need.
type grpcProbe struct {
	target  target
	service string // empty: the server as a whole
	agent   string
}

func (p *grpcProbe) ask(ctx context.Context) error {
	var read atomic.Int64
	dialed := make(chan error, 1) // the first attempt's outcome, which gRPC's error buries in text
	conn, err := grpc.NewClient("passthrough:///app",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUserAgent(p.agent),
		grpc.WithDisableServiceConfig(),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			c, err := p.target.dial(ctx)
			select {
			case dialed <- err:
			default:
			}
			if err != nil {
				return nil, err
			}
			return &boundConn{c, &read}, nil
		}))
	if err != nil {
		return fmt.Errorf("grpc client: %w", err)
	}
	defer func() { _ = conn.Close() }()

	health := grpc_health_v1.NewHealthClient(conn)
	resp, err := health.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: p.service})
	code := status.Code(err)
	switch {
	case err != nil && ctx.Err() != nil:
		return reason(ctx.Err()) // whatever gRPC takes it for
	case err != nil && read.Load() >= grpcBound:
		return errors.New("the app's answer has no end")
	}
	switch code {
	case codes.OK:
	case codes.Canceled:
		return context.Canceled
	case codes.DeadlineExceeded:
		return context.DeadlineExceeded
	case codes.Unimplemented:
		return errors.New("the app does not speak the gRPC health protocol")
	case codes.NotFound:
		return fmt.Errorf("the app's gRPC health protocol knows no service %q", p.service)
	case codes.Unavailable:
		select {
		case err := <-dialed:
			// Whether a reset shows in the dial, or in the call after it, is chance.
			if err = reason(err); err != nil && !errors.Is(err, errReset) {
				return err
			}
		default:
		}
		return errors.New("the connection broke, or the app does not speak gRPC")
	default:
		return fmt.Errorf("the app's gRPC health protocol answered %s", code) // and never what the app says with it
	}
	if resp.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("the app says %s", resp.GetStatus())
	}
	return nil
}

// boundConn is a connection from which all of a probe's connections read no more than
// grpcBound.
type boundConn struct {
	net.Conn
	read *atomic.Int64
}

func (c *boundConn) Read(b []byte) (int, error) {
	if c.read.Load() >= grpcBound {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := c.Conn.Read(b)
	c.read.Add(int64(n))
	return n, err
}
