package probe

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// serveGRPC serves gRPC, with a health service unless h is nil.
func serveGRPC(t *testing.T, l net.Listener, h healthpb.HealthServer) (stop func()) {
	t.Helper()
	s := grpc.NewServer()
	if h != nil {
		healthpb.RegisterHealthServer(s, h)
	}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return s.Stop
}

// checker is a health service of one method, for what gRPC's own never does.
type checker struct {
	healthpb.UnimplementedHealthServer
	check func(ctx context.Context) (healthpb.HealthCheckResponse_ServingStatus, error)
}

func (c checker) Check(ctx context.Context, _ *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	s, err := c.check(ctx)
	return &healthpb.HealthCheckResponse{Status: s}, err
}

func TestGRPCStatus(t *testing.T) {
	t.Parallel()
	l, port := listen(t, "127.0.0.1")
	h := health.NewServer() // it serves, as long as nothing else is said of ""
	for service, s := range map[string]healthpb.HealthCheckResponse_ServingStatus{
		"a.Up":      healthpb.HealthCheckResponse_SERVING,
		"a.Down":    healthpb.HealthCheckResponse_NOT_SERVING,
		"a.Unknown": healthpb.HealthCheckResponse_UNKNOWN,
		"a.Never":   healthpb.HealthCheckResponse_SERVICE_UNKNOWN,
	} {
		h.SetServingStatus(service, s)
	}
	serveGRPC(t, l, h)
	for check, want := range map[string]string{
		"grpc":           "",
		"grpc:a.Up":      "",
		"grpc:a.Down":    "the app says NOT_SERVING",
		"grpc:a.Unknown": "the app says UNKNOWN",
		"grpc:a.Never":   "the app says SERVICE_UNKNOWN",
		"grpc:a.Missing": `the app's gRPC health protocol knows no service "a.Missing"`,
	} {
		t.Run(check, func(t *testing.T) {
			t.Parallel()
			if p := parse(t, check, port); want == "" {
				mustPass(t, p)
			} else {
				mustFail(t, p, want)
			}
		})
	}
}

// TestGRPCStatusChanges is one probe of an app as a whole, whose services don't count.
func TestGRPCStatusChanges(t *testing.T) {
	t.Parallel()
	l, port := listen(t, "127.0.0.1")
	h := health.NewServer()
	h.SetServingStatus("a.Up", healthpb.HealthCheckResponse_SERVING)
	serveGRPC(t, l, h)
	p := parse(t, "grpc", port)
	mustPass(t, p)
	h.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	mustFail(t, p, "the app says NOT_SERVING")
	h.SetServingStatus("", healthpb.HealthCheckResponse_SERVING)
	h.SetServingStatus("a.Up", healthpb.HealthCheckResponse_NOT_SERVING)
	mustPass(t, p)
	h.Shutdown() // what an app does before it stops
	mustFail(t, p, "the app says NOT_SERVING")
}

func TestGRPCNoHealthService(t *testing.T) {
	t.Parallel()
	l, port := listen(t, "127.0.0.1")
	serveGRPC(t, l, nil)
	mustFail(t, parse(t, "grpc", port), "the app does not speak the gRPC health protocol")
}

// TestGRPCHung is an app that gives up at the deadline that gRPC tells it, and may
// say so first.
func TestGRPCHung(t *testing.T) {
	t.Parallel()
	l, port := listen(t, "127.0.0.1")
	serveGRPC(t, l, checker{check: func(ctx context.Context) (healthpb.HealthCheckResponse_ServingStatus, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	}})
	mustBeLate(t, parse(t, "grpc", port), "no answer")
}

func TestGRPCError(t *testing.T) {
	t.Parallel()
	for _, code := range []codes.Code{codes.PermissionDenied, codes.Canceled, codes.Internal} {
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			l, port := listen(t, "127.0.0.1")
			serveGRPC(t, l, checker{check: func(context.Context) (healthpb.HealthCheckResponse_ServingStatus, error) {
				return 0, status.Error(code, "hunter2")
			}})
			mustFail(t, parse(t, "grpc", port), "the app's gRPC health protocol answered "+code.String())
		})
	}
}

// TestGRPCBroken is an app that takes gRPC's first words for something else.
func TestGRPCBroken(t *testing.T) {
	t.Parallel()
	want := errNoGRPC.Error()
	for name, handle := range map[string]func(net.Conn){
		"closes":   func(net.Conn) {},
		"resets":   reset,
		"a banner": func(conn net.Conn) { say("220 hunter2 ESMTP\r\n")(conn, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port := serveConns(t, func(conn net.Conn) {
				const words = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
				if _, err := io.ReadFull(conn, make([]byte, len(words))); err == nil {
					handle(conn)
				}
			})
			mustFail(t, parse(t, "grpc", port), want)
		})
	}
	for _, kind := range []string{"http", "https"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			l, port := listen(t, "127.0.0.1")
			serveHealthy(t, kind, l)
			mustFail(t, parse(t, "grpc", port), want)
		})
	}
}

func TestGRPCRequest(t *testing.T) {
	t.Parallel()
	asked := make(chan metadata.MD, 1)
	l, port := listen(t, "127.0.0.1")
	serveGRPC(t, l, checker{check: func(ctx context.Context) (healthpb.HealthCheckResponse_ServingStatus, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		asked <- md
		return healthpb.HealthCheckResponse_SERVING, nil
	}})
	mustPass(t, parse(t, "grpc", port))
	md := <-asked
	if got := strings.Join(md.Get("user-agent"), ""); !strings.HasPrefix(got, agent+" grpc-go/") {
		t.Errorf("asked as %q, want %q before gRPC's own", got, agent)
	}
}
