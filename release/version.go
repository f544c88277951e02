package main

import (
	"fmt"
	"regexp"
	"strings"
)

// version is a semantic version (https://semver.org), without a v in front.
type version string

var described = regexp.MustCompile(`^v?(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+?)??)(?:-(\d+)-(g[0-9a-f]+))?$`)

// parseVersion reads what git describe says of a commit. One that came after a tag has a
// version above the tag's: 1.2.3+4.gabc, where a - would make it one before 1.2.3.
func parseVersion(describe string) (version, error) {
	m := described.FindStringSubmatch(describe)
	if m == nil {
		return "", fmt.Errorf("VERSION %q: not a semantic version; give one such as 1.2.3, or tag the commit with one", describe)
	}
	if m[2] != "" {
		return version(m[1] + "+" + m[2] + "." + m[3]), nil
	}
	return version(m[1]), nil
}

// tag is the version of an image, which can't have a + in it.
func (v version) tag() string { return strings.ReplaceAll(string(v), "+", "-") }
