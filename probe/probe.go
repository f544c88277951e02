// Package probe asks an app one question, to which the answer is that it passes,
// or the reason why not. Each kind of question has a file of its own.
package probe

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/kballard/go-shellquote"
)

// Probe asks one app one kind of question. It is not safe for concurrent use.
type Probe struct {
	show string
	ask  func(ctx context.Context) error
}

// kinds is what Parse takes, for its error messages.
const kinds = "http:/path, https:/path, tcp, grpc, grpc:service or exec:command arguments"

// Parse reads what --check says into a probe of the app on port, in this network
// namespace. agent is the User-Agent of http and grpc probes. An error says what
// would be right.
func Parse(check string, port int, agent string) (*Probe, error) {
	kind, rest, colon := strings.Cut(check, ":")
	target := target{port}
	switch {
	case kind == "http" || kind == "https":
		u, err := url.Parse(rest)
		if err != nil || !strings.HasPrefix(rest, "/") || strings.HasPrefix(rest, "//") || strings.ContainsFunc(rest, isSpace) {
			return nil, fmt.Errorf("no path to ask for; give %s:/ or %s:/path", kind, kind)
		}
		if strings.Contains(rest, "#") {
			return nil, errors.New("what follows a # is never sent; leave it out, or write %23")
		}
		show := kind + ":" + u.EscapedPath()
		if u.RawQuery != "" {
			show += "?…" // may be a token
		}
		return &Probe{show, newHTTP(kind, u, target, agent).ask}, nil
	case check == "tcp":
		return &Probe{check, target.ask}, nil
	case check == "grpc", kind == "grpc" && rest != "":
		return &Probe{check, (&grpcProbe{target, rest, agent}).ask}, nil
	case kind == "grpc" && colon:
		return nil, errors.New("no service after the colon; give grpc:service, or grpc for the server as a whole")
	case kind == "exec":
		words, err := shellquote.Split(rest)
		if err != nil {
			return nil, errors.New("a quote is not closed; quote as in a shell, such as exec:check 'two words'")
		}
		if len(words) == 0 || words[0] == "" {
			return nil, errors.New("no command to run; give exec:command arguments")
		}
		show := "exec:" + words[0]
		if n := len(words) - 1; n > 0 {
			show += fmt.Sprintf(" (arguments: %d)", n) // one may be a password
		}
		return &Probe{show, (&execProbe{words}).ask}, nil
	}
	return nil, fmt.Errorf("not a kind of check; give %s", kinds)
}

func isSpace(r rune) bool { return r <= ' ' || r == 0x7f }

// String returns the check with what may be secret left out.
func (p *Probe) String() string { return p.show }

// Probe asks once. It returns nil if the app passed before ctx ended, else the
// reason why not, in words that are the same each time and hold no secret. A
// deadline that ended it shows as context.DeadlineExceeded in errors.Is.
func (p *Probe) Probe(ctx context.Context) error {
	err := p.ask(ctx)
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
