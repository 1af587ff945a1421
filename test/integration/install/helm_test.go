// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/manager"
	"github.com/memorybudget/memorybudget/internal/uninstall"
	"github.com/memorybudget/memorybudget/test/localcluster"
	"github.com/memorybudget/memorybudget/test/testrbac"
)

// TestHelm goes with one release through its life, with real Helm on a real control plane. The operator's pods are
// simulated: that they become ready says that Pod Security, roles and the Deployment let them.
func TestHelm(t *testing.T) {
	cluster := start(t, localcluster.Options{ControllerManager: true, Scheduler: true, Nodes: 2})
	r := &installation{t: t, cluster: cluster, client: kubernetes.NewForConfigOrDie(cluster.RESTConfig())}
	r.createNamespace(testrbac.Namespace, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	r.createNamespace(namespace, nil)
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"Install", r.install},
		{"Reconciles", r.reconciles},
		{"Roles", func(t *testing.T) { testAggregation(t, r.client) }},
		{"TypesOfPolicies", r.policyTypes},
		{"Upgrade", r.upgrade},
		{"UninstallRefused", r.uninstallRefused},
		{"Uninstall", r.uninstall},
		{"NamespacedMode", r.namespaced},
	} {
		if !t.Run(step.name, step.run) {
			t.FailNow()
		}
	}
}

// installation is a release named memorybudget.
type installation struct {
	t       *testing.T
	cluster *localcluster.Cluster
	client  kubernetes.Interface
}

func (r *installation) createNamespace(name string, labels map[string]string) {
	r.t.Helper()
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	if _, err := r.client.CoreV1().Namespaces().Create(r.t.Context(), object, metav1.CreateOptions{}); err != nil {
		r.t.Fatal(err)
	}
}

