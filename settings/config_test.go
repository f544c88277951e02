package settings

import (
	"log/slog"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"dockreg/etcdreg/etcd"
	"dockreg/record"
	"dockreg/sidekick"
	"dockreg/sidekick/docker"
)

func TestConfig(t *testing.T) {
	few := sidekick.Config{Interval: 5 * time.Second, Timeout: 3 * time.Second, Rise: 1, Fall: 1, TTL: 20 * time.Second}
	all := sidekick.Config{Interval: time.Minute, Timeout: time.Minute, Rise: 2, Fall: 3, TTL: 244 * time.Second, Drain: 2500 * time.Millisecond}
	for name, tt := range map[string]struct {
		args string
		env  map[string]string
		want config
	}{
		"as little as possible": {
			args: "--port 8000 --etcd 10.1.0.101:2379",
			want: config{
				check:    "http:/",
				sidekick: few,
				records:  record.Records{{Key: "/service/192.0.2.1:49155", Value: "running"}},
				etcd:     etcd.Config{Endpoints: []string{"http://10.1.0.101:2379"}},
				docker:   docker.Config{Host: "unix:///var/run/docker.sock", Port: 8000, UserAgent: "agent"},
			},
		},
		"all there is": {
			args: "--port=65535 -ip 2001:DB8::0:1 --host-port 1 --key service/web --value= --etcd https://a:1,https://b:2/ --etcd=https://[::1]:3 --check=exec:check␣--port␣8 " +
				"--ttl 244s --interval 60s --timeout 1m --rise 2 --fall 3 --docker tcp://d:2375 --container web-1 --drain 2.5s --dry-run --log-level debug --log-format json",
			want: config{
				check:    "exec:check (arguments: 2)",
				sidekick: all,
				records:  record.Records{{Key: "/service/web/[2001:db8::1]:1", Value: ""}},
				etcd:     etcd.Config{Endpoints: []string{"https://a:1", "https://b:2", "https://[::1]:3"}},
				docker:   docker.Config{Host: "tcp://d:2375", Container: "web-1", Port: 65535, IP: netip.MustParseAddr("2001:db8::1"), UserAgent: "agent"},
				address:  "[2001:db8::1]:1",
				dryRun:   true, level: slog.LevelDebug, json: true,
			},
		},
		"from the environment": {
			env: map[string]string{
				"DOCKREG_PORT": "8000", "DOCKREG_ETCD": "http://joe:p%40ss%2Cw@a:1, http://b:2", "DOCKREG_LOG_LEVEL": "error", "DOCKREG_DRY_RUN": "0",
				"DOCKREG_VALUE": "", "DOCKREG_IP": "10.1.0.101", "DOCKER_HOST": "tcp://d:2375", "DOCKREG_DOCKER": "/run/host/d.sock",
			},
			want: config{
				check:    "http:/",
				sidekick: few,
				records:  record.Records{{Key: "/service/192.0.2.1:49155", Value: "running"}},
				etcd:     etcd.Config{Endpoints: []string{"http://a:1", "http://b:2"}, Username: "joe", Password: "p@ss,w"},
				docker:   docker.Config{Host: "unix:///run/host/d.sock", Port: 8000, IP: netip.MustParseAddr("10.1.0.101"), UserAgent: "agent"},
				level:    slog.LevelError,
			},
		},
		"a flag beats it": {
			args: "--value flag",
			env: map[string]string{
				"DOCKREG_PORT": "8000", "DOCKREG_ETCD": "a:1", "DOCKREG_VALUE": "env", "DOCKREG_KEY": "", "DOCKREG_HOST_PORT": "9000", "DOCKREG_IP": "10.1.0.101",
				"DOCKREG_DOCKER": "", "DOCKER_HOST": "tcp://d:2375", "DOCKREG_DRY_RUN": "true",
			},
			want: config{
				check:    "http:/",
				sidekick: few,
				records:  record.Records{{Key: "/service/10.1.0.101:9000", Value: "flag"}},
				etcd:     etcd.Config{Endpoints: []string{"http://a:1"}},
				docker:   docker.Config{Port: 8000, IP: netip.MustParseAddr("10.1.0.101"), UserAgent: "agent"}, // DOCKER_HOST is not asked
				address:  "10.1.0.101:9000",
				dryRun:   true,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			args := strings.Fields(tt.args)
			for i := range args {
				args[i] = strings.ReplaceAll(args[i], "␣", " ")
			}
			got := mustConfig(t, tt.env, args...)
			got.set, got.log = nil, nil // see TestShown
			if !reflect.DeepEqual(*got, tt.want) {
				t.Errorf("\n got %+v\nwant %+v", *got, tt.want)
			}
		})
	}
}

