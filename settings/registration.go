package settings

import (
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"dockreg/etcdreg/etcd"
	"dockreg/probe"
	"dockreg/record"
	"dockreg/sidekick"
	"dockreg/sidekick/docker"
)

// Registration says what to register, and when.
type Registration struct {
	set    *Set
	docker *Docker
	agent  string

	port, hostPort *Setting[uint16]
	ip             *Setting[netip.Addr]
	records        *Records
	container      *Setting[string]

	check             *Setting[string]
	interval, timeout *Setting[time.Duration]
	rise, fall        *Setting[int]
	ttl, drain        *Setting[time.Duration]
	dryRun            *Setting[bool]
	leastDrain        time.Duration // of a stop for which nobody says one
	status, metrics   *Setting[string]
}

// Registration adds the settings of one registration. agent is what its probes and
// its questions to Docker call themselves.
func (s *Set) Registration(agent string) *Registration {
	r := &Registration{
		set: s, docker: s.Docker(), agent: agent,
		port:      add(s, define(groupWhat, "port", "N", "", "the app's port inside the container; needed, unless the check is\nan exec: and no record names a port"), parsePort),
		ip:        add(s, define(groupWhat, "ip", "ADDR", "", "host IP to register, v4 or v6; by default the one that Docker\npublished the port on, and needed where that is 0.0.0.0 or ::"), parseIP),
		hostPort:  add(s, define(groupWhat, "host-port", "N", "", "host port to register, without asking Docker; needs --ip"), parsePort),
		records:   s.records(),
		ttl:       add(s, define(groupWhere, "ttl", "TIME", "20s", "how long the key outlives a dockreg that was killed; whole\nseconds, at least fall x interval + timeout + 4s"), parseTTL),
		check:     add(s, define(groupCheck, "check", "KIND", "http:/", "http:/path or https:/path, which pass on 2xx and 3xx; tcp; grpc\nor grpc:service; exec:command arguments, run without\na shell"), anyText),
		interval:  add(s, define(groupCheck, "interval", "TIME", "5s", "from the start of one probe to the start of the next"), parseSpan),
		timeout:   add(s, define(groupCheck, "timeout", "TIME", "3s", "the whole of one probe; at most the interval"), parseSpan),
		rise:      add(s, define(groupCheck, "rise", "N", "1", "passes in a row to register"), parseCount),
		fall:      add(s, define(groupCheck, "fall", "N", "1", "failures in a row to deregister"), parseCount),
		container: add(s, define(groupContainer, "container", "ID", "", "this container's id or name; by default found out"), parseContainer),
		drain:     add(s, define(groupRuns, "drain", "TIME", "", "on a stop: the wait between deregistering and exiting; by\ndefault as long as consumers of the records need: of plain 0s"), parseTime),
		dryRun:    add(s, define(groupRuns, "dry-run", "", "", "find everything out, probe once, write nothing; say whether the\napp would be registered, and exit with 0, or why not, and with 1\n(2: a setting has to change)"), parseBool),
	}
	r.status = s.statusPath("the socket at which dockreg status asks, or off; by default\n/run/dockreg-PORT.sock, or in /tmp or /dev/shm")
	r.metrics = add(s, define(groupRuns, "metrics", "ADDR", "", "where Prometheus reads /metrics, such as :8379 or\n127.0.0.1:8379; by default nowhere"), parseListenAddress)
	r.check.secret, r.check.isCommand = true, probe.IsCommand
	r.docker.unless(r.hostPort.setting)
	s.advise(docker.ErrNoHostIP, "give the host's IP that consumers dial, such as --ip 10.1.0.101")
	s.advise(docker.ErrNotPublished, "or give --port the app's port")
	s.advise(docker.ErrNotYet, "in a network that publishes no ports, such as an internal one or macvlan, give --host-port and --ip, as consumers dial them")
	s.advise(docker.ErrOutOfReach, "or, where something on the host forwards to it, give --host-port too")
	s.advise(docker.ErrNoSuchContainer, "give --container the id or name of the one that dockreg runs in")
	s.advise(docker.ErrUnknownSelf, "give --container with its id or name, or --host-port and --ip to do without Docker")
	return r
}

// Config returns the sidekick's part, once the settings have been read. It holds the
// durations against each other, those that are right by themselves.
func (r *Registration) Config() sidekick.Config {
	r.checkPort()
	if r.hostPort.Value != 0 {
		r.ip.require("--host-port does without Docker, which would know the host's IP; give it, such as --ip 10.1.0.101")
	}
	c := sidekick.Config{
		Interval: r.interval.Value, Timeout: r.timeout.Value, Rise: r.rise.Value, Fall: r.fall.Value,
		TTL: r.ttl.Value, Drain: r.drain.Value,
	}
	if !r.drain.isGiven() {
		c.Drain, _ = r.ownDrain()
		r.drain.shown = c.Drain.String()
	}
	r.set.advise(etcd.ErrPermission, "grant a role of it readwrite on %s", r.records.where())
	if r.interval.wrong || r.timeout.wrong {
		return c
	}
	if c.Timeout > c.Interval {
		r.timeout.blamef("longer than the interval, %s; give at most that", r.interval.text())
	}
	if r.ttl.wrong || r.fall.wrong {
		return c
	}
	// Nothing renews between the last pass and the failure that deregisters. The
	// sum itself may be more than a duration holds.
	if c.TTL-c.Timeout-sidekick.LeastSpare < 0 || (c.TTL-c.Timeout-sidekick.LeastSpare)/time.Duration(c.Fall) < c.Interval {
		r.ttl.blamef("too short for a renewal to fail, and the next one to save the key; give at least %d x the interval + the timeout + %s, %d x %s + %s + %[2]s",
			c.Fall, sidekick.LeastSpare, c.Fall, r.interval.text(), r.timeout.text())
	}
	return c
}

