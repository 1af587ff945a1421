// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestFinish(t *testing.T) {
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	got, err := finish(read("in.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(read("out.yaml")), string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	again, err := finish(got)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(got), string(again)); diff != "" {
		t.Errorf("a second time changes it (-first +second):\n%s", diff)
	}
}

func TestRunNamesTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "crd.yaml")
	if err := os.WriteFile(file, []byte("kind: [a]"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run([]string{file}); err == nil || !regexp.MustCompile("^"+regexp.QuoteMeta(file)).MatchString(err.Error()) {
		t.Errorf("error %v", err)
	}
}

// TestQuantityPattern: whatever matches, the Go type reads.
func TestQuantityPattern(t *testing.T) {
	pattern := regexp.MustCompile(quantityPattern)
	random := rand.New(rand.NewPCG(1, 2))
	const alphabet = "0123456789019.+-eEKMGTPinumk"
	matched := 0
	for range 2_000_000 {
		text := make([]byte, 1+random.IntN(8))
		for i := range text {
			text[i] = alphabet[random.IntN(len(alphabet))]
		}
		if !pattern.Match(text) {
			continue
		}
		matched++
		if _, err := resource.ParseQuantity(string(text)); err != nil {
			t.Errorf("%s matches: %v", text, err)
		}
	}
	if matched < 10_000 {
		t.Errorf("only %d of the texts match", matched)
	}
}
