package docker

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/fstest"

	"github.com/docker/docker/api/types/container"

	"dockreg/sidekick"
)

const (
	unknownID = "0000000000000000000000000000000000000000000000000000000000000000"
	aliasID   = "0123456789ab" // what somebody may call a container, or a host
)

// The first candidate may be one that Docker doesn't know, such as one of another
// Docker's.
func TestLocateTriesTheNextCandidate(t *testing.T) {
	t.Parallel()
	e := newFakeEngine(t)
	id := e.add("specific", "app")
	l := locator(t, Config{Host: e.onSocket()}, procWith(unknownID, id), "app-1")
	mustLocate(t, l, "127.0.0.1:18000")
	e.mustHaveBeenAsked(unknownID, id)
}

// Whatever else goes wrong with a candidate says nothing about the next one.
func TestLocateStopsAtAFault(t *testing.T) {
	t.Parallel()
	e := newFakeEngine(t)
	id := e.add("specific", "app")
	e.from(func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusInternalServerError, "driver failed")
	})
	l := locator(t, Config{Host: e.onSocket()}, procWith(unknownID, id), "app-1")
	_, err := l.Locate(t.Context())
	mustSay(t, err, nil, "inspect container", "driver failed")
	e.mustHaveBeenAsked(unknownID)
	e.from(nil)
	mustLocate(t, l, "127.0.0.1:18000")
}

// A hostname of 12 hex digits that is not the container's id was set by hand. The
// container that happens to have it as its name is somebody else's.
func TestLocateByHostname(t *testing.T) {
	t.Parallel()
	t.Run("its id", func(t *testing.T) {
		t.Parallel()
		e := newFakeEngine(t)
		id := e.add("specific", "app")
		e.add("specific", id[:12]) // Docker takes a short id for the id
		l := locator(t, Config{Host: e.onSocket()}, fstest.MapFS{}, id[:12])
		mustLocate(t, l, "127.0.0.1:18000")
	})
	t.Run("another one's name", func(t *testing.T) {
		t.Parallel()
		e := newFakeEngine(t)
		e.add("specific", aliasID)
		l := locator(t, Config{Host: e.onSocket()}, fstest.MapFS{}, aliasID)
		_, err := l.Locate(t.Context())
		mustSay(t, err, ErrUnknownSelf, aliasID)
		e.mustHaveBeenAsked(aliasID)
	})
	t.Run("in the middle of another one's id", func(t *testing.T) {
		t.Parallel()
		e := newFakeEngine(t)
		id := e.add("specific", "app")
		e.add("specific", id[1:13])
		l := locator(t, Config{Host: e.onSocket()}, fstest.MapFS{}, id[1:13])
		_, err := l.Locate(t.Context())
		mustSay(t, err, ErrUnknownSelf, id[1:13])
	})
}

// The ports of a container in another one's network are the other one's. It may be
// found by its own id, because it was told so.
func TestLocateInAnotherContainersNetwork(t *testing.T) {
	t.Parallel()
	e := newFakeEngine(t)
	e.add("container-network", "sidecar")
	other := e.add("both", "app")
	c := Config{Host: e.onSocket(), Container: "sidecar", IP: addr("10.1.0.101")}
	l := locator(t, c, fstest.MapFS{}, "app-1")
	mustLocate(t, l, "10.1.0.101:32797")
	e.mustHaveBeenAsked("sidecar", other)

	e.remove(other) // it may be starting again, under the same id
	_, err := l.Locate(t.Context())
	mustSay(t, err, nil, "network", other)
}

func TestLocateByContainer(t *testing.T) {
	t.Parallel()
	e := newFakeEngine(t)
	id := e.add("specific", "app")
	host := e.onSocket()
	for _, name := range []string{id, "app"} {
		// What the container's own files say doesn't count then.
		mustLocate(t, locator(t, Config{Host: host, Container: name}, procWith(unknownID), aliasID), "127.0.0.1:18000")
	}
	l := locator(t, Config{Host: host, Container: "web"}, procWith(id), "app-1")
	_, err := l.Locate(t.Context())
	mustSay(t, err, ErrNoSuchContainer, `"web"`, host)
	e.mustHaveBeenAsked(id, "app", "web")
}

