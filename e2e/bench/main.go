// Bench measures dockreg, under supervisord and as the first process, beside what people use
// without it, a loop in the shell with curl and etcdctl: in the same run, in the same kind of
// container, with real supervisord and etcd. It prints a document in Markdown: how long after an event the
// key comes or goes, how many requests fail at a stop, and what it all costs.
//
// The figures are for comparing columns, and versions on the same machine.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"dockreg/e2e/testbed"
)

// registrar is what keeps the key: one of those that are compared.
type registrar struct {
	name    string
	comm    string   // its processes' name
	parts   []string // the files it is made of
	starts  string   // the biggest command that it runs each time, if any
	conf    string   // supervisord's configuration; empty: it is the first process itself
	hasWill bool     // it tells the host's service of its last will
}

var registrars = []registrar{
	{name: "dockreg", comm: "dockreg", parts: []string{"/usr/bin/dockreg"}, conf: "/etc/supervisord.conf", hasWill: true},
	{name: "`dockreg run`", comm: "dockreg", parts: []string{"/usr/bin/dockreg"}, hasWill: true},
	{
		name: "shell loop", comm: "register", parts: []string{"/bin/sh", "/usr/bin/curl", "/usr/bin/etcdctl"},
		starts: "ETCDCTL_API=3 etcdctl --endpoints $ETCD lease list", conf: "/etc/loop.conf",
	},
}

func main() {
	image := flag.String("image", "dockreg-apps", "image to measure")
	n := flag.Int("n", 15, "rounds of events; 0: none")
	stops := flag.Int("stops", 15, "stops and starts under load; 0: none")
	idle := flag.Duration("idle", time.Minute, "how long to watch an idle registration; 0: none")
	version := flag.String("version", "", "what is measured, for the heading")
	out := flag.String("o", "", "file to write the document to, beside stdout, if nothing is left out")
	flag.Parse()
	if err := run(*image, *version, *out, *n, *stops, *idle); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	ctx    context.Context //nolint:containedctx // the run's own
	docker *testbed.Docker
	etcd   *testbed.Etcd
	keys   *testbed.Keys
	image  string
}

func run(image, version, out string, n, stops int, idle time.Duration) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	docker, err := testbed.FindDocker()
	if err != nil {
		return err
	}
	etcd, err := testbed.StartEtcd(docker.Gateway)
	if err != nil {
		return err
	}
	defer etcd.Stop()
	b := &bench{ctx: ctx, docker: docker, etcd: etcd, image: image, keys: testbed.FollowKeys(ctx, etcd.Client, "/service/")}

	d := newDocument(version, n, stops, idle)
	if err := b.events(n, d); err != nil {
		return err
	}
	if err := b.kills(n, d); err != nil {
		return err
	}
	for _, r := range registrars {
		if stops == 0 {
			break
		}
		fmt.Fprintf(os.Stderr, "%s: %d stops under load ...\n", r.name, stops)
		o, err := b.stops(r, stops)
		if err != nil {
			return err
		}
		d.outcome(r, o)
	}
	for _, r := range registrars {
		if idle == 0 {
			break
		}
		fmt.Fprintf(os.Stderr, "%s: idle for %s ...\n", r.name, idle)
		c, err := b.cost(r, idle)
		if err != nil {
			return err
		}
		d.cost(r, c)
	}
	text := d.String()
	fmt.Print(text)
	if out == "" || n == 0 || stops == 0 || idle == 0 {
		return nil
	}
	return os.WriteFile(out, []byte(text), 0o644) //nolint:gosec // for all to read
}

// instance is a container with the sample app and a registrar.
type instance struct {
	*testbed.Container
	b     *bench
	key   string
	begun time.Time
}

func (b *bench) start(r registrar, args ...string) (*instance, error) {
	i := &instance{b: b, begun: time.Now()}
	var err error
	if r.conf != "" {
		i.Container, err = b.docker.RunApp(b.image, b.etcd.URL, append([]string{"-e", "CONF=" + r.conf}, args...)...)
	} else {
		i.Container, err = b.docker.RunEntered(b.image, b.etcd.URL, args, "--restart", "always", "--", "node", "/srv/app.js")
	}
	if err != nil {
		return nil, err
	}
	address, err := b.docker.Address(i.Container)
	i.key = "/service/" + address
	return i, err
}

// put waits until the key is there, and returns when it came.
func (i *instance) put() (time.Time, error) { return i.await(false, i.begun) }

// gone waits until the key has gone, after then, and returns when it went.
func (i *instance) gone(then time.Time) (time.Time, error) { return i.await(true, then) }

func (i *instance) await(gone bool, since time.Time) (time.Time, error) {
	ctx, cancel := context.WithTimeout(i.b.ctx, time.Minute)
	defer cancel()
	e, err := i.b.keys.Await(ctx, i.key, gone, since)
	return e.At, err
}

// logged returns when the instance first logged these words.
func (i *instance) logged(words string) (time.Time, error) {
	logs, err := i.Logs()
	if err != nil {
		return time.Time{}, err
	}
	return testbed.LoggedAt(logs, words)
}
