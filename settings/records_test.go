package settings

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"dockreg/record"
)

// arguments cuts a line at its blanks; a ␣ stands for one within an argument.
func arguments(line string) []string {
	args := strings.Fields(line)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "␣", " ")
	}
	return args
}

// Records are made in the order in which they were asked for, and by default there is the
// plain one.
func TestRecords(t *testing.T) {
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]record.Records{
		"": {{Key: "/service/192.0.2.1:49155", Value: "running"}},
		"--record plain --key web --value up --record hostport:rpc/web": {
			{Key: "/web/192.0.2.1:49155", Value: "up"}, {Key: "rpc/web/192-0-2-1-49155", Value: "192.0.2.1:49155"},
		},
		"--record dns:web.svc.example,ttl=7 --weight 5": {
			{Key: "/skydns/example/svc/web/192-0-2-1-49155", Value: `{"host":"192.0.2.1","port":49155,"ttl":7,"priority":10,"weight":5}`},
			{Key: "/skydns/example/svc/_tcp/_web/192-0-2-1-49155", Value: `{"host":"192.0.2.1","port":49155,"ttl":7,"priority":10,"weight":5}`},
		},
		`--record /kratos/{{.ID}}={"n":"{{.Meta.name}},␣{{.Host}}","at":"{{.Address}}"} --meta name=a,b=c --host-name app-1`: {
			{Key: "/kratos/192-0-2-1-49155", Value: `{"n":"a,b=c, app-1","at":"192.0.2.1:49155"}`},
		},
		"--record /by/{{.Container}}={{.IP}} --container web-1": {{Key: "/by/web-1", Value: "192.0.2.1"}},
		"--record /by/{{.Container}}={{.IP}}":                   {{Key: "/by/" + hostname, Value: "192.0.2.1"}},
	} {
		if got := mustConfig(t, nil, append(arguments(line), "--port", "8000", "--etcd", "a:1")...).records; !slices.Equal(got, want) {
			t.Errorf("%s\n got %q\nwant %q", line, got, want)
		}
	}
	env := map[string]string{"DOCKREG_RECORD": "grpc:web\n\n  /x/{{.ID}}={{.Meta.a}} \n", "DOCKREG_META": "a=1, 2\nb=3"}
	want := record.Records{{Key: "web/192.0.2.1:49155", Value: `{"Op":0,"Addr":"192.0.2.1:49155","Metadata":"{\"a\":\"1, 2\",\"b\":\"3\"}"}`}, {Key: "/x/192-0-2-1-49155", Value: "1, 2"}}
	if got := mustConfig(t, env, "--port", "8000", "--etcd", "a:1").records; !slices.Equal(got, want) {
		t.Errorf("by the environment\n got %q\nwant %q", got, want)
	}
	// The command line says it exactly.
	want = record.Records{{Key: "/x", Value: " one\n\ntwo \n"}, {Key: "/y", Value: "a\nb "}}
	if got := mustConfig(t, nil, "--record", "/x= one\n\ntwo \n", "--record", "/y={{.Meta.a}}", "--meta", "a=a\nb ", "--port", "8000", "--etcd", "a:1").records; !slices.Equal(got, want) {
		t.Errorf("by the command line\n got %q\nwant %q", got, want)
	}
}

// P9: what consumers could not read, or not together, is a mistake at the start.
func TestP9Records(t *testing.T) {
	for line, want := range map[string]string{
		"--record ping":             `--record "ping": not a kind of record; give plain, hostport:PREFIX, grpc:TARGET, dns:NAME, traefik:NAME, traefik-tcp:NAME or KEY=VALUE`,
		"--record dns":              `--record "dns": `,
		"--record=":                 `--record "": nothing; give a kind such as plain`,
		"--record grpc:/web":        `--record "grpc:/web": the target starts with a slash`,
		"--record /a/{{.Host}}=x":   `--record "/a/{{.Host}}=x": the key uses Host, which the instance has not`,
		"--record /a/{{.Meta.x}}=x": `--record "/a/{{.Meta.x}}=x": the key uses x, which the instance has not`,
		"--record dns:web.svc.example --record hostport:/skydns/example/svc/web": `--record "hostport:/skydns/example/svc/web": record "/skydns/example/svc/web/192-0-2-1-49155": the value is not what CoreDNS reads`,
		"--record plain --record hostport:service":                               ``,
		"--record plain --record hostport:/service":                              `--record "plain,hostport:/service": plain and hostport:/service share the keys at /service/`,
		"--record traefik:web --record traefik:web":                              `--record "traefik:web,traefik:web": traefik:web is given twice; give it once`,
		"--record dns:web.svc.example --key web":                                 `--key "web": about the plain record, and there is none; give --record plain too, or leave this away`,
		"--record dns:web.svc.example --value up":                                `--value "up": about the plain record, and there is none`,
		"--meta a=b":                              `--meta "a=b": none of the kinds of record has a place for meta; give grpc:TARGET or KEY=VALUE (with {{.Meta.name}}), or no meta`,
		"--record grpc:web --meta a":              `--meta "a": no name and text; give NAME=TEXT`,
		"--record grpc:web --meta a=1 --meta a=2": `--meta "a=2": the name is given twice; give it once`,
		"--weight 5":                              `--weight "5": none of the kinds of record has a place for a weight; give grpc:TARGET, dns:NAME or traefik:NAME, or no weight`,
		"--record grpc:web --weight 65536":        `--weight "65536": no such weight; give a number from 1 to 65535`,
		"--record grpc:web --weight 0":            `--weight "0": not a count`,
		"--record grpc:web --host-name app-1":     `--host-name "app-1": none of the kinds of record has a place for the host's name; give KEY=VALUE with {{.Host}}, or no name`,
		"--host-name app-1":                       `--host-name "app-1": none of the kinds of record has a place`,
		"--record ␣":                              `--record " ": nothing; give a kind`,
		"--record grpc:web --meta=":               `--meta "": nothing; give NAME=TEXT`,
		"--record plain␣":                         `--record "plain ": not a kind of record`,
		"--record {{.Host}}/{{.ID}}=secret --record hostport:app-1 --host-name app-1": `--record "{{.Host}}/{{.ID}},hostport:app-1": {{.Host}}/{{.ID}} and hostport:app-1 share the keys at app-1/`,
		"--record {{.Container}}/x=y --record hostport:/a --record plain":             ``,
		"--record grpc:web --host-name a/b":                                           `--host-name "a/b": not a name; give the host's, such as app-1.example`,
	} {
		_, lines := configOf(t, nil, append(arguments(line), "--port", "8000", "--etcd", "a:1")...)
		if want == "" && lines != nil || want != "" && (len(lines) != 1 || !strings.HasPrefix(lines[0], want)) {
			t.Errorf("%s\n got %q\nwant %q", line, lines, want)
		}
	}
}

