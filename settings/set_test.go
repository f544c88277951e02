package settings

import (
	"cmp"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"

	"dockreg/etcdreg/etcd"
	"dockreg/record"
	"dockreg/sidekick"
	"dockreg/sidekick/docker"
)

// TestMain takes away what the one who runs the tests has set.
func TestMain(m *testing.M) {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "DOCKREG_") || strings.HasPrefix(name, "DOCKER_") {
			_ = os.Unsetenv(name)
		}
	}
	code := m.Run()
	_ = os.RemoveAll(certDir)
	os.Exit(code)
}

// config is what all settings that there are amount to.
type config struct {
	set      *Set
	sidekick sidekick.Config
	etcd     etcd.Config
	docker   docker.Config
	address  string // as far as it is known without Docker
	records  record.Records
	check    string
	dryRun   bool
	level    slog.Level
	json     bool
	log      *Log
}

func (c *config) logger(w io.Writer) *slog.Logger { return c.log.Logger(w) }

// shown is a setting as Show has it.
type shown struct{ text, label string }

// shown returns how a setting is shown.
func (c *config) shown(name string) shown {
	f := c.set.find(name)
	if !f.isGiven() {
		return shown{cmp.Or(f.shown, f.text()), "default"}
	}
	return shown{cmp.Or(f.shown, f.text()), f.label()}
}

// somewhere is the address that Docker would find.
var somewhere = netip.MustParseAddrPort("192.0.2.1:49155")

// all returns all settings that there are.
func all() (*Set, func() *config) {
	s := &Set{}
	where, what, logs := s.Etcd(), s.Registration("agent"), s.Log()
	return s, func() *config {
		c := &config{
			set: s, sidekick: what.Config(), docker: what.Docker(), dryRun: what.DryRun(), level: logs.level.Value, json: logs.json.Value, log: logs,
		}
		p := what.Prober()
		if p != nil {
			c.check = p.String()
		}
		c.etcd = where.Config()
		if p == nil {
			return c
		}
		if l, records, err := what.Locator(p, slog.New(slog.DiscardHandler)); err == nil && s.Err() == nil {
			at, ok := l.(sidekick.Fixed)
			if ok {
				c.address = netip.AddrPort(at).String()
			} else {
				at = sidekick.Fixed(somewhere)
			}
			if c.records, err = records(netip.AddrPort(at)); err != nil {
				panic(err)
			}
			if knows := p.Arrival != nil; knows == ok {
				panic("who asks Docker knows where consumers arrive, and nobody else")
			}
		}
		return c
	}
}

