// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/test/ledger"
)

// TestCreate: one resource becomes three Deployments that fit, with one write per object and two of the status, under
// Pod Security "restricted".
func TestCreate(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	root := rootPod()
	root.Namespace = s.namespace
	if err := admin.Create(t.Context(), root); !apierrors.IsForbidden(err) {
		t.Fatalf("the namespace does not enforce Pod Security: %v", err)
	}
	s.start(fault{})
	began := time.Now()
	s.create(shop().Obj())
	s.awaitReady()
	s.awaitReplicas(map[string]int{"web": 2, "worker": 2, "ml": 1})
	took := time.Since(began)
	s.awaitBrokerTried()
	s.quiet()
	want := []string{
		"apply configmaps " + s.budget().Status.Settings,
		"apply deployments shop-ml", "apply deployments shop-web", "apply deployments shop-worker",
		"apply memorybudgets/status shop", "apply memorybudgets/status shop",
		"apply poddisruptionbudgets shop-ml", "apply poddisruptionbudgets shop-web", "apply poddisruptionbudgets shop-worker",
		"apply services shop-web",
		"patch pods any", "patch pods any", "patch pods any",
	}
	readyUntried := func(c ledger.Change) bool {
		mb, ok := c.Object.(*v1alpha1.MemoryBudget)
		return ok && ready(mb) == nil &&
			meta.FindStatusCondition(mb.Status.Conditions, v1alpha1.ConditionQueuesOwned).Reason == v1alpha1.ReasonNotReadYet
	}
	if slices.ContainsFunc(s.history(), readyUntried) {
		want = append(want, "apply memorybudgets/status shop") // What became of reading the broker comes once more.
	}
	// Figures are written every ten seconds while pods take their time to come up.
	for range int(took / (10 * time.Second)) {
		want = append(want, "apply memorybudgets/status shop")
	}
	got := s.operator.tap.lines(0)
	if extra := len(want) - len(got); extra > 0 && took > 10*time.Second {
		want = want[:len(want)-extra]
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("writes of a create that took %s (-want +got):\n%s", took, diff)
	}
	s.verdict()
}

// lines are the writes after the first so many, sorted. Pods have random names.
func (t *tap) lines(after int) []string {
	var lines []string
	for _, q := range t.all(kindWrite)[after:] {
		if q.resource == "pods" {
			q.name = "any"
		}
		lines = append(lines, q.String())
	}
	slices.Sort(lines)
	return lines
}

// TestConverged: a converged resource causes no write, whoever wakes the operator, however its numbers are spelled and
// its lists are ordered.
func TestConverged(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.start(fault{})
	s.create(shop().Obj())
	s.awaitReady()
	s.awaitBrokerTried()
	children := s.generations()

	s.nudge()
	s.restart()
	s.nudge()
	for _, patch := range spellings() {
		before := s.operator.tap.count()
		s.patch(patch)
		s.awaitReady()
		writes := s.operator.tap.lines(before)
		if len(writes) > 1 || len(writes) == 1 && writes[0] != "apply memorybudgets/status shop" {
			t.Errorf("writes after %s: %v", patch, writes)
		}
	}
	s.restart()
	s.nudge()
	if diff := cmp.Diff(children, s.generations()); diff != "" {
		t.Errorf("generations of the children (-before +after):\n%s", diff)
	}
	if before := s.operator.tap.count(); !s.stays(before, timersPeriod) {
		t.Errorf("writes where nothing was to do\n%s", s.report())
	}
	s.verdict()
}

// spellings are changes of the spec that change nothing.
func spellings() []string {
	tiers := func(size string, order ...string) string {
		parts := map[string]string{
			"web": `{"name":"web","role":"Web","memory":{"perPod":"` + size + `"},"replicas":{"max":4,"desired":2,"min":1},` +
				`"gunicorn":{"application":"core.wsgi:application"}}`,
			"worker": `{"celery":{"queues":["celery","emails"]},"name":"worker","role":"Worker","memory":{"perPod":"` + size +
				`"},"replicas":{"min":0,"desired":2,"max":8}}`,
			"ml": `{"name":"ml","role":"ML","memory":{"perPod":"0.5Gi"},"replicas":{"min":0,"desired":1,"max":2},` +
				`"celery":{"queues":["ml"],"pool":"Solo","tasks":["recommendations.tasks.train_*"]}}`,
		}
		var list []string
		for _, name := range order {
			list = append(list, parts[name])
		}
		return `{"spec":{"tiers":[` + strings.Join(list, ",") + `]}}`
	}
	return []string{
		`{"spec":{"memory":"2048Mi"}}`, `{"spec":{"memory":2147483648}}`, `{"spec":{"memory":"2147483648e0"}}`,
		`{"spec":{"memory":"2.0Gi"}}`, `{"spec":{"memory":"2097152Ki"}}`,
		tiers("0.25Gi", "ml", "worker", "web"), tiers("268435456", "worker", "web", "ml"), tiers("262144Ki", "web", "ml", "worker"),
	}
}

// nudge wakes the operator by edits of no consequence and by one of consequence, which is then the only one that it
// answers: the last write shows that it has seen all before.
func (s *scene) nudge() {
	s.t.Helper()
	before := s.operator.tap.count()
	for _, object := range []client.Object{&appsv1.Deployment{}, &corev1.Service{}, &policyv1.PodDisruptionBudget{}} {
		edit(s, "shop-web", object, func(o client.Object) {
			o.SetLabels(with(o.GetLabels(), "example.com/nudge", o.GetResourceVersion()))
		})
	}
	gone := get(s, "shop-worker", &policyv1.PodDisruptionBudget{})
	if err := admin.Delete(s.t.Context(), gone); err != nil {
		s.t.Fatal(err)
	}
	s.awaitAnother("shop-worker", &policyv1.PodDisruptionBudget{}, gone.UID)
	s.quiet()
	if diff := cmp.Diff([]string{"apply poddisruptionbudgets shop-worker"}, s.operator.tap.lines(before)); diff != "" {
		s.t.Errorf("writes (-want +got):\n%s", diff)
	}
}

func with(labels map[string]string, key, value string) map[string]string {
	labels[key] = value
	return labels
}

// generations are those of the Deployments, by name.
func (s *scene) generations() map[string]int64 {
	generations := map[string]int64{}
	for _, d := range list(s, &appsv1.DeploymentList{}, "").Items {
		generations[d.Name] = d.Generation
	}
	return generations
}

// patch changes the shop by a JSON merge patch, just as it is spelled.
func (s *scene) patch(patch string) {
	s.t.Helper()
	mb := &v1alpha1.MemoryBudget{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "shop"}}
	if err := admin.Patch(s.t.Context(), mb, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		s.t.Fatalf("%s: %v", patch, err)
	}
	s.edited = ledger.VersionOf(mb)
}

// rootPod is what "restricted" does not let in.
func rootPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "root"},
		Spec:       corev1.PodSpec{HostNetwork: true, Containers: []corev1.Container{{Name: "root", Image: "root"}}},
	}
}
