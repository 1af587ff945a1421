// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package offline

import (
	"context"

	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	schemaobjectmeta "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/api/operation"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/features"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
)

// blocking are the problems after which the API server does not look at CEL rules: they would fail for no reason of their own.
var blocking = map[field.ErrorType]bool{
	field.ErrorTypeNotSupported: true,
	field.ErrorTypeRequired:     true,
	field.ErrorTypeTooLong:      true,
	field.ErrorTypeTooMany:      true,
	field.ErrorTypeTypeInvalid:  true,
}

// unchecked is what the API server says then.
const unchecked = "some validation rules were not checked because the object was invalid; " +
	"correct the existing errors to complete validation"

// validate checks an object in the order of the API server, when it creates a custom resource.
func (s *Schema) validate(object *unstructured.Unstructured) field.ErrorList {
	errs := validateMetadata(object)
	errs = append(errs, validation.ValidateCustomResource(nil, object.Object, s.validator)...)
	errs = append(errs, schemaobjectmeta.Validate(context.Background(), nil, object.Object, s.structural, false)...)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s.structural, object.Object)...)
	for _, err := range errs {
		if blocking[err.Type] {
			return append(errs, field.Invalid(nil, nil, unchecked))
		}
	}
	broken, _ := s.rules.Validate(context.Background(), nil, s.structural, object.Object, nil, celconfig.RuntimeCELCostBudget)
	return append(errs, broken...)
}

func validateMetadata(object *unstructured.Unstructured) field.ErrorList {
	path := field.NewPath("metadata")
	metadata, _, err := schemaobjectmeta.GetObjectMeta(object.Object, false)
	if err != nil {
		return field.ErrorList{field.Invalid(path, nil, err.Error())}
	}
	return apivalidation.ValidateObjectMetaDeclaratively(context.Background(), operation.Create, metadata, nil, true,
		apivalidation.NameIsDNSSubdomain, path, utilfeature.DefaultFeatureGate.Enabled(features.DeclarativeValidationBeta))
}
