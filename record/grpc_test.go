package record

import (
	"encoding/json"
	"testing"
)

func TestGRPC(t *testing.T) {
	t.Parallel()
	k := mustParse(t, "grpc:service/web")[0]
	mustMake(t, k, v4, Record{"service/web/10.1.0.101:49155", `{"Op":0,"Addr":"10.1.0.101:49155","Metadata":null}`})
	mustMake(t, k, v6, Record{"service/web/[2001:db8::1]:49155", `{"Op":0,"Addr":"[2001:db8::1]:49155","Metadata":null}`})
	mustMake(t, k, with(v4, map[string]string{"version": "2", "a-b": "\"<\n"}, 10), Record{
		"service/web/10.1.0.101:49155",
		`{"Op":0,"Addr":"10.1.0.101:49155","Metadata":"{\"a-b\":\"\\\"\\u003c\\n\",\"version\":\"2\",\"weight\":10}"}`,
	})
	mustMake(t, k, with(v4, nil, 10), Record{
		"service/web/10.1.0.101:49155", `{"Op":0,"Addr":"10.1.0.101:49155","Metadata":"{\"weight\":10}"}`,
	})
}

// TestGRPCMetadataIsNullUnlessAsked: older versions of gRPC compare the metadata of
// addresses that etcd's resolvers of 3.5 and 3.6 hand on, and panic at an object.
func TestGRPCMetadataIsNullUnlessAsked(t *testing.T) {
	t.Parallel()
	for _, meta := range []map[string]string{nil, {}} {
		records, err := mustParse(t, "grpc:web")[0].Records(with(v4, meta, 0))
		if err != nil {
			t.Fatal(err)
		}
		// What etcd's client decodes (naming/endpoints/internal).
		var u struct {
			Op       uint8
			Addr     string
			Metadata any
		}
		if err := json.Unmarshal([]byte(records[0].Value), &u); err != nil || u.Op != 0 || u.Addr != "10.1.0.101:49155" || u.Metadata != nil {
			t.Errorf("%+v, %v", u, err)
		}
	}
}

// TestGRPCTargetIsAPathOfAURL: what a client gives as etcd:///TARGET has to be TARGET.
func TestGRPCTargetIsAPathOfAURL(t *testing.T) {
	t.Parallel()
	const slash = "the target starts with a slash, which clients could give with four slashes alone (etcd:////web); give it without, such as grpc:web"
	const other = "the target has a ?, # or %, which means something else in etcd:///TARGET; give it without, such as grpc:service/web"
	mustRefuse(t, options, map[string]string{
		"grpc:/web":   slash,
		"grpc://web":  slash,
		"grpc:/":      slash,
		"grpc:web?a":  other,
		"grpc:web#a":  other,
		"grpc:web%20": other,
	})
}

func TestGRPCMistakes(t *testing.T) {
	t.Parallel()
	const none = "grpc has no target; give one, such as grpc:service/web"
	mustRefuse(t, options, map[string]string{
		"grpc":             none,
		"grpc:":            none,
		"grpc=web":         none,
		"grpc:web/":        "the target ends with a slash; give it without",
		"grpc:etcd:///web": "the target has a part that is empty, . or ..; give names with a slash between, such as service/web",
	})
	if got, err := mustParse(t, "grpc:web")[0].Records(with(v4, map[string]string{"weight": "1"}, 10)); err == nil || err.Error() != "meta has a weight of its own; give one of the two" {
		t.Errorf("two weights: %q, %v", got, err)
	}
}

func TestGRPCVerifies(t *testing.T) {
	t.Parallel()
	const key = "web/10.1.0.101:49155"
	const endpoint = `not an endpoint of etcd's; it is such as {"Op":0,"Addr":"10.1.0.101:49155","Metadata":null}`
	mustNotVerify(t, mustParse(t, "grpc:web")[0], map[Record]string{
		{key, "10.1.0.101:49155"}:                                 endpoint,
		{key, `{"Op":"0","Addr":"10.1.0.101:49155"}`}:             endpoint,
		{key, `{"Address":"10.1.0.101:49155"}`}:                   endpoint,
		{key, `{"Addr":"10.1.0.101:49155"} {}`}:                   endpoint,
		{key, `{"Op":1,"Addr":"10.1.0.101:49155"}`}:               "an endpoint that is not added; Op is 0",
		{key, `{"Addr":"10.1.0.102:49155"}`}:                      "not the key of its address",
		{key, `{"Addr":"web:49155"}`}:                             "not an address; give one such as 10.1.0.101:49155 or [2001:db8::1]:49155",
		{key, `{"Addr":"10.1.0.101:49155","Metadata":"a=b"}`}:     "metadata that is neither null nor the text of an object, and one that is an object itself makes clients of older versions panic",
		{key, `{"Addr":"10.1.0.101:49155","Metadata":{"a":"b"}}`}: "metadata that is neither null nor the text of an object, and one that is an object itself makes clients of older versions panic",
		{"webs/10.1.0.101:49155", "{}"}:                           "the key is not below web/",
	})
}
