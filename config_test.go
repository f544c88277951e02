package main

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"dockreg/etcdreg"
	"dockreg/sidekick"
	"dockreg/sidekick/docker"
)

// configOf is what a command line amounts to beside an environment, or else what is
// wrong with them, a line each.
func configOf(t *testing.T, env map[string]string, args ...string) (conf *config, lines []string) {
	t.Helper()
	wrong := &mistakes{}
	app := newApp(io.Discard, io.Discard, func(c *cli.Context) (err error) {
		conf, err = parse(source{c, func(name string) string { return env[name] }}, wrong)
		return err
	})
	err := app.Run(tidy(append([]string{"dockreg"}, args...), wrong))
	var found *mistakes
	switch {
	case err == nil && conf != nil:
		return conf, nil
	case errors.As(err, &found) && conf == nil:
		return nil, found.lines
	}
	t.Fatalf("%q: neither a configuration alone nor mistakes alone: %v, %v", args, conf, err)
	return nil, nil
}

// mustConfig is configOf what has no mistakes.
func mustConfig(t *testing.T, env map[string]string, args ...string) *config {
	t.Helper()
	conf, lines := configOf(t, env, args...)
	if lines != nil {
		t.Fatalf("%q, %q: %q", env, args, lines)
	}
	return conf
}

