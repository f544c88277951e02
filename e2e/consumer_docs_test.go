package e2e

import (
	"encoding/json"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"dockreg/record"
)

// The recipes in docs/consumers.md are templates that dockreg takes, and make what their
// consumers decode: the fields below, and no others.
func TestRecipesAreWhatTheirConsumersDecode(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/consumers.md")
	if err != nil {
		t.Fatal(err)
	}
	recipes := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| (\\w+)[ 0-9]* \\| `'(.*)'` \\|$").FindAllStringSubmatch(string(text), -1) {
		recipes[row[1]] = row[2]
	}
	for name, into := range map[string]any{
		"Kratos": new(struct { // registry.ServiceInstance, of version 2.8
			ID, Name, Version string
			Metadata          map[string]string
			Endpoints         []string
		}),
		"Kitex": new(struct { // instanceInfo, of registry-etcd 0.2
			Network, Address string
			Weight           int
			Tags             map[string]string
		}),
		"Easegress": new(struct { // serviceregistry.ServiceInstanceSpec, of version 2
			RegistryName, ServiceName, InstanceID, Address, Scheme string
			Port                                                   uint16
		}),
	} {
		kind, err := record.Parse(recipes[name], record.Options{})
		if err != nil {
			t.Errorf("%s: %q: %v", name, recipes[name], err)
			continue
		}
		for _, address := range []string{"10.1.0.101:49155", "[2001:db8::1]:49155"} {
			records, err := kind.Records(record.Instance{Address: netip.MustParseAddrPort(address)})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			decoder := json.NewDecoder(strings.NewReader(records[0].Value))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(into); err != nil {
				t.Errorf("%s: %s: %v", name, records[0].Value, err)
			}
			if ip := netip.MustParseAddrPort(address).Addr().String(); !strings.Contains(records[0].Value, ip) {
				t.Errorf("%s: %s lacks %s", name, records[0].Value, ip)
			}
		}
	}
}
