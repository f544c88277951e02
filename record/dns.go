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
	dnsTTL = 5
	// mostTTL bounds the drain, for which supervisord and Docker have to wait at each stop.
	mostTTL = 300
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
// server-template asks for. After the name, with commas: ttl=5, in seconds and at
// most 300, and priority=10.
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

// What a name in DNS can hold, and a part of it (RFC 1035, section 2.3.4).
const mostNameLength, mostLabel = 253, 63

// mostName leaves of the characters of a name what the longest ID, the dots, _tcp and the
// underscore need.
const mostName = mostNameLength - len("2001-0db8-0000-0000-0000-0000-0000-0001-49155") - len("._._tcp")

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
		if text == "" || len(text) > mostLabel || other != "" || strings.HasPrefix(text, "-") || strings.HasSuffix(text, "-") {
			return false
		}
	}
	return true
}

// isName tells whether a text is a name that DNS can hold, with or without a dot at its end:
// labels of letters, digits, dashes and, as those of services have, underscores. One that
// ends with a number is an address with a mistake in it (RFC 3696, section 2).
func isName(text string) bool {
	const letters, digits = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
	labels := strings.Split(strings.TrimSuffix(text, "."), ".")
	for _, label := range labels {
		if label == "" || len(label) > mostLabel || strings.Trim(label, letters+digits+"-_") != "" {
			return false
		}
	}
	return len(text) <= mostNameLength && strings.Trim(labels[len(labels)-1], digits) != ""
}

func verifyService(r Record) error {
	s, err := checkService(r)
	if err != nil {
		return err
	}
	address, err := netip.ParseAddr(s.Host)
	switch {
	case err != nil:
		return errors.New("its host is not a bare IP, so that CoreDNS takes it for a name")
	case s.Port < 1 || s.Port > 65535:
		return errors.New("its port is not one from 1 to 65535")
	case !strings.HasSuffix(r.Key, "/"+Instance{Address: netip.AddrPortFrom(address, uint16(s.Port))}.ID()):
		return errors.New("not the key of its address")
	}
	return nil
}

// checkService fails where CoreDNS can't read a record, or can't put into an answer what it
// has read: then who asks for the name, or for one above it, gets SERVFAIL or nothing.
func checkService(r Record) (s service, err error) {
	const fix = `give JSON such as {"host":"10.1.0.101","port":49155,"ttl":5}`
	name := strings.TrimPrefix(r.Key, skydnsRoot)
	labels := strings.Split(strings.ReplaceAll(name, "/", "."), ".")
	switch {
	case json.Unmarshal([]byte(r.Value), &s) != nil:
		return s, errors.New("the value is not what CoreDNS reads, which answers SERVFAIL for all names around it then; " + fix)
	case slices.ContainsFunc(labels, func(label string) bool { return label == "" || len(label) > mostLabel || strings.Contains(label, `\`) }):
		return s, fmt.Errorf("the key has a part of none or of more than %d characters, or a backslash, which no name in DNS can hold, so that CoreDNS says nothing of all names above it; give shorter ones, such as /skydns/example/svc/web/{{.ID}}", mostLabel)
	case len(name) > mostNameLength:
		return s, fmt.Errorf("the key is too long for a name in DNS, so that CoreDNS says nothing of all names above it; give at most %d characters after %s", mostNameLength, skydnsRoot)
	case s.Host == "" && s.Text == "":
		return s, errors.New("the value has no host; " + fix)
	case s.Host != "" && !isBareIP(s.Host) && !isName(s.Host):
		return s, errors.New("its host is neither a bare IP nor a name that DNS can hold, so that CoreDNS says nothing of all names above it; " + fix)
	case s.TTL == 0:
		return s, errors.New("it has no ttl in seconds, which is 30 s then, or without meaning; " + fix)
	}
	return s, nil
}

func isBareIP(text string) bool {
	ip, err := netip.ParseAddr(text)
	return err == nil && ip.Zone() == ""
}
