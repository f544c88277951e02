package etcdreg

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/etcdreg/etcd"
)

// secured gives etcd the user that docs/security.md shows, with its own commands,
// and returns a client of its root.
func secured(t *testing.T, s *server) *clientv3.Client {
	t.Helper()
	text, err := os.ReadFile("../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile("(?s)```sh\n(etcdctl --endpoints \\$ETCD role add .*?)```").FindSubmatch(text)
	if commands == nil {
		t.Fatal("docs/security.md has no commands that add a role")
	}
	cmd := exec.Command("sh", "-e", "-c", string(commands[1]))
	cmd.Env = append(os.Environ(), "ETCD="+s.url, "PASSWORD=secret", "ROOT_PASSWORD=root-secret", "ETCDCTL_COMMAND_TIMEOUT=1m")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", commands[1], err, out)
	}
	// The client's own way to authenticate has no end with etcd 3.4, once a token
	// has run out [measured].
	var root *clientv3.Client
	client := with(t, s.url, etcd.Config{Username: "root", Password: "root-secret"}).client
	err = unhurried(func() error {
		return client.Do(t.Context(), etcd.Timeout, func(_ context.Context, c *clientv3.Client) error {
			root = c
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func passwordFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// A user with no more rights than the document's has all that a registration needs.
func TestLeastRights(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary)
		root := secured(t, s)
		r := with(t, s.url, etcd.Config{Username: "dockreg", PasswordFile: passwordFile(t, "secret\n")})
		register(t, r)
		register(t, r) // renews
		wantKey(t, root, r)
		wantLook(t, r)
		err := unhurried(func() error {
			return r.client.Do(t.Context(), etcd.Timeout, func(ctx context.Context, c *clientv3.Client) error {
				found, err := c.Get(ctx, "/service/", clientv3.WithPrefix(), clientv3.WithCountOnly())
				if err == nil && found.Count != 1 {
					t.Errorf("count of /service/: %v", found)
				}
				return err
			})
		})
		if err != nil {
			t.Error(err)
		}
		if _, err := root.Put(t.Context(), key, "someone"); err != nil {
			t.Fatal(err)
		}
		wantDisturbed(t, r, "overwritten")
		register(t, r)
		if _, err := root.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		wantDisturbed(t, r, "deleted")
		register(t, r)
		wantKey(t, root, r)
		if err := tryDeregister(t, r); err != nil {
			t.Errorf("deregister: %v", err)
		}
		wantNoKey(t, root)
	})
}

// P10: what etcd refuses is said without the password, and what to fix.
func TestP10Refusals(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary)
		root := secured(t, s)
		if _, err := root.UserAdd(t.Context(), "nobody", "secret"); err != nil {
			t.Fatal(err)
		}
		for name, tt := range map[string]struct {
			c      etcd.Config
			want   string
			advice error
		}{
			"no user":               {etcd.Config{}, "it wants to know who asks", etcd.ErrNoUser},
			"wrong password":        {etcd.Config{Username: "dockreg", Password: "hunter2"}, `it refuses user "dockreg" with its password`, etcd.ErrPassword},
			"wrong one in the file": {etcd.Config{Username: "dockreg", PasswordFile: passwordFile(t, "hunter2\n")}, `it refuses user "dockreg" with its password`, etcd.ErrPassword},
			"no such user":          {etcd.Config{Username: "joe", Password: "secret"}, `it refuses user "joe" with its password`, etcd.ErrPassword},
			"no rights":             {etcd.Config{Username: "nobody", Password: "secret"}, `it refuses user "nobody": permission denied`, etcd.ErrPermission},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				wantReason(t, with(t, s.url, tt.c), ": "+tt.want, tt.advice)
			})
		}
	})
}

// A password that is changed in etcd and then in the file is used without a restart.
func TestPasswordChanges(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary)
		root := secured(t, s)
		file := passwordFile(t, "secret")
		r := with(t, s.url, etcd.Config{Username: "dockreg", PasswordFile: file})
		register(t, r)
		if _, err := root.UserChangePassword(t.Context(), "dockreg", "another"); err != nil {
			t.Fatal(err)
		}
		if _, err := root.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		wantDisturbed(t, r, "deleted")
		if err := tryRegister(t, r); err == nil || !errors.Is(err, etcd.ErrPassword) {
			t.Errorf("Register with the old password = %v", err)
		}
		if err := os.WriteFile(file, nil, 0o600); err != nil { // about to be written
			t.Fatal(err)
		}
		if err := r.Register(t.Context(), running); err == nil {
			t.Error("registered with the old password")
		}
		if err := os.WriteFile(file, []byte("another\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		register(t, r)
		wantKey(t, root, r)
	})
}

// An etcd without authentication takes anybody, and so it is said once, and no
// error. Once it has it, dockreg goes on.
func TestAuthenticationIsOff(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary)
		out := &lockedBuffer{}
		r := with(t, s.url, etcd.Config{Username: "dockreg", Password: "secret", Log: slog.New(slog.NewTextHandler(out, nil))})
		register(t, r)
		r.client.Close()
		register(t, r)
		if n := strings.Count(out.String(), "authentication off"); n != 1 || strings.Contains(out.String(), "secret") {
			t.Errorf("said %d times that authentication is off:\n%s", n, out)
		}
		root := secured(t, s)
		if _, err := root.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		wantDisturbed(t, r, "deleted")
		register(t, r)
		wantKey(t, root, r)
	})
}

// Calls that were refused for the same token get a new one together, once: etcd checks a
// password for 50 ms or so, on purpose.
func TestAuthenticatesOnceForAll(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary)
		root := secured(t, s)
		client := with(t, s.url, etcd.Config{Username: "dockreg", Password: "secret"}).client
		many := func() error {
			return client.Do(t.Context(), 20*time.Second, func(ctx context.Context, c *clientv3.Client) error {
				answers := make(chan error)
				for range 32 {
					go func() {
						_, err := c.Get(ctx, key)
						answers <- err
					}()
				}
				var err error
				for range 32 {
					err = errors.Join(err, <-answers)
				}
				return err
			})
		}
		if err := many(); err != nil {
			t.Fatal(err)
		}
		// Another password for anybody makes etcd forget all tokens.
		if _, err := root.UserChangePassword(t.Context(), "dockreg", "secret"); err != nil {
			t.Fatal(err)
		}
		before := entriesOf(t, root, s)
		if err := many(); err != nil {
			t.Fatal(err)
		}
		if entries := entriesOf(t, root, s) - before; entries != 1 {
			t.Errorf("%d entries in etcd's log for one new token", entries)
		}
	})
}

// Renewals don't authenticate: that is a write in etcd, and slow on purpose.
func TestP7RenewalsDontAuthenticate(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, binary string) {
		s := startServer(t, binary)
		root := secured(t, s)
		r := with(t, s.url, etcd.Config{Username: "dockreg", Password: "secret"})
		register(t, r)
		before := entriesOf(t, root, s)
		for range 5 {
			register(t, r)
		}
		if after := entriesOf(t, root, s); after != before {
			t.Errorf("%d entries in etcd's log for 5 renewals", after-before)
		}
	})
}

// entriesOf returns how many entries a server's log has.
func entriesOf(t *testing.T, c *clientv3.Client, s *server) uint64 {
	t.Helper()
	status, err := c.Status(t.Context(), s.url)
	if err != nil {
		t.Fatal(err)
	}
	return status.RaftIndex
}
