package main

import (
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// An instance whose host is gone, or that hangs, costs a call no more than its deadline.
func TestCheckHasADeadline(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // its system takes connections
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	conn, err := grpc.NewClient(silent.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := check(t.Context(), grpc_health_v1.NewHealthClient(conn)); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("%v, want that the deadline is over", err)
	}
}