// An app that has no port is registered without an address, and without Docker, by records
// that can do without.
func TestWithoutAPort(t *testing.T) {
	conf := mustConfig(t, nil, "--etcd", "a:1", "--check", "exec:true", "--record", "/workers/{{.Container}}={{.Host}}", "--container", "w-1", "--host-name", "app-1")
	if want := (record.Records{{Key: "/workers/w-1", Value: "app-1"}}); !slices.Equal(conf.records, want) || conf.address != "invalid AddrPort" {
		t.Errorf("%q at %s, want %q at none", conf.records, conf.address, want)
	}
	for line, want := range map[string]string{
		"--check exec:true":                                         "--port: required; give the app's port inside the container",
		"--check exec:true --record plain":                          `--record "plain": needs the address and the port of the app, which has no port; give one, or KEY=VALUE without .IP, .Port, .Address and .ID`,
		"--check exec:true --record dns:web.svc.example":            `--record "dns:web.svc.example": needs the address`,
		"--check exec:true --record /a/{{.ID}}=x":                   `--record "/a/{{.ID}}=x": needs the address`,
		"--check tcp --record /a/{{.Container}}=x":                  "--port: required; the check needs it",
		"--record /a/{{.Container}}=x":                              "--port: required; the check needs it",
		"--check exec:true --record /a/x=y --docker /run/d.sock":    `--docker "/run/d.sock": an app without a port has nothing to ask Docker for; give --port too, or leave this away`,
		"--check exec:true --docker /run/d.sock":                    "--port: required; give the app's port inside the container",
		"--check exec:true --record /a/x=y --ip 10.1.0.101":         `--ip "10.1.0.101": an IP without a port is no address to register; give --port too, or leave this away`,
		"--check exec:true --record /a/x=y --host-port 80 --ip ::1": "--port: required; give the app's port inside the container",
	} {
		_, lines := configOf(t, nil, append(arguments(line), "--etcd", "a:1")...)
		if len(lines) != 1 || !strings.HasPrefix(lines[0], want) {
			t.Errorf("%s\n got %q\nwant %q", line, lines, want)
		}
	}
}

// DOCKER_HOST is there for others, too.
func TestWithoutAPortDockerIsNotAsked(t *testing.T) {
	args := []string{"--etcd", "a:1", "--check", "exec:true", "--record", "/a/x=y"}
	mustConfig(t, map[string]string{"DOCKER_HOST": "/run/d.sock"}, args...)
	if _, lines := configOf(t, map[string]string{"DOCKREG_DOCKER": "/run/d.sock"}, args...); len(lines) != 1 || !strings.HasPrefix(lines[0], `DOCKREG_DOCKER "/run/d.sock": an app without a port`) {
		t.Errorf("%q", lines)
	}
}

// A stop waits as long as the slowest of the consumers needs, unless it is told how long.
func TestDrainOfRecords(t *testing.T) {
	for line, want := range map[string]time.Duration{
		"":                       0,
		"--record plain":         0,
		"--record grpc:web":      time.Second,
		"--record hostport:/web": time.Second,
		"--record plain --record traefik:web --record grpc:web": 3 * time.Second,
		"--record dns:web.svc.example,ttl=9 --record traefik:a": 11 * time.Second,
		"--record traefik:web --drain 0s":                       0,
		"--record traefik:web --drain 1s":                       time.Second,
	} {
		if got := mustConfig(t, nil, append(arguments(line), "--port", "8000", "--etcd", "a:1")...).sidekick.Drain; got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}
