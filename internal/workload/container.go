// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/settings"
)

// heartbeatCode exits with 0 if the file in its first argument was touched within the number of
// seconds in its second.
const heartbeatCode = "import os,sys,time;sys.exit(time.time()-os.stat(sys.argv[1]).st_mtime>int(sys.argv[2]))"

// app is the container that runs the tier.
func (d *drawing) app() (*corev1ac.ContainerApplyConfiguration, error) {
	c, err := d.container(AppContainer)
	if err != nil {
		return nil, err
	}
	c.WithCommand(d.told.Command...).WithArgs(d.told.Args...).
		WithVolumeMounts(d.mounts()...).
		WithTerminationMessagePolicy(corev1.TerminationMessageReadFile) // its log has texts of exceptions, with secrets in them
	for _, port := range d.told.Ports {
		c.WithPorts(corev1ac.ContainerPort().WithName(port.Name).WithContainerPort(port.Number).WithProtocol(corev1.ProtocolTCP))
	}
	if d.told.Overlay {
		c.WithVolumeMounts(mount(libraryVolume, settings.LibraryDirectory).WithReadOnly(true))
	}
	if handler := preStop(d.told.Termination); handler != nil {
		c.WithLifecycle(corev1ac.Lifecycle().WithPreStop(handler))
	}
	d.probes(c)
	return c, nil
}

// preStop is what happens between the deletion of a pod and SIGTERM; nil where that is nothing. A
// container has one handler, so where there is a command too, a shell does both.
func preStop(t settings.Termination) *corev1ac.LifecycleHandlerApplyConfiguration {
	switch {
	case len(t.Stop) > 0:
		command := append([]string{"/bin/sh", "-c", `sleep "$0"; exec "$@"`, strconv.FormatInt(t.PreStop, 10)}, t.Stop...)
		return corev1ac.LifecycleHandler().WithExec(corev1ac.ExecAction().WithCommand(command...))
	case t.PreStop > 0:
		return corev1ac.LifecycleHandler().WithSleep(corev1ac.SleepAction().WithSeconds(t.PreStop))
	}
	return nil
}

// verify is the init container: the tier's own image, environment, limits and mounts, so that it
// imports the application the way the tier will. Its program and the hashes of the files stand in
// the pod template: whoever can only write ConfigMaps cannot change what runs.
func (d *drawing) verify() (*corev1ac.ContainerApplyConfiguration, error) {
	c, err := d.container(VerifyContainer)
	if err != nil {
		return nil, err
	}
	check := "1"
	if d.mb.Spec.Verification == v1alpha1.VerificationDisabled {
		check = "0"
	}
	return c.WithCommand("python3", "-I", "-c", settings.Escape(settings.Bootstrap())).
		WithArgs(append([]string{settings.SourceDirectory, settings.PackageDirectory, check}, d.files.Hashes()...)...).
		WithVolumeMounts(d.mounts()...).
		WithVolumeMounts(
			mount(settingsVolume, settings.SourceDirectory).WithReadOnly(true),
			mount(libraryVolume, settings.LibraryDirectory)).
		WithTerminationMessagePolicy(corev1.TerminationMessageReadFile), nil
}

// container is what both containers have in common.
func (d *drawing) container(name string) (*corev1ac.ContainerApplyConfiguration, error) {
	c := corev1ac.Container().
		WithName(name).
		WithImage(first(d.tier.Image, d.mb.Spec.Application.Image)).
		WithResources(d.resources()).
		WithSecurityContext(containerSecurity())
	if policy := d.mb.Spec.Application.ImagePullPolicy; policy != "" {
		c.WithImagePullPolicy(policy)
	}
	if len(d.told.EnvFrom) > 0 {
		if err := convert(d.told.EnvFrom, &c.EnvFrom); err != nil {
			return nil, err
		}
	}
	env, err := environment(d.told.Env)
	if err != nil {
		return nil, err
	}
	c.Env = env
	return c, nil
}

func environment(vars []corev1.EnvVar) ([]corev1ac.EnvVarApplyConfiguration, error) {
	env := slices.Grow([]corev1ac.EnvVarApplyConfiguration(nil), len(vars))
	for i := range vars {
		v := corev1ac.EnvVar().WithName(vars[i].Name)
		switch {
		case vars[i].ValueFrom != nil:
			if err := convert(vars[i].ValueFrom, &v.ValueFrom); err != nil {
				return nil, err
			}
		case vars[i].Value != "":
			v.WithValue(vars[i].Value)
		}
		env = append(env, *v)
	}
	return env, nil
}

func (d *drawing) probes(c *corev1ac.ContainerApplyConfiguration) {
	if p := probe(d.told.Probes.Startup); p != nil {
		c.WithStartupProbe(p)
	}
	if p := probe(d.told.Probes.Readiness); p != nil {
		c.WithReadinessProbe(p)
	}
	if p := probe(d.told.Probes.Liveness); p != nil {
		c.WithLivenessProbe(p)
	}
}

func probe(p settings.Probe) *corev1ac.ProbeApplyConfiguration {
	out := corev1ac.Probe().WithPeriodSeconds(p.Period).WithTimeoutSeconds(p.Timeout).WithFailureThreshold(p.Failures)
	switch p.Kind {
	case settings.ProbeHTTP:
		return out.WithHTTPGet(corev1ac.HTTPGetAction().WithPath(p.Path).WithPort(intstr.FromInt32(p.Port)))
	case settings.ProbeTCP:
		return out.WithTCPSocket(corev1ac.TCPSocketAction().WithPort(intstr.FromInt32(p.Port)))
	case settings.ProbeNone:
		return nil
	case settings.ProbeHeartbeat:
		return out.WithExec(corev1ac.ExecAction().WithCommand("python3", "-I", "-S", "-c", heartbeatCode,
			settings.HeartbeatFile, strconv.Itoa(int(p.MaxAge))))
	}
	return nil
}
