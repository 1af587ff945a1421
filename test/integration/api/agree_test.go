// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"os"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"
)

// placed is an entry of the cases of internal/validation.
type placed struct {
	Value json.RawMessage `json:"value"`
	Want  []string        `json:"want"`
}

func readPlaced(t *testing.T, file string) map[string]placed {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var cases map[string]placed
	if err := yaml.UnmarshalStrict(data, &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

// TestValidationAgreesWithKubernetes makes a Deployment and a pod of it from each case of internal/validation: what is
// refused there must be refused as one of the two, and what is accepted there accepted.
func TestValidationAgreesWithKubernetes(t *testing.T) {
	makeServiceAccount(t)
	for name, tc := range readPlaced(t, "../../../internal/validation/testdata/pods.yaml") {
		t.Run("pod/"+name, func(t *testing.T) {
			spec := corev1.PodSpec{Containers: []corev1.Container{container()}}
			if err := json.Unmarshal(tc.Value, &spec); err != nil {
				t.Fatal(err)
			}
			checkTemplate(t, spec, tc.Want)
		})
	}
	for name, tc := range readPlaced(t, "../../../internal/validation/testdata/env.yaml") {
		t.Run("env/"+name, func(t *testing.T) {
			variable := corev1.EnvVar{Name: "A", ValueFrom: &corev1.EnvVarSource{}}
			if err := json.Unmarshal(tc.Value, variable.ValueFrom); err != nil {
				t.Fatal(err)
			}
			app := container()
			app.Env = []corev1.EnvVar{variable}
			checkTemplate(t, corev1.PodSpec{Containers: []corev1.Container{app}}, tc.Want)
		})
	}
}

func container() corev1.Container { return corev1.Container{Name: "app", Image: "app"} }

// strict are cases that Kubernetes accepts and that fail only when the pod starts.
var strict = map[string]bool{
	"resourceFieldRef.containerName: Forbidden: a variable sees the resources of its own container: leave containerName out": true,
}

func checkTemplate(t *testing.T, spec corev1.PodSpec, want []string) {
	t.Helper()
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "app"}}, Spec: spec}
	err := createDeployment(t, template)
	if err == nil {
		err = createPod(t, template)
	}
	if refused := len(want) > 0 && !strict[want[0]]; apierrors.IsInvalid(err) != refused {
		t.Errorf("we say %v, Kubernetes says %v", want, err)
	}
}

var dryRun = metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}

// createDeployment asks the API server to create a Deployment whose pods have the label app, without keeping it.
func createDeployment(t *testing.T, template corev1.PodTemplateSpec) error {
	t.Helper()
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "app"},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "app"}},
			Template: template,
		},
	}
	_, err := kubernetes.NewForConfigOrDie(config).AppsV1().Deployments(namespace).Create(t.Context(), deployment, dryRun)
	return err
}

// createPod asks the API server to create a pod, without keeping it.
func createPod(t *testing.T, template corev1.PodTemplateSpec) error {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	pod.Name = "app"
	_, err := kubernetes.NewForConfigOrDie(config).CoreV1().Pods(namespace).Create(t.Context(), pod, dryRun)
	return err
}

// makeServiceAccount makes the account that every pod has. Without controllers nobody else does.
func makeServiceAccount(t *testing.T) {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	_, err := kubernetes.NewForConfigOrDie(config).CoreV1().ServiceAccounts(namespace).Create(t.Context(), account, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}
