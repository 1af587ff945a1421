// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package offline

import (
	"fmt"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	structuraldefaulting "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	"github.com/memorybudget/memorybudget/config/crd"
)

// Schema is the schema of a CustomResourceDefinition of MemoryBudget, ready to read objects.
type Schema struct {
	structural *structuralschema.Structural
	validator  validation.SchemaValidator
	rules      *cel.Validator
}

// Default is the schema of the CustomResourceDefinition that comes with this version of the operator. It is compiled once.
var Default = sync.OnceValues(func() (*Schema, error) { return New(crd.MemoryBudgets) })

// New compiles a CustomResourceDefinition, given as YAML.
func New(definition []byte) (*Schema, error) {
	properties, err := openAPISchema(definition)
	if err != nil {
		return nil, fmt.Errorf("reading the CustomResourceDefinition: %w", err)
	}
	structural, err := structuralschema.NewStructural(properties)
	if err != nil {
		return nil, fmt.Errorf("reading the schema: %w", err)
	}
	structural = structural.DeepCopy()
	if err := structuraldefaulting.PruneDefaults(structural); err != nil {
		return nil, fmt.Errorf("reading the schema's defaults: %w", err)
	}
	validator, _, err := validation.NewSchemaValidator(properties)
	if err != nil {
		return nil, fmt.Errorf("reading the schema: %w", err)
	}
	return &Schema{
		structural: structural,
		validator:  validator,
		rules:      cel.NewValidator(structural, true, celconfig.PerCallLimit),
	}, nil
}

// openAPISchema is the schema of the definition's only version.
func openAPISchema(definition []byte) (*apiextensions.JSONSchemaProps, error) {
	var external apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(definition, &external); err != nil {
		return nil, err
	}
	if len(external.Spec.Versions) != 1 {
		return nil, fmt.Errorf("it has %d versions, not one", len(external.Spec.Versions))
	}
	var internal apiextensions.CustomResourceValidation
	err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(
		external.Spec.Versions[0].Schema, &internal, nil)
	return internal.OpenAPIV3Schema, err
}
