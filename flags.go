package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// Set when linking; see the Makefile.
var (
	version = "0.1.0-dev"
	commit  = "unknown"
)

const defaultDocker = "/var/run/docker.sock"

// setting is one flag, and the environment variable beside it.
type setting struct {
	group       string
	name        string
	placeholder string // empty: a flag that needs no value
	fallback    string
	usage       string // for help, a line each
}

// env is the setting's name in the environment.
func (s setting) env() string {
	return "DOCKREG_" + strings.ToUpper(strings.ReplaceAll(s.name, "-", "_"))
}

// settings are all there are, in the order in which help shows them.
var settings = []setting{
	{"What to register", "port", "N", "", "the app's port inside the container; required"},
	{"What to register", "ip", "ADDR", "", "host IP to register, v4 or v6; by default the one that Docker\npublished the port on, and needed where that is 0.0.0.0 or ::"},
	{"What to register", "host-port", "N", "", "host port to register, without asking Docker; needs --ip"},
	{"What to register", "key", "NAME", "service", "parent of the key; may hold inner slashes: service/web"},
	{"What to register", "value", "TEXT", "running", "the record: what is stored under the key"},

	{"Where to register it", "etcd", "URLS", "", "etcd's members, comma-separated or repeated: http://host:port,\nhttps://host:port or host:port; required, but with\n--etcd-discovery-srv"},
	{"Where to register it", "etcd-discovery-srv", "DOMAIN", "", "in place of --etcd: domain whose DNS SRV records name etcd's\nmembers, _etcd-client-ssl._tcp.DOMAIN or _etcd-client._tcp.DOMAIN"},
	{"Where to register it", "ttl", "TIME", "20s", "how long the key outlives a dockreg that was killed; whole\nseconds, more than fall x interval + timeout"},

	{"How to talk to etcd", "etcd-cacert", "FILE", "", "certificates, in PEM, of the authorities to trust with etcd's\ncertificate, instead of the system's"},
	{"How to talk to etcd", "etcd-cert", "FILE", "", "certificate, in PEM, to show to etcd; with --etcd-key"},
	{"How to talk to etcd", "etcd-key", "FILE", "", "the key of that certificate, in PEM"},
	{"How to talk to etcd", "etcd-server-name", "NAME", "", "name to check etcd's certificate for, instead of the URL's host"},
	{"How to talk to etcd", "etcd-user", "NAME", "", "user to authenticate as"},
	{"How to talk to etcd", "etcd-password-file", "FILE", "", "file that holds the user's password; or give the password in the\nenvironment, as DOCKREG_ETCD_PASSWORD"},

	{"When the app passes", "check", "KIND", "http:/", "http:/path or https:/path, which pass on 2xx and 3xx; tcp; grpc\nor grpc:service; exec:command arguments, run without\na shell"},
	{"When the app passes", "interval", "TIME", "5s", "from the start of one probe to the start of the next"},
	{"When the app passes", "timeout", "TIME", "3s", "the whole of one probe; at most the interval"},
	{"When the app passes", "rise", "N", "1", "passes in a row to register"},
	{"When the app passes", "fall", "N", "1", "failures in a row to deregister"},

	{"Which container this is", "docker", "ADDR", defaultDocker, "Docker: a path, unix:///path or tcp://host:port; DOCKER_HOST\ntoo says so"},
	{"Which container this is", "container", "ID", "", "this container's id or name; by default found out"},

	{"How dockreg runs", "drain", "TIME", "0s", "on a stop: the wait between deregistering and exiting"},
	{"How dockreg runs", "dry-run", "", "", "find everything out, show it, probe once, write nothing; exit 0,\nor 1 with the reason why the app would not be registered now"},
	{"How dockreg runs", "log-level", "LEVEL", "info", "debug, info, warn or error"},
	{"How dockreg runs", "log-format", "FORMAT", "text", "text or json, on stderr"},
}

// find returns the setting of that name.
func find(name string) (setting, bool) {
	i := slices.IndexFunc(settings, func(s setting) bool { return s.name == name })
	if i < 0 {
		return setting{}, false
	}
	return settings[i], true
}

// newApp returns the parser of a command line that tidy has been through. It
// calls action with what was parsed.
func newApp(stdout, stderr io.Writer, action cli.ActionFunc) *cli.App {
	app := &cli.App{
		Name:                  "dockreg",
		HelpName:              "dockreg",
		Version:               version,
		Writer:                stdout,
		ErrWriter:             stderr,
		CustomAppHelpTemplate: help(),
		Action:                action,
		// By default the library prints help over an error, and exits by itself.
		OnUsageError:   func(_ *cli.Context, err error, _ bool) error { return err },
		ExitErrHandler: func(*cli.Context, error) {},
	}
	for _, s := range settings {
		if s.name == "etcd" {
			app.Flags = append(app.Flags, &cli.StringSliceFlag{Name: s.name})
			continue
		}
		app.Flags = append(app.Flags, &cli.StringFlag{Name: s.name})
	}
	cli.VersionPrinter = func(c *cli.Context) {
		_, _ = fmt.Fprintf(c.App.Writer, "dockreg %s (commit %s, %s)\n", version, commit, runtime.Version())
	}
	return app
}

