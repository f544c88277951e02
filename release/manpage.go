package main

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// manPage makes dockreg(1) of what dockreg says of itself. See man-pages(7).
func manPage(commands []command, v version, date time.Time) []byte {
	var page strings.Builder
	main := commands[0]
	fmt.Fprintf(&page, ".TH DOCKREG 1 %s \"dockreg %s\" \"User Commands\"\n", date.Format("2006-01-02"), v)
	fmt.Fprintf(&page, ".SH NAME\ndockreg \\- %s\n.SH SYNOPSIS\n", roff(main.summary))
	writeLiteral(&page, main.find("Usage").lines)
	page.WriteString(".SH DESCRIPTION\n")
	writeText(&page, main.sections[0].lines)
	page.WriteString(".SH OPTIONS\n")
	main.writeFlags(&page)
	page.WriteString(".SH COMMANDS\n")
	for _, c := range commands[1:] {
		c.write(&page)
	}
	for _, s := range main.sections[1:] {
		if s.title != "Usage" && s.title != "Other commands" && s.flags == nil {
			fmt.Fprintf(&page, ".SH %s\n", roff(strings.ToUpper(strings.Replace(s.title, "Exit codes", "Exit status", 1))))
			writeSection(&page, s)
		}
	}
	page.WriteString(manFiles)
	return []byte(page.String())
}

const manFiles = `.SH FILES
.TP
\fI/etc/default/dockreg\-host\fR
settings of the service dockreg\-host, which is \fBdockreg host\fR under
.BR systemd (1)
.TP
\fI/run/dockreg/\fR
the folder of the service's socket, which containers mount
.SH SEE ALSO
.BR docker (1),
.BR etcdctl (1),
.BR supervisord (1),
.BR systemctl (1)
`

// find returns a section, or an empty one.
func (c command) find(title string) section {
	for _, s := range c.sections {
		if s.title == title {
			return s
		}
	}
	return section{}
}

func (c command) write(page *strings.Builder) {
	fmt.Fprintf(page, ".SS dockreg %s\n", roff(c.name))
	if c.sections == nil {
		fmt.Fprintf(page, "%s\n", roff(c.summary))
		return
	}
	writeLiteral(page, c.find("Usage").lines)
	page.WriteString(".PP\n")
	writeText(page, c.sections[0].lines)
	c.writeFlags(page)
	for _, s := range c.sections[1:] {
		if s.title != "Usage" && s.flags == nil {
			fmt.Fprintf(page, ".PP\n%s:\n", roff(s.title))
			writeSection(page, s)
		}
	}
}

func (c command) writeFlags(page *strings.Builder) {
	for _, s := range c.sections {
		if s.flags == nil {
			continue
		}
		fmt.Fprintf(page, ".PP\n%s:\n", roff(s.title))
		for _, o := range s.flags {
			fmt.Fprintf(page, ".TP\n\\fB%s\\fR", roff(o.name))
			if o.value != "" {
				fmt.Fprintf(page, " \\fI%s\\fR", roff(o.value))
			}
			fmt.Fprintf(page, "\n%s", roff(o.text))
			if o.fallback != "" {
				fmt.Fprintf(page, " (default: %s)", roff(o.fallback))
			}
			page.WriteString("\n")
		}
	}
}

var (
	exitCode = regexp.MustCompile(`^(\d+(?:, \d+)*) (.*)$`)
	typed    = regexp.MustCompile(`^(dockreg|docker|COPY) `)
)

// writeSection writes commands as they are, and text so that it flows.
func writeSection(page *strings.Builder, s section) {
	if len(s.lines) > 0 && typed.MatchString(s.lines[0]) {
		writeLiteral(page, s.lines)
		return
	}
	flows := false
	for _, line := range s.lines {
		if m := exitCode.FindStringSubmatch(line); m != nil {
			fmt.Fprintf(page, ".TP\n.B %s\n%s\n", m[1], roff(m[2]))
			flows = false
			continue
		}
		if !flows {
			page.WriteString(".PP\n")
		}
		flows = true
		writeText(page, []string{line})
	}
}

func writeText(page *strings.Builder, lines []string) {
	for _, line := range lines {
		if line == "" {
			line = ".PP"
		} else {
			line = roff(line)
		}
		page.WriteString(line + "\n")
	}
}

func writeLiteral(page *strings.Builder, lines []string) {
	page.WriteString(".PP\n.nf\n")
	for _, line := range lines {
		page.WriteString(roff(line) + "\n")
	}
	page.WriteString(".fi\n")
}

// roff escapes what roff would take for its own (groff_char(7)).
func roff(text string) string {
	var out strings.Builder
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		out.WriteString(`\&`)
	}
	for _, r := range text {
		switch {
		case r == '\\':
			out.WriteString(`\e`)
		case r == '-':
			out.WriteString(`\-`)
		case r == '\'':
			out.WriteString(`\(aq`)
		case r == '`':
			out.WriteString("\\`")
		case r == '…': // terminals without UTF-8 have none
			out.WriteString("...")
		case r > '~':
			fmt.Fprintf(&out, `\[u%04X]`, r)
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}
