package record

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
)

const noService = `the value is not what CoreDNS reads, which answers SERVFAIL for all names around it then; give JSON such as {"host":"10.1.0.101","port":49155,"ttl":5}`

func TestDNS(t *testing.T) {
	t.Parallel()
	const id4, id6 = "10-1-0-101-49155", "2001-0db8-0000-0000-0000-0000-0000-0001-49155"
	k := mustParse(t, "dns:web.svc.example")[0]
	mustMake(t, k, v4,
		Record{"/skydns/example/svc/web/" + id4, `{"host":"10.1.0.101","port":49155,"ttl":5,"priority":10,"weight":100}`},
		Record{"/skydns/example/svc/_tcp/_web/" + id4, `{"host":"10.1.0.101","port":49155,"ttl":5,"priority":10,"weight":100}`})
	mustMake(t, k, v6,
		Record{"/skydns/example/svc/web/" + id6, `{"host":"2001:db8::1","port":49155,"ttl":5,"priority":10,"weight":100}`},
		Record{"/skydns/example/svc/_tcp/_web/" + id6, `{"host":"2001:db8::1","port":49155,"ttl":5,"priority":10,"weight":100}`})
	mustMake(t, mustParse(t, "dns:web.example,priority=20,ttl=60")[0], with(v4, map[string]string{"a": "b"}, 3),
		Record{"/skydns/example/web/" + id4, `{"host":"10.1.0.101","port":49155,"ttl":60,"priority":20,"weight":3}`},
		Record{"/skydns/example/_tcp/_web/" + id4, `{"host":"10.1.0.101","port":49155,"ttl":60,"priority":20,"weight":3}`})
}

// TestDNSHostIsABareIP: in brackets, CoreDNS takes it for a name. A port in quotes is
// no port, and makes it answer SERVFAIL. Without a TTL, it takes one of its own.
func TestDNSHostIsABareIP(t *testing.T) {
	t.Parallel()
	records, err := mustParse(t, "dns:web.svc.example")[0].Records(v6)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		var s struct {
			Host string
			Port int
			TTL  uint32
		}
		if err := json.Unmarshal([]byte(r.Value), &s); err != nil {
			t.Fatal(err)
		}
		if ip, err := netip.ParseAddr(s.Host); err != nil || ip != v6.Address.Addr() || s.Port != 49155 || s.TTL != 5 {
			t.Errorf("%s: %v", r.Value, err)
		}
	}
}

// TestDNSNamesAreFound: of names that CoreDNS would not find, or not alone, there are no
// records.
func TestDNSNamesAreFound(t *testing.T) {
	t.Parallel()
	const (
		fix   = "; give a name such as web.svc.example"
		chars = "the name has a part that is not made of letters, digits and inner dashes, or too long" + fix
		star  = "the name has a part * or any, which CoreDNS takes for all names" + fix
	)
	long := strings.Repeat("a", 63)
	mustRefuse(t, options, map[string]string{
		"dns":                      "dns has no name; give one, such as dns:web.svc.example",
		"dns=web":                  "dns has no name; give one, such as dns:web.svc.example",
		"dns:":                     "dns has no name" + fix,
		"dns:web":                  "the name has one part only" + fix,
		"dns:web.":                 "the name ends with a dot" + fix,
		"dns:web.svc.example.":     "the name ends with a dot" + fix,
		"dns:Web.svc.example":      "the name has capitals, and CoreDNS looks it up without; give it in lower case, such as web.svc.example",
		"dns:*.svc.example":        star,
		"dns:web.any.example":      star,
		"dns:web..example":         chars,
		"dns:.web.example":         chars,
		"dns:-web.example":         chars,
		"dns:web-.example":         chars,
		"dns:_web._tcp.example":    chars,
		"dns:web/svc.example":      chars,
		"dns:wéb.example":          chars,
		"dns:web svc.example":      chars,
		"dns:" + long + ".example": chars, // has no room for an underscore
		"dns:web." + long + "a":    chars,
		"dns:10.1.0.101":           "an IP, not a name" + fix,
		"dns:2001:db8::1":          "an IP, not a name" + fix,
		"dns:web" + strings.Repeat(".abcdefghi", 20): "the name is too long; give at most 201 characters",
	})
	mustParse(t, "dns:"+long[1:]+"."+long+".example", "dns:web.anyone", "dns:1.example")
}

