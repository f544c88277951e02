// Command grpc-go is a gRPC client that follows registered instances in etcd, and an app
// for it to ask.
//
//	grpc-go serve :8000               an app that tells that it is healthy
//	grpc-go ask http://etcd:2379 web  asks one instance after the other, each second
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/naming/resolver"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "grpc-go:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch {
	case len(args) == 2 && args[0] == "serve":
		return serve(ctx, args[1])
	case len(args) == 3 && args[0] == "ask":
		return ask(ctx, args[1], args[2])
	}
	return errors.New("give serve ADDRESS, or ask ETCD TARGET")
}

func serve(ctx context.Context, address string) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	defer context.AfterFunc(ctx, server.GracefulStop)()
	return server.Serve(listener)
}

// deadline is for a call: an instance whose host has just died says nothing.
const deadline = 3 * time.Second

// check asks an instance once, and returns which one, and what it says.
func check(ctx context.Context, app grpc_health_v1.HealthClient) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	var from peer.Peer
	answer, err := app.Check(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.Peer(&from))
	return fmt.Sprint(from.Addr, " ", answer.GetStatus()), err
}

func ask(ctx context.Context, etcd, target string) error {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{etcd}})
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	builder, err := resolver.NewBuilder(client)
	if err != nil {
		return err
	}
	// Three slashes, and the target as dockreg has it in --record grpc:TARGET.
	conn, err := grpc.NewClient("etcd:///"+target,
		grpc.WithResolvers(builder),
		// Without it, all calls go to the first instance.
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()

	app := grpc_health_v1.NewHealthClient(conn)
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for {
		fmt.Println(check(ctx, app))
		select {
		case <-every.C:
		case <-ctx.Done():
			return nil
		}
	}
}
