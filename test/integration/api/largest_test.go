// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// TestMostQueuesAndTasks: what the rules on queues and tasks cost, which grows with the square of their number, stays
// within what the API server allows for one object, in a resource with as many and as long ones as the schema lets pass.
// One more than that is refused with words that name the field, in TestBounds.
func TestMostQueuesAndTasks(t *testing.T) {
	object := mostQueuesAndTasks(t)
	if err := create(t.Context(), object); err != nil {
		t.Fatalf("the API server: %v", err)
	}
	decode(t, object)
	tests := map[string]string{
		"queues": "each queue must be owned by exactly one tier",
		"tasks":  "tasks are routed to exactly one tier",
	}
	for field, want := range tests {
		t.Run(field, func(t *testing.T) {
			tiers := entriesOf(clone(object).Object, "spec", "tiers")
			first, last := entriesOf(tiers[0], "celery", field), entriesOf(tiers[len(tiers)-1], "celery", field)
			last[len(last)-1] = first[0]
			twice := clone(object)
			set(twice.Object, []string{"spec", "tiers"}, tiers)
			err := create(t.Context(), twice)
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), first[0].(string)) {
				t.Errorf("one of them in two tiers: %v", err)
			}
		})
	}
}

// mostQueuesAndTasks is a resource with the most tiers, queues and tasks, all with the longest names.
func mostQueuesAndTasks(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	spec := rootSchema(loadDefinition(t)).Properties["spec"]
	tiers := spec.Properties["tiers"]
	celery := tiers.Items.Schema.Properties["celery"]
	names := longest(tiers.Items.Schema.Properties["name"], int(*tiers.MaxItems))
	queues := most(celery.Properties["queues"], len(names))
	tasks := most(celery.Properties["tasks"], len(names))
	var all []any
	for i, name := range names {
		all = append(all, map[string]any{
			"name": name, "role": "Worker", "memory": map[string]any{"perPod": "16Mi"},
			"celery": map[string]any{"queues": queues[i], "tasks": tasks[i]},
		})
	}
	object := example(nil)
	set(object.Object, []string{"spec", "tiers"}, all)
	return object
}

// most are that many lists with the most and longest entries, none of which is in two of them.
func most(s apiextensionsv1.JSONSchemaProps, lists int) [][]any {
	size := int(*s.MaxItems)
	entries := longest(*s.Items.Schema, lists*size)
	var split [][]any
	for i := range lists {
		split = append(split, entries[i*size:(i+1)*size])
	}
	return split
}

// longest are that many strings of the greatest length, which differ only at their end.
func longest(s apiextensionsv1.JSONSchemaProps, count int) []any {
	var all []any
	for i := range count {
		all = append(all, fmt.Sprintf("%0*d", *s.MaxLength, i))
	}
	return all
}

// entriesOf is the list at a path.
func entriesOf(object any, path ...string) []any {
	for _, name := range path {
		object = object.(map[string]any)[name]
	}
	return object.([]any)
}