// checkPort holds what needs a port against there being one.
func (r *Registration) checkPort() {
	const needed = "give the app's port inside the container, such as --port 8000"
	switch check, _, _ := strings.Cut(r.check.text(), ":"); {
	case r.port.isGiven():
	case !r.records.record.isGiven(), r.hostPort.isGiven():
		r.port.require(needed)
	case check != "exec":
		r.port.require("the check needs it; " + needed + ", or give a check exec:command")
	}
	r.records.read(r.withoutPort() && r.records.record.isGiven())
	if r.withoutPort() && r.ip.isGiven() && !r.ip.wrong {
		r.ip.blamef("an IP without a port is no address to register; give --port too, or leave this away")
	}
	if r.withoutPort() && !r.port.wrong {
		r.docker.unasked()
	}
}

// withoutPort says whether the app is registered without an address.
func (r *Registration) withoutPort() bool { return !r.port.isGiven() && !r.hostPort.isGiven() }

// Drained says how long a stop waits, and for the consumers of which record; "" if it was
// told.
func (r *Registration) Drained() (drain time.Duration, of string) {
	if r.drain.isGiven() {
		return r.drain.Value, ""
	}
	return r.ownDrain()
}

// ownDrain is how long a stop waits if nobody says so.
func (r *Registration) ownDrain() (drain time.Duration, of string) {
	if drain, of = r.records.drain(); drain < r.leastDrain {
		return r.leastDrain, ""
	}
	return drain, of
}

// Hurries says how long the consumers of which record need, where the drain was told to be
// shorter than that; "" if it is long enough for all.
func (r *Registration) Hurries() (needed time.Duration, of string) {
	if needed, of = r.records.drain(); !r.drain.isGiven() || r.drain.Value >= needed {
		return 0, ""
	}
	return needed, of
}

// Peers is what the first key of every instance of the service begins with; empty: not
// known.
func (r *Registration) Peers() string {
	if prefix := r.records.prefixes()[0]; strings.HasSuffix(prefix, "/") && prefix != "/" {
		return prefix
	}
	return "" // a template's that begins with a field
}

// Status is the path of the socket at which to tell what the sidekick does; empty: one of
// the usual ones; false: none.
func (r *Registration) Status() (path string, wanted bool) {
	return r.status.Value, r.status.Value != "off" && !r.DryRun()
}

// Metrics is the address at which to tell them, or empty: nowhere.
func (r *Registration) Metrics() string {
	if r.DryRun() {
		return ""
	}
	return r.metrics.Value
}

// DryRun says whether nothing is to be written.
func (r *Registration) DryRun() bool { return r.dryRun.Value }

// Port is the app's.
func (r *Registration) Port() int { return int(r.port.Value) }

// Locator returns who finds the address, and what makes records of it: Docker, or the
// settings themselves. Docker says too where the connections of consumers arrive, which p
// is to know.
func (r *Registration) Locator(p *probe.Probe, log *slog.Logger) (sidekick.Locator, func(netip.AddrPort) (record.Records, error), error) {
	told := r.container.Value
	if r.hostPort.Value != 0 || r.withoutPort() {
		address := netip.AddrPort{}
		if !r.withoutPort() {
			address = netip.AddrPortFrom(r.ip.Value, r.hostPort.Value)
		}
		return sidekick.Fixed(address), func(a netip.AddrPort) (record.Records, error) { return r.records.of(a, nameOf(told, "")) }, nil
	}
	c := r.Docker()
	c.Log = log
	l, err := docker.New(c)
	if err != nil {
		return nil, nil, err
	}
	p.Arrival = l.Arrival
	return l, func(a netip.AddrPort) (record.Records, error) { return r.records.of(a, nameOf(told, l.Name())) }, nil
}

// Socket is the path at which Docker, or a host's service in its place, is asked, or empty
// if there is none, or nobody is asked.
func (r *Registration) Socket() string {
	path, ok := strings.CutPrefix(r.docker.Host(), "unix://")
	if !ok || r.hostPort.Value != 0 || r.withoutPort() {
		return ""
	}
	return path
}

// Docker returns the Locator's part that asks Docker.
func (r *Registration) Docker() docker.Config {
	return docker.Config{Host: r.docker.Host(), Container: r.container.Value, Port: r.Port(), IP: r.ip.Value, UserAgent: r.agent}
}

// Prober returns who asks the app, once the settings have been read.
func (r *Registration) Prober() *probe.Probe {
	text := r.check.text()
	p, err := probe.Parse(text, r.Port(), r.agent)
	if err != nil {
		// What follows the kind may be a password, or a token.
		if i := strings.IndexAny(text, ": \t\n?"); i >= 0 && i < len(text)-1 {
			text = text[:i+1] + "…"
		}
		r.check.blame(quotef(text, "%w", err))
		return nil
	}
	r.check.shown = p.String()
	p.Env = commandEnv()
	return p
}
