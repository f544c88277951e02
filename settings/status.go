package settings

import (
	"errors"
	"path/filepath"
)

// Status says where a sidekick tells what it does, and how that is to be shown.
type Status struct {
	path   *Setting[string]
	output *Setting[string]
}

// statusPath adds where a sidekick tells what it does.
func (s *Set) statusPath(usage string) *Setting[string] {
	return add(s, define(groupRuns, "status-socket", "PATH", "", usage), parseSocket)
}

// Status adds the settings of a command that shows it, in one of these forms.
func (s *Set) Status(outputs ...string) *Status {
	return &Status{
		path:   s.statusPath("the socket of that dockreg, if there are several here"),
		output: s.output(outputs...),
	}
}

// Path is the socket's, or empty: it is to be found.
func (s *Status) Path() string { return s.path.Value }

// Output is the form.
func (s *Status) Output() string { return s.output.Value }

func parseSocket(text string) (string, error) {
	const fix = "give the path of a socket, such as /run/dockreg-web.sock"
	switch {
	case text == "off":
		return text, nil
	case !filepath.IsAbs(text) || filepath.Clean(text) != text || text == "/":
		return "", errors.New("not an absolute path; " + fix)
	case len(text) > longestSocket:
		return "", errors.New("longer than the 107 bytes of a socket's path; " + fix)
	}
	return text, nil
}

// longestSocket is the length of a socket's path at the most (unix(7): 108 bytes with the
// 0 at the end).
const longestSocket = 107
