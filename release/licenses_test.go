package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const isc = `Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted, provided that the above copyright notice and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT, INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.
`

func TestLicencesAreKnownOrRefused(t *testing.T) {
	t.Parallel()
	apache, err := os.ReadFile("../LICENSE")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		files map[string]string
		want  string // "" if it is refused
		texts int
	}{
		"one":           {map[string]string{"LICENSE": isc, "x.go": ""}, "ISC", 1},
		"with a notice": {map[string]string{"LICENSE.txt": string(apache), "NOTICE": "made by us"}, "Apache-2.0", 2},
		"of documents":  {map[string]string{"COPYING": isc, "LICENSE.docs": "CC"}, "ISC", 1},
		"none":          {map[string]string{"README.md": isc}, "", 0},
		"unknown":       {map[string]string{"LICENSE": "Do what we say."}, "", 0},
		"a notice only": {map[string]string{"NOTICE": isc}, "", 0},
		"not allowed":   {map[string]string{"LICENSE": "SPDX-License-Identifier: GPL-3.0-only\nhttps://www.gnu.org/licenses/gpl-3.0.html\n"}, "", 0},
	} {
		folder := t.TempDir()
		for file, text := range test.files {
			if err := os.WriteFile(filepath.Join(folder, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		kinds, texts, err := licensesIn(folder)
		if got := strings.Join(kinds, ","); got != test.want || (err == nil) != (test.want != "") || len(texts) != test.texts {
			t.Errorf("%s: %s, %d texts, %v; want %s", name, got, len(texts), err, test.want)
		}
	}
}

func TestEachTextIsThereOnce(t *testing.T) {
	t.Parallel()
	got := string(thirdParties([]module{
		{"a", "v1", []string{"ISC"}, []string{"one text\n"}}, {"b", "v2", []string{"MIT"}, []string{"another"}}, {"c", "v3", []string{"ISC"}, []string{"one text\n"}},
	}))
	if strings.Count(got, "one text") != 1 || !strings.Contains(got, "a v1\nc v3\n\none text\n") || !strings.Contains(got, "  c v3: ISC\n") {
		t.Error(got)
	}
}
