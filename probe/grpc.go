package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
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

// errNoGRPC is a connection that broke while gRPC used it. What broke it, a close, a
// reset, a frame that makes no sense or more than grpcBound, is often a matter of
// which is seen first, so that the reason is one for all.
var errNoGRPC = errors.New("the connection broke, or the app does not speak gRPC")

func parseGRPC(rest string, app target, agent string) (*Probe, error) {
	service, named := strings.CutPrefix(rest, ":")
	if named && service == "" {
		return nil, errors.New("no service after the colon; give grpc:service, or grpc for the server as a whole")
	}
	return &Probe{show: "grpc" + rest, ask: (&grpcProbe{app, service, agent}).ask}, nil
}

// grpcProbe passes if the app says SERVING over the gRPC health checking protocol
// (grpc/grpc doc/health-checking.md). It connects anew each time: a client that
// is kept waits between attempts to reconnect, longer than the app may need.
type grpcProbe struct {
	app     target
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
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(grpcBound)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			c, err := p.app.dial(ctx)
			select {
			case dialed <- err:
			default:
			}
			if err != nil {
				return nil, err
			}
			return &limitedConn{c, &read}, nil
		}))
	if err != nil {
		return fmt.Errorf("grpc client: %w", err)
	}
	defer func() { _ = conn.Close() }()

	health := grpc_health_v1.NewHealthClient(conn)
	resp, err := health.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: p.service})
	if err != nil && ctx.Err() != nil {
		return reason(ctx.Err()) // whatever gRPC takes it for
	}
	switch code := status.Code(err); code {
	case codes.OK:
	case codes.DeadlineExceeded: // the server knows the deadline, and may tell of its end first
		return context.DeadlineExceeded
	case codes.Unimplemented:
		return errors.New("the app does not speak the gRPC health protocol")
	case codes.NotFound:
		return fmt.Errorf("the app's gRPC health protocol knows no service %q", p.service)
	case codes.Unavailable:
		select {
		case err := <-dialed:
			if err = reason(err); err != nil && !errors.Is(err, errReset) { // a reset may show only later, too
				return err
			}
		default:
		}
		return errNoGRPC
	default:
		return fmt.Errorf("the app's gRPC health protocol answered %s", code) // and never what the app says with it
	}
	if resp.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("the app says %s", resp.GetStatus())
	}
	return nil
}

// limitedConn is a connection of a probe: once all of them have read grpcBound, no read
// begins any more.
type limitedConn struct {
	net.Conn
	read *atomic.Int64
}

func (c *limitedConn) Read(b []byte) (int, error) {
	if c.read.Load() >= grpcBound {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := c.Conn.Read(b)
	c.read.Add(int64(n))
	return n, err
}
