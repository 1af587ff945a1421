// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/test/ledger"
	"github.com/memorybudget/memorybudget/test/testrbac"
)

// scene is a namespace with a database and brokers, watched from before the first write.
type scene struct {
	t         *testing.T
	namespace string
	began     time.Time
	recorder  *ledger.Recorder
	foreign   []ledger.Span
}

// newScene makes a namespace that enforces the Pod Security standard "restricted", with what the shop needs beside it:
// PostgreSQL and Redis, and what else of services.yaml is named.
func newScene(t *testing.T, services ...string) *scene {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-", Labels: restricted()}}
	namespace.Labels[ownLabel] = ""
	must(t, admin.Create(t.Context(), namespace))
	s := &scene{t: t, namespace: namespace.Name, began: time.Now()}
	t.Cleanup(s.leave)
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	var err error
	s.recorder, err = ledger.Record(ctx, admin, s.namespace)
	must(t, err)
	services = append(services, "postgres", "redis")
	s.manifest("services.yaml", func(o client.Object) bool {
		_, isSecret := o.(*corev1.Secret)
		return isSecret || slices.Contains(services, o.GetName())
	})
	for _, name := range services {
		s.awaitDeployment(name)
	}
	s.mayReadBrokers()
	s.manifest("seed.yaml")
	eventually(t, patience, "the shop's database to be filled", func(ctx context.Context) error {
		job := &batchv1.Job{}
		if err := s.get(ctx, "seed", job); err != nil {
			return err
		}
		if job.Status.Succeeded == 0 {
			return fmt.Errorf("the job has failed %d times and not succeeded", job.Status.Failed)
		}
		return nil
	})
	return s
}

// leave keeps the evidence of a failure, and begins to take everything away: the pods have their grace periods, and the
// next proof need not wait for them.
func (s *scene) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if s.t.Failed() {
		if err := s.keepEvidence(ctx); err != nil {
			s.t.Errorf("keeping the evidence: %v", err)
		}
	}
	if s.recorder != nil {
		s.recorder.Stop()
	}
	if err := client.IgnoreNotFound(admin.DeleteAllOf(ctx, &v1alpha1.MemoryBudget{}, client.InNamespace(s.namespace))); err != nil {
		s.t.Error(err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}
	if err := client.IgnoreNotFound(admin.Delete(ctx, namespace)); err != nil {
		s.t.Error(err)
	}
}

// removeScenes waits until the namespaces of all proofs are gone, those of a run that was interrupted too.
func removeScenes(ctx context.Context) error {
	namespaces := &corev1.NamespaceList{}
	if err := admin.List(ctx, namespaces, client.HasLabels{ownLabel}); err != nil {
		return fmt.Errorf("listing the namespaces of the proofs: %w", err)
	}
	var errs []error
	for i := range namespaces.Items {
		if name := namespaces.Items[i].Name; name != operatorNamespace {
			errs = append(errs, removeNamespace(ctx, name))
		}
	}
	return errors.Join(errs...)
}

// manifest applies a file of the example, or those of its objects that are wanted, with the images of this run.
func (s *scene) manifest(name string, wanted ...func(client.Object) bool) {
	s.t.Helper()
	content, err := os.ReadFile(example(name))
	must(s.t, err)
	objects, err := testrbac.Decode(content)
	must(s.t, err)
	for _, object := range objects {
		typed, err := admin.Scheme().New(object.GroupVersionKind())
		must(s.t, err)
		must(s.t, runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, typed))
		useImages(typed)
		if o := typed.(client.Object); len(wanted) == 0 || wanted[0](o) {
			s.create(o)
		}
	}
}

// mayReadBrokers gives the operator the Role for the Secrets of this namespace, the way docs/operating.md says.
func (s *scene) mayReadBrokers() {
	s.t.Helper()
	objects, err := testrbac.Kustomize(filepath.Join(testrbac.Root(), "config", "broker-secrets"))
	must(s.t, err)
	for _, object := range objects {
		s.create(object)
	}
}

// example is the path of a file of the example.
func example(name string) string {
	return filepath.Join(testrbac.Root(), "examples", "bunoraa", name)
}

// useImages puts this run's images in place of those that the example names.
func useImages(object runtime.Object) {
	var template *corev1.PodTemplateSpec
	switch o := object.(type) {
	case *appsv1.Deployment:
		template = &o.Spec.Template
	case *batchv1.Job:
		template = &o.Spec.Template
	default:
		return
	}
	images := map[string]string{"bunoraa:dev": settings.shopImage, "bunoraa-services:dev": settings.servicesImage}
	for _, containers := range [][]corev1.Container{template.Spec.InitContainers, template.Spec.Containers} {
		for i := range containers {
			if image := images[containers[i].Image]; image != "" {
				containers[i].Image = image
			}
		}
	}
}

// budget is the resource of the example, with this run's image, changed.
func (s *scene) budget(changes ...func(*v1alpha1.MemoryBudget)) *v1alpha1.MemoryBudget {
	s.t.Helper()
	content, err := os.ReadFile(example("memorybudget.yaml"))
	must(s.t, err)
	mb := &v1alpha1.MemoryBudget{}
	must(s.t, yaml.UnmarshalStrict(content, mb))
	mb.Namespace = s.namespace
	mb.Spec.Application.Image = settings.shopImage
	for _, change := range changes {
		change(mb)
	}
	return mb
}

// tier finds a tier of a spec.
func tier(mb *v1alpha1.MemoryBudget, name string) *v1alpha1.Tier {
	for i := range mb.Spec.Tiers {
		if mb.Spec.Tiers[i].Name == name {
			return &mb.Spec.Tiers[i]
		}
	}
	panic("no tier " + name)
}

