// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// logLimit bounds what is kept of each log, in bytes.
const logLimit = 4 << 20

// keepEvidence writes what there is in the namespace into a directory named after the test.
func (s *scene) keepEvidence(ctx context.Context) error {
	dir := filepath.Join(settings.evidence, strings.ReplaceAll(s.t.Name(), "/", "_"))
	s.t.Logf("the evidence is in %s", dir)
	return errors.Join(
		s.keepHistory(dir),
		keepObjects(ctx, filepath.Join(dir, "objects"), s.namespace,
			&v1alpha1.MemoryBudgetList{}, &appsv1.DeploymentList{}, &appsv1.ReplicaSetList{}, &corev1.PodList{}, &corev1.ConfigMapList{}, &corev1.EventList{}),
		keepLogs(ctx, filepath.Join(dir, "logs"), s.namespace),
		keepOperatorEvidence(ctx),
	)
}

// keepHistory writes down what the recorder saw, a line a change.
func (s *scene) keepHistory(dir string) error {
	if s.recorder == nil {
		return nil
	}
	history, err := s.recorder.History()
	var text strings.Builder
	writes := writesOf(history)
	for _, c := range history {
		fmt.Fprintf(&text, "%d %s %s %s\n", c.Version, c.Kind, c.Key(), writes[c.Version])
	}
	return errors.Join(err, write(filepath.Join(dir, "history.txt"), []byte(text.String())))
}

// keepOperatorEvidence writes down the operator's pods, events and log.
func keepOperatorEvidence(ctx context.Context) error {
	dir := filepath.Join(settings.evidence, "operator")
	return errors.Join(
		keepObjects(ctx, filepath.Join(dir, "objects"), operatorNamespace, &appsv1.DeploymentList{}, &corev1.PodList{}, &corev1.EventList{}),
		keepLogs(ctx, filepath.Join(dir, "logs"), operatorNamespace))
}

func keepObjects(ctx context.Context, dir, namespace string, lists ...client.ObjectList) error {
	var errs []error
	for _, list := range lists {
		if err := admin.List(ctx, list, client.InNamespace(namespace)); err != nil {
			errs = append(errs, err)
			continue
		}
		content, err := yaml.Marshal(list)
		name := strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", list), "*"))
		errs = append(errs, err, write(filepath.Join(dir, name[strings.Index(name, ".")+1:]+".yaml"), content))
	}
	return errors.Join(errs...)
}

// keepLogs writes the logs of all containers, those before their last restart too.
func keepLogs(ctx context.Context, dir, namespace string) error {
	pods := &corev1.PodList{}
	if err := admin.List(ctx, pods, client.InNamespace(namespace)); err != nil {
		return err
	}
	var errs []error
	for i := range pods.Items {
		pod := &pods.Items[i]
		for _, status := range append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...) {
			path := filepath.Join(dir, pod.Name+"_"+status.Name)
			if status.RestartCount > 0 {
				errs = append(errs, keepLog(ctx, pod, path+".previous.log", &corev1.PodLogOptions{Container: status.Name, Previous: true}))
			}
			if status.State.Waiting == nil {
				errs = append(errs, keepLog(ctx, pod, path+".log", &corev1.PodLogOptions{Container: status.Name}))
			}
		}
	}
	return errors.Join(errs...)
}

func keepLog(ctx context.Context, pod *corev1.Pod, path string, options *corev1.PodLogOptions) error {
	options.LimitBytes = new(int64(logLimit))
	stream, err := clientset.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, options).Stream(ctx)
	if err != nil {
		return write(path, []byte("no log: "+err.Error()+"\n"))
	}
	defer stream.Close()
	content, err := io.ReadAll(stream)
	return errors.Join(err, write(path, content))
}

func write(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o600)
}
