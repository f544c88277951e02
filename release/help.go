package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// command is a command of dockreg, as its help shows it.
type command struct {
	name     string // "" is dockreg itself
	summary  string
	sections []section // none: it has no help of its own
}

// section is a part of a command's help. The first one has no title.
type section struct {
	title string
	lines []string // without the spaces in front that all have
	flags []option
}

// option is a flag.
type option struct {
	name     string // with its dashes
	value    string // what stands behind it; "" if nothing does
	text     string // without its default
	fallback string // the default; "" if there is none
}

// env is the variable that sets the flag.
func (o option) env() string {
	return "DOCKREG_" + strings.ReplaceAll(strings.ToUpper(strings.TrimPrefix(o.name, "--")), "-", "_")
}

var (
	titleLine   = regexp.MustCompile(`^([A-Z][^.]*):$`)
	optionLine  = regexp.MustCompile(`^(--[a-z-]+)(?: ([A-Z=]+))?  +(.*)$`)
	commandLine = regexp.MustCompile(`^([a-z-]+)[^ ]*(?: \S+)?  +(.*)$`)
	defaulted   = regexp.MustCompile(`^(.*) \(default: (.+?)\)$`)
)

// readCommands asks a binary for its help. A command that is new is among them.
func readCommands(binary string) ([]command, error) {
	text, err := output(binary, "help")
	if err != nil {
		return nil, err
	}
	first, rest, _ := strings.Cut(text, "\n")
	main := command{"", strings.TrimPrefix(first, "dockreg "), parseHelp(rest)}
	commands := []command{main}
	for _, s := range main.sections {
		if s.title != "Other commands" {
			continue
		}
		for _, line := range s.lines {
			m := commandLine.FindStringSubmatch(line)
			if m == nil {
				return nil, fmt.Errorf("help: no command in %q", line)
			}
			c := command{name: m[1], summary: m[2]}
			if text, err = output(binary, c.name, "--help"); err != nil {
				return nil, err
			}
			if _, own, ok := strings.Cut(text, "dockreg "+c.name+": "); ok {
				_, own, _ = strings.Cut(own, "\n")
				c.sections = parseHelp(own)
			}
			commands = append(commands, c)
		}
	}
	if len(commands) == 1 {
		return nil, fmt.Errorf("help: %s lists no commands", binary)
	}
	return commands, nil
}

// parseHelp reads a help text behind its first line.
func parseHelp(text string) []section {
	sections := []section{{}}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n ")
		now := &sections[len(sections)-1]
		if m := titleLine.FindStringSubmatch(line); m != nil {
			sections = append(sections, section{title: m[1]})
			continue
		}
		inner := strings.TrimPrefix(line, "  ")
		if m := optionLine.FindStringSubmatch(inner); m != nil {
			now.flags = append(now.flags, option{name: m[1], value: m[2], text: m[3]})
		} else if n := len(now.flags); n > 0 && inner != "" {
			now.flags[n-1].text += " " + strings.TrimSpace(inner)
		} else if inner != "" || len(now.lines) > 0 {
			now.lines = append(now.lines, inner)
		}
	}
	for i := range sections {
		s := &sections[i]
		for len(s.lines) > 0 && s.lines[len(s.lines)-1] == "" {
			s.lines = s.lines[:len(s.lines)-1]
		}
		for j := range s.flags {
			if m := defaulted.FindStringSubmatch(s.flags[j].text); m != nil {
				s.flags[j].text, s.flags[j].fallback = m[1], m[2]
			}
		}
	}
	return sections
}

// flags are all of a command.
func (c command) flags() (all []option) {
	for _, s := range c.sections {
		all = append(all, s.flags...)
	}
	return all
}

// output runs a binary that is for this machine.
func output(binary string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...) //nolint:gosec // the binary that was just built
	cmd.Env = []string{}                             // no setting of whoever runs this
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w; make build for this machine's architecture comes first", cmd, err)
	}
	return string(out), nil
}
