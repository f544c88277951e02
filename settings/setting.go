package settings

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// groups are the categories of settings, in the order in which help shows them.
var groups = []string{groupWhat, groupShow, groupWhere, groupEtcd, groupAccess, groupApp, groupCheck, groupContainer, groupRuns}

//nolint:gosec // "passes" is no password
const (
	groupWhat      = "What to register"
	groupShow      = "What to show"
	groupWhere     = "Where to register it"
	groupEtcd      = "Where etcd is"
	groupAccess    = "How to talk to etcd"
	groupApp       = "How the app runs"
	groupCheck     = "When the app passes"
	groupContainer = "Which container this is"
	groupRuns      = "How dockreg runs"
)

// setting is a flag, and the environment variable beside it. The library parses the
// command line and looks into the environment; what they say is kept as text, until
// all mistakes can be told at once.
type setting struct {
	cli.GenericFlag
	placeholder string                 // empty: a flag that needs no value
	fallback    string                 // empty: none
	required    string                 // what to give, where it may not be missing
	secret      bool                   // what stands behind the value may be secret
	isCommand   func(text string) bool // nil: none is

	set   *Set
	texts []string // of the environment first, if EnvVars is not empty, then of the command line
	parse func()   // the texts, if there are any
	list  bool     // it may be repeated
	lines bool     // and in the environment, each line is one
	shown string   // in place of the text, if that holds a secret, or may do so
	wrong bool
}

// define makes a setting. Of the variables, its own and others, it takes the first that
// is not empty: an empty one, as those of a compose file often are, counts as not set.
func define(group, name, placeholder, fallback, usage string, variables ...string) *setting {
	f := &setting{GenericFlag: cli.GenericFlag{Category: group, Name: name, Usage: usage}, placeholder: placeholder, fallback: fallback}
	variables = append([]string{envName(name)}, variables...)
	if i := slices.IndexFunc(variables, func(v string) bool { return os.Getenv(v) != "" }); i >= 0 {
		f.EnvVars = variables[i : i+1]
	}
	f.Value = input{f}
	return f
}

// Setting is a setting with its value, which is there once its Set has been read. It
// is T's zero if nothing was given and there is no default.
type Setting[T any] struct {
	*setting
	Value T
}

// add adds a setting that may be given once. The text of parse's error says what is
// wrong, and what would be right.
func add[T any](s *Set, f *setting, parse func(text string) (T, error)) *Setting[T] {
	v := addList(s, f, func(texts []string) (T, error) {
		if len(texts) > 1 {
			s.mistake("--%s: given twice; give it once", f.Name)
			f.wrong = true
		}
		return parse(texts[0])
	})
	f.list = false
	return v
}

// addLines adds a setting that may be repeated on the command line, and has a line for each
// in the environment, of which empty ones and the space around one don't count.
func addLines[T any](s *Set, f *setting, parse func(lines []string) (T, error)) *Setting[T] {
	f.lines = true
	return addList(s, f, parse)
}

// addList adds a setting that may be repeated.
func addList[T any](s *Set, f *setting, parse func(texts []string) (T, error)) *Setting[T] {
	v := &Setting[T]{setting: f}
	f.set, f.list = s, true
	f.parse = func() {
		var err error
		if v.Value, err = parse(f.given()); err != nil {
			f.blame(err)
		}
	}
	s.all = append(s.all, f)
	return v
}

// input is what the library hands the texts to.
type input struct{ f *setting }

func (i input) Set(text string) error {
	i.f.texts = append(i.f.texts, text)
	if len(i.f.byFlag()) > 0 {
		i.f.set.latest = i.f
	}
	return nil
}

func (i input) String() string   { return "" }
func (i input) IsBoolFlag() bool { return i.f != nil && i.f.placeholder == "" }

// TakesValue, GetUsage and String are the library's, for completion and for the help.
func (f *setting) TakesValue() bool { return f.placeholder != "" }
func (f *setting) GetUsage() string { return strings.ReplaceAll(f.Usage, "\n", " ") }

func (f *setting) String() string {
	entry := strings.TrimSpace("--"+f.Name+" "+f.placeholder) + "\t" + f.Usage
	if f.fallback != "" {
		entry += " (default: " + f.fallback + ")"
	}
	return strings.ReplaceAll(entry, "\n", "\n  \t")
}

// isGiven says whether the command line or the environment says something.
func (f *setting) isGiven() bool { return len(f.texts) > 0 }

// byFlag returns the texts of the command line, which beat the environment's.
func (f *setting) byFlag() []string { return f.texts[min(len(f.EnvVars), len(f.texts)):] }

// hasCommand says whether the command line gives a command, of which more may stand behind it.
func (f *setting) hasCommand() bool {
	return f.isCommand != nil && slices.ContainsFunc(f.byFlag(), f.isCommand)
}

// byLine says whether the command line gives it.
func (f *setting) byLine() bool { return len(f.byFlag()) > 0 }

// given returns what is given, or else the default.
func (f *setting) given() []string {
	switch flags := f.byFlag(); {
	case len(flags) > 0:
		return flags
	case f.isGiven() && f.lines:
		var lines []string
		for line := range strings.Lines(f.texts[0]) {
			if line = strings.TrimSpace(line); line != "" {
				lines = append(lines, line)
			}
		}
		return lines
	case f.isGiven():
		return f.texts
	}
	return []string{f.fallback}
}

// text is what is given. Of what is wrongly given twice, it is the first.
func (f *setting) text() string {
	if f.list {
		return strings.Join(f.given(), ",")
	}
	return f.given()[0]
}

// label is where it says so: --port, or DOCKREG_PORT.
func (f *setting) label() string {
	if f.isGiven() && len(f.byFlag()) == 0 {
		return f.EnvVars[0]
	}
	return "--" + f.Name
}

func (f *setting) read() {
	if f.isGiven() || f.fallback != "" {
		f.parse()
	} else if f.required != "" {
		f.require(f.required)
	}
}

// require notes that a setting is missing, unless it is there.
func (f *setting) require(fix string) {
	if !f.isGiven() {
		f.wrong = true
		own := envName(f.Name)
		if bare := strings.TrimPrefix(own, prefix); os.Getenv(bare) != "" {
			own += "; " + bare + ", which is set, is not read"
		}
		f.set.mistake("--%s: required; %s; or set %s", f.Name, fix, own)
	}
}

// blame notes what is wrong with the setting: with the text of a quoteError, if it is
// one.
func (f *setting) blame(err error) {
	f.wrong = true
	text := cmp.Or(f.shown, f.text())
	if q := (*quoteError)(nil); errors.As(err, &q) {
		text = q.text
	}
	if user, _, ok := strings.Cut(text, "@"); ok && strings.Contains(user, ":") { // etcd's URL, perhaps, with its password, which belongs elsewhere
		text = redact(text)
	}
	f.set.mistake("%s %q: %s", f.label(), text, err)
}

func (f *setting) blamef(format string, args ...any) { f.blame(fmt.Errorf(format, args...)) }

// quoteError is about a part of what a setting says, or about what of it is no secret.
type quoteError struct {
	error
	text string
}

func quotef(text, format string, args ...any) error {
	return &quoteError{fmt.Errorf(format, args...), text}
}
