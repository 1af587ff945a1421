// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Command crd-bounds finishes generated CustomResourceDefinitions, in place. It
//
//   - gives every string, list, map and number that has no bound of its own a generous one, so that no
//     object can be arbitrarily large, the cost of every CEL rule can be estimated, and every number
//     fits the Go type that reads it;
//   - accepts only quantities that the Go type can read: one object that a client cannot decode keeps
//     that client from reading any;
//   - drops the descriptions inside types that Kubernetes documents itself, so that the file stays
//     small enough for kubectl apply.
package main

import (
	"fmt"
	"os"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "crd-bounds:", err)
		os.Exit(1)
	}
}

func run(files []string) error {
	for _, file := range files {
		if err := finishFile(file); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

func finishFile(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if data, err = finish(data); err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o644)
}

// finish returns the definition in data with every schema bounded.
func finish(data []byte) ([]byte, error) {
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(data, &crd); err != nil {
		return nil, err
	}
	for i := range crd.Spec.Versions {
		root := crd.Spec.Versions[i].Schema.OpenAPIV3Schema
		bound(root, "", false)
		allowNameRule(root)
	}
	return encode(&crd)
}

// encode writes the definition without the empty status that the Go type has.
func encode(crd *apiextensionsv1.CustomResourceDefinition) ([]byte, error) {
	data, err := yaml.Marshal(crd)
	if err != nil {
		return nil, err
	}
	var content map[string]any
	if err := yaml.Unmarshal(data, &content); err != nil {
		return nil, err
	}
	delete(content, "status")
	if data, err = yaml.Marshal(content); err != nil {
		return nil, err
	}
	return append([]byte("---\n"), data...), nil
}

// allowNameRule declares metadata.name, so that a rule can point at it.
func allowNameRule(root *apiextensionsv1.JSONSchemaProps) {
	metadata := root.Properties["metadata"]
	metadata.Properties = map[string]apiextensionsv1.JSONSchemaProps{"name": {Type: "string"}}
	root.Properties["metadata"] = metadata
}
