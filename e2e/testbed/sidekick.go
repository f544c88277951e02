package testbed

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"

	"dockreg/etcdreg"
	"dockreg/etcdreg/etcd"
	"dockreg/record"
	"dockreg/sidekick"
)

// Sidekick is one that runs in this process, with its real registry: what takes part
// in very many of them, or follows one from inside, can't run the command. It is wired
// as the command wires it, here alone.
type Sidekick struct {
	sidekick.Config
	Parent, Value      string   // of its plain record
	Endpoints          []string // etcd's
	Username, Password string   // for etcd, if they are not empty
	Address            netip.AddrPort
	Prober             sidekick.Prober
	Watcher            sidekick.Watcher
	Log                *slog.Logger
	// Between, if it is not nil, returns what stands between the sidekick and its
	// registry.
	Between func(sidekick.Registry) sidekick.Registry
}

// Run lives the sidekick's life until ctx ends.
func (s Sidekick) Run(ctx context.Context) error {
	client := etcd.New(etcd.Config{
		Endpoints: s.Endpoints, Username: s.Username, Password: s.Password, Patience: s.TTL / 4, Log: s.Log,
	})
	defer client.Close()
	held := etcdreg.New(client, etcdreg.Config{TTL: s.TTL, Spare: s.Spare(), Log: s.Log})
	defer held.Close()
	var registry sidekick.Registry = held
	if s.Between != nil {
		registry = s.Between(registry)
	}
	plain, err := record.Parse("plain", record.Options{Parent: s.Parent, Value: s.Value})
	if err != nil {
		return err
	}
	run := &sidekick.Sidekick{
		Config: s.Config,
		Records: func(address netip.AddrPort) (record.Records, error) {
			return plain.Records(record.Instance{Address: address})
		},
		Locator: sidekick.Fixed(s.Address), Prober: s.Prober, Watcher: s.Watcher,
		Registry: registry, Log: s.Log,
	}
	return run.Run(ctx, nil)
}

// SawKey says whether a Register with this outcome has looked at the key: with any
// other error it may not have reached etcd.
func SawKey(err error) bool {
	return err == nil || errors.Is(err, sidekick.ErrLost) || errors.Is(err, sidekick.ErrTaken) || errors.Is(err, etcdreg.ErrRaced)
}