// Nobody could say which container it is by waiting longer.
func TestLocateOutsideOfAContainer(t *testing.T) {
	t.Parallel()
	t.Run("no candidate", func(t *testing.T) {
		t.Parallel()
		e := newFakeEngine(t)
		e.add("specific", "app")
		_, err := locator(t, Config{Host: e.onSocket()}, procOf(t, "no-container"), "app-host").Locate(t.Context())
		mustSay(t, err, ErrUnknownSelf, "no container")
		e.mustHaveBeenAsked()
	})
	t.Run("another Docker's", func(t *testing.T) {
		t.Parallel()
		e := newFakeEngine(t)
		host := e.onSocket()
		_, err := locator(t, Config{Host: host}, procOf(t, "container-network"), "d9049dec8c1e").Locate(t.Context())
		mustSay(t, err, ErrUnknownSelf, otherID[:12]+", "+sidecarID[:12], host)
		e.mustHaveBeenAsked(otherID, sidecarID, otherID[:12])
	})
}

// The mistakes of the container that Docker told about come through.
func TestLocateMisconfigured(t *testing.T) {
	t.Parallel()
	e := newFakeEngine(t)
	for _, recorded := range []string{"both", "host-network", "nothing"} {
		e.add(recorded, recorded)
	}
	host := e.onSocket()
	for recorded, cause := range map[string]error{"both": ErrNoHostIP, "host-network": ErrNoHostIP, "nothing": ErrNotPublished} {
		_, err := locator(t, Config{Host: host, Container: recorded}, fstest.MapFS{}, "app-1").Locate(t.Context())
		mustSay(t, err, cause)
	}
}

// Docker's word that there is no address is one thing, that it gives no word another.
func TestNoAddress(t *testing.T) {
	t.Parallel()
	for recorded, want := range map[string]bool{
		"nothing": true, "starting": true, "starting-null": true, "no-network": true, "host-network": true, "other-ports": true,
		"specific": false, // is another container's, see below
		"":         false, // no such container
	} {
		t.Run(recorded, func(t *testing.T) {
			t.Parallel()
			e := newFakeEngine(t)
			host := e.onSocket()
			id := unknownID
			if recorded != "" {
				id = e.add(recorded, "app")
			}
			l := locator(t, Config{Host: host}, procWith(id), "app-1")
			if recorded == "specific" {
				mustLocate(t, l, "127.0.0.1:18000")
				_, raw := inspected(t, "both")
				e.from(body(string(raw)))
				want = true
			}
			var none *sidekick.NoAddressError
			if _, err := l.Locate(t.Context()); err == nil || errors.As(err, &none) != want {
				t.Errorf("%v: an answer without an address: %t, want %t", err, !want, want)
			}
			for _, code := range []int{http.StatusNotFound, http.StatusInternalServerError} {
				e.from(func(w http.ResponseWriter, _ *http.Request) { refuse(w, code, "no") })
				if _, err := l.Locate(t.Context()); err == nil || errors.As(err, &none) {
					t.Errorf("%d, %v: want an error, and no answer", code, err)
				}
			}
		})
	}
}

// Consumers arrive at the container's own IPs, or at those of the container whose network
// it uses; in the host's network nobody knows where.
func TestArrival(t *testing.T) {
	t.Parallel()
	for recorded, want := range map[string]string{"specific": "[172.17.0.2]", "container-network": "[172.17.0.2]", "host-network": "[]"} {
		t.Run(recorded, func(t *testing.T) {
			t.Parallel()
			e := newFakeEngine(t)
			id := e.add(recorded, "app")
			e.add("both", "other")
			l := locator(t, Config{Host: e.onSocket(), IP: addr("127.0.0.1")}, procWith(id), "app-1")
			if got := l.Arrival(); got != nil {
				t.Errorf("arrival %v before Docker was asked", got)
			}
			if _, err := l.Locate(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(l.Arrival()); got != want {
				t.Errorf("arrival %s, want %s", got, want)
			}
			e.from(body(`{}`))
			_, err := l.Locate(t.Context())
			mustSay(t, err, nil, "not complete")
			if got := fmt.Sprint(l.Arrival()); got != want {
				t.Errorf("arrival %s after an answer of no use, want %s", got, want)
			}
		})
	}
	var c container.InspectResponse
	if err := json.Unmarshal([]byte(`{"NetworkSettings": {"Networks": {"a": {"IPAddress": "172.18.0.9", "GlobalIPv6Address": "fd00::9"}, "b": {"IPAddress": "172.17.0.9"}, "c": {}, "d": null}}}`), &c); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(arrivals(c)); got != "[172.17.0.9 172.18.0.9 fd00::9]" {
		t.Errorf("arrivals %s", got)
	}
}
