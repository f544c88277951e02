package main

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"dockreg/etcdreg"
	"dockreg/probe"
	"dockreg/sidekick"
	"dockreg/sidekick/docker"
)

// config is what the settings amount to.
type config struct {
	sidekick sidekick.Config
	etcd     etcdreg.Config
	docker   docker.Config
	port     int            // the app's
	address  netip.AddrPort // where --host-port says it; invalid: Docker is asked
	check    *probe.Probe
	dryRun   bool
	logLevel slog.Level
	logJSON  bool
	shown    []value // all settings, with nothing secret in their texts
}

// mistakes are what is wrong with the settings, a line each. As an error it stands
// for wrong usage.
type mistakes struct {
	lines []string
	named map[string]bool // the settings that have one
}

func (m *mistakes) Error() string { return strings.Join(m.lines, "\n") }

// add notes a mistake in the setting of that name, or in none.
func (m *mistakes) add(name, format string, args ...any) {
	m.lines = append(m.lines, fmt.Sprintf(format, args...))
	if m.named == nil {
		m.named = map[string]bool{}
	}
	m.named[name] = true
}

// blame notes a mistake in v: what is wrong with it, and what would be right.
func (m *mistakes) blame(v value, format string, args ...any) {
	m.add(v.name, "%s %q: %s", v.label, v.text, fmt.Sprintf(format, args...))
}

// parse reads the settings. It returns all the mistakes there are, with those
// already noted in wrong, as one *mistakes.
func parse(s source, wrong *mistakes) (*config, error) {
	p := parser{s, wrong}
	agent := "dockreg/" + version
	conf := &config{dryRun: p.boolean("dry-run"), logLevel: p.level(), logJSON: p.logFormat() == "json"}

	conf.port = int(p.port("port"))
	hostPort, ip := p.port("host-port"), p.ip()
	p.require("port", "give the app's port inside the container, such as --port 8000")
	if hostPort != 0 {
		p.require("ip", "--host-port does without Docker, which else knows the host's IP; give it, such as --ip 10.1.0.101")
		conf.address = netip.AddrPortFrom(ip, hostPort)
	}

	conf.sidekick = sidekick.Config{
		Parent:   p.key(),
		Value:    p.value("value").text,
		Interval: p.duration("interval"),
		Timeout:  p.duration("timeout"),
		Rise:     p.count("rise"),
		Fall:     p.count("fall"),
		TTL:      p.duration("ttl"),
		Drain:    p.duration("drain"),
	}
	p.times(conf.sidekick)

	var shown map[string]string
	conf.etcd, shown = p.etcd()
	conf.etcd.TTL = conf.sidekick.TTL

	host := p.docker()
	conf.docker = docker.Config{Host: host, Container: p.container(), Port: conf.port, IP: ip, UserAgent: agent}

	check := p.value("check")
	var err error
	if conf.check, err = probe.Parse(check.text, conf.port, agent); err != nil {
		// What follows the kind may be a password, or a token.
		if i := strings.IndexAny(check.text, ": \t\n?"); i >= 0 && i < len(check.text)-1 {
			check.text = check.text[:i+1] + "…"
		}
		wrong.blame(check, "%s", err)
	}

	if len(wrong.lines) > 0 {
		return nil, wrong
	}
	for _, known := range settings {
		v := p.value(known.name)
		switch v.name {
		case "etcd", "etcd-user":
			v.text = shown[v.name]
		case "check":
			v.text = conf.check.String()
		case "docker":
			v.text = redact(v.text)
		}
		conf.shown = append(conf.shown, v)
	}
	return conf, nil
}

// times holds the durations against each other, those that are right by
// themselves.
func (p parser) times(c sidekick.Config) {
	interval, timeout, ttl := p.value("interval"), p.value("timeout"), p.value("ttl")
	if p.wrong.named["interval"] || p.wrong.named["timeout"] {
		return
	}
	if c.Timeout > c.Interval {
		p.wrong.blame(timeout, "longer than the interval, %s; give at most that", interval.text)
	}
	if p.wrong.named["ttl"] || p.wrong.named["fall"] {
		return
	}
	// Nothing renews between the last pass and the failure that deregisters. The
	// sum itself may be more than a duration holds.
	if fits := (c.TTL - c.Timeout - 1) / time.Duration(c.Fall); fits < c.Interval {
		p.wrong.blame(ttl, "too short for the key to last until the app has failed; give more than %d x the interval + the timeout, %d x %s + %s",
			c.Fall, c.Fall, interval.text, timeout.text)
	}
}
