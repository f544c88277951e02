package settings

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// groups are the categories of settings, in the order in which help shows them.
var groups = []string{what, where, access, check, which, runs}

const (
	what   = "What to register"
	where  = "Where to register it"
	access = "How to talk to etcd"
	check  = "When the app passes"
	which  = "Which container this is"
	runs   = "How dockreg runs"
)

// setting is a flag, and the environment variable beside it. The library parses the
// command line and looks into the environment; what they say is kept as text, until
// all mistakes can be told at once.
type setting struct {
	cli.GenericFlag
	placeholder string // empty: a flag that needs no value
	fallback    string // empty: none
	required    string // what to give, where it may not be missing
	secret      bool   // what stands behind the value may be secret

	set      *Set
	given    []string // by the command line
	inEnv    []string // by the environment, in variable
	variable string
	parse    func() // what was given
	show     func() string
	wrong    bool
}

func define(group, name, placeholder, fallback, usage string) *setting {
	return &setting{GenericFlag: cli.GenericFlag{Category: group, Name: name, Usage: usage}, placeholder: placeholder, fallback: fallback}
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
	return addList(s, f, func(texts []string) (value T, err error) {
		if len(f.given) > 1 {
			s.mistake("--%s: given twice; give it once", f.Name)
			f.wrong = true
			return value, nil
		}
		return parse(texts[0])
	})
}

// addList adds a setting that may be repeated.
func addList[T any](s *Set, f *setting, parse func(texts []string) (T, error)) *Setting[T] {
	v := &Setting[T]{setting: f}
	f.set = s
	f.EnvVars = append([]string{envName(f.Name)}, f.EnvVars...)
	f.Value = input{f}
	f.parse = func() {
		var err error
		if v.Value, err = parse(f.texts()); err != nil {
			f.blame(err)
		}
	}
	s.all = append(s.all, f)
	return v
}

// envName is a setting's name in the environment.
func envName(name string) string {
	return "DOCKREG_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// Apply is the library's. It takes the first variable that is there, also if that is
// empty, as those of a compose file often are: here an empty one counts as not set.
func (f *setting) Apply(set *flag.FlagSet) error {
	all := f.EnvVars
	defer func() { f.EnvVars = all }()
	f.EnvVars = slices.DeleteFunc(slices.Clone(all), func(name string) bool { return os.Getenv(name) == "" })
	if len(f.EnvVars) > 0 {
		f.variable = f.EnvVars[0]
	}
	err := f.GenericFlag.Apply(set)
	f.given, f.inEnv, f.set.latest = nil, f.given, nil // that was the environment's
	return err
}

// TakesValue and GetUsage are the library's.
func (f *setting) TakesValue() bool { return f.placeholder != "" }
func (f *setting) GetUsage() string { return strings.ReplaceAll(f.Usage, "\n", " ") }

// String is the setting's entry in the help.
func (f *setting) String() string {
	entry := strings.TrimSpace("--"+f.Name+" "+f.placeholder) + "\t" + f.Usage
	if f.fallback != "" {
		entry += " (default: " + f.fallback + ")"
	}
	return strings.ReplaceAll(entry, "\n", "\n  \t")
}

// input is what the library hands the texts to.
type input struct{ f *setting }

func (i input) Set(text string) error {
	i.f.given, i.f.set.latest = append(i.f.given, text), i.f
	return nil
}

func (i input) String() string   { return "" }
func (i input) IsBoolFlag() bool { return i.f != nil && i.f.placeholder == "" }

// isGiven says whether the command line or the environment says something.
func (f *setting) isGiven() bool { return len(f.given) > 0 || f.variable != "" }

// label is where it says so: --port, or DOCKREG_PORT.
func (f *setting) label() string {
	if len(f.given) == 0 && f.variable != "" {
		return f.variable
	}
	return "--" + f.Name
}

func (f *setting) texts() []string {
	switch {
	case len(f.given) > 0:
		return f.given
	case f.variable != "":
		return f.inEnv
	}
	return []string{f.fallback}
}

func (f *setting) text() string { return strings.Join(f.texts(), ",") }

// shown is the text without what is secret in it.
func (f *setting) shown() string {
	if f.show != nil {
		return f.show()
	}
	return f.text()
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
		f.set.mistake("--%s: required; %s", f.Name, fix)
	}
}

// blame notes what is wrong with the setting, a line for each error in err.
func (f *setting) blame(err error) {
	f.wrong = true
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range all.Unwrap() {
			f.blame(err)
		}
		return
	}
	text := f.text()
	if q := (*quoteError)(nil); errors.As(err, &q) {
		text = q.text
	}
	f.set.mistake("%s %q: %s", f.label(), text, err)
}

func (f *setting) blamef(format string, args ...any) { f.blame(fmt.Errorf(format, args...)) }

// quoteError is about a part of what a setting says, or about all of it but what may
// be secret.
type quoteError struct {
	error
	text string
}

func quote(text string, err error) error { return &quoteError{err, text} }
