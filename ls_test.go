package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"dockreg/instances"
)

// hostile is what a terminal would act on, and what JSON itself has to escape.
const hostile = "/service/\u009b31m\u007f\u202e\u2066\u200f\ufeff\U000e0001\u00a0\x1b]0;\"\\<>\t\n\u2028é世"

// What is for programs means what somebody has put there, and has nothing in it that a
// terminal acts on. What is not UTF-8 is in base64, too.
func TestJSONIsSafeToLookAt(t *testing.T) {
	t.Parallel()
	plain := instances.Instance{Key: hostile, Value: hostile}
	raw := instances.Instance{Key: "/service/\xff", Value: "\xfe"}
	var table bytes.Buffer
	if err := writeObjects(&table, rowsOf(instances.Listing{Instances: []instances.Instance{plain, raw}}, nil)); err != nil {
		t.Fatal(err)
	}
	var all []object
	if err := json.Unmarshal(table.Bytes(), &all); err != nil || len(all) != 2 || all[0].Key != hostile || all[0].Value != hostile || all[0].RawKey != "" || all[0].Raw != "" {
		t.Errorf("%v, %+v", err, all)
	}
	if all[1].RawKey != "L3NlcnZpY2Uv/w==" || all[1].Raw != "/g==" {
		t.Errorf("%+v, want both in base64", all[1])
	}
	var targets bytes.Buffer
	if err := writeTargets(&targets, rowsOf(instances.Listing{Instances: []instances.Instance{{Key: hostile + "/10.1.0.101:80", Value: hostile}}}, nil)); err != nil {
		t.Fatal(err)
	}
	var lines bytes.Buffer
	for _, e := range []instances.Event{{Kind: instances.Came, At: time.Now(), Instance: plain}, {Kind: instances.Lost, Err: errors.New(hostile)}} {
		if err := writeEvent(&lines, nil, e, true, ""); err != nil {
			t.Fatal(err)
		}
	}
	var first object
	if err := json.Unmarshal([]byte(strings.Split(lines.String(), "\n")[0]), &first); err != nil || first != objectOf(plain) {
		t.Errorf("%v, %+v", err, first)
	}
	for _, text := range []string{table.String(), targets.String(), lines.String()} {
		if strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) || !strings.Contains(text, "é世") {
			t.Errorf("%q", text)
		}
	}
}

// Nothing that a table or a line of dockreg watch shows is something that a terminal acts on, not
// even an address's zone, which may be any text.
func TestTextIsSafeToLookAt(t *testing.T) {
	t.Parallel()
	for _, key := range []string{hostile, "/service/[fe80::1%\x1b[31m\n\u202e]:80"} {
		i := instances.Instance{Key: key, Value: hostile}
		var text bytes.Buffer
		if err := writeTable(&text, rowsOf(instances.Listing{Instances: []instances.Instance{i}}, nil), true); err != nil {
			t.Fatal(err)
		}
		for _, kind := range []instances.Kind{instances.Came, instances.Changed, instances.Went} {
			if err := writeEvent(&text, io.Discard, instances.Event{Kind: kind, At: time.Now(), Instance: i}, false, ""); err != nil {
				t.Fatal(err)
			}
		}
		if strings.ContainsFunc(text.String(), func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) || strings.Count(text.String(), "\n") != 5 {
			t.Errorf("%q", text.String())
		}
	}
}

// Whoever reads may have enough, as head or grep -q has; a full disk is another thing.
func TestReaderHasEnough(t *testing.T) {
	t.Parallel()
	rows := rowsOf(instances.Listing{Instances: []instances.Instance{{Key: "/service/10.1.0.101:80"}}}, nil)
	for name, write := range map[string]func(io.Writer) error{
		"ls":      func(w io.Writer) error { return writeTable(w, rows, true) },
		"json":    func(w io.Writer) error { return writeObjects(w, rows) },
		"targets": func(w io.Writer) error { return writeTargets(w, rows) },
		"status":  status{Registered: true}.write,
	} {
		for _, cause := range []error{syscall.EPIPE, syscall.ENOSPC} {
			err := write(broken{&os.PathError{Op: "write", Path: "/dev/stdout", Err: cause}})
			if want := errors.Is(cause, syscall.ENOSPC); (err != nil) != want {
				t.Errorf("%s, %v: %v", name, cause, err)
			}
		}
	}
}

// broken is what can't be written to.
type broken struct{ error }

func (b broken) Write([]byte) (int, error) { return 0, b.error }
