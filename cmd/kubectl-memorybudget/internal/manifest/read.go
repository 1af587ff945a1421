// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/validation/offline"
)

// Options say what to read.
type Options struct {
	// Filenames are files, patterns, directories, URLs and - for standard input.
	Filenames []string
	// Recursive reads directories with all that is below them.
	Recursive bool
	// Namespace is that of documents that name none. Enforced: no document may name another one.
	Namespace string
	Enforced  bool
	// In is standard input.
	In io.Reader
}

// Result is one MemoryBudget, or why there is none.
type Result struct {
	MemoryBudget *v1alpha1.MemoryBudget
	Err          error
}

// Read reads and checks all MemoryBudgets, in the order in which they are written. Ignored are the
// kinds of other objects, each once. There is an error in the results where no MemoryBudget was found.
func Read(o Options) (results []Result, ignored []string) {
	found, errs := sources(o.Filenames, o.Recursive, o.In)
	for _, err := range errs {
		results = append(results, Result{Err: err})
	}
	for _, s := range found {
		text, err := s.read()
		if err != nil {
			results = append(results, Result{Err: err})
		}
		for _, d := range documents(s.name, text) {
			if d.err == nil && !d.header.concerns() {
				ignored = append(ignored, d.header.Kind)
				continue
			}
			results = append(results, check(&d, o))
		}
	}
	slices.Sort(ignored)
	ignored = slices.Compact(ignored)
	if len(results) == 0 {
		results = append(results, Result{Err: nothing(o.Filenames, ignored)})
	}
	return results, ignored
}

func nothing(filenames, ignored []string) error {
	if len(ignored) == 0 {
		return fmt.Errorf("no MemoryBudget in %s", strings.Join(filenames, ", "))
	}
	return fmt.Errorf("no MemoryBudget in %s, only: %s", strings.Join(filenames, ", "), strings.Join(ignored, ", "))
}

// check decodes a document as the API server would.
func check(d *document, o Options) Result {
	if d.err != nil {
		return Result{Err: d.err}
	}
	if o.Enforced && d.header.Namespace != "" && d.header.Namespace != o.Namespace {
		return Result{Err: fmt.Errorf("%s: the namespace from the provided object %q does not match the namespace %q. "+
			"You must pass '--namespace=%s' to perform this operation",
			d.source, d.header.Namespace, o.Namespace, d.header.Namespace)}
	}
	mb, err := offline.Decode(d.text, o.Namespace)
	if err != nil {
		return Result{Err: explain(d, err)}
	}
	// There is no owner without a cluster, whatever a document that was taken from one says.
	mb.UID = ""
	return Result{MemoryBudget: mb}
}

// explain says what is wrong with a document: what the API server answers, one line for each field.
func explain(d *document, err error) error {
	if !apierrors.IsInvalid(err) {
		return fmt.Errorf("%s: %w", d.source, err)
	}
	problems := offline.Problems(err)
	slices.SortFunc(problems, func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	})
	return fmt.Errorf("%s: the MemoryBudget %q is invalid:\n* %s", d.source, d.header.Name, strings.Join(problems, "\n* "))
}

// rank puts what is wrong with no field last: that some rules could not be checked.
func rank(problem string) int {
	if strings.HasPrefix(problem, "<nil>") {
		return 1
	}
	return 0
}