// configOf is what a command line amounts to beside an environment, or else what is
// wrong with them, a line each.
func configOf(t *testing.T, env map[string]string, args ...string) (conf *config, lines []string) {
	t.Helper()
	for name, text := range env {
		if err := os.Setenv(name, text); err != nil {
			t.Skip(err) // such as a NUL, which no environment can hold
		}
	}
	defer func() {
		for name := range env {
			_ = os.Unsetenv(name)
		}
	}()
	set, read := all()
	app := &cli.App{
		Writer: io.Discard, ErrWriter: io.Discard, Flags: set.Flags(), OnUsageError: set.OnUsageError, ExitErrHandler: func(*cli.Context, error) {},
		Action: func(c *cli.Context) error {
			if err := set.Read(c); err != nil {
				return err
			}
			conf = read()
			return set.Err()
		},
	}
	err := app.Run(append([]string{"dockreg"}, args...))
	var found Mistakes
	switch {
	case err == nil && conf != nil:
		return conf, nil
	case errors.As(err, &found):
		return nil, found
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

// What becomes of a command line: the settings that it gives, or what is wrong with it.
// What the parser stops at is told alone: it can't know what was meant by the rest.
func TestCommandLine(t *testing.T) {
	const (
		stray = "a stray argument; flags start with --, and --help lists them and the commands"
		right = "--port=1 --etcd=a:1 "
	)
	for name, tt := range map[string]struct {
		args  string
		given string   // the settings that are given, with their texts
		wrong []string // or the mistakes
	}{
		"nothing more":             {right, "", nil},
		"value behind it":          {right + "--rise 2", "rise=2", nil},
		"one dash":                 {right + "-rise 2", "rise=2", nil},
		"inline value":             {right + "--rise=2", "rise=2", nil},
		"inline value with =":      {right + "--value=a=b", "value=a=b", nil},
		"empty inline value":       {right + "--value=", "value=", nil},
		"value with a dash":        {right + "--value -5s", "value=-5s", nil},
		"value like some flag":     {right + "--value --no-such", "value=--no-such", nil},
		"value like help":          {right + "--value --help", "value=--help", nil},
		"value like a flag's name": {right + "--container docker", "container=docker", nil},
		"no value before a flag":   {"--value --port 8000", "", []string{"--value: no value behind it; give --value TEXT"}},
		"no value before a flag=":  {"--value --port=8000", "", []string{"--value: no value behind it; give --value TEXT"}},
		"no value at the end":      {"--port 8000 --ip", "", []string{"--ip: no value behind it; give --ip ADDR"}},
		"one without a value":      {right + "--dry-run", "dry-run=true", nil},
		"one in front":             {"--dry-run " + right, "dry-run=true", nil},
		"one told to be false":     {right + "--dry-run=false", "dry-run=false", nil},
		"one with a word behind":   {"--dry-run maybe", "", []string{`"maybe": ` + stray}},
		"repeated":                 {"--port=1 --etcd a:1 --etcd=b:1", "etcd=a:1,b:1", nil},
		"twice":                    {"--port=1 --port=2 --etcd=a:1", "", []string{"--port: given twice; give it once"}},
		"twice, the same":          {right + "--rise=2 --rise=2", "", []string{"--rise: given twice; give it once"}},
		"twice, without a value":   {right + "--dry-run=true --dry-run=false", "", []string{"--dry-run: given twice; give it once"}},
		"stray":                    {"serve --port 8000", "", []string{`"serve": ` + stray}},
		"stray behind a flag":      {right + "serve", "", []string{`"serve": ` + stray}},
		"stray and empty":          {right + "␣ --rise 0", "", []string{`"": ` + stray}},
		"behind a check":           {right + "--check exec:mysqladmin -phunter2", "", []string{"--check: a stray argument behind it; quote the whole of the check"}},
		"check twice":              {right + "--check tcp --check tcp", "", []string{"--check: given twice; give it once"}},
		"stray dash":               {"- --port 8000", "", []string{`"-": ` + stray}},
		"stray dashes":             {right + "-- --rise 2", "", []string{`"--rise": ` + stray}},
		"three dashes":             {"---port=8000", "", []string{"a stray argument that starts with dashes; every setting is a flag such as --key"}},
		"unknown, with its value":  {"--prot 80 --ip ::1", "", []string{"--prot: no such flag; did you mean --port?"}},
		"unknown, inline":          {"--prot=80 --ip ::1", "", []string{"--prot: no such flag; did you mean --port?"}},
		"unknown, before a flag":   {"--dryrun --ip ::1", "", []string{"--dryrun: no such flag; did you mean --dry-run?"}},
		"unknown, at the end":      {"--ip ::1 --intervall", "", []string{"--intervall: no such flag; did you mean --interval?"}},
		"unknown, like none":       {"--zzzz", "", []string{"--zzzz: no such flag; --help lists all"}},
		"unknown, of one letter":   {"-p 80", "", []string{"-p: no such flag; did you mean --port?"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := strings.Fields(tt.args)
			for i := range args {
				args[i] = strings.ReplaceAll(args[i], "␣", "")
			}
			conf, lines := configOf(t, nil, args...)
			if !slices.Equal(lines, tt.wrong) {
				t.Errorf("%s: mistakes\n got %q\nwant %q", tt.args, lines, tt.wrong)
			}
			if conf == nil {
				return
			}
			given := ""
			for _, f := range conf.set.all {
				if f.isGiven() && (f.Name != "port" && f.Name != "etcd" || f.Name == "etcd" && len(f.texts) > 1) {
					given += f.Name + "=" + f.text()
				}
			}
			if given != tt.given {
				t.Errorf("%s: gives %q, want %q", tt.args, given, tt.given)
			}
		})
	}
}
