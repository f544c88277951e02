package settings

import (
	"errors"
	"net/netip"
	"path/filepath"
	"strings"

	"dockreg/etcdreg/etcd"
	"dockreg/sidekick/docker/engine"
)

// Host says where a host's service listens, and for whom.
type Host struct {
	etcd    *Etcd
	docker  *Docker
	listen  *Setting[string]
	metrics *Setting[string]
	ips     *Setting[[]netip.Addr]
}

// Host adds the settings of a host's service.
func (s *Set) Host() *Host {
	h := &Host{etcd: s.Etcd(), docker: s.Docker()}
	h.listen = add(s, define(groupRuns, "listen", "PATH", engine.HostSocket, "the socket for containers, which mount its folder"), parseListen)
	h.metrics = add(s, define(groupRuns, "metrics", "ADDR", "", "where Prometheus reads /metrics of all sidekicks of this host,\nsuch as :8379 or 127.0.0.1:8379; by default nowhere"), parseListenAddress)
	h.ips = addList(s, define(groupRuns, "ip", "ADDR", "", "IP at which consumers dial this host, if it is none of the host's\ninterfaces; may be repeated"), parseIPs)
	h.docker.address.Usage = "Docker: a path or unix:///path; DOCKER_HOST too says so"
	h.etcd.urls.Usage = "etcd's members, comma-separated or repeated: http://host:port,\nhttps://host:port or host:port; without one of these two, no\nlast will is taken"
	// It registers nothing, and no container is this one.
	h.etcd.urls.Category, h.etcd.domain.Category, h.docker.address.Category = groupEtcd, groupEtcd, groupRuns
	return h
}

// Listen is the path of the socket.
func (h *Host) Listen() string { return h.listen.Value }

// Metrics is the address at which Prometheus reads, or empty: nowhere.
func (h *Host) Metrics() string { return h.metrics.Value }

// Docker is Docker's address, once the settings have been read.
func (h *Host) Docker() string {
	if !h.docker.address.wrong && !strings.HasPrefix(h.docker.Host(), "unix://") {
		h.docker.address.blamef("Docker on another host, perhaps, and this service has to see the processes of its containers; give the path of its socket, such as /var/run/docker.sock")
	}
	if !h.listen.wrong && !h.docker.address.wrong && h.docker.Host() == "unix://"+h.Listen() {
		h.listen.blamef("Docker's own socket, as %s says; give a path of this service's own", h.docker.address.label())
	}
	return h.docker.Host()
}

// IPs are those at which consumers dial the host, beside those of its interfaces.
func (h *Host) IPs() []netip.Addr { return h.ips.Value }

// Etcd returns what package etcd needs, or false if none was given.
func (h *Host) Etcd() (etcd.Config, bool) {
	if h.etcd.urls.isGiven() || h.etcd.domain.isGiven() {
		return h.etcd.Config(), true
	}
	for _, f := range []*Setting[string]{h.etcd.authorities, h.etcd.cert, h.etcd.key, h.etcd.serverName, h.etcd.user, h.etcd.passwordFile} {
		if f.isGiven() && !f.wrong {
			f.blamef("about an etcd, and none is given; give --etcd too, or leave this away")
		}
	}
	// What the environment says, a sidekick may share, which needs the same.
	if len(h.ips.byFlag()) > 0 && !h.ips.wrong {
		h.ips.blamef("for last wills, which are taken with an etcd alone; give --etcd too, or leave this away")
	}
	return etcd.Config{}, false
}

func parseListen(text string) (string, error) {
	text = strings.TrimPrefix(text, "unix://")
	const fix = "give the path of a socket in a folder of its own, which containers mount, such as /run/dockreg/docker.sock"
	switch {
	case strings.Contains(text, "://"):
		return "", errors.New("not a path, and only of who comes by a socket does the kernel say which container that is; " + fix)
	case !filepath.IsAbs(text) || filepath.Clean(text) != text || text == "/":
		return "", errors.New("not an absolute path; " + fix)
	case len(text) > longestSocket:
		return "", errors.New("longer than the 107 bytes of a socket's path; " + fix)
	}
	return text, nil
}

func parseIPs(texts []string) (ips []netip.Addr, err error) {
	for _, list := range texts {
		for text := range strings.SplitSeq(list, ",") {
			ip, err := parseIP(strings.TrimSpace(text))
			if err != nil {
				return nil, quotef(text, "%w", err)
			}
			ips = append(ips, ip)
		}
	}
	return ips, nil
}