// tidy takes out of args what the parser would stop at, and notes it in wrong, so
// that all mistakes can be reported together.
func tidy(args []string, wrong *mistakes) []string {
	if len(args) > 1 && (args[1] == "help" || args[1] == "h") {
		return args[:2]
	}
	rest := args[:1:1]
	given := map[string]bool{}
	last := "" // the flag before
	for i := 1; i < len(args); i++ {
		arg := args[i]
		next, hasNext := "", i+1 < len(args)
		if hasNext {
			next = args[i+1]
		}
		name, _, inline := strings.Cut(flagName(arg), "=")
		s, known := find(name)
		if slices.Contains([]string{"help", "h", "version", "v"}, name) && !inline {
			return []string{args[0], arg}
		}
		switch {
		case name == "" && last == "check":
			wrong.add("", "--check: a stray argument behind it; quote the whole of the check") // it may be a password
			continue
		case name == "":
			wrong.add("", "%q: a stray argument; every setting is a flag that starts with --", redact(arg))
			continue
		case !known:
			wrong.add("", "--%s: no such flag; %s", name, suggestion(name))
			if !inline && hasNext && (!strings.HasPrefix(next, "-") || name == passwordFlag && !isFlag(next)) {
				i++ // its value, most likely
			}
			continue
		case !inline && s.placeholder == "":
			arg += "=true"
		case !inline && (!hasNext || isFlag(next)):
			wrong.add(name, "--%s: no value behind it; give --%s %s", name, name, s.placeholder)
			continue
		case !inline:
			arg += "=" + next
			i++
		}
		last = name
		if given[name] && name != "etcd" {
			wrong.add(name, "--%s: given twice; give it once", name)
			continue
		}
		given[name] = true
		rest = append(rest, arg)
	}
	return rest
}

// flagName returns what stands behind the one or two dashes of a flag, or "".
func flagName(arg string) string {
	name, ok := strings.CutPrefix(arg, "-")
	name = strings.TrimPrefix(name, "-")
	if !ok || strings.HasPrefix(name, "-") {
		return ""
	}
	return name
}

// isFlag says whether arg is one of the flags, rather than a value that happens to
// start with a dash.
func isFlag(arg string) bool {
	name, _, _ := strings.Cut(flagName(arg), "=")
	_, known := find(name)
	return known
}

// passwordFlag is what some will try.
const passwordFlag = "etcd-password"

func suggestion(name string) string {
	if name == passwordFlag {
		return "the process list would show the password; give --etcd-password-file, or " + passwordEnv + " in the environment"
	}
	var all []cli.Flag
	for _, s := range settings {
		all = append(all, &cli.StringFlag{Name: s.name})
	}
	if s := cli.SuggestFlag(all, name, true); s != "" {
		return "did you mean " + s + "?"
	}
	return "dockreg help lists them"
}

// help is the text of dockreg help.
func help() string {
	var b strings.Builder
	b.WriteString(`dockreg keeps an app's address in etcd while the app answers

It runs beside the app, in the same Docker container. It asks Docker for the host
port that the app's port is published on, probes the app, and keeps the key
/service/<host ip>:<host port> in etcd on a lease, while the app passes and only
then. The app hangs, crashes or stops: the key goes.

Usage:
  dockreg --etcd URLS --port N [--ip ADDR] [flags]
  dockreg help
  dockreg --version

Examples:
  dockreg --etcd http://10.1.0.101:2379,http://10.1.0.102:2379 --port 8000 --ip 10.1.0.101
  dockreg --etcd 10.1.0.101:2379 --port 50051 --ip 10.1.0.101 --check grpc --dry-run
  dockreg --etcd 10.1.0.101:2379 --port 8000 --ip 10.1.0.101 --host-port 8000 --check tcp
`)
	group := ""
	for _, s := range settings {
		if s.group != group {
			group = s.group
			fmt.Fprintf(&b, "\n%s:\n", group)
		}
		usage := s.usage
		if s.fallback != "" {
			usage += " (default: " + s.fallback + ")"
		}
		fmt.Fprintf(&b, "  %-27s  %s\n", strings.TrimSpace("--"+s.name+" "+s.placeholder), strings.ReplaceAll(usage, "\n", "\n"+strings.Repeat(" ", 31)))
	}
	b.WriteString(`
Environment:
  Each flag can be set there too: --host-port is DOCKREG_HOST_PORT, and so on. A
  flag beats the environment; an empty variable counts as not set. A password
  for etcd belongs there, or into a file, where no process list shows it:
  DOCKREG_ETCD_PASSWORD, or DOCKREG_ETCD=http://user:password@10.1.0.101:2379

Exit codes:
  0 stopped as asked; also when etcd did not answer within 2 s, and the key lapses
  2 wrong usage or configuration
  1 anything else
  An etcd, Docker or app that does not answer is waited for.
`)
	return b.String()
}

// source says what each setting was given as.
type source struct {
	c      *cli.Context
	getenv func(string) string
}

// value is what one setting says.
type value struct {
	setting
	text  string
	label string // where it says so: --port, or DOCKREG_PORT
	given bool   // else text is the fallback
}

func (s source) value(name string) value {
	known, _ := find(name)
	v := value{setting: known, label: "--" + name, text: known.fallback}
	if s.c.IsSet(name) {
		v.given = true
		v.text = s.c.String(name)
		if name == "etcd" {
			v.text = strings.Join(s.c.StringSlice(name), ",")
		}
		return v
	}
	names := []string{known.env()}
	if name == "docker" {
		names = append(names, "DOCKER_HOST")
	}
	for _, env := range names {
		if text := s.getenv(env); text != "" {
			v.given, v.text, v.label = true, text, env
			break
		}
	}
	return v
}
