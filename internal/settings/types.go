// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Runtime is the kind of program that a tier runs. The values for Python tiers are those of the
// variable MEMORYBUDGET_RUNTIME.
type Runtime string

// Runtimes of a tier.
const (
	RuntimeGunicorn Runtime = "gunicorn"
	RuntimeCelery   Runtime = "celery"
	RuntimeBeat     Runtime = "beat"
	RuntimeServer   Runtime = "server"
	RuntimeProcess  Runtime = "process"
)

// Facts are what the verify container of a tier measured. The zero value means that nothing was
// measured yet; the constants of facts.go stand in.
type Facts struct {
	// BaselineBytes is the resident memory of a process that has imported the application.
	BaselineBytes int64
	// Celery is a version such as 5.6.3.
	Celery string
}

// celeryOlderThan tells whether Celery is known to be older than major.minor. What is not known, or
// is not a version, is not older.
func (f Facts) celeryOlderThan(major, minor int) bool {
	parts := strings.SplitN(f.Celery, ".", 3)
	if len(parts) < 2 {
		return false
	}
	haveMajor, err1 := strconv.Atoi(parts[0])
	haveMinor, err2 := strconv.Atoi(parts[1])
	if err1 != nil || err2 != nil {
		return false
	}
	return haveMajor < major || haveMajor == major && haveMinor < minor
}

// Tier is what the processes of one tier are told.
type Tier struct {
	// Name is the name of the tier.
	Name string
	// Runtime is the kind of program.
	Runtime Runtime
	// Overlay: the Python package reaches this tier, so its pods have the verify container.
	Overlay bool
	// Command and Args of the container. Both are empty where the image's own are used.
	Command, Args []string
	// Env is the whole environment of the container, in an order in which every reference is
	// defined before it is used.
	Env []corev1.EnvVar
	// EnvFrom are the sources of further variables: the application's, then the tier's.
	EnvFrom []corev1.EnvFromSource
	// Ports that the container serves, the one for HTTP first.
	Ports []Port
	// Probes of the container.
	Probes Probes
	// Files that the container finds under FilesDirectory, by name. They stand in the pod template.
	Files map[string]string
	// Processes is how many worker processes a pod runs, Threads how many threads each has.
	Processes, Threads int32
	// Recycle says when a process is replaced.
	Recycle Recycle
	// Termination says how a pod stops.
	Termination Termination
	// NotApplied names parts of the spec that cannot be set from outside the image, each with the
	// reason and what to do instead. It is told to the user; nothing else depends on it.
	NotApplied []string
}

// Port is a port of a tier's container.
type Port struct {
	Name   string
	Number int32
}

// Recycle says when a process is replaced. Zero is never.
type Recycle struct {
	// MaxTasks is how many tasks a Celery child runs.
	MaxTasks int32 `json:"maxTasks,omitempty"`
	// MaxMemoryKiB is the peak resident memory after which a Celery child is replaced, in KiB.
	MaxMemoryKiB int64 `json:"maxMemoryKiB,omitempty"`
	// MaxRequests is how many requests a gunicorn worker serves, MaxRequestsJitter what is added at random.
	MaxRequests       int32 `json:"maxRequests,omitempty"`
	MaxRequestsJitter int32 `json:"maxRequestsJitter,omitempty"`
	// MaxRSSBytes is the resident memory after which a gunicorn worker is replaced.
	MaxRSSBytes int64 `json:"maxRSSBytes,omitempty"`
}

// Termination says how a pod stops. All in seconds.
type Termination struct {
	// GracePeriod is what the kubelet gives the pod between SIGTERM and SIGKILL, PreStop included.
	GracePeriod int64
	// PreStop is how long the container waits before SIGTERM, so that it leaves the endpoints first.
	PreStop int64
	// Graceful is gunicorn's graceful_timeout: PreStop + Graceful < GracePeriod.
	Graceful int64
	// SoftShutdown is Celery's worker_soft_shutdown_timeout: SoftShutdown + 10 < GracePeriod.
	SoftShutdown int64
	// Stop is run in the container after PreStop, for a program that SIGTERM does not end. Empty
	// where there is none.
	Stop []string
}

// ProbeKind is the way in which the kubelet asks.
type ProbeKind string

// Kinds of probes.
const (
	// ProbeNone asks nothing: the process itself is watched.
	ProbeNone ProbeKind = ""
	// ProbeHTTP expects 2xx or 3xx.
	ProbeHTTP ProbeKind = "HTTP"
	// ProbeTCP expects a connection.
	ProbeTCP ProbeKind = "TCP"
	// ProbeHeartbeat expects that the heartbeat file was touched lately.
	ProbeHeartbeat ProbeKind = "Heartbeat"
)

// Probe is one probe of a container. All times in seconds.
type Probe struct {
	Kind ProbeKind
	// Path and Port of an HTTP probe; Port of a TCP probe.
	Path string
	Port int32
	// MaxAge of the heartbeat file.
	MaxAge int32
	// Period between two, Timeout of each, Failures in a row until it counts.
	Period, Timeout, Failures int32
}

// Probes are the probes of a container.
type Probes struct {
	Startup, Readiness, Liveness Probe
}

// Files are the files of the settings overlay, by name.
type Files map[string]string
