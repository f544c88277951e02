// Etcd is the etcd server itself, built from this module, for tests that need a
// process of its own: to stop, to hang, to kill, to run three of.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
