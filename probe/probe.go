// Package probe asks an app one question, to which the answer is that it passes,
// or the reason why not. Each kind of question has a file of its own, which reads
// its part of --check, too, and a row in the table of kinds.
package probe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Probe asks one app one kind of question. It is not safe for concurrent use.
type Probe struct {
	// Env is the environment of a command that a probe runs; nil: this process's own.
	Env []string

	// Arrival, if there is one, returns the IPs inside the container at which the
	// connections of consumers arrive; none where that can't be told. An app that listens
	// on loopback addresses alone fails then, whatever it answers, unless a command is
	// what asks: that one decides by itself.
	Arrival func() []netip.Addr

	show  string
	dials int // the port that it dials; 0: none
	// ask returns nil if the app passed, and otherwise the reason why not, in words
	// that are the same each time and hold no secret. A reason that is a
	// context.DeadlineExceeded goes on with "in time".
	ask func(ctx context.Context) error
}

// kind is one kind of probe: what follows its name and a colon is its own.
type kind struct {
	name   string
	syntax string // for people: what can be given
	dials  bool   // it asks at the app's port
	// parse reads what follows the name, which is nothing or begins with the colon.
	parse func(rest string, app target, agent string) (*Probe, error)
}

var kinds = []kind{
	{"http", "http:/path", true, parseHTTP("http")},
	{"https", "https:/path", true, parseHTTP("https")},
	{"tcp", "tcp", true, parseTCP},
	{"grpc", "grpc, grpc:service", true, parseGRPC},
	{"exec", "exec:command arguments", false, parseExec},
}

// errNoKind is a parse function's error where no kind of probe is meant.
var errNoKind = errors.New("not a kind of check")

// Parse reads what --check says into a probe of the app on port, in this network
// namespace. agent is the User-Agent of http and grpc probes. An error says what
// would be right, and never repeats what was given, which may hold a secret.
func Parse(check string, port int, agent string) (*Probe, error) {
	name, _, _ := strings.Cut(check, ":")
	for _, k := range kinds {
		if k.name != name {
			continue
		}
		p, err := k.parse(check[len(name):], target{port}, agent)
		if errors.Is(err, errNoKind) {
			break
		}
		if err == nil && k.dials {
			p.dials = port
		}
		return p, err
	}
	return nil, fmt.Errorf("%w; give %s", errNoKind, syntax())
}

// syntax lists what Parse takes.
func syntax() string {
	var all []string
	for _, k := range kinds {
		all = append(all, k.syntax)
	}
	last := len(all) - 1
	return strings.Join(all[:last], ", ") + " or " + all[last]
}

// String returns the check with what may be secret left out.
func (p *Probe) String() string { return p.show }

// Probe asks once. It returns nil if the app passed before ctx ended, and otherwise
// the reason why not, in words that are the same each time and hold no secret. In the
// error's tree is sidekick.ErrNotListening if nobody listens on the app's port, and
// context.DeadlineExceeded if the deadline of ctx ended the probe.
func (p *Probe) Probe(ctx context.Context) error {
	err := p.ask(ctx)
	if err == nil {
		err = p.outOfReach()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return lateError{err}
	}
	return err
}

// lateError is a probe that its deadline ended.
type lateError struct{ cause error }

func (e lateError) Error() string {
	if e.cause == context.DeadlineExceeded { //nolint:errorlint // itself, with nothing more specific to say
		return "no answer in time"
	}
	return e.cause.Error() + " in time"
}

func (e lateError) Unwrap() error { return e.cause }
