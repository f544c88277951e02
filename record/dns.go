package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// skydnsRoot is where CoreDNS's etcd plugin reads, unless its path says otherwise.
	skydnsRoot = "/skydns/"
	// dnsTTL is short: a resolver keeps an address that is gone for that long.
	dnsTTL  = 5
	mostTTL = 3600
	// dnsPriority and dnsWeight are what CoreDNS takes for a 0.
	dnsPriority  = 10
	dnsWeight    = 100
	mostPriority = 65535
	// dnsDrain is how long CoreDNS and who asks it may take on top of the TTL.
	dnsDrain = 2 * time.Second
)

// service is a value as CoreDNS decodes it (plugin/etcd/msg/service.go). The fields
// that can be left out are those of templates: dockreg leaves them out always.
type service struct {
	Host        string `json:"host"`
	Port        int    `json:"port"`
	TTL         uint32 `json:"ttl"`
	Priority    int    `json:"priority"`
	Weight      int    `json:"weight"`
	Text        string `json:"text,omitempty"`
	Mail        bool   `json:"mail,omitempty"`
	TargetStrip int    `json:"targetstrip,omitempty"`
	Group       string `json:"group,omitempty"`
}

// parseDNS makes, of dns:web.svc.example,
//
//	/skydns/example/svc/web/<id>       for A, AAAA and SRV of web.svc.example
//	/skydns/example/svc/_tcp/_web/<id> for SRV of _web._tcp.svc.example
//
// with the value {"host":"10.1.0.101","port":49155,"ttl":5,"priority":10,"weight":100}.
// CoreDNS's etcd plugin reads them (plugin/etcd/msg/path.go, service.go and
// plugin/etcd/etcd.go), as SkyDNS did; the second name is the one that HAProxy's
// server-template asks for. After the name, with commas: ttl=5, in seconds, and
// priority=10.
//
// The traps: a value that isn't JSON makes CoreDNS answer SERVFAIL to whoever asks for
// the name or for one above it. A TTL that isn't given is the lease's, but 30 s at least,
// or a number without meaning in older versions. A host is a bare IP; in brackets, or
// with a port, it is taken for a name. A port is a number. Names are looked up in lower
// case, and a label * or any stands for all names.
func parseDNS(rest string, _ Options) (Kind, error) {
	text, ok := strings.CutPrefix(rest, ":")
	if !ok {
		return Kind{}, errors.New("dns has no name; give one, such as dns:web.svc.example")
	}
	name, options, _ := strings.Cut(text, ",")
	if err := checkName(name); err != nil {
		return Kind{}, err
	}
	ttl, priority, err := parseDNSOptions(options, strings.Contains(text, ","))
	if err != nil {
		return Kind{}, err
	}
	labels := strings.Split(name, ".")
	slices.Reverse(labels)
	parent := skydnsRoot + strings.Join(labels[:len(labels)-1], "/")
	first := labels[len(labels)-1]
	prefixes := []string{parent + "/" + first + "/", parent + "/_tcp/_" + first + "/"}
	return Kind{
		prefixes: prefixes,
		drain:    time.Duration(ttl)*time.Second + dnsDrain,
		records: func(i Instance) ([]Record, error) {
			s := service{Host: i.Address.Addr().String(), Port: int(i.Address.Port()), TTL: uint32(ttl), Priority: priority, Weight: dnsWeight}
			if i.Weight != 0 {
				s.Weight = i.Weight
			}
			value, err := json.Marshal(s)
			var all []Record
			for _, prefix := range prefixes {
				all = append(all, Record{prefix + i.ID(), string(value)})
			}
			return all, err
		},
		verify: verifyService,
	}, nil
}

// parseDNSOptions reads ttl=5,priority=10.
func parseDNSOptions(text string, given bool) (ttl, priority int, err error) {
	values := map[string]int{"ttl": dnsTTL, "priority": dnsPriority}
	most := map[string]int{"ttl": mostTTL, "priority": mostPriority}
	seen := map[string]bool{}
	for given {
		var option string
		option, text, given = strings.Cut(text, ",")
		name, value, _ := strings.Cut(option, "=")
		if most[name] == 0 {
			return 0, 0, errors.New("no such option of dns; give ttl or priority, as in dns:web.svc.example,ttl=5,priority=10")
		}
		if seen[name] {
			return 0, 0, fmt.Errorf("%s is given twice; give it once", name)
		}
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > most[name] {
			return 0, 0, fmt.Errorf("no such %s; give a number from 1 to %d, as in %s=%d", name, most[name], name, values[name])
		}
		values[name], seen[name] = n, true
	}
	return values["ttl"], values["priority"], nil
}

// mostName leaves of the 253 characters of a name what the longest ID, the dots, _tcp
// and the underscore need.
const mostName = 253 - len("2001-0db8-0000-0000-0000-0000-0000-0001-49155") - len("._._tcp")

// checkName fails unless CoreDNS finds a name, whoever asks for it.
func checkName(name string) error {
	const fix = "give a name such as web.svc.example"
	labels := strings.Split(name, ".")
	_, notIP := netip.ParseAddr(name)
	switch lower := strings.ToLower(name); {
	case name == "":
		return errors.New("dns has no name; " + fix)
	case notIP == nil:
		return errors.New("an IP, not a name; " + fix)
	case strings.HasSuffix(name, "."):
		return errors.New("the name ends with a dot; " + fix)
	case name != lower:
		return errors.New("the name has capitals, and CoreDNS looks it up without; give it in lower case, such as web.svc.example")
	case slices.Contains(labels, "*") || slices.Contains(labels, "any"):
		return errors.New("the name has a part * or any, which CoreDNS takes for all names; " + fix)
	case len(labels) < 2:
		return errors.New("the name has one part only; " + fix)
	case !isLabel(labels...) || len(labels[0]) > 62: // with an underscore, 63
		return errors.New("the name has a part that is not made of letters, digits and inner dashes, or too long; " + fix)
	case len(name) > mostName:
		return fmt.Errorf("the name is too long; give at most %d characters", mostName)
	}
	return nil
}

// isLabel tells whether each text is a lower-case label of a host's name (RFC 1123,
// section 2.1).
func isLabel(texts ...string) bool {
	for _, text := range texts {
		other := strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789-")
		if text == "" || len(text) > 63 || other != "" || strings.HasPrefix(text, "-") || strings.HasSuffix(text, "-") {
			return false
		}
	}
	return true
}

func verifyService(r Record) error {
	s, err := decodeService(r.Value)
	if err != nil {
		return err
	}
	address, err := netip.ParseAddr(s.Host)
	switch {
	case err != nil || address.Zone() != "":
		return errors.New("its host is not a bare IP, so that CoreDNS takes it for a name")
	case s.Port < 1 || s.Port > 65535:
		return errors.New("its port is not one from 1 to 65535")
	case s.TTL == 0:
		return errors.New("it has no ttl, which is 30 s then")
	case !strings.HasSuffix(r.Key, "/"+Instance{Address: netip.AddrPortFrom(address, uint16(s.Port))}.ID()):
		return errors.New("not the key of its address")
	}
	return nil
}

// decodeService fails where CoreDNS does.
func decodeService(value string) (service, error) {
	var s service
	if json.Unmarshal([]byte(value), &s) != nil {
		return s, errors.New(`the value is not what CoreDNS reads, which answers SERVFAIL for all names around it then; give JSON such as {"host":"10.1.0.101","port":49155,"ttl":5}`)
	}
	return s, nil
}
