// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/memorybudget/memorybudget/test/localcluster"
	"github.com/memorybudget/memorybudget/test/testrbac"
)

// namespace is where the applications of the tests live.
const namespace = "shop"

// start runs a cluster until the end of the test.
func start(t *testing.T, options localcluster.Options) *localcluster.Cluster {
	t.Helper()
	options.Progress = t.Output()
	cluster, err := localcluster.Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	return cluster
}

// startShipped runs an API server that has the shipped roles and policies, and namespace. It also checks owner references
// the way OpenShift does.
func startShipped(t *testing.T) *localcluster.Cluster {
	t.Helper()
	cluster := start(t, localcluster.Options{ExtraArgs: map[string][]string{
		localcluster.APIServer: {"--enable-admission-plugins=OwnerReferencesPermissionEnforcement"},
	}})
	if err := testrbac.Install(t.Context(), cluster.RESTConfig()); err != nil {
		t.Fatal(err)
	}
	client := kubernetes.NewForConfigOrDie(cluster.RESTConfig())
	if _, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().ServiceAccounts(namespace).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return cluster
}

// as gives the access of a user.
func as(admin *rest.Config, user string, groups ...string) *rest.Config {
	config := rest.CopyConfig(admin)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	return config
}

// memoryBudgets is a client for the MemoryBudgets in namespace.
func memoryBudgets(config *rest.Config) dynamic.ResourceInterface {
	return dynamic.NewForConfigOrDie(config).Resource(testrbac.MemoryBudgets).Namespace(namespace)
}

// allow makes a user who may do what the rules say in namespace, and waits until the API server knows it.
func allow(t *testing.T, admin *rest.Config, user string, rules ...rbacv1.PolicyRule) {
	t.Helper()
	client := kubernetes.NewForConfigOrDie(admin)
	meta := metav1.ObjectMeta{Name: user, Namespace: namespace}
	if _, err := client.RbacV1().Roles(namespace).Create(t.Context(), &rbacv1.Role{ObjectMeta: meta, Rules: rules}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}
	if _, err := client.RbacV1().RoleBindings(namespace).Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	waitAllowed(t, client, user, rules[0])
}

// waitAllowed waits until the first verb of a rule is granted: all rules of a role take effect at once.
func waitAllowed(t *testing.T, client kubernetes.Interface, user string, rule rbacv1.PolicyRule) {
	t.Helper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:               user,
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Group: rule.APIGroups[0], Resource: rule.Resources[0], Verb: rule.Verbs[0]},
	}}
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		answer, err := client.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		return err == nil && answer.Status.Allowed, err
	})
	if err != nil {
		t.Fatalf("waiting until %s may %s %s: %v", user, rule.Verbs[0], rule.Resources[0], err)
	}
}

// check compares an error with what its text should contain; "" wants none.
func check(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && err == nil:
		t.Errorf("allowed, want an error with %q", want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Errorf("got error %q, want one with %q", err, want)
	}
}

// deniedBy is how the API server begins the refusal of a shipped policy.
func deniedBy(policy, message string) string {
	return fmt.Sprintf("ValidatingAdmissionPolicy 'memorybudget-%[1]s' with binding 'memorybudget-%[1]s' denied request: %[2]s", policy, message)
}
