package e2e

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"dockreg/e2e/testbed"
)

// P2: stopping some of several instances, again and again, fails no request of a client that
// follows the keys, whoever is the containers' first process. make bench does the same for
// longer, and the long form a hundred times with dockreg run.
func TestP2StopsFailNoRequest(t *testing.T) {
	needDocker(t)
	t.Parallel()
	quit := []string{"--stop-signal", "QUIT"} // Docker's, and dockreg's
	for _, way := range []struct {
		name, parent      string
		run               func(t *testing.T, parent ...string) *testbed.Container
		instances, atOnce int
		stops             int
	}{
		{"supervisord", "stops", runApp, 3, 1, 3},
		{"dockreg run, Node", "node-stops", func(t *testing.T, parent ...string) *testbed.Container {
			return enteredIn(t, append(parent, apps), nil, node...)
		}, 6, 3, either(50, 9)},
		{"dockreg run, nginx", "nginx-stops", func(t *testing.T, parent ...string) *testbed.Container {
			return enteredIn(t, slices.Concat(parent, quit, []string{apps}), quit, "nginx", "-c", "/srv/nginx.conf")
		}, 6, 3, either(50, 9)},
	} {
		t.Run(way.name, func(t *testing.T) {
			keys := testbed.FollowKeys(t.Context(), etcd.Client, "/"+way.parent+"/")
			present := func(n int) {
				t.Helper()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if err := keys.AwaitPresent(ctx, n); err != nil {
					t.Fatal(err)
				}
			}
			var instances []*testbed.Container
			for range way.instances {
				instances = append(instances, way.run(t, "-e", "DOCKREG_KEY="+way.parent))
			}
			present(len(instances))

			unlessStarved(t, func() []testbed.Outcome {
				load := testbed.StartLoad(requestRate, keys.Pick)
				stops := 0
				for ; stops < way.stops; stops += way.atOnce {
					stopped := instances[:way.atOnce]
					instances = append(instances[way.atOnce:], stopped...)
					eachDoes(t, stopped, "stop")
					present(len(instances) - len(stopped))
					eachDoes(t, stopped, "start")
					present(len(instances))
				}
				o := load.Stop()
				t.Logf("figure: %d of %d requests failed in %d stops and starts", len(o.Failures), o.Sent, stops)
				return []testbed.Outcome{o}
			})
		})
	}
}

// eachDoes runs a docker command on all of the containers at once.
func eachDoes(t *testing.T, containers []*testbed.Container, verb string) {
	t.Helper()
	var all sync.WaitGroup
	for _, c := range containers {
		all.Go(func() {
			if _, err := c.Do(verb); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}