// helm runs a command of helm on the release, and expects it to work.
func (r *installation) helm(t *testing.T, args ...string) string {
	t.Helper()
	out, err := helm(t, r.cluster, append(args, "--namespace", testrbac.Namespace)...)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// older is the chart as of a version whose CRD had no short name.
func older(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(testrbac.Root(), chart))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "files", "memorybudget.dev_memorybudgets.yaml")
	content := strings.Replace(read(t, path), "    shortNames:\n    - mb\n", "", 1)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (r *installation) install(t *testing.T) {
	out := r.helm(t, "install", "memorybudget", older(t), "--wait", "--timeout", "2m")
	if !strings.Contains(out, "Before you uninstall") {
		t.Errorf("no notes in:\n%s", out)
	}
	deployment, err := r.client.AppsV1().Deployments(testrbac.Namespace).Get(t.Context(), "memorybudget-controller-manager", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if deployment.Status.ReadyReplicas != 2 {
		t.Errorf("%d operators are ready, want 2", deployment.Status.ReadyReplicas)
	}
	if got := r.shortNames(t); len(got) != 0 {
		t.Fatalf("the older CRD has short names %v", got)
	}
	if _, err := memoryBudgets(r.cluster.RESTConfig()).Create(t.Context(), memoryBudget(), metav1.CreateOptions{}); err != nil {
		t.Error(err)
	}
}

// shortNames are those that the API server knows for MemoryBudgets.
func (r *installation) shortNames(t *testing.T) []string {
	t.Helper()
	resources, err := r.client.Discovery().ServerResourcesForGroupVersion(testrbac.MemoryBudgets.GroupVersion().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, resource := range resources.APIResources {
		if resource.Name == testrbac.MemoryBudgets.Resource {
			return resource.ShortNames
		}
	}
	t.Fatal("the API server does not serve MemoryBudgets")
	return nil
}

// policyTypes checks what the controller manager says about the expressions of the policies. It looks only at rules
// without wildcards, hence at copies of the policies for one version of one resource.
func (r *installation) policyTypes(t *testing.T) {
	policies := r.client.AdmissionregistrationV1().ValidatingAdmissionPolicies()
	for name, resource := range map[string]schema.GroupVersionResource{
		"memorybudget-authors":       testrbac.MemoryBudgets,
		"memorybudget-operator-pods": corev1.SchemeGroupVersion.WithResource("pods"),
	} {
		policy, err := policies.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		policy.ObjectMeta = metav1.ObjectMeta{Name: name + "-typed"}
		rule := &policy.Spec.MatchConstraints.ResourceRules[0].Rule
		rule.APIVersions, rule.Resources = []string{resource.Version}, []string{resource.Resource}
		if _, err := policies.Create(t.Context(), policy, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		r.eventually(t, name+" is type-checked", func(ctx context.Context) (bool, error) {
			policy, err = policies.Get(ctx, name+"-typed", metav1.GetOptions{})
			return err == nil && policy.Status.TypeChecking != nil, err
		})
		for _, warning := range policy.Status.TypeChecking.ExpressionWarnings {
			t.Errorf("%s: %s: %s", name, warning.FieldRef, warning.Warning)
		}
		if err := policies.Delete(t.Context(), policy.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}
}

func (r *installation) upgrade(t *testing.T) {
	r.helm(t, "upgrade", "memorybudget", chart, "--set", "replicas=1,policies.authors=false", "--wait", "--timeout", "2m")
	deployment, err := r.client.AppsV1().Deployments(testrbac.Namespace).Get(t.Context(), "memorybudget-controller-manager", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if *deployment.Spec.Replicas != 1 {
		t.Errorf("%d operators, want 1", *deployment.Spec.Replicas)
	}
	_, err = r.client.AdmissionregistrationV1().ValidatingAdmissionPolicies().Get(t.Context(), "memorybudget-authors", metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("the policy that was turned off: %v", err)
	}
	r.eventually(t, "the CRD is upgraded", func(context.Context) (bool, error) { return len(r.shortNames(t)) == 1, nil })
}

// finishCheck lets the next simulated pod of the uninstall check exit with a code, once it is there.
func (r *installation) finishCheck(t *testing.T, exitCode int) {
	t.Helper()
	annotations := map[string]string{localcluster.PhaseAnnotation: string(corev1.PodSucceeded)}
	if exitCode != 0 {
		annotations[localcluster.PhaseAnnotation] = string(corev1.PodFailed)
		annotations[localcluster.ExitCodeAnnotation] = strconv.Itoa(exitCode)
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
	if err != nil {
		t.Fatal(err)
	}
	pods := r.client.CoreV1().Pods(testrbac.Namespace)
	r.eventually(t, "the uninstall check runs", func(ctx context.Context) (bool, error) {
		list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=uninstall-check"})
		if err != nil {
			return false, err
		}
		for i := range list.Items {
			if list.Items[i].Annotations[localcluster.PhaseAnnotation] == "" {
				_, err = pods.Patch(ctx, list.Items[i].Name, types.MergePatchType, patch, metav1.PatchOptions{})
				return err == nil, err
			}
		}
		return false, nil
	})
}

// helmUninstall uninstalls while the check's pods, one after the other, exit with codes.
func (r *installation) helmUninstall(t *testing.T, exitCodes ...int) error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := helm(t, r.cluster, "uninstall", "memorybudget", "--namespace", testrbac.Namespace, "--wait", "--timeout", "1m")
		done <- err
	}()
	for _, exitCode := range exitCodes {
		r.finishCheck(t, exitCode)
	}
	return <-done
}

func (r *installation) uninstallRefused(t *testing.T) {
	if err := r.helmUninstall(t, uninstall.ExitStranded); err == nil {
		t.Error("uninstalled, although the check refused")
	}
	if _, err := r.client.AppsV1().Deployments(testrbac.Namespace).Get(t.Context(), "memorybudget-controller-manager", metav1.GetOptions{}); err != nil {
		t.Errorf("the operator after a refused uninstallation: %v", err)
	}
	jobs := r.client.BatchV1().Jobs(testrbac.Namespace)
	job, err := jobs.Get(t.Context(), "memorybudget-uninstall-check", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
		return c.Type == batchv1.JobFailed && c.Reason == batchv1.JobReasonPodFailurePolicy
	}) {
		t.Errorf("a refusal is not final: %+v", job.Status)
	}
	foreground := metav1.DeletePropagationForeground
	if err := jobs.Delete(t.Context(), "memorybudget-uninstall-check", metav1.DeleteOptions{PropagationPolicy: &foreground}); err != nil {
		t.Fatal(err)
	}
	r.eventually(t, "the failed check is gone", func(ctx context.Context) (bool, error) {
		_, err := jobs.Get(ctx, "memorybudget-uninstall-check", metav1.GetOptions{})
		return apierrors.IsNotFound(err), nil
	})
}

// uninstall goes on after a check that could not be started (the code is the container runtime's) was repeated.
func (r *installation) uninstall(t *testing.T) {
	if err := r.helmUninstall(t, 128, 0); err != nil {
		t.Fatal(err)
	}
	r.eventually(t, "the operator is gone", func(ctx context.Context) (bool, error) {
		_, err := r.client.AppsV1().Deployments(testrbac.Namespace).Get(ctx, "memorybudget-controller-manager", metav1.GetOptions{})
		return apierrors.IsNotFound(err), nil
	})
	roles, err := r.client.RbacV1().ClusterRoles().List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=memorybudget"})
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range roles.Items {
		t.Errorf("the ClusterRole %s is left", role.Name)
	}
	if _, err := memoryBudgets(r.cluster.RESTConfig()).Get(t.Context(), "bunoraa", metav1.GetOptions{}); err != nil {
		t.Errorf("the MemoryBudget after uninstalling: %v", err)
	}
}

// namespaced installs again, over the CRD that was kept, for one namespace.
func (r *installation) namespaced(t *testing.T) {
	r.helm(t, "install", "memorybudget", chart, "--set", "watchNamespaces={"+namespace+"}", "--wait", "--timeout", "2m")
	if _, err := r.client.RbacV1().Roles(namespace).Get(t.Context(), "memorybudget-manager", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
	r.reconciles(t)
	_, err := r.client.RbacV1().ClusterRoles().Get(t.Context(), "memorybudget-manager", metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		t.Errorf("the ClusterRole of the operator of one namespace: %v", err)
	}
	r.helm(t, "uninstall", "memorybudget", "--no-hooks")
}

// reconciles runs the operator in this process, with the arguments and as the service account of the installed
// Deployment, whose own pods are simulated, until it is done with a change of the MemoryBudget.
func (r *installation) reconciles(t *testing.T) {
	deployment, err := r.client.AppsV1().Deployments(testrbac.Namespace).Get(t.Context(), "memorybudget-controller-manager", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod := deployment.Spec.Template.Spec
	options, err := manager.Parse(pod.Containers[0].Args)
	if err != nil {
		t.Fatal(err)
	}
	// Inside a pod, the operator finds this namespace by itself, and no port is taken.
	options.LeaderElectionNamespace = deployment.Namespace
	options.HealthProbeBindAddress, options.MetricsBindAddress = "0", "0"
	config, err := r.cluster.ServiceAccountConfig(t.Context(), deployment.Namespace, pod.ServiceAccountName)
	if err != nil {
		t.Fatal(err)
	}
	mgr, err := manager.New(config, options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	budgets := memoryBudgets(r.cluster.RESTConfig())
	patch := fmt.Appendf(nil, `{"spec":{"memory":"%dGi"}}`, 3+len(options.WatchNamespaces))
	changed, err := budgets.Patch(ctx, "bunoraa", types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r.eventually(t, "the MemoryBudget is Ready", func(ctx context.Context) (bool, error) {
		object, err := budgets.Get(ctx, "bunoraa", metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		var mb v1alpha1.MemoryBudget
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &mb); err != nil {
			return false, err
		}
		ready := meta.FindStatusCondition(mb.Status.Conditions, v1alpha1.ConditionReady)
		return ready != nil && ready.Status == metav1.ConditionTrue && ready.ObservedGeneration == changed.GetGeneration(), nil
	})
}

// eventually waits for a condition.
func (r *installation) eventually(t *testing.T, what string, condition wait.ConditionWithContextFunc) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, time.Minute, true, condition); err != nil {
		t.Fatal(fmt.Errorf("waiting until %s: %w", what, err))
	}
}
