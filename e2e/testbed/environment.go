package testbed

import (
	"os"
	"slices"
	"strings"
)

// CleanEnv returns this process's environment without what dockreg reads: that is set for
// another one. No dockreg outside of a container tells of itself in this machine's /run.
func CleanEnv() []string {
	return append(slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "DOCKREG_") || strings.HasPrefix(variable, "DOCKER_HOST=")
	}), "DOCKREG_STATUS_SOCKET=off")
}