func (s *scene) create(object client.Object) {
	s.t.Helper()
	object.SetNamespace(s.namespace)
	must(s.t, admin.Create(s.t.Context(), object))
}

func (s *scene) get(ctx context.Context, name string, object client.Object) error {
	return admin.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, object)
}

// edit changes an object until the API server takes it.
func edit[T client.Object](s *scene, name string, object T, change func(T)) {
	s.t.Helper()
	eventually(s.t, short, "an edit of "+name, func(ctx context.Context) error {
		if err := s.get(ctx, name, object); err != nil {
			return err
		}
		change(object)
		err := admin.Update(ctx, object)
		if apierrors.IsInvalid(err) || apierrors.IsForbidden(err) {
			s.t.Fatal(err)
		}
		return err
	})
}

// change edits the MemoryBudget.
func (s *scene) change(how func(*v1alpha1.MemoryBudget)) {
	s.t.Helper()
	edit(s, "bunoraa", &v1alpha1.MemoryBudget{}, how)
}

// behindItsBack does something to the tiers that is not the operator's doing.
func (s *scene) behindItsBack(do func()) {
	s.t.Helper()
	from := s.now()
	do()
	s.foreign = append(s.foreign, ledger.Span{From: from, To: s.now()})
}

// now is the cluster's latest resource version.
func (s *scene) now() uint64 {
	s.t.Helper()
	version, err := ledger.Now(s.t.Context(), admin)
	must(s.t, err)
	return version
}

// awaitDeployment waits until all replicas of a Deployment are available.
func (s *scene) awaitDeployment(name string) {
	s.t.Helper()
	eventually(s.t, patience, "Deployment "+name+" to be available", func(ctx context.Context) error {
		d := &appsv1.Deployment{}
		if err := s.get(ctx, name, d); err != nil {
			return err
		}
		if want := *d.Spec.Replicas; d.Status.ObservedGeneration != d.Generation || d.Status.AvailableReplicas != want || d.Status.Replicas != want {
			return fmt.Errorf("%d of %d replicas are available", d.Status.AvailableReplicas, want)
		}
		return nil
	})
}

// awaitStatus waits until the status is for the present spec and satisfies a condition.
func (s *scene) awaitStatus(limit time.Duration, what string, check func(*v1alpha1.MemoryBudget) error) *v1alpha1.MemoryBudget {
	s.t.Helper()
	mb := &v1alpha1.MemoryBudget{}
	eventually(s.t, limit, what, func(ctx context.Context) error {
		if err := s.get(ctx, "bunoraa", mb); err != nil {
			return err
		}
		if mb.Status.ObservedGeneration != mb.Generation {
			return fmt.Errorf("status is for generation %d of %d", mb.Status.ObservedGeneration, mb.Generation)
		}
		return check(mb)
	})
	return mb
}

// awaitReady waits until everything that is granted is ready.
func (s *scene) awaitReady() *v1alpha1.MemoryBudget {
	s.t.Helper()
	return s.awaitStatus(long, "bunoraa to be Ready", func(mb *v1alpha1.MemoryBudget) error {
		return is(mb, v1alpha1.ConditionReady, metav1.ConditionTrue, "")
	})
}

// is reports a condition that is not what it should be. An empty reason is any.
func is(mb *v1alpha1.MemoryBudget, kind string, status metav1.ConditionStatus, reason string) error {
	c := meta.FindStatusCondition(mb.Status.Conditions, kind)
	switch {
	case c == nil:
		return errors.New(kind + " is not set")
	case c.Status != status || reason != "" && c.Reason != reason:
		return fmt.Errorf("%s is %s (%s): %s", kind, c.Status, c.Reason, c.Message)
	}
	return nil
}

// awaitCondition waits for a condition and returns it.
func (s *scene) awaitCondition(kind string, status metav1.ConditionStatus, reason string) metav1.Condition {
	s.t.Helper()
	mb := s.awaitStatus(patience, fmt.Sprintf("%s=%s (%s)", kind, status, reason), func(mb *v1alpha1.MemoryBudget) error {
		return is(mb, kind, status, reason)
	})
	return *meta.FindStatusCondition(mb.Status.Conditions, kind)
}

// pods are those of a tier that there are now, of all tiers if it is empty.
func (s *scene) pods(tier string) []*corev1.Pod {
	return slices.DeleteFunc(s.recorder.PodsOf(tier), func(pod *corev1.Pod) bool { return pod.Labels[v1alpha1.NameLabel] == "" })
}

// everyPod tells which pods the budget ever paid for.
func (s *scene) everyPod() map[types.UID]*corev1.Pod {
	s.t.Helper()
	history, err := s.recorder.History()
	must(s.t, err)
	all := map[types.UID]*corev1.Pod{}
	for _, c := range history {
		if pod, ok := c.Object.(*corev1.Pod); ok && pod.Labels[v1alpha1.NameLabel] != "" {
			all[pod.UID] = pod
		}
	}
	return all
}

// heldByTiers is what the cgroups of all tiers' pods held from a time on.
func (s *scene) heldByTiers(from time.Time) held {
	s.t.Helper()
	pods := s.everyPod()
	return memory.heldBy(from, func(uid types.UID) bool { return pods[uid] != nil })
}

// verdict judges everything that has happened so far.
func (s *scene) verdict() ledger.Verdict {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), short)
	defer cancel()
	history, err := s.recorder.CatchUp(ctx)
	if err != nil {
		s.t.Fatalf("waiting for the recorder to catch up: %v", err)
	}
	writes := writesOf(history)
	j := ledger.Judge{Foreign: s.foreign, Ours: func(c ledger.Change) (string, bool) {
		write, ours := writes[c.Version]
		return write, ours
	}}
	v := j.Within(history)
	for _, violation := range v.Violations {
		s.t.Error(violation)
	}
	return v
}
