// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/uninstall"
	"github.com/memorybudget/memorybudget/test/localcluster"
	"github.com/memorybudget/memorybudget/test/testrbac"
)

// testOperatorPermissions checks what RBAC and policies leave of an operator that comes with its service account's token.
func testOperatorPermissions(t *testing.T, cluster *localcluster.Cluster) {
	config, err := cluster.ServiceAccountConfig(t.Context(), testrbac.Namespace, testrbac.ServiceAccount)
	if err != nil {
		t.Fatal(err)
	}
	admin, operator := kubernetes.NewForConfigOrDie(cluster.RESTConfig()), kubernetes.NewForConfigOrDie(config)
	pod, err := admin.CoreV1().Pods(namespace).Create(t.Context(), gatedPod("by-token"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		request func() error
		want    string
	}{
		"ReleasesAGate": {request: func() error { return patchPod(t, operator, pod.Name, ourGate) }},
		"ChangesAnImage": {
			request: func() error {
				return patchPod(t, operator, pod.Name, `[{"op":"replace","path":"/spec/containers/0/image","value":"evil:1"}]`)
			},
			want: "changed in spec: containers",
		},
		"ReadsASecret": {
			request: func() error {
				_, err := operator.CoreV1().Secrets(namespace).Get(t.Context(), "any", metav1.GetOptions{})
				return err
			},
			want: "cannot get resource \"secrets\"",
		},
		"DeletesAPod": {
			request: func() error {
				return operator.CoreV1().Pods(namespace).Delete(t.Context(), pod.Name, metav1.DeleteOptions{})
			},
			want: "cannot delete resource \"pods\"",
		},
		"WritesAMemoryBudget": {
			request: func() error {
				_, err := memoryBudgets(config).Create(t.Context(), memoryBudget(), metav1.CreateOptions{})
				return err
			},
			want: "cannot create resource \"memorybudgets\"",
		},
		"BlocksTheDeletionOfAnOwner": {request: func() error {
			_, err := operator.AppsV1().Deployments(namespace).Create(t.Context(), ownedDeployment(t, cluster), metav1.CreateOptions{})
			return err
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) { check(t, tc.request(), tc.want) })
	}
	t.Run("ChecksBeforeUninstalling", func(t *testing.T) { testUninstallCheck(t, admin, config) })
}

// testUninstallCheck runs the check of the chart's hook with the permissions that it has.
func testUninstallCheck(t *testing.T, admin kubernetes.Interface, operator *rest.Config) {
	t.Helper()
	var out bytes.Buffer
	check(t, uninstall.Run(t.Context(), operator, nil, &out), "")
	labels := map[string]string{v1alpha1.NameLabel: "bunoraa"}
	waiting := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "waiting", Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: gatedPod("").Spec},
		},
	}
	if _, err := admin.AppsV1().Deployments(namespace).Create(t.Context(), waiting, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := uninstall.Run(t.Context(), operator, []string{"--watch-namespaces=" + namespace}, &out); !errors.Is(err, uninstall.ErrStranded) {
		t.Errorf("got error %v, want %v", err, uninstall.ErrStranded)
	}
	if !strings.Contains(out.String(), namespace+"/waiting") {
		t.Errorf("the Deployment is not named in:\n%s", out.String())
	}
}

// ownedDeployment is a Deployment whose owner, a new MemoryBudget, cannot be gone before it.
func ownedDeployment(t *testing.T, cluster *localcluster.Cluster) *appsv1.Deployment {
	t.Helper()
	object := memoryBudget()
	object.SetName("owner")
	owner, err := memoryBudgets(cluster.RESTConfig()).Create(t.Context(), object, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{"app": "owned"}
	reference := metav1.NewControllerRef(owner, owner.GroupVersionKind())
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "owned", Namespace: namespace, OwnerReferences: []metav1.OwnerReference{*reference}},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app:1"}}},
			},
		},
	}
}
