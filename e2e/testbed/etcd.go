// Package testbed is what the demo and the end-to-end tests run dockreg in: an
// etcd, a view of its keys, and containers of a real Docker engine.
package testbed

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// Etcd is an etcd of one member in this process.
type Etcd struct {
	URL    string
	Client *clientv3.Client
	server *embed.Etcd
	dir    string
}

// StartEtcd runs an etcd that listens on host, on a port that is free there.
func StartEtcd(host string) (*Etcd, error) { return startEtcd(host, false) }

// StartVolatileEtcd is StartEtcd, of one that does not wait for the disk: one on which images
// are built lets a write wait for seconds, beyond what a stop has for its deregistering.
func StartVolatileEtcd(host string) (*Etcd, error) { return startEtcd(host, true) }

func startEtcd(host string, volatile bool) (*Etcd, error) {
	port, err := LowPort(host)
	if err != nil {
		return nil, err
	}
	peerPort, err := LowPort("127.0.0.1")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "etcd")
	if err != nil {
		return nil, err
	}
	e := &Etcd{URL: "http://" + net.JoinHostPort(host, strconv.Itoa(port)), dir: dir}

	config := embed.NewConfig()
	config.Dir = dir
	config.LogLevel = "fatal"
	config.UnsafeNoFsync = volatile
	clientURL, err := url.Parse(e.URL)
	if err != nil {
		return nil, err
	}
	peerURL := url.URL{Scheme: "http", Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(peerPort))}
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{*clientURL}, []url.URL{*clientURL}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{peerURL}, []url.URL{peerURL}
	config.InitialCluster = config.InitialClusterFromName(config.Name)

	if e.server, err = embed.StartEtcd(config); err != nil {
		return nil, errors.Join(fmt.Errorf("start etcd: %w", err), os.RemoveAll(dir))
	}
	select {
	case <-e.server.Server.ReadyNotify():
	case <-time.After(30 * time.Second):
		e.Stop()
		return nil, errors.New("start etcd: not ready after 30s")
	}
	e.Client, err = clientv3.New(clientv3.Config{Endpoints: []string{e.URL}, Logger: zap.NewNop()})
	if err != nil {
		e.Stop()
		return nil, fmt.Errorf("etcd client: %w", err)
	}
	return e, nil
}

// Stop ends the etcd and removes its data.
func (e *Etcd) Stop() {
	if e.Client != nil {
		_ = e.Client.Close()
	}
	e.server.Close()
	_ = os.RemoveAll(e.dir)
}

// Sum returns the sum of all of etcd's own metrics of that name.
func (e *Etcd) Sum(ctx context.Context, metric string) (sum float64, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.URL+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	found := false
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if name, _, _ = strings.Cut(name, "{"); name != metric {
			continue
		}
		v, err := strconv.ParseFloat(value[strings.LastIndex(value, " ")+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("metric %s: %w", metric, err)
		}
		found, sum = true, sum+v
	}
	if !found {
		return 0, fmt.Errorf("etcd has no metric %s", metric)
	}
	return sum, lines.Err()
}
