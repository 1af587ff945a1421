// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
)

// constantFiles are the files of the API package whose string constants users meet, in the order of the document.
var constantFiles = []string{"conditions.go", "labels.go"}

// group is a const declaration.
type group struct {
	title     string
	constants []constant
}

// constant is a string with its meaning.
type constant struct{ value, meaning string }

// readConstants reads the documented string constants of the API package.
func readConstants(directory string) ([]group, error) {
	var groups []group
	for _, name := range constantFiles {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(directory, name), nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		for _, declaration := range file.Decls {
			if general, ok := declaration.(*ast.GenDecl); ok && general.Tok == token.CONST {
				groups = append(groups, readGroup(general))
			}
		}
	}
	return groups, nil
}

func readGroup(declaration *ast.GenDecl) group {
	g := group{title: flat(declaration.Doc.Text())}
	for _, spec := range declaration.Specs {
		value, ok := spec.(*ast.ValueSpec)
		if !ok || len(value.Values) != 1 {
			continue
		}
		literal, ok := value.Values[0].(*ast.BasicLit)
		if !ok {
			continue
		}
		if text, err := strconv.Unquote(literal.Value); err == nil {
			g.constants = append(g.constants, constant{text, meaningOf(declaration, value)})
		}
	}
	if !declaration.Lparen.IsValid() {
		g.title = ""
	}
	return g
}

// meaningOf is the comment of a constant without its Go name.
func meaningOf(declaration *ast.GenDecl, value *ast.ValueSpec) string {
	doc := value.Doc
	if doc == nil {
		doc = declaration.Doc
	}
	_, meaning, _ := strings.Cut(flat(doc.Text()), " ")
	return meaning
}

// writeConstants writes a table for each declaration; one that stands alone joins the table before it.
func writeConstants(w *strings.Builder, groups []group) {
	w.WriteString("\n## Conditions, reasons and events\n")
	for _, g := range groups {
		if g.title != "" {
			fmt.Fprintf(w, "\n%s\n\n| value | meaning |\n|---|---|\n", g.title)
		}
		for _, c := range g.constants {
			fmt.Fprintf(w, "| `%s` | %s |\n", c.value, cell(c.meaning))
		}
	}
}
