package e2e

import (
	"go/ast"
	"go/parser"
	positions "go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// docs/trouble.md has each warning and error that the log can say, and none that it can't.
func TestTroubleHasWhatTheLogSays(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../docs/trouble.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (\\S[^|]*) \\| (\\S[^|]*) \\|$").FindAllStringSubmatch(string(doc), -1) {
		if documented[row[1]] {
			t.Errorf("docs/trouble.md has it twice: %s", row[1])
		}
		documented[row[1]] = true
	}
	said := map[string]bool{}
	for folder, files := range productSource(t) {
		for _, message := range warningsOf(t, folder, files) {
			said[message] = true
			if !documented[message] {
				t.Errorf("docs/trouble.md lacks a row for what %s logs: %s", folder, message)
			}
		}
	}
	for message := range documented {
		if !said[message] {
			t.Errorf("docs/trouble.md has what nothing logs: %s", message)
		}
	}
	if len(said) < 30 {
		t.Errorf("only %d messages were found", len(said))
	}
}

// productSource parses what the product is compiled of, by folder.
func productSource(t *testing.T) map[string][]*ast.File {
	t.Helper()
	source := map[string][]*ast.File{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && (slices.Contains([]string{"../e2e", "../release", "../examples", "../vagrant"}, path) || name[0] == '.' && name != ".."):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(positions.NewFileSet(), path, nil, parser.SkipObjectResolution)
		source[filepath.Dir(path)] = append(source[filepath.Dir(path)], file)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return source
}

// logs says which argument of a function is the message that it logs as a warning or an error.
type logs map[string]int

// warningsOf returns the constant messages of slog's warnings and errors in a package. A function that
// hands on a message, as it got it, is taken for one of slog's.
func warningsOf(t *testing.T, folder string, files []*ast.File) (messages []string) {
	known := logs{"Warn": 0, "Error": 0, "WarnContext": 1, "ErrorContext": 1, "Log": 2}
	for before := 0; before != len(known); {
		before, messages = len(known), nil
		for _, file := range files {
			for _, decl := range file.Decls {
				if f, ok := decl.(*ast.FuncDecl); ok && f.Body != nil {
					messages = append(messages, known.in(t, folder, f)...)
				}
			}
		}
	}
	return messages
}

// in returns the messages of one function, and notes the function if it hands one on.
func (known logs) in(t *testing.T, folder string, f *ast.FuncDecl) (messages []string) {
	ast.Inspect(f.Body, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		callee, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		at, ok := known[callee.Sel.Name]
		if !ok || len(call.Args) <= at || isOfPackage(callee) || harmless(f, call.Args[:at]) {
			return true
		}
		switch message := call.Args[at].(type) {
		case *ast.Ident:
			if i := slices.Index(parameters(f), message.Name); i >= 0 {
				known[f.Name.Name] = i
				return true
			}
			for _, value := range assigned(f, message.Name) {
				messages = append(messages, textOf(value))
			}
		default:
			messages = append(messages, textOf(message))
		}
		return true
	})
	for _, message := range messages {
		if strings.Trim(message, "…") == "" {
			t.Errorf("%s: %s logs a message that is no constant", folder, f.Name.Name)
		}
	}
	return messages
}

// isOfPackage says whether it is a function Error of a package, which logs nothing.
func isOfPackage(callee *ast.SelectorExpr) bool {
	pkg, ok := callee.X.(*ast.Ident)
	return ok && (pkg.Name == "http" || pkg.Name == "rpctypes")
}

// harmless says whether a level among the arguments can be none but Info or Debug.
func harmless(f *ast.FuncDecl, args []ast.Expr) bool {
	for _, arg := range args {
		levels := []ast.Expr{arg}
		if name, ok := arg.(*ast.Ident); ok {
			levels = assigned(f, name.Name)
		}
		low := 0
		for _, level := range levels {
			if l, ok := level.(*ast.SelectorExpr); ok && (l.Sel.Name == "LevelInfo" || l.Sel.Name == "LevelDebug") {
				low++
			}
		}
		if low > 0 && low == len(levels) {
			return true
		}
	}
	return false
}

func parameters(f *ast.FuncDecl) (names []string) {
	for _, field := range f.Type.Params.List {
		for _, name := range field.Names {
			names = append(names, name.Name)
		}
	}
	return names
}

// assigned returns what is assigned to a variable in a function.
func assigned(f *ast.FuncDecl, name string) (values []ast.Expr) {
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if a, ok := n.(*ast.AssignStmt); ok && len(a.Lhs) == len(a.Rhs) {
			for i := range a.Lhs {
				if v, ok := a.Lhs[i].(*ast.Ident); ok && v.Name == name {
					values = append(values, a.Rhs[i])
				}
			}
		}
		return true
	})
	return values
}

// textOf is a constant text, with … for what is none.
func textOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, _ := strconv.Unquote(e.Value)
		return text
	case *ast.BinaryExpr:
		return textOf(e.X) + textOf(e.Y)
	}
	return "…"
}