func TestConfig(t *testing.T) {
	agent := "dockreg/" + version
	few := sidekick.Config{Parent: "service", Value: "running", Interval: 5 * time.Second, Timeout: 3 * time.Second, Rise: 1, Fall: 1, TTL: 20 * time.Second}
	all := sidekick.Config{Parent: "service/web", Value: "", Interval: time.Minute, Timeout: time.Minute, Rise: 2, Fall: 3, TTL: 241 * time.Second, Drain: 2500 * time.Millisecond}
	for name, tt := range map[string]struct {
		args string
		env  map[string]string
		want config
	}{
		"as little as possible": {
			args: "--port 8000 --etcd 10.1.0.101:2379",
			want: config{
				port:     8000,
				sidekick: few,
				etcd:     etcdreg.Config{Endpoints: []string{"http://10.1.0.101:2379"}, TTL: 20 * time.Second},
				docker:   docker.Config{Host: "unix:///var/run/docker.sock", Port: 8000, UserAgent: agent},
			},
		},
		"all there is": {
			args: "--port 65535 --ip 2001:db8::1 --host-port 1 --key service/web --value= --etcd https://a:1,https://b:2 --etcd=https://c:3 " +
				"--ttl 241s --interval 60s --timeout 1m --rise 2 --fall 3 --docker tcp://d:2375 --container web-1 --drain 2.5s --dry-run --log-level debug --log-format json",
			want: config{
				port:     65535,
				sidekick: all,
				etcd:     etcdreg.Config{Endpoints: []string{"https://a:1", "https://b:2", "https://c:3"}, TTL: 241 * time.Second},
				docker:   docker.Config{Host: "tcp://d:2375", Container: "web-1", Port: 65535, IP: netip.MustParseAddr("2001:db8::1"), UserAgent: agent},
				address:  netip.MustParseAddrPort("[2001:db8::1]:1"),
				dryRun:   true, logLevel: slog.LevelDebug, logJSON: true,
			},
		},
		"from the environment": {
			env: map[string]string{
				"DOCKREG_PORT": "8000", "DOCKREG_ETCD": "http://joe:p%40ss%2Cw@a:1, http://b:2", "DOCKREG_LOG_LEVEL": "error", "DOCKREG_DRY_RUN": "0",
				"DOCKREG_VALUE": "", "DOCKREG_IP": "10.1.0.101", "DOCKER_HOST": "tcp://d:2375", "DOCKREG_DOCKER": "/run/host/d.sock",
			},
			want: config{
				port:     8000,
				sidekick: few,
				etcd:     etcdreg.Config{Endpoints: []string{"http://a:1", "http://b:2"}, Username: "joe", Password: "p@ss,w", TTL: 20 * time.Second},
				docker:   docker.Config{Host: "unix:///run/host/d.sock", Port: 8000, IP: netip.MustParseAddr("10.1.0.101"), UserAgent: agent},
				logLevel: slog.LevelError,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := mustConfig(t, tt.env, strings.Fields(tt.args)...)
			got.check, got.shown = nil, nil // see TestShown
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
	want := map[string]value{
		"port":   {text: "8000", label: "--port", given: true},
		"rise":   {text: "2", label: "DOCKREG_RISE", given: true},
		"fall":   {text: "2", label: "--fall", given: true},
		"docker": {text: "tcp://d:2375", label: "DOCKER_HOST", given: true},
		"etcd":   {text: "http://a:1,http://b:2 as user joe, with a password", label: "DOCKREG_ETCD", given: true},
		"check":  {text: "exec:check (arguments: 2)", label: "--check", given: true},
	}
	for i, s := range settings {
		w, ok := want[s.name]
		if !ok {
			w = value{text: s.fallback, label: "--" + s.name}
		}
		w.setting = s
		if len(conf.shown) != len(settings) || conf.shown[i] != w {
			t.Fatalf("shown\n got %+v\nwant %+v at %d", conf.shown, w, i)
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
		"--port --etcd --ip":                        {"--port: no value", "--etcd: no value", "--ip: no value"},
		"--port 1 --etcd a:1 --ip= --ttl=":          {`--ip "": not an IP address`, `--ttl "": not a time`},
		"--port 1 --etcd a,b,c:1":                   {`--etcd "a": no host, or no port`, `--etcd "b": no host, or no port`},
		"--host-port 1 --ip :: --port 1":            {`--ip "::": stands for every IP`, "--etcd: required"},
		"--port 1 --port=2 --etcd=a:1 stray":        {"--port: given twice", `"stray": a stray`},
		"--port 1 --etcd a:1 --container=":          {`--container "": not a container's id or name`},
		"--port 1 --etcd a:1 --container -ab":       {`--container "-ab": not a container's id or name`},
	} {
		_, lines := configOf(t, nil, strings.Fields(args)...)
		if !slices.EqualFunc(lines, want, strings.HasPrefix) {
			t.Errorf("%s\n got %q\nwant %q", args, lines, want)
		}
	}
}

// P9: the durations have to fit each other, also those that nobody gave.
func TestP9Times(t *testing.T) {
	for args, want := range map[string][]string{
		"--ttl 9s":                                  nil,
		"--ttl 8s":                                  {`--ttl "8s": too short for the key to last until the app has failed; give more than 1 x the interval + the timeout, 1 x 5s + 3s`},
		"--timeout 5s --ttl 11s":                    nil,
		"--timeout 5001ms":                          {`--timeout "5001ms": longer than the interval, 5s; give at most that`},
		"--interval 1s":                             {`--timeout "3s": longer than the interval, 1s`},
		"--interval 17s":                            {`--ttl "20s": too short for the key to last until the app has failed; give more than 1 x the interval + the timeout, 1 x 17s + 3s`},
		"--interval 16999ms":                        nil,
		"--interval 30m --timeout 30m --ttl 1h":     {`--ttl "1h": too short for the key to last until the app has failed; give more than 1 x the interval + the timeout, 1 x 30m + 30m`},
		"--interval 1m --timeout 2m --ttl 2m30s":    {`--timeout "2m": longer than the interval, 1m`, `--ttl "2m30s": too short for the key to last until the app has failed; give more than 1 x the interval + the timeout, 1 x 1m + 2m`},
		"--interval 1h --timeout 5s --ttl 3601s":    {`--ttl "3601s": too short for the key to last until the app has failed; give more than 1 x the interval + the timeout, 1 x 1h + 5s`},
		"--drain 1h --interval 100ms --timeout 1ms": nil,
	} {
		_, lines := configOf(t, nil, append(strings.Fields(args), "--port", "1", "--etcd", "a:1")...)
		if !slices.EqualFunc(lines, want, strings.HasPrefix) {
			t.Errorf("%s\n got %q\nwant %q", args, lines, want)
		}
	}
}

// What Docker says about the container can be a mistake too, and not only in a dry
// run. The one line about it comes after the log's.
func TestP9MistakeThatDockerFinds(t *testing.T) {
	engine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		if r.URL.Path != "/_ping" {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer engine.Close()
	line := []string{"--port", "1", "--etcd", "127.0.0.1:1", "--container", "web", "--docker", "tcp://" + engine.Listener.Addr().String()}
	for _, args := range [][]string{line, append(line, "--dry-run")} {
		r := runWith(args...)
		if r.code != exitUsage || !strings.Contains(r.stderr, "\ndockreg: --container \"web\": ") && !strings.HasPrefix(r.stderr, "dockreg: --container \"web\": ") {
			t.Errorf("%q: exit code %d, %s", args, r.code, r.stderr)
		}
	}
}