// A dry run shows every setting as it is in force, and where it comes from.
func TestShown(t *testing.T) {
	conf := mustConfig(t, map[string]string{"DOCKREG_RISE": "2", "DOCKREG_FALL": "3", "DOCKER_HOST": "tcp://d:2375", "DOCKREG_ETCD": "http://joe:hunter2@a:1,b:2"},
		"--port", "8000", "--fall", "2", "--check", "exec:check --token hunter2")
	want := map[string]shown{
		"port":   {"8000", "--port"},
		"rise":   {"2", "DOCKREG_RISE"},
		"fall":   {"2", "--fall"},
		"docker": {"tcp://d:2375", "DOCKER_HOST"},
		"etcd":   {"http://a:1,http://b:2 as user joe, with a password", "DOCKREG_ETCD"},
		"check":  {"exec:check (arguments: 2)", "--check"},
		"drain":  {"0s", "default"}, // of the plain record
	}
	var table strings.Builder
	conf.set.Show(&table, true)
	for _, f := range conf.set.all {
		w, ok := want[f.Name]
		if !ok {
			w = shown{f.fallback, "default"}
		}
		if got := conf.shown(f.Name); got != w {
			t.Errorf("--%s is shown as %+v, want %+v", f.Name, got, w)
		}
		line := regexp.MustCompile(`(?m)^--` + f.Name + ` +` + regexp.QuoteMeta(w.text) + ` *` + w.label + `$`)
		if !line.MatchString(table.String()) {
			t.Errorf("no line %s in\n%s", line, table.String())
		}
	}
}

// P9: what a mistake makes of another setting is no mistake of its own.
func TestP9OneMistakeIsOneLine(t *testing.T) {
	for args, want := range map[string][]string{
		"":                                          {"--port: required", "--etcd: required"},
		"--port 0 --etcd ftp://a:1":                 {`--port "0": not a port`, `--etcd "ftp://a:1": etcd is not`},
		"--port 1 --etcd a:1 --host-port 1":         {"--ip: required; --host-port does without Docker"},
		"--host-port 0":                             {`--host-port "0": not a port`, "--port: required", "--etcd: required"},
		"--port 1 --etcd a:1 --interval x":          {`--interval "x": not a time`},
		"--port 1 --etcd a:1 --interval 0s":         {`--interval "0s": too short`},
		"--port 1 --etcd a:1 --timeout x":           {`--timeout "x": not a time`},
		"--port 1 --etcd a:1 --timeout 0 --ttl 5s":  {`--timeout "0": too short`},
		"--port 1 --etcd a:1 --interval 0 --ttl 3s": {`--interval "0": too short`},
		"--port 1 --etcd a:1 --ttl x":               {`--ttl "x": not a time`},
		"--port 1 --etcd a:1 --ttl -8s":             {`--ttl "-8s": negative`},
		"--port --etcd --ip --ttl 1x":               {"--port: no value", "--ip: no value"},
		"--port 1 --etcd":                           {"--etcd: no value"},
		"--port 1 --etcd a:1 --ip= --ttl=":          {`--ip "": nothing is there`, `--ttl "": not a time`},
		"--port 1 --etcd a,b,c:1":                   {`--etcd "a": no port; give a:2379`, `--etcd "b": no port; give b:2379`},
		"--host-port 1 --ip :: --port 1":            {`--ip "::": stands for every IP`, "--etcd: required"},
		"--port 1 --port=2 --etcd=a:1 --rise 0":     {"--port: given twice", `--rise "0": not a count`},
		"--port 1 --port=2 --etcd=a:1 stray":        {`"stray": a stray`},
		"--port 1 --etcd a:1 --container=":          {`--container "": not a container's id or name`},
		"--port 1 --etcd a:1 --container -ab":       {`--container "-ab": not a container's id or name`},
	} {
		_, lines := configOf(t, nil, strings.Fields(args)...)
		slices.Sort(lines)
		slices.Sort(want)
		if !slices.EqualFunc(lines, want, strings.HasPrefix) {
			t.Errorf("%s\n got %q\nwant %q", args, lines, want)
		}
	}
}

