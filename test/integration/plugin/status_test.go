// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"
)

const reported = `
observedGeneration: 1
reserve: 205Mi
allocated: 128Mi
exposure: 256Mi
unallocated: 1Gi
limitedBy: Budget
conditions:
- {type: Ready, status: "False", reason: ReplicasNotReady, message: Tier work has 1 of 2 pods ready, lastTransitionTime: "2026-01-02T03:04:05Z"}
tiers:
- name: work
  desired: 5
  granted: 2
  ready: 1
  memoryPerPod: 128Mi
  allocated: 128Mi
  processes: 1
  limitedBy: Budget
  decision: "wanted 5, granted 2: a further pod of 128Mi needs 100Mi more than is left"
  runtime: {python: 3.13.5, celery: 5.6.3, baselineMemory: 64Mi, imports: [torch], problems: [SettingsModuleOverridden]}
`

// report writes a status as the operator would.
func report(t *testing.T, object *unstructured.Unstructured) {
	t.Helper()
	var status map[string]any
	if err := yaml.Unmarshal([]byte(reported), &status); err != nil {
		t.Fatal(err)
	}
	object.Object["status"] = status
	if _, err := budgets(object.GetNamespace()).UpdateStatus(t.Context(), object, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// gatedPod makes a pod that waits for memory.
func gatedPod(t *testing.T, namespace, budget string) {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: budget + "-work-0", Labels: map[string]string{
			"memorybudget.dev/name": budget, "memorybudget.dev/tier": "work",
		}},
		Spec: corev1.PodSpec{
			SchedulingGates: []corev1.PodSchedulingGate{{Name: "memorybudget.dev/memory"}},
			Containers:      []corev1.Container{{Name: "app", Image: "app:1"}},
		},
	}
	if _, err := kubernetes.NewForConfigOrDie(config).CoreV1().Pods(namespace).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

const shown = `MemoryBudget NS/shop
  Ready:         False (ReplicasNotReady)
  Budget:        2Gi
  Allocated:     128Mi (6%), held by pods, those that shut down included
  Exposure:      256Mi (12%), allocated, and what may still start
  Reserve:       205Mi (10%), kept free for rollouts
  Unallocated:   1Gi (50%), neither granted nor reserved
  Limited by:    Budget

  CONDITION   STATUS   REASON             MESSAGE
  Ready       False    ReplicasNotReady   Tier work has 1 of 2 pods ready

  TIER   DESIRED   GRANTED   READY   POD     ALLOCATED   PROCESSES   LIMITED-BY   WHY
  work   5         2         1       128Mi   128Mi       1           Budget       wanted 5, granted 2: a further pod of 128Mi needs 100Mi more than is left

  TIER   PYTHON   DJANGO   CELERY   GUNICORN   BASELINE   IMPORTS   PROBLEMS
  work   3.13.5   -        5.6.3    -          64Mi       torch     SettingsModuleOverridden
`

const waiting = `
  WAITING POD   TIER   AGE   FOR
  shop-work-0   work   AGE   memory of the budget
`

const unreported = `MemoryBudget NS/new
  Ready:    Unknown, nothing is reported yet: does the operator run, and does it watch this namespace?
  Budget:   2Gi
`

// ages are put out of the way: how old a pod is depends on the machine.
var ages = regexp.MustCompile(`(shop-work-0   work   )\d+m?s( +)`)

func TestStatus(t *testing.T) {
	const ns = "status"
	namespace(t, ns)
	kubectl(t, "", "memorybudget", "status", "-n", ns).expect(t, 0, "", "No resources found in "+ns+" namespace.\n")
	report(t, create(t, ns, "shop"))
	gatedPod(t, ns, "shop")
	create(t, ns, "new")
	all := func(texts ...string) string { return strings.ReplaceAll(strings.Join(texts, ""), "NS", ns) }
	notFound := `Error from server (NotFound): memorybudgets.memorybudget.dev "missing" not found` + "\n"
	tests := map[string]struct {
		args     []string
		wantCode int
		want     string
		wantErr  string
	}{
		"one":             {args: []string{"shop", "-n", ns}, want: all(shown, waiting)},
		"type and name":   {args: []string{"mb/shop", "-n", ns}, want: all(shown, waiting)},
		"two":             {args: []string{"shop", "new", "-n", ns}, want: all(shown, waiting, "\n", unreported)},
		"all":             {args: []string{"-n", ns}, want: all(unreported, "\n", shown, waiting)},
		"one is missing":  {args: []string{"missing", "new", "-n", ns}, wantCode: 1, want: all(unreported), wantErr: notFound},
		"missing":         {args: []string{"missing", "-n", ns}, wantCode: 1, wantErr: notFound},
		"names":           {args: []string{"-n", ns, "-o", "name"}, want: prefix + "new\n" + prefix + "shop\n"},
		"a template":      {args: []string{"shop", "-n", ns, "--template", "{{.status.limitedBy}}"}, want: "Budget"},
		"a path":          {args: []string{"-n", ns, "-o", "jsonpath={.items[*].metadata.name}"}, want: "new shop"},
		"a wrong format":  {args: []string{"-n", ns, "-o", "wide"}, wantCode: 1, wantErr: `error: unable to match a printer suitable for the output format "wide", allowed formats are: go-template,go-template-file,json,jsonpath,jsonpath-as-json,jsonpath-file,kyaml,name,table,template,templatefile,yaml` + "\n"},
		"a wrong context": {args: []string{"--context", "none"}, wantCode: 1, wantErr: "Error in configuration: context was not found for specified context: none\n"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := kubectl(t, "", append([]string{"memorybudget", "status"}, tc.args...)...)
			got.out = ages.ReplaceAllString(got.out, "${1}AGE   ")
			got.expect(t, tc.wantCode, tc.want, tc.wantErr)
		})
	}
	everywhere := kubectl(t, "", "memorybudget", "status", "-A")
	if everywhere.code != 0 || !strings.Contains(everywhere.out, all(unreported)) {
		t.Errorf("exit status %d, standard output:\n%s\nwant all namespaces", everywhere.code, everywhere.out)
	}
}

