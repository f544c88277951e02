package main

import (
	"go/ast"
	goparser "go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Nothing depends on the wall clock, which an operator or NTP may set at any time: all
// instants come from time.Now, and are compared and subtracted by their monotonic
// reading (https://pkg.go.dev/time#hdr-Monotonic_Clocks). So nobody makes an instant in
// another way, or takes that reading away. The dates of certificates are the exception:
// they are the wall clock's.
func TestNothingDependsOnTheWallClock(t *testing.T) {
	t.Parallel()
	made := []string{"Date", "Parse", "ParseInLocation", "Unix", "UnixMilli", "UnixMicro"}
	taken := []string{"Unix", "UnixNano", "UnixMilli", "UnixMicro", "UTC", "Local", "In", "AddDate", "MarshalText", "MarshalJSON", "MarshalBinary"}
	except := map[string]string{
		"etcdreg/etcd/faults.go:UTC": "what a certificate says, told to people",
	}
	files, selectors := 0, 0
	for _, pattern := range []string{"*.go", "*/*.go", "*/*/*.go"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range found {
			if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "e2e/") || strings.HasPrefix(name, "release/") { // the latter never measures time
				continue
			}
			files++
			positions := token.NewFileSet()
			file, err := goparser.ParseFile(positions, name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				s, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				selectors++
				x, plain := s.X.(*ast.Ident)
				ofTime := plain && x.Name == "time"
				wrong := ofTime && slices.Contains(made, s.Sel.Name) || !ofTime && slices.Contains(taken, s.Sel.Name)
				if _, fine := except[name+":"+s.Sel.Name]; wrong && !fine {
					t.Errorf("%s: %s takes part in the wall clock", positions.Position(s.Pos()), s.Sel.Name)
				}
				return true
			})
		}
	}
	if files < 30 || selectors < 1000 {
		t.Errorf("only %d files with %d selectors were looked at", files, selectors)
	}
}
