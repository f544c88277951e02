package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	clientv3 "go.etcd.io/etcd/client/v3"

	"dockreg/e2e/testbed"
)

// readEtcd runs a command that reads an etcd to its end; again, if the etcd of a busy machine
// was too late for it.
func readEtcd(t *testing.T, etcd string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	for range 5 {
		p := dockreg(args...)
		var out journal
		p.Stdout = &out
		p.Env = append(p.Env, "DOCKREG_ETCD="+etcd) // it may hold a password
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		code, _ = p.wait(t, 30*time.Second)
		if stdout, stderr = out.String(), p.stderr.String(); !isLate(stderr) {
			break
		}
		t.Log(stderr)
	}
	return code, stdout, stderr
}

// isLate says whether somebody complains of an etcd that takes connections, and did not answer
// within the 1.5 s of a single try.
func isLate(complaint string) bool {
	return strings.Contains(complaint, "did not answer in time") || strings.Contains(complaint, "takes connections, but says nothing")
}

// dockreg ls lists what is there, oldest first, in each of its forms; and whatever else
// somebody has put there breaks neither table, terminal nor JSON.
func TestLs(t *testing.T) {
	t.Parallel()
	eachEtcd(t, func(t *testing.T, binary string) {
		m := stopWith(t)(testbed.StartAlone(binary)).Members[0]
		lease, err := m.Client.Grant(t.Context(), 600)
		if err != nil {
			t.Fatal(err)
		}
		hostile := map[string]string{
			"/service/10.1.0.104:1":          "\x1b[31mred\x07\r\n<script>alert(1)</script>",
			"/service/not an address\x1b[2J": "x",
			"/service/10.1.0.105:1":          "\xff\xfe",
			"/service/10.1.0.106:1":          strings.Repeat("x", 1<<20),
			"/service/\u202e10.1.0.107:1":    "x",
		}
		for _, key := range []string{"/service/10.1.0.103:1", "/service/10.1.0.101:1", "/service/[2001:db8::1]:80"} {
			if _, err := m.Client.Put(t.Context(), key, "running", clientv3.WithLease(lease.ID)); err != nil {
				t.Fatal(err)
			}
		}
		for key, value := range hostile {
			if _, err := m.Client.Put(t.Context(), key, value); err != nil {
				t.Fatal(err)
			}
		}
		for _, output := range []string{"table", "wide"} {
			code, out, errs := readEtcd(t, m.URL, "ls", "--output", output)
			lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
			if code != 0 || errs != "" || len(lines) != 1+3+len(hostile) {
				t.Fatalf("exit code %d, %d lines\n%s%s", code, len(lines), out, errs)
			}
			for n, want := range []string{"ADDRESS ", "10.1.0.103:1 ", "10.1.0.101:1 ", "[2001:db8::1]:80 "} {
				if !strings.HasPrefix(lines[n], want) {
					t.Errorf("line %d is %s, want %s", n, lines[n], want)
				}
			}
			for _, line := range lines {
				if strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) || len(line) > 400 {
					t.Errorf("%.500q", line)
				}
			}
		}
		code, out, _ := readEtcd(t, m.URL, "ls", "--output", "json")
		var all []struct {
			Key, Address, Value string
			Raw                 string  `json:"value_base64"`
			Left                float64 `json:"left_seconds"`
		}
		if err := json.Unmarshal([]byte(out), &all); err != nil || code != 0 || len(all) != 3+len(hostile) {
			t.Fatalf("exit code %d, %d instances, %v", code, len(all), err)
		}
		for n, i := range all {
			if n < 3 && (i.Value != "running" || i.Left < 500 || i.Left > 600) {
				t.Errorf("%+v", i)
			}
			if want := hostile[i.Key]; n >= 3 && i.Value != want && i.Raw != "//4=" {
				t.Errorf("%q: %.100q, want %.100q", i.Key, i.Value, want)
			}
		}
		code, out, _ = readEtcd(t, m.URL, "ls", "--output", "prometheus")
		var targets []struct{ Targets []string }
		if err := json.Unmarshal([]byte(out), &targets); err != nil || code != 0 || len(targets) != 6 || targets[0].Targets[0] != "10.1.0.103:1" {
			t.Errorf("exit code %d, %v, %v", code, targets, err)
		}
		if code, out, errs := readEtcd(t, m.URL, "ls", "--key", "none"); code != 0 || out != "ADDRESS  HOST  RECORD  LEFT  ORDER\n" || errs != "" {
			t.Errorf("nothing is registered: exit code %d\n%s%s", code, out, errs)
		}
		if code, out, errs := readEtcd(t, "http://127.0.0.1:1", "ls"); code != 1 || out != "" || !strings.HasPrefix(errs, "dockreg: etcd at http://127.0.0.1:1 can't be reached: connection refused") {
			t.Errorf("nobody is there: exit code %d\n%s%s", code, out, errs)
		}
	})
}

// Ten thousand keys are listed at once.
func TestLsOfMany(t *testing.T) {
	t.Parallel()
	m := stopWith(t)(testbed.StartAlone(must(t)(etcd37()))).Members[0]
	lease, err := m.Client.Grant(t.Context(), 600)
	if err != nil {
		t.Fatal(err)
	}
	var putting sync.WaitGroup
	for block := range 100 {
		putting.Go(func() {
			var puts []clientv3.Op
			for n := range 100 {
				puts = append(puts, clientv3.OpPut(fmt.Sprintf("/service/10.1.%d.%d:80", block, n), "running", clientv3.WithLease(lease.ID)))
			}
			if _, err := m.Client.Txn(t.Context()).Then(puts...).Commit(); err != nil {
				t.Error(err)
			}
		})
	}
	putting.Wait()
	start := time.Now()
	code, out, errs := readEtcd(t, m.URL, "ls")
	took := time.Since(start)
	t.Logf("figure: 10,000 keys are listed in %s", took.Round(time.Millisecond))
	if took > 10*time.Second { // asking about each lease of many would take longer
		t.Errorf("10,000 keys are listed in %s", took)
	}
	if code != 0 || strings.Count(out, "\n") != 10001 || errs != "" {
		t.Errorf("exit code %d, %d lines\n%s", code, strings.Count(out, "\n"), errs)
	}
}

// must returns what a function made that may fail.
func must(t *testing.T) func(string, error) string {
	return func(made string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
}
