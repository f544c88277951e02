package main

import (
	"strings"
	"testing"
)

// P10: nothing that may be secret shows in a message about a mistake.
func TestP10MistakesHideSecrets(t *testing.T) {
	tests := map[string][]string{
		"in a flag at all":         instead("--etcd", "http://joe:hunter2@127.0.0.1:2379"),
		"in a malformed URL":       instead("--etcd", "http://joe:hunter2@[::1:2379"),
		"with an @ in it":          instead("--etcd", "http://joe:@hunter2@a:2379"),
		"in another scheme":        instead("--etcd", "ftp://joe:hunter2@a:2379"),
		"with a path":              instead("--etcd", "http://joe:hunter2@a:2379/x"),
		"in Docker's address":      right("--docker", "ssh://joe:hunter2@host"),
		"in Docker's tcp address":  right("--docker", "tcp://joe:hunter2@host"),
		"a command's argument":     right("--check", "exec:psql -p 'hunter2"),
		"a token in a query":       right("--check", "http:health?token=hunter2"),
		"a token behind a colon":   right("--check", "https://a/?hunter2"),
		"in half of a password":    instead("--etcd", "http://joe:hunter2,x@a:1"),
		"in a check of a URL":      right("--check", "http://joe:hunter2@127.0.0.1/x"),
		"in an unquoted check":     right("--check", "exec:psql", "hunter2"),
		"behind a tab":             right("--check", "exex\thunter2"),
		"in a stray argument":      right("http://joe:hunter2@a:1"),
		"in Docker's scheme":       right("--docker", "joe:hunter2@host://x"),
		"in half of a command":     append([]string{"run"}, append(right("--pre-stop", "deploy --token 'hunter2"), "--", "app")...),
		"in a list with a mistake": instead("--etcd", "http://a,http://joe:hunter2@b:2379"),
	}
	for name, args := range tests {
		r := runWith(args...)
		if r.code != exitUsage || strings.Contains(r.stderr+r.stdout, "hunter2") {
			t.Errorf("%s: exit code %d, %s", name, r.code, r.stderr)
		}
	}
}

// P10: a dry run shows the settings, and of commands no argument.
func TestP10DryRunHidesTheCommandBeforeTheStop(t *testing.T) {
	r := runWith(append(append([]string{"run"}, right("--pre-stop", "deploy --token hunter2")...), "--", "app")...)
	if r.code != exitFault || !strings.Contains(r.stdout, "--pre-stop") || strings.Contains(r.stderr+r.stdout, "hunter2") {
		t.Errorf("%+v", r)
	}
}

// P10: an unknown flag's value may be a password for something else.
func TestP10UnknownFlagsValueIsNotShown(t *testing.T) {
	for _, args := range [][]string{{"--password", "hunter2"}, {"--password=hunter2"}, {"-p=hunter2"}, {"--etdc", "http://joe:hunter2@a:1"}} {
		r := runWith(append(args, right()...)...)
		if r.code != exitUsage || !strings.Contains(r.stderr, "no such flag") || strings.Contains(r.stderr+r.stdout, "hunter2") {
			t.Errorf("%q: exit code %d, %s", args, r.code, r.stderr)
		}
	}
}

// P10: a secret that is where it belongs doesn't show either, whatever is wrong.
func TestP10EnvironmentHidesSecrets(t *testing.T) {
	for name, tt := range map[string]struct{ variable, text, want string }{
		"right, beside a mistake": {"DOCKREG_ETCD", "http://joe:hunter2@a:1", "--rise"},
		"no port":                 {"DOCKREG_ETCD", "http://joe:hunter2@a", "DOCKREG_ETCD"},
		"no scheme":               {"DOCKREG_ETCD", "joe:hunter2@a", "DOCKREG_ETCD"},
		"not a URL":               {"DOCKREG_ETCD", "http://joe:hunter2%@a:1", "DOCKREG_ETCD"},
		"a slash in it":           {"DOCKREG_ETCD", "http://joe:1/hunter2@a:1", "DOCKREG_ETCD"},
		"mixed":                   {"DOCKREG_ETCD", "http://joe:hunter2@a:1,https://joe:hunter2@b:1", "http and https mixed"},
		"two passwords":           {"DOCKREG_ETCD", "http://joe:hunter2@a:1,http://joe:hunter22@b:1", "more than one user or password"},
		"no user":                 {"DOCKREG_ETCD", "http://:hunter2@a:1", "a user without a password"},
		"no password":             {"DOCKREG_ETCD", "http://hunter2@a:1", "a user without a password"},
		"Docker by ssh":           {"DOCKER_HOST", "ssh://joe:hunter2@host", "DOCKER_HOST"},
		"Docker by tcp":           {"DOCKREG_DOCKER", "tcp://joe:hunter2@host:2375", "DOCKREG_DOCKER"},
		"a command":               {"DOCKREG_CHECK", "exec:check -p 'hunter2", "DOCKREG_CHECK"},
		"a query":                 {"DOCKREG_CHECK", "http:x?token=hunter2", "DOCKREG_CHECK"},
		"an unknown kind":         {"DOCKREG_CHECK", "curl -u joe:hunter2", "DOCKREG_CHECK"},
		"etcd's URL as a domain":  {"DOCKREG_ETCD_DISCOVERY_SRV", "http://joe:hunter2@a:1", "DOCKREG_ETCD_DISCOVERY_SRV"},
		"as a server's name":      {"DOCKREG_ETCD_SERVER_NAME", "http://joe:hunter2@a:1", "DOCKREG_ETCD_SERVER_NAME"},
		"without a scheme":        {"DOCKREG_ETCD_SERVER_NAME", "joe:hunter2@a:1", "DOCKREG_ETCD_SERVER_NAME"},
		"as an address":           {"DOCKREG_METRICS", "joe:hunter2@a:1", "DOCKREG_METRICS"},
		"as a file":               {"DOCKREG_ETCD_CACERT", "http://joe:hunter2@a:1", "DOCKREG_ETCD_CACERT"},
		"as a key":                {"DOCKREG_KEY", "http://joe:hunter2@a:1", "DOCKREG_KEY"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(tt.variable, tt.text)
			args := right("--rise", "0")
			if tt.variable == "DOCKREG_ETCD" {
				args = without(args, "--etcd")
			}
			if tt.variable == "DOCKER_HOST" {
				args = without(args, "--host-port") // or it would be nobody's
			}
			r := runWith(args...)
			if r.code != exitUsage || !strings.Contains(r.stderr, tt.want) || strings.Contains(r.stdout+r.stderr, "hunter2") {
				t.Errorf("%s=%s: exit code %d, want %q and no secret in\n%s", tt.variable, tt.text, r.code, tt.want, r.stderr)
			}
		})
	}
}

// FuzzAddresses: whatever an address says, no password shows, and what is accepted
// can be dialled.
func FuzzAddresses(f *testing.F) {
	for _, seed := range []string{"http://a:1", "a:1", "://", "http://[::1]:2379", "%", "@"} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		text := before + "hunter2@" + after
		if strings.Contains(after, "hunter2") || strings.HasPrefix(text, "-") || strings.ContainsRune(before, ',') {
			t.Skip()
		}
		if r := runWith(instead("--etcd", text)...); r.code != exitUsage || strings.Contains(r.stderr, "hunter2") {
			t.Errorf("%q: exit code %d, %s", text, r.code, r.stderr)
		}
	})
}
