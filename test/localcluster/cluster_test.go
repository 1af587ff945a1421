// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// TestCluster shares one complete cluster among its parts and ends with its end.
func TestCluster(t *testing.T) {
	cluster, err := Start(t.Context(), Options{ControllerManager: true, Scheduler: true, Nodes: 2, Audit: true, Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	t.Cleanup(func() {
		if !stopped {
			_ = cluster.Stop()
		}
	})
	f := newFixture(t, cluster.RESTConfig())
	t.Run("Deployment", f.testDeployment)
	t.Run("SchedulingGate", f.testSchedulingGate)
	t.Run("Deletion", f.testDeletion)
	t.Run("Life", f.testLife)
	t.Run("PodSecurity", f.testPodSecurity)
	t.Run("Users", func(t *testing.T) { testUsers(t, cluster) })
	t.Run("Audit", func(t *testing.T) { testAudit(t, cluster) })
	t.Run("Stop", func(t *testing.T) {
		stopped = true
		testStop(t, cluster)
	})
}

// testUsers checks who the API server takes the holders of our credentials for, and that RBAC holds for them.
func testUsers(t *testing.T, cluster *Cluster) {
	user, err := cluster.UserConfig("jane", "team-a")
	if err != nil {
		t.Fatal(err)
	}
	content, err := cluster.Kubeconfig("joe", "team-b")
	if err != nil {
		t.Fatal(err)
	}
	file, err := clientcmd.RESTConfigFromKubeConfig(content)
	if err != nil {
		t.Fatal(err)
	}
	account, err := cluster.ServiceAccountConfig(t.Context(), "default", "default")
	if err != nil {
		t.Fatal(err)
	}
	for want, config := range map[string]*rest.Config{
		"jane [team-a system:authenticated]": user,
		"joe [team-b system:authenticated]":  file,
		"system:serviceaccount:default:default [system:serviceaccounts system:serviceaccounts:default system:authenticated]": account,
	} {
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		review, err := client.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, fmt.Sprint(review.Status.UserInfo.Username, " ", review.Status.UserInfo.Groups)); diff != "" {
			t.Errorf("identity (-want +got):\n%s", diff)
		}
		if _, err := client.CoreV1().Secrets("default").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("%s may list secrets without a role: %v", want, err)
		}
	}
}

// testAudit checks that the requests of the test before are on record.
func testAudit(t *testing.T, cluster *Cluster) {
	waitFor(t, "the audit event", func() bool {
		content, err := os.ReadFile(cluster.AuditLogPath())
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			if strings.Contains(line, `"verb":"list"`) && strings.Contains(line, `"username":"jane"`) && strings.Contains(line, `"code":403`) {
				return true
			}
		}
		return false
	})
}

// testStop checks that nothing of the cluster runs or lies around after its end.
func testStop(t *testing.T, cluster *Cluster) {
	processes := cluster.Processes()
	if len(processes) != 5 {
		t.Errorf("want 5 processes, got %v", processes)
	}
	if err := cluster.Stop(); err != nil {
		t.Fatal(err)
	}
	for name, pid := range processes {
		if _, err := startTime(pid); err == nil {
			t.Errorf("%s (process %d) still runs", name, pid)
		}
	}
	if _, err := os.Stat(cluster.Dir()); !os.IsNotExist(err) {
		t.Errorf("the temporary directory is left: %v", err)
	}
}

// TestDetachedCluster finds, repairs and stops a cluster that has no nodes, for speed.
func TestDetachedCluster(t *testing.T) {
	options := Options{Dir: t.TempDir(), Progress: t.Output()}
	first, err := Ensure(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = Stop(options.Dir, nil) })
	if err := first.Run(shell("guest", "echo KUBECONFIG=$KUBECONFIG; exec sleep 600")); err != nil {
		t.Fatal(err)
	}
	requireSession(t, first)

	again, err := Ensure(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first.Processes(), again.Processes()); diff != "" {
		t.Errorf("a second Ensure changed the processes (-first +second):\n%s", diff)
	}
	waitFor(t, "the guest", func() bool { return strings.Contains(tail(options.Dir, "guest"), "KUBECONFIG="+first.KubeconfigPath()) })

	if err := syscall.Kill(first.Processes()[Etcd], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the end of etcd", func() bool { return len(again.Ended()) > 0 })
	repaired, err := Ensure(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	if repaired.Processes()[Etcd] == first.Processes()[Etcd] {
		t.Error("the killed etcd was not replaced")
	}
	if _, err := startTime(first.Processes()["guest"]); err == nil {
		t.Error("the guest of the broken cluster still runs")
	}
	options.Audit = true
	audited, err := Ensure(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	if !exists(audited.AuditLogPath()) {
		t.Error("the cluster that should keep an audit log does not")
	}
	testLoadedStop(t, options.Dir)
}

// requireSession fails the test where a program would get the terminal's signals.
func requireSession(t *testing.T, cluster *Cluster) {
	t.Helper()
	for name, pid := range cluster.Processes() {
		if group, err := syscall.Getpgid(pid); err != nil || group != pid {
			t.Errorf("%s (process %d) is in process group %d, %v", name, pid, group, err)
		}
	}
}

// testLoadedStop stops a cluster by what is on disk.
func testLoadedStop(t *testing.T, dir string) {
	loaded, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(loaded.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().Namespaces().Get(t.Context(), corev1.NamespaceDefault, metav1.GetOptions{}); err != nil {
		t.Errorf("the loaded cluster's credentials do not work: %v", err)
	}
	if err := loaded.Stop(); err != nil {
		t.Fatal(err)
	}
	requireNoProcessIn(t, dir)
}

// fixture is a client of a complete cluster.
type fixture struct {
	client kubernetes.Interface
}

func newFixture(t *testing.T, config *rest.Config) *fixture {
	t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{client: client}
}

// eventually looks at a pod (nil when there is none) until the condition holds, and returns it.
func (f *fixture) eventually(t *testing.T, name, what string, condition func(*corev1.Pod) bool) *corev1.Pod {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		pod, err := f.client.CoreV1().Pods(corev1.NamespaceDefault).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			pod, err = nil, nil
		}
		if err != nil {
			t.Fatalf("waiting for pod %s to be %s: %v", name, what, err)
		}
		if condition(pod) {
			return pod
		}
		select {
		case <-ctx.Done():
			t.Fatalf("pod %s is not %s: %+v", name, what, pod)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
