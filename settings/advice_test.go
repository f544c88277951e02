package settings

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"dockreg/etcdreg/etcd"
	"dockreg/sidekick/docker"
)

// What a package below knows only the cause of, the settings say which flag to change
// for; in an error and in the log alike, and behind what was wrong.
func TestAdvice(t *testing.T) {
	args := []string{"--port", "1", "--key", "service/web", "--etcd", "a:1", "--etcd-user", "joe", "--etcd-password-file", passwordFile}
	conf := mustConfig(t, nil, args...)
	for _, tt := range []struct {
		about error
		want  string
	}{
		{etcd.ErrMaybeTLS, "if it speaks TLS, give https:// in --etcd; or it is no etcd"},
		{etcd.ErrMaybePlain, "if it speaks no TLS, give http:// in --etcd"},
		{etcd.ErrAuthority, "give the certificate of the one that signed it as --etcd-cacert"},
		{etcd.ErrName, "if it is the right etcd, give a name of it as --etcd-server-name"},
		{etcd.ErrFile, "see --etcd-cacert, --etcd-cert, --etcd-key and --etcd-password-file"},
		{etcd.ErrNoCertificate, "give --etcd-cert and --etcd-key"},
		{etcd.ErrCertificate, "see --etcd-cert; etcd's log says why"},
		{etcd.ErrNoUser, "give --etcd-user, with --etcd-password-file or DOCKREG_ETCD_PASSWORD"},
		{etcd.ErrPassword, "the password is the one in --etcd-password-file"},
		{etcd.ErrPermission, "grant a role of it readwrite on the prefix /service/web/"},
		{docker.ErrNoHostIP, "give the host's IP that consumers dial, such as --ip 10.1.0.101"},
		{docker.ErrNotPublished, "or give --port the app's port"},
		{docker.ErrNotYet, "in a network that publishes no ports, such as an internal one or macvlan, give --host-port and --ip, as consumers dial them"},
		{docker.ErrOutOfReach, "or, where something on the host forwards to it, give --host-port too"},
		{docker.ErrNoSuchContainer, "give --container the id or name of the one that dockreg runs in"},
		{docker.ErrUnknownSelf, "give --container with its id or name, or --host-port and --ip to do without Docker"},
		{docker.ErrNotDocker, "give --docker the address of the engine that runs this container"},
	} {
		err := fmt.Errorf("what was wrong: %w", tt.about)
		want := err.Error() + "; " + tt.want
		if got := conf.set.Advise(err); got.Error() != want {
			t.Errorf("%v\nwant %s", got, want)
		}
		var out bytes.Buffer
		conf.logger(&out).Warn("no", "err", err)
		if !strings.Contains(out.String(), want) {
			t.Errorf("the log says %s\nwant %s", out.String(), want)
		}
	}
	if err := fmt.Errorf("another"); conf.set.Advise(err) != err || conf.set.Advise(nil) != nil { //nolint:errorlint // as it was
		t.Error("it has advice about anything")
	}
}

// What has to be granted in etcd for records is said for each of them.
func TestWhatToGrant(t *testing.T) {
	for line, want := range map[string]string{
		"--record dns:web.svc.example":                      "the prefix /skydns/example/svc/web/ and on the prefix /skydns/example/svc/_tcp/_web/",
		"--record {{.Container}}/x=secret --record grpc:a":  "the keys {{.Container}}/x and on the prefix a/",
		"--record /{{.Container}}/x=secret":                 "the keys /{{.Container}}/x",
		"--record /{{.Container}}/x=y --record /a/{{.IP}}=": "the keys /{{.Container}}/x and on the prefix /a/",
	} {
		conf := mustConfig(t, nil, append(arguments(line), "--port", "1", "--etcd", "a:1")...)
		if got := conf.set.Advise(etcd.ErrPermission).Error(); !strings.HasSuffix(got, "; grant a role of it readwrite on "+want) {
			t.Errorf("%s: %s, want %q", line, got, want)
		}
	}
}

// Who has followed the advice already gets another one.
func TestAdviceThatWasFollowed(t *testing.T) {
	conf := mustConfig(t, nil, "--port", "1", "--etcd", "a:1", "--etcd-cacert", certFile, "--etcd-server-name", "etcd-1")
	for err, want := range map[error]string{etcd.ErrAuthority: "trusted are those in --etcd-cacert", etcd.ErrName: "the name wanted is the one in --etcd-server-name"} {
		if got := conf.set.Advise(err).Error(); !strings.HasSuffix(got, "; "+want) {
			t.Errorf("%s, want %q", got, want)
		}
	}
}

// The advice about a wrong password says where that comes from.
func TestWhereThePasswordIs(t *testing.T) {
	for want, tt := range map[string]struct {
		env  map[string]string
		args string
	}{
		"DOCKREG_ETCD":               {map[string]string{"DOCKREG_ETCD": "http://joe:hunter2@a:1"}, ""},
		"DOCKREG_ETCD_PASSWORD":      {map[string]string{passwordEnv: "hunter2"}, "--etcd a:1 --etcd-user joe"},
		"--etcd-password-file":       {nil, "--etcd a:1 --etcd-user joe --etcd-password-file " + passwordFile},
		"DOCKREG_ETCD_PASSWORD_FILE": {map[string]string{"DOCKREG_ETCD_PASSWORD_FILE": passwordFile}, "--etcd a:1 --etcd-user joe"},
	} {
		conf := mustConfig(t, tt.env, append(strings.Fields(tt.args), "--port", "1")...)
		if got := conf.set.Advise(etcd.ErrPassword).Error(); !strings.HasSuffix(got, "; the password is the one in "+want) {
			t.Errorf("%s: %s", want, got)
		}
	}
}
