package probe

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/kballard/go-shellquote"
)

// FuzzParse: what is taken shows as something that is taken as the same, and asks
// 127.0.0.1; what is refused is so for one of few reasons, none of which repeats it.
func FuzzParse(f *testing.F) {
	for _, check := range []string{
		"tcp", "grpc", "grpc:a.b/C", "grpc:", "http:/", "http:/a%2Fb?c=d", "https:/a b", "http://a", "http:/%zz", "http:/#a", "https:/a;b/../c?d?e",
		"exec:true", "exec:'two words' a", `exec:a\ b "c`, "exec:", "udp:1", "",
	} {
		f.Add(check)
	}
	f.Fuzz(func(t *testing.T, check string) {
		t.Parallel()
		p, err := Parse(check, 80, agent)
		if err != nil {
			words := strings.Split(strings.NewReplacer("https:", "http:").Replace(err.Error()), "; give ")
			known := []string{
				"no path to ask for", "a host, which the probe finds by itself", "no service after the colon", "no command to run", "not a kind of check",
				"what follows a # is never sent; leave it out, or write %23",
				"a quote is not closed; quote as in a shell, such as exec:check 'two words'",
			}
			if p != nil || !slices.Contains(known, words[0]) {
				t.Errorf("Parse(%q): %v, %v", check, p, err)
			}
			return
		}
		kind, rest, _ := strings.Cut(check, ":")
		switch shown := p.String(); kind {
		case "tcp", "grpc":
			if shown != check {
				t.Errorf("Parse(%q) shows as %q", check, shown)
			}
		case "http", "https":
			mustAskItself(t, kind, rest)
			path, query, asks := strings.Cut(shown, "?")
			again, err := Parse(path, 80, agent)
			if asks && query != "…" || err != nil || again.String() != path {
				t.Errorf("Parse(%q) shows as %q, which is %v, %v", check, shown, again, err)
			}
		case "exec":
			words, err := shellquote.Split(rest)
			if err != nil || !strings.HasPrefix(shown, "exec:"+words[0]) {
				t.Errorf("Parse(%q) shows as %q", check, shown)
			}
		default:
			t.Errorf("Parse(%q) takes it as %q", check, shown)
		}
	})
}

// mustAskItself fails the test unless a check of that path is a question to
// 127.0.0.1, and to nobody else, for that path and query.
func mustAskItself(t *testing.T, kind, rest string) {
	t.Helper()
	u, err := url.Parse(rest)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodGet, newHTTP(kind, u, target{80}, agent).url, nil)
	if err != nil {
		t.Errorf("%s:%q can't be asked for: %v", kind, rest, err)
		return
	}
	if got := req.URL; got.Host != "127.0.0.1:80" || got.Scheme != kind || got.User != nil || got.Fragment != "" ||
		got.Path != u.Path || got.RawQuery != u.RawQuery {
		t.Errorf("%s:%q asks for %q", kind, rest, got)
	}
}

// FuzzParseSecret: what follows the ? of a URL or the name of a command shows nowhere.
func FuzzParseSecret(f *testing.F) {
	for _, seed := range [][3]string{{"http:/", "token=", ""}, {"https:/a", "", "&b#"}, {"http:/a?", "%", "%zz"}, {"exec:check", "-p ", ""}, {"exec:'a", `'"`, `"`}} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, start, before, after string) {
		t.Parallel()
		check := start + "?" + before + "hunter2" + after
		if strings.HasPrefix(start, "exec:") {
			if strings.ContainsAny(start, `'"\`) || strings.TrimSpace(start[5:]) == "" {
				t.Skip() // a command with a space in its name, or none before the secret
			}
			check = start + " " + before + "hunter2" + after
		}
		if p, err := Parse(check, 80, agent); err != nil && strings.Contains(err.Error(), "hunter2") ||
			err == nil && !strings.HasPrefix(check, "grpc:") && strings.Contains(p.String(), "hunter2") {
			t.Errorf("Parse(%q) tells the secret: %v, %v", check, p, err)
		}
	})
}
