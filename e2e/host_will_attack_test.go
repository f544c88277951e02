package e2e

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/e2e/testbed"
)

// heir is a container that tells the service last wills, and whose keys are under a folder
// of its own.
type heir struct {
	*testbed.Container
	address string
	key     string
	keys    *testbed.Keys
}

func newHeir(t *testing.T, folder string) *heir {
	t.Helper()
	h := &heir{Container: visit(t, folder, "-p", "8000")}
	address, err := docker.Address(h.Container)
	if err != nil {
		t.Fatal(err)
	}
	h.address = address
	h.key = fmt.Sprintf("/will/%.12s/%s", h.ID, address)
	h.keys = testbed.FollowKeys(t.Context(), etcd.Client, h.key)
	return h
}

// leased puts keys on a new lease, which lasts for longer than any test.
func leased(t *testing.T, keys ...string) clientv3.LeaseID {
	t.Helper()
	lease, err := etcd.Client.Grant(t.Context(), 600)
	if err != nil {
		t.Fatal(err)
	}
	hang(t, lease.ID, keys...)
	return lease.ID
}

func hang(t *testing.T, lease clientv3.LeaseID, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if _, err := etcd.Client.Put(t.Context(), key, "running", clientv3.WithLease(lease)); err != nil {
			t.Fatal(err)
		}
	}
}

func willOf(lease clientv3.LeaseID) string {
	return request("PUT", fmt.Sprintf("/dockreg/will/%x", lease))
}

// wantTaken fails the test unless the service takes the wills.
func wantTaken(t *testing.T, h *heir, leases ...clientv3.LeaseID) {
	t.Helper()
	var wills []string
	for _, lease := range leases {
		wills = append(wills, willOf(lease))
	}
	for _, answer := range ask(t, h.Container, wills...) {
		if !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
			t.Fatalf("a will of %.12s was answered with %s", h.ID, answer)
		}
	}
}

// wantThere fails the test unless all of these keys are in etcd.
func wantThere(t *testing.T, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if found, err := etcd.Client.Get(t.Context(), key); err != nil || found.Count != 1 {
			t.Errorf("%s is not there any more (%v)", key, err)
		}
	}
}

// dies kills the heir, and waits until its key, which hangs on a lease that it has left, is
// gone: by then the service has looked at all that it left.
func (h *heir) dies(t *testing.T) {
	t.Helper()
	killed := time.Now()
	if err := h.Remove(); err != nil {
		t.Fatal(err)
	}
	gone := wantGone(t, h.keys, h.key, killed.Add(-time.Second), 10*time.Second+busy)
	t.Logf("figure: docker rm -f to key gone: %s", gone.At.Sub(killed))
}

// P11: nobody's key goes but that of the container that was killed, whatever lease it named.
func TestP11WillsOfOthersLeases(t *testing.T) {
	needDocker(t)
	t.Parallel()
	folder, p := startHost(t, "--etcd", etcd.URL)
	victim, attacker := newHeir(t, folder), newHeir(t, folder)
	_, port, _ := net.SplitHostPort(victim.address)
	udp := visit(t, folder, "-p", port+":8000/udp") // another port of the same number

	leaseOf := map[string]clientv3.LeaseID{}
	lease := func(name string, keys ...string) clientv3.LeaseID {
		leaseOf[name] = leased(t, keys...)
		return leaseOf[name]
	}
	own := func(name string) string { return "/will/" + name + "/" + attacker.address }
	foreign := func(name string) string { return "/will/" + name + "/" + victim.address }
	victims := lease("another instance's", victim.key)
	lease("own and foreign", own("mixed"), foreign("mixed"))
	lease("foreign and own", foreign("mixed2"), own("mixed2"))
	lease("no keys")
	lease("no address", "/will/none")
	lease("an address as a folder", "/will/"+attacker.address+"/x")
	lease("another port", "/will/port/"+docker.Gateway+":1")
	lease("another IP", "/will/ip/"+strings.Replace(attacker.address, docker.Gateway, "192.0.2.1", 1))
	lease("a mapped IP", "/will/mapped/"+strings.Replace(attacker.address, docker.Gateway, "[::ffff:"+docker.Gateway+"]", 1))
	lease("the inner port", "/will/inner/"+docker.Gateway+":8000")
	lease("a long key", "/will/long/"+strings.Repeat("x", 1<<16)+"/"+attacker.address)
	var many []string
	for i := range 200 {
		many = append(many, fmt.Sprintf("/will/keys/%s%d/%s", strings.Repeat("x", 1<<9), i, attacker.address))
	}
	lease("many keys", many...)
	lease("taken over by a newer one", own("newer"))
	newer := leased(t, own("newer"))
	leaseOf["unknown"] = newer ^ 1<<40
	attacks := map[string]int{
		"another instance's": 403, "own and foreign": 403, "foreign and own": 403, "no address": 403, "an address as a folder": 403,
		"another port": 403, "another IP": 403, "a mapped IP": 403, "the inner port": 403,
		"a long key": 403, "many keys": 403,
		"no keys": 409, "unknown": 409, "taken over by a newer one": 409,
	}
	var names, requests []string
	for name := range attacks {
		names, requests = append(names, name), append(requests, willOf(leaseOf[name]))
	}
	for _, path := range []string{"/0", "/-1", "/" + strings.Repeat("f", 17), "/../will/1", "/", "", "/1?", "/x"} {
		name := "PUT " + path
		names, requests, attacks[name] = append(names, name), append(requests, request("PUT", "/dockreg/will"+path)), 403
	}
	names, requests, attacks["withdrawn"] = append(names, "withdrawn"), append(requests, request("DELETE", fmt.Sprintf("/dockreg/will/%x", victims))), 404
	wantTaken(t, victim, victims)
	for i, answer := range ask(t, attacker.Container, requests...) {
		t.Run(names[i], func(t *testing.T) { wantRefused(t, names[i], answer, attacks[names[i]]) })
	}
	wantRefused(t, "a port of UDP", ask(t, udp, willOf(victims))[0], 403)

	// A foreign key that comes to hang on the lease later, and an own one that a newer
	// instance takes over later.
	late, taken := leased(t, own("late")), leased(t, own("taken"))
	wantTaken(t, attacker, late, taken, leased(t, attacker.key))
	hang(t, late, foreign("late"))
	hang(t, newer, own("taken"))
	if err := udp.Remove(); err != nil {
		t.Error(err)
	}
	attacker.dies(t)
	p.awaitLogged(t, "its last will is not executed")
	wantThere(t, victim.key, own("mixed"), foreign("mixed"), own("mixed2"), foreign("mixed2"), "/will/none", own("newer"), own("late"), foreign("late"), own("taken"))
	// The victim's own still is taken: nobody else has spoilt it.
	victim.dies(t)
}

