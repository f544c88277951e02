package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/e2e/testbed"
)

// kindsOf has every kind of record that is about an address, in the environment of a
// container, below names of the test's own.
func kindsOf(name string) (env string, keys int) {
	return "DOCKREG_RECORD=" + strings.Join([]string{
		"plain", "hostport:" + name + "/hosts", "grpc:" + name + "/grpc", "dns:" + name + ".svc.example", "traefik:" + name, "traefik-tcp:" + name,
		"/" + name + "/kratos/{{.ID}}={\"endpoints\":[\"http://{{.Address}}\"],\"by\":\"{{.Container}}\"}",
	}, "\n"), 8
}

// All records of an instance come in one revision and go in one, by a stop as by a kill: the
// host's service knows the instance's address in each.
func TestP11RecordsComeAndGoTogether(t *testing.T) {
	needDocker(t)
	t.Parallel()
	folder, host := startHost(t, "--etcd", etcd.URL)
	for verb, words := range map[string]string{"kill": "its keys are gone", "stop": ""} {
		name := "all" + verb
		env, keys := kindsOf(name)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		events := etcd.Client.Watch(ctx, "", clientv3.WithFromKey(), clientv3.WithPrevKV(), clientv3.WithCreatedNotify())
		<-events
		c := keep(t)(docker.Run(append(asked(folder), "-e", env, "-e", "IP="+docker.Gateway, "-e", "ETCD="+etcd.URL, image)...))
		address, err := docker.Address(c)
		if err != nil {
			t.Fatal(err)
		}
		await := func(gone bool) error {
			revision := int64(0)
			seen := map[string]bool{}
			for resp := range events {
				for _, e := range resp.Events {
					key := string(e.Kv.Key)
					if own := strings.Contains(key, address) || strings.Contains(key, strings.NewReplacer(".", "-", ":", "-").Replace(address)); !own || gone != (e.Type == clientv3.EventTypeDelete) {
						continue
					}
					if revision != 0 && e.Kv.ModRevision != revision {
						return fmt.Errorf("%s in revision %d, and others in %d", key, e.Kv.ModRevision, revision)
					}
					seen[key], revision = true, e.Kv.ModRevision
				}
				if len(seen) == keys {
					return nil
				}
			}
			return fmt.Errorf("only %d of %d records: %v", len(seen), keys, seen)
		}
		if err := await(false); err != nil {
			t.Fatalf("%s: they come: %v", verb, err)
		}
		awaitLogged(t, c, `msg="the host's service has the last will"`, 1)
		if _, err := c.Do(verb); err != nil {
			t.Fatal(err)
		}
		if err := await(true); err != nil {
			t.Fatalf("%s: they go: %v", verb, err)
		}
		if words != "" {
			host.awaitLogged(t, words)
		}
	}
}

// An app without a port, such as a worker, is registered without an address and without
// Docker, while its check passes.
func TestWorkerWithoutAPort(t *testing.T) {
	t.Parallel()
	start := time.Now()
	keys := testbed.FollowKeys(t.Context(), etcd.Client, "/workers/")
	ready := filepath.Join(t.TempDir(), "ready")
	p := startDockreg(t, "--etcd", etcd.URL, "--check", "exec:test -e "+ready, "--interval", "1s", "--timeout", "1s", "--container", "worker-1",
		"--record", `/workers/{{.Container}}={"zone":"{{.Meta.zone}}"}`, "--meta", "zone=a")
	p.awaitLogged(t, "waiting for the app to pass its probe")
	if err := os.WriteFile(ready, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantPut(t, keys, "/workers/worker-1", start, time.Minute)
	fails := time.Now()
	if err := os.Remove(ready); err != nil {
		t.Fatal(err)
	}
	wantGone(t, keys, "/workers/worker-1", fails, time.Minute)
	p.terminate(t)
}
