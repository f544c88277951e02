package main

// help is the text of dockreg help, for the library to fill in: the flags stand in the
// order in which they were declared, under their groups.
const help = `{{.Name}} {{.Usage}}

It runs beside the app, in the same Docker container. It asks Docker for the host
port that the app's port is published on, probes the app, and keeps the key
/service/<host ip>:<host port> in etcd on a lease, while the app passes and only
then. The app hangs, crashes or stops: the key goes.

Usage:
  dockreg --etcd URLS --port N [--ip ADDR] [flags]
  dockreg run --etcd URLS --port N [--ip ADDR] [flags] -- command arguments…
  dockreg host [--etcd URLS] [flags]
  dockreg ls --etcd URLS [flags]
  dockreg watch --etcd URLS [flags]
  dockreg status [flags]
  dockreg web --etcd URLS [flags]
  dockreg help
  dockreg COMMAND --help

Examples:
  dockreg --etcd http://10.1.0.101:2379,http://10.1.0.102:2379 --port 8000 --ip 10.1.0.101
  dockreg --etcd 10.1.0.101:2379 --port 50051 --ip 10.1.0.101 --check grpc --dry-run
  dockreg --etcd 10.1.0.101:2379 --port 8000 --ip 10.1.0.101 --host-port 8000 --check tcp
  dockreg --etcd 10.1.0.101:2379 --port 8000 --record plain --record dns:web.svc.example

Other commands:{{range .VisibleCommands}}{{if ne .Name "help"}}
  {{.Name}} {{.ArgsUsage}}{{"\t"}}{{.Usage}}{{end}}{{end}}
` + flagsHelp + `
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
`

// flagsHelp lists the flags of a command under their groups.
const flagsHelp = `{{$group := ""}}{{range .VisibleFlags}}{{with .GetCategory}}{{if ne . $group}}{{$group = .}}
{{.}}:
{{end}}{{end}}{{if .GetCategory}}  {{.}}
{{end}}{{end}}`

// runHelp is the text of dockreg run --help.
const runHelp = `dockreg run: starts an app, and registers it, as a container's entrypoint

For images without supervisord. It starts the command, registers it as dockreg does,
and stops in the right order: deregister, drain, then the signal to the app's process
group, and KILL when the time is up. It exits with the app's exit code, or 128 and the
signal's number. As a container's first process it reaps what others leave behind, and
hands on signals; nothing that goes wrong in dockreg ends the app.

Usage:
  dockreg run --etcd URLS --port N [--ip ADDR] [flags] -- command arguments…

Examples:
  dockreg run --etcd http://10.1.0.101:2379 --port 8000 --ip 10.1.0.101 -- node app.js
  dockreg run --port 80 --stop-signal QUIT -- nginx -g 'daemon off;'

In a Dockerfile:
  COPY dockreg /usr/bin/dockreg
  ENTRYPOINT ["dockreg", "run", "--port", "8000", "--", "/entrypoint.sh"]
` + flagsHelp + `
Environment:
  Each flag can be set there too: --stop-timeout is DOCKREG_STOP_TIMEOUT, and so on.
  The app's environment is dockreg's, without DOCKREG_ETCD, DOCKREG_ETCD_PASSWORD,
  DOCKREG_CHECK and DOCKREG_PRE_STOP, which may hold secrets.

Exit codes:
  the app's own, or 128 and the number of the signal that ended it
  126, 127 it can't be run; there is no such command
  2 wrong usage or configuration, before the app is started
`

// hostHelp is the text of dockreg host --help.
const hostHelp = `dockreg host: answers containers about themselves, and takes their last wills

It runs once on each host. A container that mounts the folder of its socket needs no
docker.sock: it is told its own published ports, and of nobody else. With --etcd, a
sidekick tells it which lease its key hangs on, and when the container is killed,
the key is gone at once. With --metrics it shows Prometheus what all sidekicks of the
host do.

Usage:
  dockreg host [--etcd URLS] [flags]

Examples:
  dockreg host --etcd http://10.1.0.101:2379,http://10.1.0.102:2379
  docker run --pid host --cgroupns host --network host --read-only --cap-drop ALL --no-healthcheck \
    -v /run/dockreg:/run/dockreg -v /var/run/docker.sock:/var/run/docker.sock … dockreg host …

A container then:
  docker run -v /run/dockreg:/run/dockreg:ro … # with dockreg --docker /run/dockreg/docker.sock
` + flagsHelp + `
Environment:
  Each flag can be set there too: --listen is DOCKREG_LISTEN, and so on. A
  password for etcd belongs there, or into a file.

Exit codes:
  0 stopped as asked
  2 wrong usage or configuration
  1 anything else, such as a socket that can't be made
  A Docker or an etcd that does not answer is waited for.
`

// lsHelp is the text of dockreg ls --help.
const lsHelp = `dockreg ls: lists what is registered

Oldest first: the order is that in which the keys came. LEFT is what is left of a
lease, which its dockreg renews while the app passes; with more than 2000 keys the
table leaves it out, and wide and json have it. HOST is the address's IP.

Usage:
  dockreg ls --etcd URLS [flags]

Examples:
  dockreg ls --etcd http://10.1.0.101:2379
  dockreg ls --etcd http://10.1.0.101:2379 --key service/web --output json
  dockreg ls --etcd http://10.1.0.101:2379 --output prometheus # for file_sd
` + flagsHelp + readingHelp

// watchHelp is the text of dockreg watch --help.
const watchHelp = `dockreg watch: shows each change of what is registered, as it happens

A line for each: + an address came, - it went, and after what time, ~ its record
changed. What is wrong with etcd is said on stderr, or with --output json in lines of
their own: an etcd that is away is waited for, and what it still knows of what
happened meanwhile is told then.

Usage:
  dockreg watch --etcd URLS [flags]

Examples:
  dockreg watch --etcd http://10.1.0.101:2379
  dockreg watch --etcd http://10.1.0.101:2379 --output json | jq .
` + flagsHelp + readingHelp

const readingHelp = `
Environment:
  Each flag can be set there too: --key is DOCKREG_KEY, and so on. A password
  for etcd belongs there, or into a file.

Exit codes:
  0 done, or stopped as asked
  2 wrong usage or configuration
  1 anything else, such as an etcd that can't be asked
`

// statusHelp is the text of dockreg status --help.
const statusHelp = `dockreg status: shows what the dockreg of this container does now, and why

It asks at a socket in the container's own file system. As its exit code tells whether
the app is registered, it is a HEALTHCHECK, too.

Usage:
  dockreg status [flags]

Examples:
  docker exec web dockreg status
  docker exec web dockreg status --output json
` + flagsHelp + `
Exit codes:
  0 registered
  2 wrong usage
  1 not registered, or no dockreg runs here
`

// webHelp is the text of dockreg web --help.
const webHelp = `dockreg web: shows what is registered on a page, live

All instances by parent and host, what came and went within the last 15 minutes, and
whether etcd can be asked. It is read only, and lets everybody in: put it behind what
authenticates. For programs there are /api/instances and, for Prometheus, /sd.

Usage:
  dockreg web --etcd URLS [flags]

Examples:
  dockreg web --etcd http://10.1.0.101:2379
  dockreg web --etcd http://10.1.0.101:2379 --listen :8080 --key service/web
` + flagsHelp + readingHelp
