// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Annotations on a pod steer what its simulated kubelet does. They may be changed while the pod lives; durations are
// Go's (`1.5s`).
const (
	// ReadyAnnotation with the value ReadyNever keeps the pod Running but not Ready.
	ReadyAnnotation = "kwok.memorybudget.dev/ready"
	// ReadyDelayAnnotation is how long the pod is Running before it is Ready. Default 0.
	ReadyDelayAnnotation = "kwok.memorybudget.dev/ready-delay"
	// StartDelayAnnotation is how long a scheduled pod stays Pending. Default 0.
	StartDelayAnnotation = "kwok.memorybudget.dev/start-delay"
	// InitFailAnnotation names the reason (`Error`, `OOMKilled`) for which the init containers fail again and again.
	// Without it the init containers complete.
	InitFailAnnotation = "kwok.memorybudget.dev/init-fail"
	// InitMessageAnnotation is the termination message of the init containers.
	InitMessageAnnotation = "kwok.memorybudget.dev/init-message"
	// FailAnnotation names the reason (`Error`, `OOMKilled`) for which the containers of a running pod crash and stay in
	// CrashLoopBackOff; without it they recover.
	FailAnnotation = "kwok.memorybudget.dev/fail"
	// PhaseAnnotation ends the pod with the phase `Failed` or `Succeeded`; the object stays.
	PhaseAnnotation = "kwok.memorybudget.dev/phase"
	// ExitCodeAnnotation is what the containers of a pod with the phase `Failed` exit with. Without it the pod was evicted.
	ExitCodeAnnotation = "kwok.memorybudget.dev/exit-code"
	// DeleteDelayAnnotation is how long a deleted pod stays Terminating: a duration, counted from the last change of the
	// pod, or DeleteGrace. Default 0: gone at once.
	DeleteDelayAnnotation = "kwok.memorybudget.dev/delete-delay"
)

const (
	// ReadyNever is a value of ReadyAnnotation.
	ReadyNever = "Never"
	// DeleteGrace is a value of DeleteDelayAnnotation: the pod stays for all of its grace period, like one that ignores SIGTERM.
	DeleteGrace = "Grace"
)

//go:embed stages/*.yaml
var stages embed.FS

// stagesPath names the file with kwok's stages.
func stagesPath(dir string) string { return filepath.Join(dir, "stages.yaml") }

// writeStages joins the embedded stages into the one file that kwok reads.
func writeStages(dir string) error {
	names, err := fs.Glob(stages, "stages/*.yaml")
	if err != nil {
		return fmt.Errorf("listing stages: %w", err)
	}
	var content bytes.Buffer
	for _, name := range names {
		stage, err := stages.ReadFile(name)
		if err != nil {
			return fmt.Errorf("reading stages: %w", err)
		}
		content.WriteString("---\n")
		content.Write(stage)
	}
	if err := os.WriteFile(stagesPath(dir), content.Bytes(), 0o600); err != nil {
		return fmt.Errorf("writing stages: %w", err)
	}
	return nil
}
