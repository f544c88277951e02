package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"dockreg/etcdreg"
	"dockreg/settings"
	"dockreg/sidekick"
)

// errNotRegistered is the exit code of a status that says so.
var errNotRegistered = toldError{errors.New("not registered")}

// statusCommand shows what the sidekick of this container does now. Its exit code makes it
// a container's HEALTHCHECK.
func statusCommand(stdout io.Writer) *cli.Command {
	set := &settings.Set{}
	what := set.Status("text", "json")
	return &cli.Command{
		Name:               "status",
		Usage:              "show what the dockreg of this container does now, and why",
		CustomHelpTemplate: statusHelp,
		Flags:              set.Flags(),
		OnUsageError:       set.OnUsageError,
		Action: func(c *cli.Context) error {
			if err := set.Read(c); err != nil {
				return err
			}
			if err := set.Err(); err != nil {
				return err
			}
			path, err := findStatus(what.Path())
			if err != nil {
				return err
			}
			s, err := askStatus(c.Context, path)
			if err != nil {
				return fmt.Errorf("dockreg at %s: %w", path, err)
			}
			if what.Output() == "json" {
				err = writeJSON(stdout, s)
			} else {
				err = s.write(stdout)
			}
			if err == nil && !s.Registered {
				err = errNotRegistered
			}
			return err
		},
	}
}

// status is what a sidekick tells of itself. Times are how long ago, in seconds.
type status struct {
	Registered bool     `json:"registered"`
	For        float64  `json:"for_seconds"` // or not
	Key        string   `json:"key,omitempty"`
	Records    []string `json:"records,omitempty"`
	Address    string   `json:"address,omitempty"`
	Lease      string   `json:"lease,omitempty"`
	Member     string   `json:"member,omitempty"`
	Renewed    float64  `json:"renewed_ago_seconds,omitempty"`
	Holder     string   `json:"standing_by,omitempty"`
	Stopping   bool     `json:"stopping,omitempty"`

	App        string  `json:"app"`
	AppFor     float64 `json:"app_for_seconds"`
	ProbeAgo   float64 `json:"probed_ago_seconds,omitempty"`
	ProbeTook  float64 `json:"probe_seconds,omitempty"`
	ProbeError string  `json:"probe_error,omitempty"`

	Fault    string  `json:"last_fault,omitempty"`
	FaultAgo float64 `json:"last_fault_ago_seconds,omitempty"`
	Version  string  `json:"version"`
}

// statusOf is what a sidekick's socket tells.
func statusOf(s *sidekick.Sidekick, registry *etcdreg.Registry) status {
	now := s.Status()
	ago := func(t time.Time) float64 {
		if t.IsZero() {
			return 0
		}
		return time.Since(t).Seconds()
	}
	told := status{
		Registered: now.Registered, For: ago(now.Since), Address: now.Address, Renewed: ago(now.Renewed), Holder: now.Holder, Stopping: now.Stopping,
		App: now.App, AppFor: ago(now.AppSince), ProbeAgo: ago(now.Probed), ProbeTook: now.ProbeTook.Seconds(), ProbeError: now.ProbeError,
		Fault: now.Fault, FaultAgo: ago(now.FaultAt), Version: version,
	}
	for _, record := range now.Records {
		told.Records = append(told.Records, record.Key)
	}
	if now.Records != nil {
		told.Key = now.Records.Key()
	}
	if place := registry.Place(); place != nil {
		told.Lease, told.Member = fmt.Sprintf("%x", place.Lease), place.Member
	}
	return told
}

func askStatus(ctx context.Context, path string) (s status, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*statusTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return s, err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(2 * statusTimeout))
	return s, json.NewDecoder(io.LimitReader(conn, longestStatus)).Decode(&s)
}

// span is a time in seconds as people read it.
func span(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(100 * time.Microsecond).String()
}

// write writes it for people: the verdict first.
func (s status) write(w io.Writer) error {
	verdict := "not registered"
	if s.Registered {
		verdict = "registered"
	}
	why := ""
	switch {
	case s.Stopping:
		why = ": it is stopping"
	case s.Registered:
	case s.Key == "":
		why = ": its address is not known yet"
	case s.Holder != "":
		why = ": it stands by"
	case s.App != "up":
		why = ": the app is " + s.App
	case s.Fault != "":
		why = ": see the last fault"
	}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(out, "%s for %s%s\n\n", verdict, span(s.For), why)
	line := func(name, format string, args ...any) { _, _ = fmt.Fprintf(out, name+"\t"+format+"\n", args...) }
	line("key", "%s", cmp.Or(s.Key, "not known yet"))
	for _, key := range s.Records[min(1, len(s.Records)):] {
		line("", "%s", key)
	}
	if s.Lease != "" {
		line("lease", "%s, renewed %s ago, by %s", s.Lease, span(s.Renewed), s.Member)
	}
	if s.Holder != "" {
		line("standing by", "%s", s.Holder)
	}
	line("app", "%s for %s", s.App, span(s.AppFor))
	switch {
	case s.ProbeAgo == 0:
		line("last probe", "none yet")
	case s.ProbeError == "":
		line("last probe", "passed %s ago, after %s", span(s.ProbeAgo), span(s.ProbeTook))
	default:
		line("last probe", "failed %s ago, after %s: %s", span(s.ProbeAgo), span(s.ProbeTook), s.ProbeError)
	}
	if s.Fault != "" {
		line("last fault", "%s ago: %s", span(s.FaultAgo), s.Fault)
	}
	line("version", "%s", s.Version)
	return unread(out.Flush())
}
