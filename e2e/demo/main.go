// Demo shows dockreg's main job live, in plain words, in under a minute: a key
// that appears with an app, goes with its crash, comes back, and goes with a stop.
//
// It runs apps and dockreg on this machine, beside an etcd of its own, or, with -image,
// in two containers, one for each way of the README: under supervisord, and by dockreg run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"dockreg/e2e/testbed"
)

func main() {
	image := flag.String("image", "", "image to run containers from; empty: no container is run")
	dockreg := flag.String("dockreg", "dockreg", "dockreg's binary, where no container is run")
	keep := flag.Bool("keep", false, "leave it running until Ctrl-C")
	serve := flag.String("serve", "", "be the app, and listen at this address")
	flag.Parse()
	if *serve != "" {
		fail(serveApp(*serve))
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, *image, *dockreg, *keep)
	if ctx.Err() != nil {
		err = nil // Ctrl-C is how people end it
	}
	fail(err)
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// instance is one app with dockreg beside it.
type instance interface {
	// Start starts both, and returns the address that dockreg should register.
	// The app takes startDelay to start, here and after a crash.
	Start(etcdURL string) (address string, err error)
	// Crash kills the app, and the app alone, and returns when. It is started again
	// by itself.
	Crash() (time.Time, error)
	// Stop stops dockreg, then the app.
	Stop() error
	// Stopping says how Stop does it.
	Stopping() string
	// Remove cleans up, whatever the state.
	Remove() error
}

// startDelay is long enough to see that there is no key before the app listens.
const startDelay = 3 * time.Second

func run(ctx context.Context, image, dockreg string, keep bool) (err error) {
	began := time.Now()
	host, instances, err := stage(image, dockreg)
	if err != nil {
		return err
	}
	etcd, err := testbed.StartEtcd(host)
	if err != nil {
		return err
	}
	defer etcd.Stop()
	keys := testbed.FollowKeys(ctx, etcd.Client, "/service/")
	say("An etcd of their own listens at %s. It has no key below /service/ yet.", etcd.URL)
	defer func() {
		for _, i := range instances {
			err = errors.Join(err, i.Remove())
		}
		say("All of it is stopped and removed, %s after the start.", span(began, time.Now()))
	}()

	// await says when the key of address came, or went, after since.
	await := func(address string, gone bool, since time.Time) (time.Time, error) {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		e, err := keys.Await(ctx, keyOf(address), gone, since)
		return e.At, err
	}

	say("Each app takes %s to start.", startDelay)
	start := time.Now()
	addresses := make([]string, len(instances))
	for n, i := range instances {
		if addresses[n], err = i.Start(etcd.URL); err != nil {
			return err
		}
	}
	for _, address := range addresses {
		put, err := await(address, false, start)
		if err != nil {
			return err
		}
		answer, err := ask(ctx, address)
		if err != nil {
			return err
		}
		say("%s after the start, once the app answers:\n  key %s appears. There the app says: %s", span(start, put), keyOf(address), answer)
	}

	say("The first app crashes.")
	crash, err := instances[0].Crash()
	if err != nil {
		return err
	}
	gone, err := await(addresses[0], true, crash)
	if err != nil {
		return err
	}
	say("%s after the crash:\n  key %s is gone.", span(crash, gone), keyOf(addresses[0]))
	back, err := await(addresses[0], false, gone)
	if err != nil {
		return err
	}
	say("%s after the crash, the app having been started again:\n  key %s is back.", span(crash, back), keyOf(addresses[0]))

	if keep {
		say("It goes on running, for you to play with. Ctrl-C stops and removes all of it.\n  etcdctl --endpoints %s get --prefix /service/", etcd.URL)
		for n, i := range instances {
			say("  instance %d: %s, at http://%s/", n+1, i, addresses[n])
		}
		<-ctx.Done()
		return nil
	}

	stop := time.Now()
	last := len(instances) - 1
	say("The second app is stopped: by %s.", instances[last].Stopping())
	if err := instances[last].Stop(); err != nil {
		return err
	}
	if gone, err = await(addresses[last], true, stop); err != nil {
		return err
	}
	say("%s after that, and before the app had its signal:\n  key %s is gone.", span(stop, gone), keyOf(addresses[last]))
	return nil
}

// stage returns the instances to show, and the IP for etcd that they can reach.
func stage(image, dockreg string) (host string, instances []instance, err error) {
	if image == "" {
		say("Two apps run on this machine itself, each with a dockreg beside it. No container takes part.")
		return "127.0.0.1", []instance{&local{binary: dockreg}, &local{binary: dockreg}}, nil
	}
	docker, err := testbed.FindDocker()
	if err != nil {
		return "", nil, err
	}
	say("Two containers run from the image %s, each with an app and dockreg: in the first, both under supervisord; in the second, dockreg run starts the app, and there is no supervisord. Docker publishes their ports at once.", image)
	return docker.Gateway, []instance{&container{docker: docker, image: image}, &container{docker: docker, image: image, entered: true}}, nil
}

// ask returns the first line of what the app at address says.
func ask(ctx context.Context, address string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1000))
	line, _, _ := strings.Cut(string(body), "\n")
	return line, err
}

func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }

func span(from, to time.Time) time.Duration { return to.Sub(from).Round(time.Millisecond) }

func keyOf(address string) string { return "/service/" + address }
