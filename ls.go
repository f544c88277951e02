package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"dockreg/etcdreg/etcd"
	"dockreg/instances"
	"dockreg/settings"
)

// lsCommand shows what is registered.
func lsCommand(stdout, stderr io.Writer) *cli.Command {
	return readingCommand(stderr, "ls", "list what is registered", lsHelp, forms("table", "wide", "json", "prometheus"),
		func(c *cli.Context, client *etcd.Client, _ *settings.Set, what *settings.Reading) error {
			return list(c.Context, client, what.Prefixes(), what.Output(), stdout)
		})
}

// forms are those in which a command can show what is registered, the default first.
func forms(all ...string) func(*settings.Set) *settings.Reading {
	return func(set *settings.Set) *settings.Reading { return set.Reading(all...) }
}

// row is an instance as it is shown.
type row struct {
	instances.Instance
	order int // 1: the oldest
	left  time.Duration
	asked bool // etcd was asked for left
}

// list writes what is registered, once all of it is known.
func list(ctx context.Context, client instances.Etcd, prefixes []string, output string, w io.Writer) error {
	all, err := instances.List(ctx, client, prefixes)
	if err != nil {
		return err
	}
	left := instances.Left(nil)
	if output != "prometheus" && (output != "table" || len(all.Instances) <= mostAsked) {
		if left, err = instances.LeftOf(ctx, client, all.Instances); err != nil {
			return err
		}
	}
	rows := rowsOf(all, left)
	switch output {
	case "json":
		return writeObjects(w, rows)
	case "prometheus":
		return writeTargets(w, rows)
	}
	return writeTable(w, rows, output == "wide")
}

// rowsOf numbers instances. left may be nil: it was not asked for.
func rowsOf(all instances.Listing, left instances.Left) (rows []row) {
	for n, i := range all.Instances {
		rows = append(rows, row{i, n + 1, left[i.Lease], left != nil})
	}
	return rows
}

// mostAsked is how many leases are asked about for people, who want an answer at once:
// etcd has to be asked about each.
const mostAsked = 2000

// longest is how much of a text a table shows.
const longest = 60

// brief returns a text that a table has room for, with nothing in it that a terminal acts
// on.
func brief(text string) string {
	if len(text) > 4*longest { // or quoting would take long
		text = text[:4*longest]
	}
	text = settings.Printable(text)
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest-1]) + "…"
	}
	return text
}

// name is what a person knows an instance by: its address, or its key, if that has none.
func name(i instances.Instance) string {
	if at := i.Address(); at.IsValid() {
		return at.String()
	}
	return brief(i.Key)
}

func (r row) leftText() string {
	switch {
	case r.Lease == 0:
		return "for ever"
	case !r.asked:
		return "-"
	case r.left == 0:
		return "ended"
	}
	return r.left.String()
}

func writeTable(w io.Writer, rows []row, wide bool) error {
	var text strings.Builder
	out := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprint(out, "ADDRESS\tHOST\tRECORD\tLEFT\tORDER")
	if wide {
		_, _ = fmt.Fprint(out, "\tKEY\tLEASE\tREVISION")
	}
	_, _ = fmt.Fprintln(out)
	for _, r := range rows {
		host := "-"
		if at := r.Address(); at.IsValid() {
			host = at.Addr().String()
		}
		_, _ = fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%d", name(r.Instance), host, brief(r.Value), r.leftText(), r.order)
		if wide {
			_, _ = fmt.Fprintf(out, "\t%s\t%x\t%d", brief(r.Key), r.Lease, r.Created)
		}
		_, _ = fmt.Fprintln(out)
	}
	_ = out.Flush()
	head, rest, _ := strings.Cut(text.String(), "\n")
	if colours(w) {
		head = "\x1b[1m" + head + "\x1b[0m"
	}
	_, err := io.WriteString(w, head+"\n"+rest)
	return unread(err)
}

// unread returns what went wrong in writing, which is nothing if whoever reads has enough, such
// as head or grep -q.
func unread(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// colours says whether people look at it, and want that (https://no-color.org).
func colours(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" {
		return false
	}
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}

// object is an instance for programs.
type object struct {
	Key     string `json:"key"`
	Address string `json:"address,omitempty"`
	IP      string `json:"ip,omitempty"`
	Port    uint16 `json:"port,omitempty"`
	Value   string `json:"value"`
	// RawKey and Raw are the key and the value where that is not UTF-8, which JSON can't hold.
	RawKey   string  `json:"key_base64,omitempty"`
	Raw      string  `json:"value_base64,omitempty"`
	Lease    string  `json:"lease,omitempty"`
	Left     float64 `json:"left_seconds,omitempty"`
	Order    int     `json:"order,omitempty"`
	Created  int64   `json:"created_revision"`
	Modified int64   `json:"modified_revision"`
}

func objectOf(i instances.Instance) object {
	o := object{Key: i.Key, Value: i.Value, Created: i.Created, Modified: i.Modified}
	if at := i.Address(); at.IsValid() {
		o.Address, o.IP, o.Port = at.String(), at.Addr().String(), at.Port()
	}
	o.RawKey, o.Raw = rawOf(i.Key), rawOf(i.Value)
	if i.Lease != 0 {
		o.Lease = fmt.Sprintf("%x", i.Lease)
	}
	return o
}

// rawOf returns in base64 what is not UTF-8, and of all else nothing.
func rawOf(text string) string {
	if utf8.ValidString(text) {
		return ""
	}
	return base64.StdEncoding.EncodeToString([]byte(text))
}

func writeObjects(w io.Writer, rows []row) error {
	all := []object{}
	for _, r := range rows {
		o := objectOf(r.Instance)
		o.Left, o.Order = r.left.Seconds(), r.order
		all = append(all, o)
	}
	return writeJSON(w, all)
}

// target is what Prometheus reads of a file or over HTTP
// (https://prometheus.io/docs/prometheus/latest/http_sd/).
type target struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

func writeTargets(w io.Writer, rows []row) error {
	all := []target{}
	for _, r := range rows {
		if at := r.Address(); at.IsValid() {
			all = append(all, target{[]string{at.String()}, map[string]string{
				"__meta_dockreg_key": strings.ToValidUTF8(r.Key, "\uFFFD"), "__meta_dockreg_value": strings.ToValidUTF8(r.Value, "\uFFFD"),
			}})
		}
	}
	return writeJSON(w, all)
}

func writeJSON(w io.Writer, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err == nil {
		_, err = w.Write(append(escaped(text), '\n'))
	}
	return unread(err)
}

// escaped returns JSON that means the same, with nothing in it that a terminal acts on: in
// texts, JSON itself escapes of that what is below a space alone, and all else leaves nothing
// of it.
func escaped(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for _, r := range string(text) {
		if r == '\n' || unicode.IsPrint(r) {
			out = utf8.AppendRune(out, r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			out = fmt.Appendf(out, `\u%04x`, unit)
		}
	}
	return out
}
