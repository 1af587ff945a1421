// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package offline

import (
	"encoding/json"
	"errors"
	"fmt"

	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	structuraldefaulting "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	schemaobjectmeta "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	structuralpruning "k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// errNoName: the API server would make up a name, from which those of all objects follow.
var errNoName = errors.New("metadata.name: Required value: with generateName the API server chooses the name: give the name that is meant")

// kind is the kind that this package reads.
var kind = v1alpha1.SchemeGroupVersion.WithKind("MemoryBudget")

// Decode reads one MemoryBudget with the schema that comes with this version of the operator.
func Decode(document []byte, namespace string) (*v1alpha1.MemoryBudget, error) {
	s, err := Default()
	if err != nil {
		return nil, err
	}
	return s.Decode(document, namespace)
}

// Decode reads one MemoryBudget from YAML or JSON, sets its defaults and checks it. A document without a
// namespace gets the given one, as kubectl does it.
//
// The error is one of: that the text is not YAML; that it is another kind; an UnknownFieldsError; that it has no name but
// a generateName; or, where
// the rules are not met, what the API server answers: an apierrors.StatusError for which
// apierrors.IsInvalid is true. Problems lists any of them line by line.
func (s *Schema) Decode(document []byte, namespace string) (*v1alpha1.MemoryBudget, error) {
	object, err := s.read(document)
	if err != nil {
		return nil, err
	}
	if object.GetName() == "" && object.GetGenerateName() != "" {
		return nil, errNoName
	}
	if object.GetNamespace() == "" {
		object.SetNamespace(namespace)
	}
	structuraldefaulting.Default(object.Object, s.structural)
	if errs := s.validate(object); len(errs) > 0 {
		return nil, apierrors.NewInvalid(kind.GroupKind(), object.GetName(), errs)
	}
	return typed(object)
}

// Problems lists what is wrong, one line each, each with the path of its field where it has one.
func Problems(err error) []string {
	if unknown, ok := errors.AsType[*UnknownFieldsError](err); ok {
		return unknown.lines()
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil || len(status.Status().Details.Causes) == 0 {
		return []string{err.Error()}
	}
	var lines []string
	for _, cause := range status.Status().Details.Causes {
		lines = append(lines, line(cause))
	}
	return lines
}

// line is a cause as kubectl prints it.
func line(cause metav1.StatusCause) string {
	if cause.Field == "" {
		return cause.Message
	}
	return cause.Field + ": " + cause.Message
}

// read parses a document and takes out what the schema does not know, which is an error.
func (s *Schema) read(document []byte) (*unstructured.Unstructured, error) {
	data, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return nil, err
	}
	object := &unstructured.Unstructured{}
	if err := utiljson.Unmarshal(data, &object.Object); err != nil {
		return nil, fmt.Errorf("a MemoryBudget is an object: %w", err)
	}
	if found := object.GroupVersionKind(); found != kind {
		return nil, fmt.Errorf("it is %s in version %q, not %s in version %q",
			quoted(found.Kind), found.GroupVersion(), kind.Kind, kind.GroupVersion())
	}
	return object, s.prune(object)
}

func quoted(name string) string {
	if name == "" {
		return "of no kind"
	}
	return name
}

// prune does what the API server does with a body that it has parsed, and reports unknown fields.
func (s *Schema) prune(object *unstructured.Unstructured) error {
	metadata, found, unknown, err := schemaobjectmeta.GetObjectMetaWithOptions(object.Object,
		schemaobjectmeta.ObjectMetaOptions{ReturnUnknownFieldPaths: true})
	if err != nil {
		return badRequest(err)
	}
	apiVersion, kindName := object.GetAPIVersion(), object.GetKind()
	unknown = append(unknown, structuralpruning.PruneWithOptions(object.Object, s.structural, true,
		structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})...)
	structuraldefaulting.PruneNonNullableNullsWithoutDefaults(object.Object, s.structural)
	object.SetAPIVersion(apiVersion)
	object.SetKind(kindName)
	if found {
		if err := schemaobjectmeta.SetObjectMeta(object.Object, metadata); err != nil {
			return badRequest(err)
		}
	}
	if len(unknown) > 0 {
		return &UnknownFieldsError{Paths: unknown}
	}
	return nil
}

// UnknownFieldsError lists the fields of a document that a MemoryBudget does not have.
type UnknownFieldsError struct {
	// Paths of the fields, such as spec.tiers[0].replica.
	Paths []string
}

// Error is the API server's text under strict field validation.
func (e *UnknownFieldsError) Error() string {
	var errs []error
	for _, line := range e.lines() {
		errs = append(errs, errors.New(line))
	}
	return badRequest(runtime.NewStrictDecodingError(errs)).Error()
}

func (e *UnknownFieldsError) lines() []string {
	var lines []string
	for _, path := range e.Paths {
		lines = append(lines, fmt.Sprintf("unknown field %q", path))
	}
	return lines
}

// badRequest is what the API server answers to a body that it cannot read.
func badRequest(err error) error {
	return apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: %v", kind.Kind, kind.Version, kind.Kind, err))
}

// typed turns an object that is valid into the Go type, as a client does.
func typed(object *unstructured.Unstructured) (*v1alpha1.MemoryBudget, error) {
	data, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("writing the MemoryBudget: %w", err)
	}
	budget := &v1alpha1.MemoryBudget{}
	if err := json.Unmarshal(data, budget); err != nil {
		return nil, fmt.Errorf("reading the MemoryBudget: %w", err)
	}
	return budget, nil
}
