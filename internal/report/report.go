// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package report reads what the verify container of a pod found out about the application: versions,
// the settings that took effect, the memory of a freshly imported process. Whoever controls the
// application's image controls these bytes, so they are read as hostile input: bounded, with a fixed
// list of fields, and never echoed where they do not match a narrow pattern.
package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

const (
	// Container is the name of the init container that reports.
	Container = "memorybudget-verify"
	// maxMessage is the kubelet's own bound on a termination message, in bytes.
	maxMessage = 4096
	// maxList bounds the lists in a report, as the API does in the status.
	maxList = 16
	// maxBaseline is the most memory that a report is believed to have measured, in bytes (1 Pi).
	maxBaseline = 1 << 50
)

var (
	hashPattern    = regexp.MustCompile(`^[0-9a-f]{1,64}$`)
	versionPattern = regexp.MustCompile(`^[0-9][0-9A-Za-z.+-]{0,31}$`)
	codePattern    = regexp.MustCompile(`^[A-Z][A-Za-z0-9]{0,63}$`)
	settingPattern = regexp.MustCompile(`^[a-z]{1,32}(\.[A-Za-z0-9_]{1,64}){1,2}$`)
	modulePattern  = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,63}$`)
)

// Report is what one pod's verify container found out.
type Report struct {
	// Hash is the hash of the settings that the container saw.
	Hash string
	// Python, Django, Celery and Gunicorn are versions, empty where not installed.
	Python, Django, Celery, Gunicorn string
	// BaselineBytes is what a process takes once the application is imported, 0 where not measured.
	BaselineBytes int64
	// Imports are memory-hungry libraries that importing the application loads, sorted.
	Imports []string
	// Problems are codes of what did not take effect, sorted.
	Problems []string
	// Lost are the settings that run with other values than they were told, such as django.debug, sorted.
	Lost []string
}

// message is the JSON that verify.py writes. Unknown fields are ignored: a newer file may be in use.
type message struct {
	Version       int      `json:"v"`
	Hash          string   `json:"hash"`
	Python        string   `json:"python"`
	Django        string   `json:"django"`
	Celery        string   `json:"celery"`
	Gunicorn      string   `json:"gunicorn"`
	BaselineBytes int64    `json:"baselineBytes"`
	Imports       []string `json:"imports"`
	Problems      []string `json:"problems"`
	Lost          []string `json:"lost"`
}

var errTooLong = errors.New("message is longer than a termination message can be")

// Parse reads a termination message. What does not look like a version, a code or a module is left out.
func Parse(text string) (Report, error) {
	if len(text) > maxMessage {
		return Report{}, errTooLong
	}
	var m message
	if err := json.NewDecoder(bytes.NewReader([]byte(text))).Decode(&m); err != nil {
		return Report{}, errors.New("message is not the JSON of a report")
	}
	if m.Version != 1 {
		return Report{}, fmt.Errorf("version %d of a report is not known", m.Version)
	}
	r := Report{
		Hash:     keep(m.Hash, hashPattern),
		Python:   keep(m.Python, versionPattern),
		Django:   keep(m.Django, versionPattern),
		Celery:   keep(m.Celery, versionPattern),
		Gunicorn: keep(m.Gunicorn, versionPattern),
		Imports:  keepAll(m.Imports, modulePattern),
		Problems: keepAll(m.Problems, codePattern),
		Lost:     keepAll(m.Lost, settingPattern),
	}
	if m.BaselineBytes > 0 && m.BaselineBytes <= maxBaseline {
		r.BaselineBytes = m.BaselineBytes
	}
	return r, nil
}

func keep(value string, pattern *regexp.Regexp) string {
	if pattern.MatchString(value) {
		return value
	}
	return ""
}

func keepAll(values []string, pattern *regexp.Regexp) []string {
	var kept []string
	for _, v := range values {
		if pattern.MatchString(v) && !slices.Contains(kept, v) && len(kept) < maxList {
			kept = append(kept, v)
		}
	}
	slices.Sort(kept)
	return kept
}

// Imported reports whether the application was imported, so that what was measured is the application's.
func (r *Report) Imported() bool {
	return !slices.ContainsFunc(r.Problems, func(code string) bool { return slices.Contains(notImported, code) })
}

// notImported are codes of verify.py with which it has not seen the application.
var notImported = []string{
	"ImportCrashed", "ImportExited", "ImportFailed", "ImportTimedOut", "OutOfMemory", "OverlayNotImportable", "VerificationFailed",
}

// OfPod returns the report of a pod's verify container, and whether there is one.
func OfPod(pod *corev1.Pod) (Report, bool) {
	for i := range pod.Status.InitContainerStatuses {
		status := &pod.Status.InitContainerStatuses[i]
		if status.Name != Container {
			continue
		}
		for _, state := range []*corev1.ContainerStateTerminated{
			status.State.Terminated, status.LastTerminationState.Terminated,
		} {
			if state == nil || state.Message == "" {
				continue
			}
			if r, err := Parse(state.Message); err == nil {
				return r, true
			}
		}
	}
	return Report{}, false
}
