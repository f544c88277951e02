package e2e

import (
	"context"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/naming/resolver"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
)

// followByGRPC starts a gRPC client that follows the instances as examples/grpc-go does.
func (w *world) followByGRPC() {
	w.t.Helper()
	etcd, err := clientv3.New(clientv3.Config{Endpoints: []string{w.etcd.URL}, Logger: zap.NewNop()})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = etcd.Close() })
	builder, err := resolver.NewBuilder(etcd)
	if err != nil {
		w.t.Fatal(err)
	}
	conn, err := grpc.NewClient("etcd:///grpc/web", grpc.WithResolvers(builder),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	client := grpc_health_v1.NewHealthClient(conn)
	w.add("gRPC", func() (string, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		var header metadata.MD
		_, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.Header(&header))
		return strings.Join(header.Get("instance"), ","), err
	})
}
