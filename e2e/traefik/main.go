// Command traefik is Traefik's own etcd provider without the rest of Traefik: it follows
// the etcd at the address given, and prints each configuration that Traefik would take, a
// line of JSON each. What it refuses, it logs.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/traefik/traefik/v3/pkg/config/dynamic"
	"github.com/traefik/traefik/v3/pkg/provider/kv/etcd"
	"github.com/traefik/traefik/v3/pkg/safe"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(endpoint string) error {
	var p etcd.Provider
	p.SetDefaults()
	p.Endpoints = []string{endpoint}
	if err := p.Init(); err != nil {
		return err
	}
	configurations := make(chan dynamic.Message)
	failed := make(chan error, 1)
	pool := safe.NewPool(context.Background())
	go func() {
		if err := p.Provide(configurations, pool); err != nil {
			failed <- err
		}
	}()
	out := json.NewEncoder(os.Stdout)
	for {
		select {
		case message := <-configurations:
			if err := out.Encode(message.Configuration); err != nil {
				return err
			}
		case err := <-failed:
			return err
		}
	}
}
