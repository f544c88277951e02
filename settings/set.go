// Package settings is what the command line and the environment may say, and what is
// wrong with what they say: all of it at once, except what the parser stops at, such as
// an unknown flag, which is told alone. Each group of settings that commands
// share has a file: it adds its flags to a command's Set, and once they are read makes
// the configuration of the package that they are about.
package settings

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"
)

// Set is the settings of one command.
type Set struct {
	all      []*setting
	latest   *setting // that the command line gave
	mistakes Mistakes
	advice   []advice

	entrypoint *Entrypoint // it takes a command beside the settings, or is nil
}

// Mistakes are what is wrong with the settings, a line each. As an error it stands for
// wrong usage.
type Mistakes []string

func (m Mistakes) Error() string { return strings.Join(m, "\n") }

func (s *Set) mistake(format string, args ...any) {
	s.mistakes = append(s.mistakes, fmt.Sprintf(format, args...))
}

// Err returns the Mistakes so far, or nil.
func (s *Set) Err() error {
	if len(s.mistakes) == 0 {
		return nil
	}
	return s.mistakes
}

// Flags returns the settings for the library, in the order of their groups.
func (s *Set) Flags() []cli.Flag {
	slices.SortStableFunc(s.all, func(a, b *setting) int { return slices.Index(groups, a.Category) - slices.Index(groups, b.Category) })
	var flags []cli.Flag
	for _, f := range s.all {
		flags = append(flags, f)
	}
	return flags
}

// find returns the setting of that name, or nil.
func (s *Set) find(name string) *setting {
	if i := slices.IndexFunc(s.all, func(f *setting) bool { return f.Name == name }); i >= 0 {
		return s.all[i]
	}
	return nil
}

// Read reads each setting by itself. Of a command line that the parser took for
// something else than was meant, it returns that alone, as an error.
func (s *Set) Read(c *cli.Context) error {
	for _, f := range s.all {
		for _, text := range f.byFlag() {
			if name, _, _ := strings.Cut(strings.TrimLeft(text, "-"), "="); strings.HasPrefix(text, "-") && s.find(name) != nil {
				s.mistake("%s", f.noValue())
			}
		}
	}
	switch {
	case s.Err() != nil, c.NArg() == 0, s.entrypoint != nil:
	case s.latest != nil && s.latest.secret:
		s.mistake("%s", Unquoted(s.latest.Name))
	default:
		s.mistake("%q: a stray argument; %s", redact(c.Args().First()), commandLike(c))
	}
	if err := s.Err(); err != nil {
		return err
	}
	for _, f := range s.all {
		f.read()
	}
	if s.entrypoint != nil {
		s.entrypoint.read(c)
	}
	s.checkEnvironment()
	return nil
}

// Before is for a command that has others below it: what is given before the name of one of
// them would be read, and never looked at.
func (s *Set) Before(c *cli.Context) error {
	command := c.App.Command(c.Args().First())
	if command == nil || command.Name == "help" {
		return nil
	}
	for _, f := range s.all {
		if f.byLine() {
			s.mistake("--%s: stands before the command %s, which does not look there; give what is that command's behind its name", f.Name, command.Name)
		}
	}
	return s.Err()
}

// OnUsageError says in our words what the parser stopped at, without its value, which
// may be a password.
func (s *Set) OnUsageError(_ *cli.Context, err error, _ bool) error {
	text := err.Error()
	if s.latest != nil && s.latest.hasCommand() {
		return Mistakes{Unquoted(s.latest.Name)}
	}
	if name, ok := strings.CutPrefix(text, "flag provided but not defined: -"); ok {
		return Mistakes{dashed(name) + ": no such flag; " + s.suggestion(name)}
	}
	if name, ok := strings.CutPrefix(text, "flag needs an argument: -"); ok {
		return Mistakes{s.find(name).noValue()}
	}
	if strings.HasPrefix(text, "bad flag syntax: ") {
		return Mistakes{"a stray argument that starts with dashes; every setting is a flag such as --key"}
	}
	return Mistakes{text}
}

// commandLike says what somebody may have meant by a word that is no command's.
func commandLike(c *cli.Context) string {
	word := c.Args().First()
	// The library finds one for whatever was typed, and quotes it.
	_, found, _ := strings.Cut(cli.SuggestCommand(c.App.Commands, word), `"`)
	if isMain := c.Command.Name == c.App.Name; isMain && word != "" && found != `"?` && found[:1] == word[:1] {
		return `did you mean "dockreg ` + found
	}
	return "flags start with --, and --help lists them and the commands"
}

func (f *setting) noValue() string {
	return fmt.Sprintf("--%s: no value behind it; give --%s %s", f.Name, f.Name, f.placeholder)
}

// Unquoted is the mistake of what stands behind a setting whose value has spaces in it: it
// may be a password.
func Unquoted(name string) string {
	return fmt.Sprintf("--%s: a stray argument behind it; quote the whole of the %[1]s", name)
}

func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

func (s *Set) suggestion(name string) string {
	if name == "etcd-password" { // some will try
		return "the process list would show the password; give --etcd-password-file, or " + passwordEnv + " in the environment"
	}
	// The library finds one for whatever was typed.
	if found := cli.SuggestFlag(s.Flags(), name, true); found != "" && strings.TrimLeft(found, "-")[0] == name[0] {
		return "did you mean " + found + "?"
	}
	return "--help lists all"
}

// Show writes a table of the settings that differ from their default, or of all, as they
// are in force, and where they come from, with what is secret left out.
func (s *Set) Show(w io.Writer, all bool) {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(out, "\nsetting\tvalue\tset by")
	for _, f := range s.all {
		if !all && f.text() == f.fallback {
			continue
		}
		by := "default"
		if f.isGiven() {
			by = f.label()
		}
		_, _ = fmt.Fprintf(out, "--%s\t%s\t%s\n", f.Name, Printable(cmp.Or(f.shown, f.text())), by)
	}
	_ = out.Flush()
}

// advice is what to do about an error of another package: those know no flags.
type advice struct {
	about error
	text  string
}

// advise adds what to do about errors that have this one in their tree.
func (s *Set) advise(about error, format string, args ...any) {
	s.advice = append(s.advice, advice{about, fmt.Sprintf(format, args...)})
}

// Advise returns err with what to do about it behind it, if that is known.
func (s *Set) Advise(err error) error {
	for _, a := range s.advice {
		if errors.Is(err, a.about) {
			return fmt.Errorf("%w; %s", err, a.text)
		}
	}
	return err
}

// adviseLog is slog's ReplaceAttr that advises about all errors.
func (s *Set) adviseLog(_ []string, a slog.Attr) slog.Attr {
	if err, ok := a.Value.Any().(error); ok {
		a.Value = slog.AnyValue(s.Advise(err))
	}
	return a
}

// redact hides what stands before an @ in an address, whatever else is wrong
// with it.
func redact(address string) string {
	at := strings.LastIndex(address, "@")
	if at < 0 {
		return address
	}
	scheme, _, ok := strings.Cut(address[:at], "://")
	if !ok {
		return "…" + address[at:]
	}
	return scheme + "://…" + address[at:]
}