// TestDNSLongestNameIsOne: with the longest ID, it has the 253 characters of a name.
func TestDNSLongestNameIsOne(t *testing.T) {
	t.Parallel()
	name := "abc" + strings.Repeat(".abcdefgh", 22)
	k := mustParse(t, "dns:"+name)[0]
	records, err := k.Records(Instance{Address: netip.MustParseAddrPort("[2001:db8::1]:49155")})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if n := len(strings.TrimPrefix(r.Key, skydnsRoot)); len(name) != mostName || n > 253 {
			t.Errorf("a name of %d characters makes one of %d", len(name), n)
		}
	}
}

func TestDNSOptions(t *testing.T) {
	t.Parallel()
	const option = "no such option of dns; give ttl or priority, as in dns:web.svc.example,ttl=5,priority=10"
	const ttl = "no such ttl; give a number from 1 to 300, as in ttl=5"
	const priority = "no such priority; give a number from 1 to 65535, as in priority=10"
	mustRefuse(t, options, map[string]string{
		"dns,ttl=5":                      "dns has no name; give one, such as dns:web.svc.example",
		"dns:,ttl=5":                     "dns has no name; give a name such as web.svc.example",
		"dns:web.example,":               option,
		"dns:web.example,,ttl=5":         option,
		"dns:web.example,ttl=5,":         option,
		"dns:web.example,5":              option,
		"dns:web.example,TTL=5":          option,
		"dns:web.example, ttl=5":         option,
		"dns:web.example,weight=5":       option,
		"dns:web.example,ttl":            ttl,
		"dns:web.example,ttl=":           ttl,
		"dns:web.example,ttl=0":          ttl, // which is 30 s then
		"dns:web.example,ttl=5s":         ttl,
		"dns:web.example,ttl=-1":         ttl,
		"dns:web.example,ttl=301":        ttl,
		"dns:web.example,priority=0":     priority, // which is 10 then
		"dns:web.example,priority=1e5":   priority,
		"dns:web.example,ttl=5,ttl=5":    "ttl is given twice; give it once",
		"dns:web.example;ttl=5":          "the name has a part that is not made of letters, digits and inner dashes, or too long; give a name such as web.svc.example",
		"dns:web.example,priority=65536": priority,
	})
}

func TestDNSVerifies(t *testing.T) {
	t.Parallel()
	const key = "/skydns/example/svc/web/10-1-0-101-49155"
	const host = "its host is not a bare IP, so that CoreDNS takes it for a name"
	const fix = `; give JSON such as {"host":"10.1.0.101","port":49155,"ttl":5}`
	const noName = "its host is neither a bare IP nor a name that DNS can hold, so that CoreDNS says nothing of all names above it" + fix
	mustNotVerify(t, mustParse(t, "dns:web.svc.example")[0], map[Record]string{
		{key, "10.1.0.101:49155"}:                                                              noService,
		{key, `{"host":"10.1.0.101","port":"49155","ttl":5}`}:                                  noService,
		{key, `{"host":"10.1.0.101","port":49155,"ttl":-1}`}:                                   noService,
		{key, `{"host":"[2001:db8::1]","port":49155,"ttl":5}`}:                                 noName,
		{key, `{"host":"10.1.0.101:49155","port":49155,"ttl":5}`}:                              noName,
		{key, `{"host":"fe80::1%a","port":49155,"ttl":5}`}:                                     noName,
		{key, `{"host":"app-1.example","port":49155,"ttl":5}`}:                                 host,
		{key, `{"text":"a","port":49155,"ttl":5}`}:                                             host,
		{key, `{"port":49155,"ttl":5}`}:                                                        "the value has no host" + fix,
		{key, `{"host":"10.1.0.101","ttl":5}`}:                                                 "its port is not one from 1 to 65535",
		{key, `{"host":"10.1.0.101","port":49155}`}:                                            "it has no ttl in seconds, which is 30 s then, or without meaning" + fix,
		{key, `{"host":"10.1.0.102","port":49155,"ttl":5}`}:                                    "not the key of its address",
		{"/skydns/example/svc/10-1-0-101-49155", `{"host":"10.1.0.101","port":49155,"ttl":5}`}: "the key is not below /skydns/example/svc/web/ or /skydns/example/svc/_tcp/_web/",
	})
}
