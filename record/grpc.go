package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"
)

// metaWeight is the name of the weight in an endpoint's metadata.
const metaWeight = "weight"

var errTwoWeights = errors.New("meta has a weight of its own; give one of the two")

// update is an endpoint in etcd (go.etcd.io/etcd/client/v3/naming/endpoints/internal).
type update struct {
	Op       uint8 // 0: added
	Addr     string
	Metadata any // null, or a text: an object of texts, and of the weight, which is a number
}

// parseGRPC makes TARGET/<ip>:<port> with the value
// {"Op":0,"Addr":"ip:port","Metadata":null}; with meta or a weight, Metadata is a text that
// is JSON in turn, such as "{\"version\":\"2\",\"weight\":10}".
//
// gRPC clients of etcd's package naming/resolver read it, as etcd:///TARGET
// (naming/endpoints/endpoints_impl.go: each value below TARGET and a slash is decoded, and
// one that can't be is left out with a warning).
//
// The traps: the resolver cuts one slash off the path of etcd:///TARGET, so a TARGET with
// a leading slash needs a fourth one, which nobody gives; and it takes the path from a
// URL, where ?, # and % mean something else. Metadata is for who reads endpoints without
// the resolver: that of etcd 3.7 leaves it out, and those of 3.5 and 3.6 hand it on to
// gRPC, which compares it, and in versions up to 1.71 at least panics where it is an
// object (clientconn.go, equalAddressIgnoringBalAttributes). A text can be compared.
func parseGRPC(rest string, _ Options) (Kind, error) {
	target, err := parsePrefix("grpc", "target", rest)
	switch {
	case strings.HasPrefix(rest, ":/"):
		return Kind{}, errors.New("the target starts with a slash, which clients could give with four slashes alone (etcd:////web); give it without, such as grpc:web")
	case err != nil:
		return Kind{}, err
	case strings.ContainsAny(target, "?#%"):
		return Kind{}, errors.New("the target has a ?, # or %, which means something else in etcd:///TARGET; give it without, such as grpc:service/web")
	}
	prefix := target + "/"
	return Kind{
		prefixes: []string{prefix},
		drain:    time.Second,
		records: func(i Instance) ([]Record, error) {
			metadata, err := metadataOf(i)
			if err != nil {
				return nil, err
			}
			value, err := json.Marshal(update{Addr: i.Address.String(), Metadata: metadata})
			return []Record{{prefix + i.Address.String(), string(value)}}, err
		},
		verify: func(r Record) error { return verifyUpdate(strings.TrimPrefix(r.Key, prefix), r.Value) },
	}, nil
}

// metadataOf returns nil, and not an empty object, if there is nothing to tell.
func metadataOf(i Instance) (any, error) {
	if len(i.Meta) == 0 && i.Weight == 0 {
		return nil, nil
	}
	all := map[string]any{}
	for name, value := range i.Meta {
		all[name] = value
	}
	if i.Weight != 0 {
		if _, ok := all[metaWeight]; ok {
			return nil, errTwoWeights
		}
		all[metaWeight] = i.Weight
	}
	text, err := json.Marshal(all)
	return string(text), err
}

func verifyUpdate(address, value string) error {
	var u update
	if err := decodeStrictly(value, &u); err != nil {
		return errors.New(`not an endpoint of etcd's; it is such as {"Op":0,"Addr":"10.1.0.101:49155","Metadata":null}`)
	}
	if _, err := parseAddress(u.Addr); err != nil {
		return err
	}
	text, isText := u.Metadata.(string)
	switch {
	case u.Op != 0:
		return errors.New("an endpoint that is not added; Op is 0")
	case u.Addr != address:
		return errors.New("not the key of its address")
	case u.Metadata != nil && (!isText || decodeStrictly(text, &map[string]any{}) != nil):
		return errors.New("metadata that is neither null nor the text of an object, and one that is an object itself makes clients of older versions panic")
	}
	return nil
}

// decodeStrictly decodes JSON that has no field which into lacks, and nothing after it.
func decodeStrictly(text string, into any) error {
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}