// TestStatusAsKubectlGet shows that -o means what it means to kubectl.
func TestStatusAsKubectlGet(t *testing.T) {
	const ns, empty = "status-get", "status-get-empty"
	namespace(t, ns)
	namespace(t, empty)
	report(t, create(t, ns, "one"))
	create(t, ns, "two")
	for _, args := range [][]string{
		{"-n", ns, "-o", "yaml"}, {"-n", ns, "-o", "json"}, {"one", "-n", ns, "-o", "yaml"}, {"one", "two", "-n", ns, "-o", "json"},
		{"-n", ns, "-o", "json", "--show-managed-fields"}, {"missing", "-n", ns, "-o", "yaml"},
		{"missing", "one", "-n", ns, "-o", "json"}, {"-n", empty, "-o", "yaml"},
	} {
		want := kubectl(t, "", append([]string{"get", "memorybudgets"}, args...)...)
		got := kubectl(t, "", append([]string{"memorybudget", "status"}, args...)...)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(result{})); diff != "" {
			t.Errorf("%v: unlike kubectl get (-want +got):\n%s", args, diff)
		}
	}
}

// TestStatusWithoutPods shows that people who may not see pods see the rest.
func TestStatusWithoutPods(t *testing.T) {
	const ns = "status-viewer"
	namespace(t, ns)
	report(t, create(t, ns, "shop"))
	client := kubernetes.NewForConfigOrDie(config)
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "viewer"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"memorybudget.dev"}, Resources: []string{"memorybudgets"}, Verbs: []string{"get", "list"}},
	}}
	if _, err := client.RbacV1().Roles(ns).Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "viewer"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "viewer"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "viewer"}},
	}
	if _, err := client.RbacV1().RoleBindings(ns).Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	got := kubectl(t, "", "auth", "can-i", "get", "memorybudgets", "-n", ns, "--as", "viewer")
	for got.code != 0 { // Until the API server has seen the binding; the test's own time limit ends it otherwise.
		got = kubectl(t, "", "auth", "can-i", "get", "memorybudgets", "-n", ns, "--as", "viewer")
	}
	kubectl(t, "", "memorybudget", "status", "shop", "-n", ns, "--as", "viewer").
		expect(t, 0, strings.ReplaceAll(shown, "NS", ns), `Warning: pods that wait are not shown: pods is forbidden: User "viewer" `+
			`cannot list resource "pods" in API group "" in the namespace "`+ns+`"`+"\n")
}

func TestCompletion(t *testing.T) {
	const ns = "completion"
	namespace(t, ns)
	create(t, ns, "shop")
	create(t, ns, "shed")
	create(t, ns, "mill")
	tests := map[string]struct {
		args []string
		want string
	}{
		"commands": {args: []string{"memorybudget", "re"}, want: "replay\tMake the decisions of a recording again\nresume\tLet the operator change tiers again\n:4\n"},
		"names":    {args: []string{"memorybudget", "status", "-n", ns, "sh"}, want: "shed\nshop\n:4\n"},
		"further":  {args: []string{"memorybudget", "pause", "-n", ns, "shop", "sh"}, want: "shed\n:4\n"},
		"formats":  {args: []string{"memorybudget", "status", "-o", ""}, want: "table\njson\nyaml\nkyaml\nname\ngo-template\ngo-template-file\ntemplate\ntemplatefile\njsonpath\njsonpath-as-json\njsonpath-file\n:4\n"},
		"contexts": {args: []string{"memorybudget", "status", "--context", ""}, want: "memorybudget-local\n:4\n"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := kubectl(t, "", append([]string{"__complete"}, tc.args...)...)
			if got.code != 0 || got.out != tc.want {
				t.Errorf("exit status %d, got %q, want %q", got.code, got.out, tc.want)
			}
		})
	}
}