// P9: the durations have to fit each other, also those that nobody gave.
func TestP9Times(t *testing.T) {
	for args, want := range map[string][]string{
		"--ttl 12s": nil,
		"--ttl 11s": {`--ttl "11s": too short for a renewal to fail, and the next one to save the key; give at least 1 x the interval + the timeout + 4s, 1 x 5s + 3s + 4s`},
		"--interval 10s --timeout 500ms --ttl 11s":  {`--ttl "11s": too short for a renewal to fail, and the next one to save the key; give at least 1 x the interval + the timeout + 4s, 1 x 10s + 500ms + 4s`},
		"--timeout 5s --ttl 14s":                    nil,
		"--timeout 5001ms":                          {`--timeout "5001ms": longer than the interval, 5s; give at most that`},
		"--interval 1s":                             {`--timeout "3s": longer than the interval, 1s`},
		"--interval 14s":                            {`--ttl "20s": too short for a renewal to fail, and the next one to save the key; give at least 1 x the interval + the timeout + 4s, 1 x 14s + 3s + 4s`},
		"--interval 13s":                            nil,
		"--interval 30m --timeout 30m --ttl 1h":     {`--ttl "1h": too short for a renewal to fail, and the next one to save the key; give at least 1 x the interval + the timeout + 4s, 1 x 30m + 30m + 4s`},
		"--interval 1m --timeout 2m --ttl 2m30s":    {`--timeout "2m": longer than the interval, 1m`, `--ttl "2m30s": too short for a renewal to fail, and the next one to save the key; give at least 1 x the interval + the timeout + 4s, 1 x 1m + 2m + 4s`},
		"--interval 1h --timeout 5s --ttl 3601s":    {`--ttl "3601s": too short for a renewal to fail, and the next one to save the key; give at least 1 x the interval + the timeout + 4s, 1 x 1h + 5s + 4s`},
		"--drain 1h --interval 100ms --timeout 1ms": nil,
	} {
		_, lines := configOf(t, nil, append(strings.Fields(args), "--port", "1", "--etcd", "a:1")...)
		if !slices.EqualFunc(lines, want, strings.HasPrefix) {
			t.Errorf("%s\n got %q\nwant %q", args, lines, want)
		}
	}
}

// Without Docker nobody cares what is at its default address, which may be a folder.
func TestDockerIsNotAsked(t *testing.T) {
	for args, want := range map[string]string{"--host-port 1": "not asked", "--host-port 1 --docker /run/d.sock": "/run/d.sock", "": "/var/run/docker.sock"} {
		conf := mustConfig(t, nil, append(strings.Fields(args), "--port", "1", "--etcd", "a:1", "--ip", "10.1.0.101")...)
		if got := conf.shown("docker").text; got != want {
			t.Errorf("%s: --docker is shown as %s, want %s", args, got, want)
		}
	}
}
