// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"errors"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Names of the cluster's programs: keys of Options.ExtraArgs, names of log files and of binaries.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Kwok              = "kwok"
)

// defaultStartTimeout is generous because cold caches and a busy machine with two cores multiply the usual 10 seconds.
const defaultStartTimeout = 3 * time.Minute

// Options says what a cluster consists of. The zero value is an API server with its etcd, in a temporary directory.
type Options struct {
	// Dir holds keys, data and logs. Empty: a temporary directory, removed by Stop.
	Dir string
	// Bin is the directory with the binaries. Empty: FindBinaries decides.
	Bin string
	// Detached lets the cluster outlive the process that starts it. Needs Dir.
	Detached bool
	// ControllerManager runs kube-controller-manager: Deployments get pods, namespaces get service accounts.
	ControllerManager bool
	// Scheduler runs kube-scheduler: pods get nodes.
	Scheduler bool
	// Nodes is the number of simulated nodes; above 0 it needs ControllerManager, which makes them schedulable.
	Nodes int
	// NodeCapacity is what each node offers. Nil: 32 CPUs, 128 GiB, 110 pods.
	NodeCapacity corev1.ResourceList
	// Audit records every request, one JSON event a line, in the file that AuditLogPath names.
	Audit bool
	// ExtraArgs are appended to a program's arguments, by its name.
	ExtraArgs map[string][]string
	// StartTimeout bounds the whole start. Zero: three minutes.
	StartTimeout time.Duration
	// Progress receives one line per step. Nil: none.
	Progress io.Writer
}

// withDefaults returns the options with every empty field filled, or what is wrong with them.
func (o Options) withDefaults() (Options, error) {
	if o.Detached && o.Dir == "" {
		return o, errors.New("a detached cluster needs a directory to be found in")
	}
	if o.Nodes > 0 && !o.ControllerManager {
		return o, errors.New("nodes need the controller manager: without it they stay tainted as not ready")
	}
	if o.StartTimeout == 0 {
		o.StartTimeout = defaultStartTimeout
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	if o.NodeCapacity == nil {
		o.NodeCapacity = corev1.ResourceList{
			corev1.ResourceCPU:              resource.MustParse("32"),
			corev1.ResourceMemory:           resource.MustParse("128Gi"),
			corev1.ResourceEphemeralStorage: resource.MustParse("1Ti"),
			corev1.ResourcePods:             resource.MustParse("110"),
		}
	}
	var err error
	if o.Bin == "" {
		o.Bin, err = FindBinaries()
	}
	return o, err
}

// programs lists what the options start, in order.
func (o Options) programs() []string {
	names := []string{Etcd, APIServer}
	if o.ControllerManager {
		names = append(names, ControllerManager)
	}
	if o.Scheduler {
		names = append(names, Scheduler)
	}
	if o.Nodes > 0 {
		names = append(names, Kwok)
	}
	return names
}
