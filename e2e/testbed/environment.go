package testbed

import (
	"os"
	"slices"
	"strings"
)

// CleanEnv returns this process's environment without what dockreg reads: that is set for
// another one.
func CleanEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "DOCKREG_") || strings.HasPrefix(variable, "DOCKER_HOST=")
	})
}
