package settings

import (
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// prefix begins the name of every setting's variable in the environment.
const prefix = "DOCKREG_"

// envName is a setting's name in the environment.
func envName(name string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// injected are the variables that others put there: Docker for a link to a container
// called dockreg, or dockreg-web, and Kubernetes for a service of that name
// (https://docs.docker.com/engine/network/links/#environment-variables,
// https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables).
var injected = regexp.MustCompile(`^DOCKREG_(\w+_)?(` +
	`SERVICE_(HOST|PORT(_\w+)?)=.*` + `|` +
	`PORT_[0-9]+_(TCP|UDP|SCTP)(_(PORT|ADDR|PROTO)(_START|_END)?)?=.*` + `|` +
	`PORT=(tcp|udp|sctp)://.*` + `|` +
	`NAME=/.*` + `|` +
	`VERSION=.*` + `|` + // of what an image has downloaded
	`ENV_\w+=.*` + `)`)

// variables returns the names of those of all settings, of whichever command: several may
// share one environment.
func variables() map[string]bool {
	var every Set
	every.Host()
	every.Reading("", "")
	every.Status("", "")
	every.Entrypoint(every.Registration(""))
	every.Log()
	names := map[string]bool{passwordEnv: true}
	for _, f := range every.all {
		names[envName(f.Name)] = true
	}
	return names
}

// checkEnvironment notes the variables that look like a setting's and are none's. What
// they hold may be a password.
func (s *Set) checkEnvironment() {
	ours := variables()
	for _, variable := range slices.Sorted(slices.Values(os.Environ())) {
		name, text, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, prefix) || text == "" || ours[name] || injected.MatchString(variable) {
			continue
		}
		fix := "dockreg help lists the flags, and each has one"
		flag := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, prefix), "_", "-"))
		if strings.HasPrefix(flag, "etcd-pas") && !strings.HasSuffix(flag, "file") {
			fix = "did you mean " + passwordEnv + "?"
		} else if found := cli.SuggestFlag(s.Flags(), flag, true); found != "" {
			fix = "did you mean " + envName(strings.TrimLeft(found, "-")) + "?"
		}
		s.mistake("%s: no such variable; %s", name, fix)
	}
}

// commandEnv is the environment of an app and of commands that are run: this process's, without
// what may hold a password.
func commandEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return name == passwordEnv || name == envName("etcd") || name == envName("check") || name == envName("pre-stop")
	})
}