// P11: of one container a few wills are kept, however many it tells, and another one's is
// taken meanwhile.
func TestP11ManyWills(t *testing.T) {
	needDocker(t)
	t.Parallel()
	folder, p := startHost(t, "--etcd", etcd.URL)
	attacker, other := newHeir(t, folder), newHeir(t, folder)
	wantTaken(t, other, leased(t, other.key))
	var leases []string
	own := func(i int) string { return fmt.Sprintf("/will/many/%d/%s", i, attacker.address) }
	const many = 40
	for i := range many {
		leases = append(leases, fmt.Sprintf("%x", leased(t, own(i))))
	}
	last := leased(t, attacker.key)
	memory, files := usage(t, p)

	// Those that are held: the sidekicks wait.
	out := python(t, attacker.Container, `
def put(lease):
    while True:
        s = connect()
        s.sendall(("PUT /dockreg/will/%s HTTP/1.1\r\nHost: docker\r\n\r\n" % lease).encode())
        answer = s.recv(65536).decode()
        if not answer.startswith("HTTP/1.1 503 ") and "within a second" not in answer:
            return s, answer[9:12]
        time.sleep(.1)
held = [put(lease) for lease in sys.argv[1:21]]
print(json.dumps([status for _, status in held]))
`, leases...)
	for i, status := range decode(t, out) {
		if want := map[bool]string{true: "200", false: "429"}[i < 16]; status != want {
			t.Errorf("the will number %d was answered with %s, want %s", i, status, want)
		}
	}
	// And many more that are told, and left: up to 10,000, in commands that don't take too long.
	// While those that were held are not forgotten yet, none is taken.
	taken := 0.0
	for n := 0; n < either(5, 1) || taken < many && n < 30; n++ {
		out = python(t, attacker.Container, `
statuses, end = {}, time.monotonic() + 20
for i in range(int(sys.argv.pop(1))):
    if time.monotonic() > end:
        break
    answer = tell(connect(), ("PUT /dockreg/will/%s HTTP/1.1\r\nHost: docker\r\n\r\n" % sys.argv[1 + i % (len(sys.argv) - 1)]).encode())
    statuses[answer[9:12]] = statuses.get(answer[9:12], 0) + 1
print("taken", statuses.get("200", 0), statuses)
`, append([]string{"2000"}, leases...)...)
		t.Log(out)
		taken += figure(t, out, "taken")
	}
	if taken < many {
		t.Errorf("%.0f wills were taken, so that nothing was tried", taken)
	}
	began := time.Now()
	wantTaken(t, other, leased(t, "/will/other/"+other.address))
	if took := time.Since(began); took > 2*time.Second+busy {
		t.Errorf("the other container's will took %s", took)
	}
	wantTaken(t, attacker, last)
	after, opened := usage(t, p)
	t.Logf("figure: %d KiB and %d files, after %d and %d", after, opened, memory, files)
	if after > memory+20<<10 || opened > files+200 {
		t.Errorf("the service holds %d KiB and %d files, after %d and %d before", after, opened, memory, files)
	}
	attacker.dies(t)
	left := 0
	err := poll(t, 10*time.Second, func() error {
		found, err := etcd.Client.Get(t.Context(), "/will/many/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err == nil && found.Count > many-15 {
			err = fmt.Errorf("%d of %d keys are there", found.Count, many)
		}
		if err == nil {
			left = int(found.Count)
		}
		return err
	})
	if err != nil || left != many-15 { // and that of the last will
		t.Errorf("%d of %d keys are there, %v, want all but those of 15 wills", left, many, err)
	}
	wantThere(t, other.key)
	other.dies(t)
}

// P11: who is in the host's network has no address of its own.
func TestP11WillInTheHostsNetwork(t *testing.T) {
	needDocker(t)
	t.Parallel()
	folder, _ := startHost(t, "--etcd", etcd.URL)
	victim := newHeir(t, folder)
	lease := leased(t, victim.key)
	attacker := visit(t, folder, "--network", "host")
	beside := visit(t, folder, "--network", "container:"+attacker.ID)
	unpublished := visit(t, folder, "--network", "none")
	for _, c := range []*testbed.Container{attacker, beside, unpublished} {
		wantRefused(t, "a will", ask(t, c, willOf(lease))[0], 403)
		if err := c.Remove(); err != nil {
			t.Error(err)
		}
	}
	wantThere(t, victim.key)
	wantTaken(t, victim, lease)
	victim.dies(t)
}
