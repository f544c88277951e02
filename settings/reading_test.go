package settings

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// readingOf returns which keys a command line asks for that shows what is registered, or what
// is wrong with it.
func readingOf(t *testing.T, env map[string]string, args ...string) (prefixes []string, lines Mistakes) {
	t.Helper()
	for name, text := range env {
		t.Setenv(name, text)
		defer func() { _ = os.Unsetenv(name) }()
	}
	set := &Set{}
	r := set.Reading("table", "json")
	app := &cli.App{
		Writer: io.Discard, ErrWriter: io.Discard, Flags: set.Flags(), OnUsageError: set.OnUsageError, ExitErrHandler: func(*cli.Context, error) {},
		Action: func(c *cli.Context) error {
			if err := set.Read(c); err != nil {
				return err
			}
			r.Etcd()
			prefixes = r.Prefixes()
			return set.Err()
		},
	}
	if err := app.Run(append([]string{"ls", "--etcd", "a:1"}, args...)); err != nil && !errors.As(err, &lines) {
		t.Fatalf("%q: %v", args, err)
	}
	return prefixes, lines
}

func TestReading(t *testing.T) {
	for _, tt := range []struct {
		env  map[string]string
		args []string
		want []string
	}{
		{nil, nil, []string{"/service/"}},
		{nil, []string{"--key", "service/web"}, []string{"/service/web/"}},
		{nil, []string{"--prefix", "/a", "--prefix", "b "}, []string{"/a", "b "}},
		{nil, []string{"--prefix", "/a\u00a0b"}, []string{"/a\u00a0b"}},
		{map[string]string{"DOCKREG_PREFIX": "/a\n\n  b \n"}, nil, []string{"/a", "b"}},
		// The command line beats the environment, which may be a sidekick's.
		{map[string]string{"DOCKREG_KEY": "web"}, nil, []string{"/web/"}},
		{map[string]string{"DOCKREG_KEY": "web"}, []string{"--prefix", "/a"}, []string{"/a"}},
		{map[string]string{"DOCKREG_PREFIX": "/a"}, []string{"--key", "web"}, []string{"/web/"}},
	} {
		if got, lines := readingOf(t, tt.env, tt.args...); !slices.Equal(got, tt.want) || lines != nil {
			t.Errorf("%q, %q: %q, %q, want %q", tt.env, tt.args, got, lines, tt.want)
		}
	}
}

// P9: of two that say what the keys begin with, none is passed over in silence.
func TestP9Reading(t *testing.T) {
	for _, tt := range []struct {
		env  map[string]string
		args []string
		want string
	}{
		{nil, []string{"--key", "web", "--prefix", "/a"}, `--key "web": what the keys begin with is given too, in place of it: --prefix; give one of the two`},
		{map[string]string{"DOCKREG_KEY": "web", "DOCKREG_PREFIX": "/a"}, nil, `DOCKREG_KEY "web": what the keys begin with is given too, in place of it: DOCKREG_PREFIX; give one of the two`},
		{nil, []string{"--prefix", ""}, `--prefix "": nothing; give what the keys begin with, such as /service/`},
		{nil, []string{"--prefix", "/a", "--prefix", " "}, `--prefix "/a, ": nothing; give what the keys begin with`},
		{map[string]string{"DOCKREG_PREFIX": " \n"}, nil, `DOCKREG_PREFIX "": nothing; give what the keys begin with`},
		{nil, []string{"--prefix", "/a\nb"}, `--prefix "/a\nb": has a control character, or is not UTF-8; give plain text, such as /service/`},
		{nil, []string{"--prefix", "/a\xff"}, `--prefix "/a\xff": has a control character`},
		{nil, []string{"--prefix", "/a", "--prefix", "/b", "--prefix", "/a/b"}, `--prefix "/a/b": begins as another one, "/a", does; give one of the two`},
		{nil, []string{"--prefix", "/a/b", "--prefix", "/a"}, `--prefix "/a": begins as another one, "/a/b", does`},
		{nil, []string{"--prefix", "/a", "--prefix", "/a"}, `--prefix "/a": begins as another one, "/a", does`},
		{nil, []string{"--key", "/web"}, `--key "/web": starts or ends with a slash`},
	} {
		if _, lines := readingOf(t, tt.env, tt.args...); len(lines) != 1 || !strings.HasPrefix(lines[0], tt.want) {
			t.Errorf("%q, %q: %q\nwant %s", tt.env, tt.args, lines, tt.want)
		}
	}
}
