package record

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// traefikRoot is where Traefik's etcd provider reads, unless its rootKey says otherwise.
const traefikRoot = "traefik/"

// traefikProtocol is one of the kinds of services that Traefik has.
type traefikProtocol struct {
	name, kind string
	field      string // of a server that holds its address
	scheme     string // before the address
	weight     bool   // a server has one
}

var (
	traefikHTTP = traefikProtocol{"http", "traefik", "url", "http://", true}
	traefikTCP  = traefikProtocol{"tcp", "traefik-tcp", "address", "", false}
)

// parseTraefik makes, of traefik:web, for services of HTTP
//
//	traefik/http/services/web/loadbalancer/servers/<id>/url    http://ip:port
//	traefik/http/services/web/loadbalancer/servers/<id>/weight 10, if there is one
//
// and of traefik-tcp:web, for services of TCP
//
//	traefik/tcp/services/web/loadbalancer/servers/<id>/address ip:port
//
// Traefik 3's etcd provider reads them (pkg/provider/kv/kv.go, pkg/config/kv); a server's
// fields are those of Server in pkg/config/dynamic/http_config.go, and of TCPServer in
// tcp_config.go, which has no weight. Traefik 2 has no weight of servers at all.
//
// The traps: one field that Traefik doesn't know, or one number that it can't read, and
// the whole provider takes no change any more until the key is gone, so nothing else is
// ever written. There is no slash before traefik. Names that differ only in case are one
// name (pkg/config/kv/kv_node.go), and one of digits alone is taken for a place in a list.
func parseTraefik(p traefikProtocol) func(string, Options) (Kind, error) {
	return func(rest string, _ Options) (Kind, error) {
		name, ok := strings.CutPrefix(rest, ":")
		switch {
		case !ok || name == "":
			return Kind{}, fmt.Errorf("%s has no name of a service; give one, such as %s:web", p.kind, p.kind)
		case strings.Trim(name, "0123456789") == "":
			return Kind{}, fmt.Errorf("a name of digits is a place in a list to Traefik; give one such as %s:web", p.kind)
		case !isLabel(name):
			return Kind{}, fmt.Errorf("the name of a service is not made of lower-case letters, digits and inner dashes, or too long; give one such as %s:web, without @etcd", p.kind)
		}
		prefix := traefikRoot + p.name + "/services/" + name + "/loadbalancer/servers/"
		return Kind{
			prefixes: []string{prefix},
			drain:    3 * time.Second, // Traefik's throttling of changes, 2 s, and one more
			records: func(i Instance) ([]Record, error) {
				server := prefix + i.ID() + "/"
				all := []Record{{server + p.field, p.scheme + i.Address.String()}}
				if p.weight && i.Weight != 0 {
					all = append(all, Record{server + "weight", strconv.Itoa(i.Weight)})
				}
				return all, nil
			},
			verify: func(r Record) error { return p.verify(strings.TrimPrefix(r.Key, prefix), r.Value) },
		}, nil
	}
}

// verify checks a field, which is what follows the prefix of the servers.
func (p traefikProtocol) verify(key, value string) error {
	id, field, _ := strings.Cut(key, "/")
	switch {
	case field == p.field:
		text, ok := strings.CutPrefix(value, p.scheme)
		address, err := parseAddress(text)
		if !ok || err != nil {
			return fmt.Errorf("not a server of Traefik's; it is such as %s10.1.0.101:49155", p.scheme)
		}
		if (Instance{Address: address}).ID() != id {
			return errors.New("not the key of its address")
		}
		return nil
	case field == "weight" && p.weight:
		weight, err := strconv.Atoi(value)
		if err != nil {
			return errors.New("a weight that is no number")
		}
		return checkWeight(weight)
	}
	return errors.New("a field that Traefik doesn't know, so that it takes no change any more")
}
