package e2e

import (
	"fmt"
	"maps"
	"regexp"
	"strings"
	"testing"
)

// step is one command of the walk, and what it shows.
type step struct {
	where   string // host-1, host-2, or nothing for this machine
	command string
	shows   string
}

// stepsOf are the commands in a README's console blocks, in order.
func stepsOf(readme string) []step {
	var steps []step
	prompt := regexp.MustCompile(`^(host-\d)?\$ (.*)\n`)
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(readme, -1) {
		for line := range strings.Lines(block[1]) {
			if m := prompt.FindStringSubmatch(line); m != nil {
				steps = append(steps, step{where: m[1], command: m[2]})
			} else {
				steps[len(steps)-1].shows += line
			}
		}
	}
	return steps
}

// token is what in the README differs on each walk: a container's id, long or
// short, a lease's or a member's, an address, and the time left of a lease.
var token = regexp.MustCompile(`\b[0-9a-f]{64}\b|\b[0-9a-f]{15,16}\b|\b[0-9a-f]{12}\b|\b10\.1\.0\.\d+:3\d{4}\b|remaining\(\d+s\)`)

// fillIn puts what the tokens are here in their place.
func (w *walk) fillIn(text string) string {
	return token.ReplaceAllStringFunc(text, func(tok string) string {
		if here, ok := w.known[tok]; ok {
			return here
		}
		return tok
	})
}

// compare says which line of got differs from want, or that there are more or
// fewer. Their order is etcd's affair. Tokens that are new get known.
func (w *walk) compare(want, got string) error {
	known := maps.Clone(w.known)
	left := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
next:
	for line := range strings.Lines(want) {
		pattern, tokens := patternOf(strings.TrimSuffix(line, "\n"), known)
		for i, candidate := range left {
			if m := pattern.FindStringSubmatch(candidate); m != nil {
				for j, tok := range tokens {
					learn(known, tok, m[j+1])
				}
				left = append(left[:i], left[i+1:]...)
				continue next
			}
		}
		return fmt.Errorf("and lacks %s", w.fillIn(line))
	}
	if len(left) > 0 {
		return fmt.Errorf("where the README has less: %q", left)
	}
	w.known = known
	return nil
}

// patternOf matches a line of the README's, with any value for a token that is not
// known yet; these are the pattern's groups.
func patternOf(line string, known map[string]string) (pattern *regexp.Regexp, tokens []string) {
	var b strings.Builder
	end := 0
	for _, at := range token.FindAllStringIndex(line, -1) {
		tok := line[at[0]:at[1]]
		b.WriteString(regexp.QuoteMeta(line[end:at[0]]))
		end = at[1]
		here, ok := known[tok]
		switch host, _, isAddress := strings.Cut(tok, ":"); {
		case strings.HasPrefix(tok, "remaining"):
			b.WriteString(`remaining\(\d+s\)`)
		case ok:
			b.WriteString(regexp.QuoteMeta(here))
		case isAddress:
			b.WriteString("(" + regexp.QuoteMeta(host) + `:\d+)`)
			tokens = append(tokens, tok)
		default:
			b.WriteString("([0-9a-f]{12,64})")
			tokens = append(tokens, tok)
		}
	}
	b.WriteString(regexp.QuoteMeta(line[end:]))
	return regexp.MustCompile("^" + b.String() + "$"), tokens
}

// learn notes what a token is here. A container's id is known by its start too.
func learn(known map[string]string, tok, here string) {
	known[tok] = here
	if len(tok) == 64 && len(here) == 64 {
		known[tok[:12]] = here[:12]
	}
}

// The walk takes any id and address that is new, and from then on that one alone.
func TestVagrantWalkCompares(t *testing.T) {
	t.Parallel()
	const key, other = "/service/10.1.0.101:32768\n", "/service/10.1.0.102:40001\n"
	for name, test := range map[string]struct {
		want, got string
		same      bool
	}{
		"another port":          {key, "/service/10.1.0.101:49153\n", true},
		"another host":          {key, other, false},
		"another order":         {key + "/service/10.1.0.102:32769\n", other + key, true},
		"a line too few":        {key + "running\n", key, false},
		"a line too many":       {key, key + "running\n", false},
		"nothing":               {key, "", false},
		"other words":           {key + "running\n", key + "up\n", false},
		"the container of id":   {"Hello from 5c607bd90436\n", "Hello from 0123456789ab\n", true},
		"another container":     {"Hello from 5c607bd90436\n", "Hello from ba9876543210\n", false},
		"less time left":        {"TTL(20s), remaining(17s)\n", "TTL(20s), remaining(3s)\n", true},
		"another TTL":           {"TTL(20s), remaining(17s)\n", "TTL(30s), remaining(17s)\n", false},
		"a short id for a long": {"found 3e88a1fcf7366d06\n", "found 3e\n", false},
	} {
		w := &walk{known: map[string]string{}}
		container, here := strings.Repeat("5c607bd90436", 6)[:64], strings.Repeat("0123456789ab", 6)[:64]
		if err := w.compare(container+"\n", here+"\n"); err != nil {
			t.Fatal(err)
		}
		if err := w.compare(test.want, test.got); (err == nil) != test.same {
			t.Errorf("%s: %v", name, err)
		}
	}
}
