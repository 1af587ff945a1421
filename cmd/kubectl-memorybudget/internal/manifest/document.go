// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// document is one object in a source: its text, and what can be told of it before it is checked, or why
// nothing can.
type document struct {
	source string
	text   []byte
	header header
	err    error
}

// header is the part of an object by which it is told what it is.
type header struct {
	APIVersion string
	Kind       string
	Name       string
	Namespace  string
}

// concerns reports whether an object is a MemoryBudget or meant to be one.
func (h header) concerns() bool {
	group, err := schema.ParseGroupVersion(h.APIVersion)
	return h.Kind == "MemoryBudget" || err == nil && group.Group == v1alpha1.SchemeGroupVersion.Group
}

// documents splits a text into objects; lists are taken apart. What is not YAML does not keep what comes
// before and after it from being read.
func documents(source string, text []byte) []document {
	var all []document
	chunks := split(text)
	for i, chunk := range chunks {
		if len(chunks) > 1 {
			all = append(all, parse(source, fmt.Sprintf("%s, document %d", source, i+1), chunk)...)
			continue
		}
		all = append(all, parse(source, source, chunk)...)
	}
	return all
}

// split cuts a text at the lines that separate YAML documents, and JSON objects that follow each other.
func split(text []byte) [][]byte {
	var chunks [][]byte
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		chunk, err := reader.Read()
		if len(bytes.TrimSpace(chunk)) > 0 {
			chunks = append(chunks, splitJSON(chunk)...)
		}
		if err != nil { // The end: reading from memory cannot fail.
			return chunks
		}
	}
}

func splitJSON(chunk []byte) [][]byte {
	if !utilyaml.IsJSONBuffer(chunk) {
		return [][]byte{chunk}
	}
	var objects [][]byte
	decoder := json.NewDecoder(bytes.NewReader(chunk))
	for {
		var object json.RawMessage
		err := decoder.Decode(&object)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			return [][]byte{chunk} // It may be YAML that looks like JSON, or neither, which the parser says better.
		}
		objects = append(objects, object)
	}
}

// parse takes a document apart. Where says which it is, for when it does not say so itself.
func parse(source, where string, text []byte) []document {
	object, err := decode(where, text)
	if err != nil {
		return []document{{source: source, err: err}}
	}
	if object == nil {
		return nil
	}
	h := header{
		APIVersion: nested(object, "apiVersion"), Kind: nested(object, "kind"),
		Name: nested(object, "metadata", "name"), Namespace: nested(object, "metadata", "namespace"),
	}
	list, isList := object["items"].([]any)
	if !isList || !strings.HasSuffix(h.Kind, "List") {
		return []document{{source: source, text: text, header: h}}
	}
	var all []document
	for _, item := range list {
		text, err := json.Marshal(item)
		if err != nil {
			return []document{{source: source, err: fmt.Errorf("error parsing %s: %w", source, err)}}
		}
		all = append(all, parse(source, where, text)...)
	}
	return all
}

// decode is the object that a text stands for, nil where it is empty.
func decode(where string, text []byte) (map[string]any, error) {
	data, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, fmt.Errorf("error parsing %s: %w", where, err)
	}
	var object map[string]any
	if err := json.Unmarshal(data, &object); err != nil {
		return nil, fmt.Errorf("error parsing %s: an object is expected, with apiVersion, kind and metadata: %w", where, err)
	}
	if object != nil && (nested(object, "kind") == "" || nested(object, "apiVersion") == "") {
		return nil, fmt.Errorf("unable to decode %q: apiVersion and kind must be set, such as %s and MemoryBudget",
			where, v1alpha1.SchemeGroupVersion)
	}
	return object, nil
}

// nested is a text in an object, empty where there is none.
func nested(object map[string]any, path ...string) string {
	value, _, _ := unstructured.NestedString(object, path...) // Whatever it is instead, the schema refuses it.
	return value
}
