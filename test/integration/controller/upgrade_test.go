// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/test/testrbac"
)

// TestUpgrade: another build of the operator, with other defaults, changes no pod template by itself. They take effect
// with the next rollout that there is a reason for.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	program := buildWith(t, "internal/settings/gunicorn.go", "MaxRequests, 1000)", "MaxRequests, 2000)")
	s := newScene(t)
	s.start(fault{})
	s.create(small().Obj())
	s.awaitReady()
	before := s.generations()
	s.operator.stop()

	stop := s.startProgram(program)
	s.patch(`{"spec":{"memory":"3Gi"}}`)
	s.awaitReady()
	if diff := cmp.Diff(before, s.generations()); diff != "" {
		t.Errorf("generations (-before the upgrade +after):\n%s", diff)
	}
	if got := s.gunicorn(); got["max_requests"] != 1000.0 {
		t.Errorf("after the upgrade: %v", got)
	}
	s.update("shop", func(mb *v1alpha1.MemoryBudget) { mb.Spec.Application.Image = "registry.example/shop:2" })
	s.awaitReady()
	s.awaitImage("web", "registry.example/shop:2", 1)
	if got := s.gunicorn(); got["max_requests"] != 2000.0 {
		t.Errorf("after a rollout: %v", got)
	}
	stop()

	// And back again.
	before = s.generations()
	s.start(fault{})
	s.patch(`{"spec":{"memory":"2Gi"}}`)
	s.awaitReady()
	if diff := cmp.Diff(before, s.generations()); diff != "" {
		t.Errorf("generations (-before the downgrade +after):\n%s", diff)
	}
	s.verdict()
}

// buildWith builds the operator from its sources with one text replaced in one file.
func buildWith(t *testing.T, file, old, replacement string) string {
	t.Helper()
	dir := t.TempDir()
	path, err := filepath.Abs(filepath.Join(testrbac.Root(), file))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(source, []byte(old)); n != 1 {
		t.Fatalf("%s has %q %d times", file, old, n)
	}
	changed := filepath.Join(dir, "changed.go")
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{path: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		changed: bytes.Replace(source, []byte(old), []byte(replacement), 1), filepath.Join(dir, "overlay.json"): overlay,
	} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(dir, "memorybudget")
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", program, ".")
	build.Dir = testrbac.Root()
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, output)
	}
	return program
}

// startProgram runs a build of the operator as its service account. What it returns ends it as a kubelet does.
func (s *scene) startProgram(path string) (stop func()) {
	s.t.Helper()
	var output bytes.Buffer
	ctx, cancel := context.WithCancel(context.Background())
	program := exec.CommandContext(ctx, path, "--kubeconfig="+s.operatorKubeconfig(), "--leader-elect=false",
		"--watch-namespaces="+s.namespace, "--metrics-bind-address=0", "--health-probe-bind-address=0")
	program.Stdout, program.Stderr = &output, &output
	program.Cancel = func() error { return program.Process.Signal(syscall.SIGTERM) }
	program.WaitDelay = patience
	if err := program.Start(); err != nil {
		cancel()
		s.t.Fatal(err)
	}
	ended := false
	stop = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := program.Wait(); err != nil && program.ProcessState.ExitCode() != 0 {
			s.t.Errorf("the operator ended: %v\n%s", err, output.String())
		}
	}
	s.t.Cleanup(stop)
	return stop
}

// operatorKubeconfig names a file with the access of the operator's service account.
func (s *scene) operatorKubeconfig() string {
	s.t.Helper()
	config, err := clientcmd.LoadFromFile(cluster.KubeconfigPath())
	if err != nil {
		s.t.Fatal(err)
	}
	as := testrbac.OperatorConfig(cluster.RESTConfig()).Impersonate
	for _, user := range config.AuthInfos {
		user.Impersonate, user.ImpersonateGroups = as.UserName, as.Groups
	}
	path := filepath.Join(s.t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// variable is an environment variable of a tier's container.
func (s *scene) variable(tier, name string) string {
	s.t.Helper()
	for _, v := range get(s, "shop-"+tier, &appsv1.Deployment{}).Spec.Template.Spec.Containers[0].Env {
		if v.Name == name {
			return v.Value
		}
	}
	s.t.Fatalf("tier %s has no variable %s", tier, name)
	return ""
}

// gunicorn is what the web tier tells gunicorn.
func (s *scene) gunicorn() map[string]any {
	s.t.Helper()
	var settings map[string]any
	if err := json.Unmarshal([]byte(s.variable("web", "MEMORYBUDGET_GUNICORN")), &settings); err != nil {
		s.t.Fatal(err)
	}
	return settings
}

// TestNewBaseline: what a pod measures changes no template by itself; the next rollout uses it.
func TestNewBaseline(t *testing.T) {
	t.Parallel()
	const variable = "CELERY_WORKER_MAX_MEMORY_PER_CHILD"
	s := newScene(t)
	s.start(fault{})
	s.create(application("1Gi").Reserve("0").Tier(worker(1, 1, 1)).Obj())
	s.awaitReady()
	before, told := s.generations(), s.variable("worker", variable)

	pod := get(s, s.recorder.PodsOf("worker")[0].Name, &corev1.Pod{})
	pod.Status.InitContainerStatuses[0].State.Terminated.Message = strings.Replace(verified, "62914560", "104857600", 1)
	if err := admin.Status().Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	within(t, time.Minute, "the new baseline in the status", func(context.Context) error {
		if r := s.budget().Status.Tiers[0].Runtime; r == nil || r.BaselineMemory.Value() != 104857600 {
			return fmt.Errorf("runtime: %v", r)
		}
		return nil
	})
	s.patch(`{"spec":{"memory":"2Gi"}}`)
	s.awaitReady()
	if diff := cmp.Diff(before, s.generations()); diff != "" {
		t.Errorf("generations (-before +after):\n%s", diff)
	}
	s.update("shop", func(mb *v1alpha1.MemoryBudget) { mb.Spec.Application.Image = "registry.example/shop:2" })
	s.awaitReady()
	if now := s.variable("worker", variable); now == told {
		t.Errorf("the rollout still uses %s", now)
	}
	s.verdict()
}

// TestConfigMaps: settings are kept while anything refers to them, and then removed; one that somebody deletes comes back.
func TestConfigMaps(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.start(fault{})
	s.create(application("1Gi").Reserve("0").Tier(worker(1, 1, 1)).Obj())
	first := s.awaitReady().Status.Settings
	old := list(s, &appsv1.ReplicaSetList{}, "worker").Items[0]
	s.update("shop", func(mb *v1alpha1.MemoryBudget) { mb.Spec.Application.Django.LogLevel = "INFO" })
	second := s.awaitReady().Status.Settings
	s.settle()
	if first == second || !s.exists(first, &corev1.ConfigMap{}) || !s.exists(second, &corev1.ConfigMap{}) {
		t.Fatalf("settings %s and %s", first, second)
	}
	if err := admin.Delete(t.Context(), &old); err != nil {
		t.Fatal(err)
	}
	s.awaitGone(first, &corev1.ConfigMap{})
	gone := get(s, second, &corev1.ConfigMap{})
	if err := admin.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: second}}); err != nil {
		t.Fatal(err)
	}
	s.awaitAnother(second, &corev1.ConfigMap{}, gone.UID)
	s.verdict()
}
