// Soak runs many sidekicks against a real etcd cluster for as long as it is told,
// with apps, instances, keys and members failing all the time, and judges from the
// keys whether the promises hold. It ends with a table of figures, and with exit
// code 1 if a promise was broken or something piled up.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	var o options
	flag.StringVar(&o.etcd, "etcd", "etcd", "etcd's binary")
	flag.DurationVar(&o.duration, "duration", 10*time.Minute, "how long the faults go on")
	flag.Uint64Var(&o.seed, "seed", 0, "of the faults; 0: any")
	flag.IntVar(&o.addresses, "addresses", 12, "how many addresses there are, each with an app")
	flag.StringVar(&o.log, "log", "", "file for all that the instances log; empty: none")
	flag.Parse()
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano()) % 1e6
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}
