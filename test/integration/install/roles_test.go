// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/memorybudget/memorybudget/test/testrbac"
)

// shippedRules are the rules of all shipped roles, by the role's name.
func shippedRules(t *testing.T) map[string][]rbacv1.PolicyRule {
	t.Helper()
	objects, err := testrbac.Objects()
	if err != nil {
		t.Fatal(err)
	}
	rules := map[string][]rbacv1.PolicyRule{}
	for _, object := range objects {
		if !slices.Contains([]string{"Role", "ClusterRole"}, object.GetKind()) {
			continue
		}
		var role rbacv1.ClusterRole
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role); err != nil {
			t.Fatal(err)
		}
		rules[role.Name] = role.Rules
	}
	if len(rules) == 0 {
		t.Fatal("no roles")
	}
	return rules
}

// TestNoWildcardNoSecrets checks every shipped role. External metrics are resources of any name, which hold nothing else.
func TestNoWildcardNoSecrets(t *testing.T) {
	for name, rules := range shippedRules(t) {
		for _, rule := range rules {
			for _, words := range [][]string{rule.Verbs, rule.APIGroups, rule.Resources, rule.NonResourceURLs} {
				if slices.Contains(words, "*") && !slices.Equal(rule.APIGroups, []string{"external.metrics.k8s.io"}) {
					t.Errorf("%s has a wildcard: %v", name, rule)
				}
			}
			for _, forbidden := range []string{"secrets", "pods/exec", "serviceaccounts", "serviceaccounts/token"} {
				if slices.Contains(rule.Resources, forbidden) {
					t.Errorf("%s has a verb on %s: %v", name, forbidden, rule)
				}
			}
			for _, forbidden := range []string{"escalate", "bind", "impersonate"} {
				if slices.Contains(rule.Verbs, forbidden) {
					t.Errorf("%s may %s: %v", name, forbidden, rule)
				}
			}
		}
	}
}

// TestBrokerSecrets checks where the chart lets the operator read Secrets: nowhere by itself, where it is told to, by get alone.
func TestBrokerSecrets(t *testing.T) {
	rule := func(names ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}, ResourceNames: names}
	}
	tests := map[string]struct {
		args []string
		want map[string]rbacv1.PolicyRule
	}{
		"Default":         {want: map[string]rbacv1.PolicyRule{}},
		"Namespaces":      {args: []string{"brokerSecrets.namespaces={shop}"}, want: map[string]rbacv1.PolicyRule{"Role shop": rule()}},
		"WatchNamespaces": {args: []string{"watchNamespaces={lab}"}, want: map[string]rbacv1.PolicyRule{"Role lab": rule()}},
		"Both": {
			args: []string{"watchNamespaces={lab,shop}", "brokerSecrets.namespaces={shop,other}", "brokerSecrets.secretNames={a,b}"},
			want: map[string]rbacv1.PolicyRule{"Role lab": rule("a", "b"), "Role shop": rule("a", "b"), "Role other": rule("a", "b")},
		},
		"Off": {args: []string{"watchNamespaces={lab}", "brokerSecrets.enabled=false"}, want: map[string]rbacv1.PolicyRule{}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var args []string
			for _, value := range tc.args {
				args = append(args, "--set", value)
			}
			rendered, err := template(t, args...)
			if err != nil {
				t.Fatal(err)
			}
			objects, err := testrbac.Decode(rendered)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, secretRules(t, objects)); diff != "" {
				t.Errorf("rules on Secrets (-want +got):\n%s", diff)
			}
		})
	}
}

// secretRules are the rules that speak of Secrets, by the kind and namespace of their role.
func secretRules(t *testing.T, objects []*unstructured.Unstructured) map[string]rbacv1.PolicyRule {
	t.Helper()
	found := map[string]rbacv1.PolicyRule{}
	for _, object := range objects {
		if !slices.Contains([]string{"Role", "ClusterRole"}, object.GetKind()) {
			continue
		}
		var role rbacv1.ClusterRole
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role); err != nil {
			t.Fatal(err)
		}
		for _, rule := range role.Rules {
			if slices.Contains(rule.Resources, "secrets") {
				found[object.GetKind()+" "+object.GetNamespace()] = rule
			}
		}
	}
	return found
}

// TestOperatorRole checks that the operator's permissions are the ones that docs/operating.md explains: whoever adds one
// has to say here, and there, what for.
func TestOperatorRole(t *testing.T) {
	want := map[string][]string{
		"apps/deployments":                          {"create", "delete", "get", "list", "patch", "watch"},
		"apps/replicasets":                          {"list", "watch"},
		"/configmaps":                               {"create", "delete", "get", "list", "patch", "watch"},
		"/pods":                                     {"get", "list", "patch", "watch"},
		"/services":                                 {"create", "delete", "get", "list", "patch", "watch"},
		"events.k8s.io/events":                      {"create", "patch"},
		"external.metrics.k8s.io/*":                 {"list"},
		"metrics.k8s.io/pods":                       {"list"},
		"memorybudget.dev/memorybudgets":            {"get", "list", "watch"},
		"memorybudget.dev/memorybudgets/status":     {"patch"},
		"memorybudget.dev/memorybudgets/finalizers": {"update"},
		"policy/poddisruptionbudgets":               {"create", "delete", "get", "list", "patch", "watch"},
	}
	got := map[string][]string{}
	for _, rule := range shippedRules(t)["memorybudget-manager"] {
		for _, resource := range rule.Resources {
			got[rule.APIGroups[0]+"/"+resource] = slices.Sorted(slices.Values(rule.Verbs))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("unexpected permissions (-want +got):\n%s", diff)
	}
}

// testPeopleRoles checks which of the cluster's usual roles the shipped ones become part of.
func testPeopleRoles(t *testing.T, admin *rest.Config) {
	client := kubernetes.NewForConfigOrDie(admin)
	tests := map[string]struct {
		label string
		want  string
	}{
		"memorybudget-editor":         {label: "rbac.authorization.k8s.io/aggregate-to-edit", want: "true"},
		"memorybudget-viewer":         {label: "rbac.authorization.k8s.io/aggregate-to-view"},
		"memorybudget-metrics-reader": {label: "rbac.authorization.k8s.io/aggregate-to-view"},
		"memorybudget-manager":        {label: "rbac.authorization.k8s.io/aggregate-to-view"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			role, err := client.RbacV1().ClusterRoles().Get(t.Context(), name, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got := role.Labels[tc.label]; got != tc.want {
				t.Errorf("label %s is %q, want %q", tc.label, got, tc.want)
			}
		})
	}
}

// testAggregation checks, where the controller manager aggregates roles, who may do what with MemoryBudgets.
func testAggregation(t *testing.T, client kubernetes.Interface) {
	binding := func(role string) {
		_, err := client.RbacV1().RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "by-" + role, Namespace: namespace},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "by-" + role}},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	writes := rbacv1.PolicyRule{APIGroups: []string{"memorybudget.dev"}, Resources: []string{"memorybudgets"}, Verbs: []string{"create"}}
	for _, role := range []string{"edit", "admin"} {
		binding(role)
		waitAllowed(t, client, "by-"+role, writes)
	}
	binding("view")
	waitAllowed(t, client, "by-view", rbacv1.PolicyRule{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"get"}})
	review, err := client.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: "by-view",
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: namespace, Group: "memorybudget.dev", Resource: "memorybudgets", Verb: "get",
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if review.Status.Allowed {
		t.Error("who may view a namespace may read its MemoryBudgets")
	}
}
