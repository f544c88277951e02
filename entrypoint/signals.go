package entrypoint

import (
	"cmp"
	"errors"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A signal that comes is handed on, but for CHLD, which is this process's own, and for PIPE,
// PROF and URG, which Go's runtime sends to itself, or keeps. KILL and STOP come to nobody, and Go takes no
// notice of 32 to 34, which C libraries keep for themselves.
func isOwn(s syscall.Signal) bool {
	return s == unix.SIGCHLD || s == unix.SIGPIPE || s == unix.SIGPROF || s == unix.SIGURG
}

// rtMin and rtMax are the first and the last of the real-time signals, as C libraries count
// them (signal(7)).
const rtMin, rtMax = 34, 64

// ParseSignal reads a signal that an app may be stopped with: a name, with or without SIG, or
// a number, or RTMIN+3, as in a Dockerfile's STOPSIGNAL.
func ParseSignal(text string) (syscall.Signal, error) {
	name := strings.ToUpper(text)
	number, err := strconv.Atoi(text)
	if err != nil {
		name = strings.TrimPrefix(name, "SIG")
		number = int(unix.SignalNum("SIG" + name))
		if n, ok := countOf(name, "RTMIN+"); ok {
			number = rtMin + n
		} else if n, ok := countOf(name, "RTMAX-"); ok {
			number = rtMax - n
		}
	}
	s := syscall.Signal(number)
	switch {
	case number < 1 || number > 64:
		return 0, errors.New("not a signal; give one that stops the app, such as TERM, INT or QUIT")
	case s == unix.SIGKILL || s == unix.SIGSTOP || isOwn(s) || number >= 32 && number <= 34:
		return 0, errors.New("not a signal that can be waited for; give one that stops the app, such as TERM, INT or QUIT")
	}
	return s, nil
}

// countOf is how far a name counts from an end of the real-time signals.
func countOf(name, end string) (n int, ok bool) {
	number, ok := strings.CutPrefix(name, end)
	n, err := strconv.Atoi(number)
	return n, ok && err == nil && n >= 0
}

// nameOf is how a log names a signal. Real-time ones have numbers.
func nameOf(s syscall.Signal) string { return cmp.Or(unix.SignalName(s), s.String()) }

// isStopped says whether a signal suspends: the terminal's.
func isStopped(s syscall.Signal) bool {
	return s == unix.SIGTSTP || s == unix.SIGTTIN || s == unix.SIGTTOU
}

// notify delivers what is to be handed on on the first channel, and CHLD, of which one stands
// for all that have come, on the second.
func notify() (signals, children chan os.Signal, release func()) {
	signals, children = make(chan os.Signal, 256), make(chan os.Signal, 1)
	var all []os.Signal
	for s := syscall.Signal(1); s <= 64; s++ {
		if !isOwn(s) {
			all = append(all, s)
		}
	}
	signal.Notify(children, unix.SIGCHLD)
	signal.Notify(signals, all...)
	return signals, children, func() {
		signal.Stop(signals)
		signal.Stop(children)
	}
}
