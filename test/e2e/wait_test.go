// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// customResourceDefinition is the kind of the CRD.
var customResourceDefinition = schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}

const (
	// interval is how often a condition is looked at.
	interval = 250 * time.Millisecond
	// short bounds what takes seconds, patience what takes a rollout or two, long what takes a load: several times what they
	// take on two idle cores, since all that a limit is for is to end what has come to a stop.
	short, patience, long = 2 * time.Minute, 6 * time.Minute, 20 * time.Minute
)

// until looks at a condition until it holds or the context ends, which it says, with what was seen last.
func until(ctx context.Context, what string, check func(context.Context) error) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	last := errors.New("never looked")
	began := time.Now()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %s for %s: %w", time.Since(began).Round(time.Second), what, last)
		case <-ticker.C:
		}
	}
}

// eventually fails the test if a condition does not come to hold within a limit.
func eventually(t *testing.T, limit time.Duration, what string, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := until(ctx, what, check); err != nil {
		t.Fatal(err)
	}
}

// gone turns the answer of a read into whether the object is gone.
func gone(err error) error {
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err == nil:
		return errors.New("it is still there")
	}
	return err
}

// must ends the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
