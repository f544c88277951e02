// Command coredns is CoreDNS with the plugins that examples/coredns needs alone: the real
// server, of the official release, in a third of the time that all of it takes to compile.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/etcd"
	_ "github.com/coredns/coredns/plugin/log"
)

func main() {
	// In CoreDNS's own order (plugin.cfg): each passes on to the next.
	dnsserver.Directives = []string{"errors", "log", "cache", "etcd"}
	coremain.Run()
}
