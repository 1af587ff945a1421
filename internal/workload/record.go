// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/settings"
)

const (
	// recordVersion is the shape of a record. One of another version cannot be restored.
	recordVersion = 1
	// maxRecordBytes bounds a record: all annotations of an object together may have 256 KiB.
	maxRecordBytes = 192 << 10
)

// record is what the annotation TemplateAnnotation holds: the template without its hash, and what
// else cannot be read from it.
type record struct {
	Version    int              `json:"version"`
	Template   json.RawMessage  `json:"template"`
	Processes  int32            `json:"processes"`
	Threads    int32            `json:"threads"`
	Recycle    settings.Recycle `json:"recycle"`
	NotApplied []string         `json:"notApplied,omitempty"`
}

// recorded makes the record of a template, and what is applied.
func recorded(template *corev1ac.PodTemplateSpecApplyConfiguration, told settings.Tier) (Rendered, error) {
	r := record{
		Version:    recordVersion,
		Processes:  told.Processes,
		Threads:    told.Threads,
		Recycle:    told.Recycle,
		NotApplied: told.NotApplied,
	}
	var err error
	if r.Template, err = json.Marshal(template); err != nil {
		return Rendered{}, fmt.Errorf("encoding the pod template: %w", err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		return Rendered{}, fmt.Errorf("encoding the record of the pod template: %w", err)
	}
	if len(text) > maxRecordBytes {
		return Rendered{}, &settings.SettingError{Field: "spec.tiers[" + told.Name + "]", Message: fmt.Sprintf(
			"its pod template takes %d bytes, and at most %d can be recorded: shorten env, or move it to a ConfigMap or Secret named in envFrom",
			len(text), maxRecordBytes)}
	}
	return complete(template, r, string(text)), nil
}

// complete adds its hash to a template, and what follows from it.
func complete(template *corev1ac.PodTemplateSpecApplyConfiguration, r record, text string) Rendered {
	sum := sha256.Sum256(r.Template)
	hash := hex.EncodeToString(sum[:16])
	template.WithAnnotations(map[string]string{v1alpha1.TemplateHashAnnotation: hash})
	return Rendered{
		Template:           template,
		Hash:               hash,
		Record:             text,
		PodBytes:           podBytes(template.Spec),
		GracePeriodSeconds: deref(template.Spec.TerminationGracePeriodSeconds),
		StartupSeconds:     startupSeconds(template.Spec),
		Gated:              isGated(template.Spec),
		ConfigMapName:      mountedConfigMap(template.Spec),
		Processes:          r.Processes,
		Threads:            r.Threads,
		Recycle:            r.Recycle,
		NotApplied:         r.NotApplied,
	}
}

// Restore gives back what Render made, from the annotation TemplateAnnotation of a tier's Deployment.
// The annotation may have been written by anybody, or by another version of the operator: what is not
// a complete template of this tier, with pods as restricted as Render makes them, is an error, and the
// tier has to be rendered anew.
func Restore(mb *v1alpha1.MemoryBudget, tierName, text string) (Rendered, error) {
	r, template, err := decode(text)
	if err == nil {
		err = checkRecord(mb, tierName, r, template)
	}
	if err != nil {
		return Rendered{}, fmt.Errorf("restoring the template of tier %s: %w", tierName, err)
	}
	return complete(template, r, text), nil
}

func decode(text string) (record, *corev1ac.PodTemplateSpecApplyConfiguration, error) {
	if len(text) > maxRecordBytes {
		return record{}, nil, fmt.Errorf("%d bytes are more than %d", len(text), maxRecordBytes)
	}
	var r record
	if err := decodeStrictly([]byte(text), &r); err != nil {
		return record{}, nil, err
	}
	if r.Version != recordVersion {
		return record{}, nil, fmt.Errorf("version %d is not %d", r.Version, recordVersion)
	}
	if len(r.Template) == 0 {
		return record{}, nil, errors.New("no pod template")
	}
	if err := checkQuantities(r.Template); err != nil {
		return record{}, nil, err
	}
	template := corev1ac.PodTemplateSpec()
	return r, template, decodeStrictly(r.Template, template)
}

// decodeStrictly refuses fields that are not known and anything behind the value.
func decodeStrictly(data []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}

// CopyTemplate is a deep copy, for an object that is sent: what an apply answers is read into it.
func CopyTemplate(template *corev1ac.PodTemplateSpecApplyConfiguration) *corev1ac.PodTemplateSpecApplyConfiguration {
	clone := corev1ac.PodTemplateSpec()
	if err := convert(template, clone); err != nil {
		panic(err) // its JSON is what it was read from, or what it will be sent as
	}
	return clone
}

// deref is what a pointer points to, or the zero value.
func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
