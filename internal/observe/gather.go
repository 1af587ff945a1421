// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// Child names an object that a resource needs.
type Child struct {
	// Kind is Deployment, Service, PodDisruptionBudget or ConfigMap.
	Kind string
	// Name of the object, in the namespace of the resource.
	Name string
}

// ResourceIndex is the index of the cache by which it finds the objects of a resource, as ResourceOf names it.
const ResourceIndex = "memorybudget"

// ResourceOf is the name of the resource that an object says it belongs to, in its namespace; none where it does not. Memory is
// counted by label, whoever owns the pod.
func ResourceOf(object client.Object) []string {
	if name := object.GetLabels()[v1alpha1.NameLabel]; name != "" {
		return []string{name}
	}
	return nil
}

// Reader gathers snapshots.
type Reader struct {
	// Cache holds the objects with our labels, packed by a Packer or not, with ResourceIndex for each kind.
	Cache client.Reader
	// Live asks the API server.
	Live client.Reader
	// Brokers knows what was read from brokers; where it is nil, nothing was.
	Brokers BrokerReader
	// Usage knows what pods use; where it is nil, nothing is known.
	Usage UsageReader
	// Metrics knows the values of external metrics and Prometheus queries; where it is nil, none is known.
	Metrics ReadingsReader
	// Clock tells how old is what was read for several resources.
	Clock clock.PassiveClock
	names nameReader
}

// Gather reads everything that a decision about mb depends on. The children are the objects that
// the resource needs by name; those that the cache does not hold are looked up at the API server. It may be
// called by several at a time.
func (r *Reader) Gather(ctx context.Context, mb *v1alpha1.MemoryBudget, children []Child) (Snapshot, error) {
	s := Snapshot{MemoryBudget: mb}
	lists := readLists{}
	if err := lists.read(ctx, r.Cache, mb); err != nil {
		return Snapshot{}, err
	}
	s.Pods, s.ReplicaSets = lists.pods.Items, lists.replicaSets.Items
	for _, object := range lists.labelled() {
		s.take(object, children)
	}
	if err := r.lookFor(ctx, &s, children); err != nil {
		return Snapshot{}, err
	}
	if err := r.readBroker(ctx, &s); err != nil {
		return Snapshot{}, err
	}
	if r.Usage != nil {
		s.Usage = r.Usage.Usage(mb)
	}
	if r.Metrics != nil {
		s.Readings = r.Metrics.Readings(mb)
	}
	s.sort()
	return s, nil
}

type readLists struct {
	deployments appsv1.DeploymentList
	replicaSets appsv1.ReplicaSetList
	pods        corev1.PodList
	services    corev1.ServiceList
	pdbs        policyv1.PodDisruptionBudgetList
	configMaps  corev1.ConfigMapList
}

func (l *readLists) read(ctx context.Context, reader client.Reader, mb *v1alpha1.MemoryBudget) error {
	options := []client.ListOption{client.InNamespace(mb.Namespace), client.MatchingFields{ResourceIndex: mb.Name}}
	for _, list := range []client.ObjectList{
		&l.deployments, &l.replicaSets, &l.pods, &l.services, &l.pdbs, &l.configMaps,
	} {
		if err := reader.List(ctx, list, options...); err != nil {
			return fmt.Errorf("listing %T: %w", list, err)
		}
	}
	return errors.Join(unpack(l.deployments.Items), unpack(l.replicaSets.Items), unpack(l.pods.Items),
		unpack(l.services.Items), unpack(l.pdbs.Items), unpack(l.configMaps.Items))
}

func (l *readLists) labelled() []client.Object {
	var objects []client.Object
	for i := range l.deployments.Items {
		objects = append(objects, &l.deployments.Items[i])
	}
	for i := range l.services.Items {
		objects = append(objects, &l.services.Items[i])
	}
	for i := range l.pdbs.Items {
		objects = append(objects, &l.pdbs.Items[i])
	}
	for i := range l.configMaps.Items {
		objects = append(objects, &l.configMaps.Items[i])
	}
	return objects
}

// take files an object with ours or, where the resource needs its name, with the foreign ones.
func (s *Snapshot) take(object client.Object, children []Child) {
	if !metav1.IsControlledBy(object, s.MemoryBudget) {
		if !slices.Contains(children, Child{Kind: kindOf(object), Name: object.GetName()}) {
			return // Nobody's business: `kubectl expose` copies labels, for one.
		}
		s.Foreign = append(s.Foreign, Foreign{Kind: kindOf(object), Name: object.GetName(), Owner: ownerOf(object)})
		return
	}
	switch o := object.(type) {
	case *appsv1.Deployment:
		s.Deployments = append(s.Deployments, *o)
	case *corev1.Service:
		s.Services = append(s.Services, *o)
	case *policyv1.PodDisruptionBudget:
		s.PodDisruptionBudgets = append(s.PodDisruptionBudgets, *o)
	case *corev1.ConfigMap:
		s.ConfigMaps = append(s.ConfigMaps, *o)
	}
}

func (s *Snapshot) knows(child Child) bool {
	named := func(kind, name string) bool { return kind == child.Kind && name == child.Name }
	return slices.ContainsFunc(s.Foreign, func(f Foreign) bool { return named(f.Kind, f.Name) }) ||
		slices.ContainsFunc(s.Deployments, func(o appsv1.Deployment) bool { return named("Deployment", o.Name) }) ||
		slices.ContainsFunc(s.Services, func(o corev1.Service) bool { return named("Service", o.Name) }) ||
		slices.ContainsFunc(s.ConfigMaps, func(o corev1.ConfigMap) bool { return named("ConfigMap", o.Name) }) ||
		slices.ContainsFunc(s.PodDisruptionBudgets, func(o policyv1.PodDisruptionBudget) bool {
			return named("PodDisruptionBudget", o.Name)
		})
}

// lookFor looks up the children that the cache does not hold. Where it holds nothing of a resource, which must be new, most of
// them need no look, since nobody has their names.
func (r *Reader) lookFor(ctx context.Context, s *Snapshot, children []Child) error {
	known := &names{many: true}
	isNew := len(s.Deployments)+len(s.ReplicaSets)+len(s.Pods)+len(s.Services)+len(s.PodDisruptionBudgets)+len(s.ConfigMaps) == 0
	if isNew && len(children) > 0 {
		var err error
		if known, err = r.namesAround(ctx, s.MemoryBudget); err != nil {
			return err
		}
	}
	for _, child := range children {
		if s.knows(child) {
			continue
		}
		may, err := known.mayExist(ctx, r.Cache, s.MemoryBudget.Namespace, child)
		if err == nil && may {
			err = r.look(ctx, s, child)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// look asks the API server for one child and files it.
func (r *Reader) look(ctx context.Context, s *Snapshot, child Child) error {
	object := NewObject(child.Kind)
	if object == nil {
		return fmt.Errorf("no child has the kind %q", child.Kind)
	}
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: s.MemoryBudget.Namespace, Name: child.Name}, object)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking up %s %s: %w", child.Kind, child.Name, err)
	}
	object.SetManagedFields(nil)
	s.take(object, []Child{child})
	return nil
}

// NewObject is an empty object of a kind that the operator reads, or nil.
func NewObject(kind string) client.Object {
	switch kind {
	case "MemoryBudget":
		return &v1alpha1.MemoryBudget{}
	case "Pod":
		return &corev1.Pod{}
	case "Deployment":
		return &appsv1.Deployment{}
	case "Service":
		return &corev1.Service{}
	case "PodDisruptionBudget":
		return &policyv1.PodDisruptionBudget{}
	case "ConfigMap":
		return &corev1.ConfigMap{}
	}
	return nil
}

func kindOf(object client.Object) string {
	switch object.(type) {
	case *appsv1.Deployment:
		return "Deployment"
	case *corev1.Service:
		return "Service"
	case *policyv1.PodDisruptionBudget:
		return "PodDisruptionBudget"
	}
	return "ConfigMap"
}

func ownerOf(object client.Object) string {
	if owner := metav1.GetControllerOf(object); owner != nil {
		return owner.Kind + " " + owner.Name
	}
	return ""
}

// sort puts everything into one order, so that equal clusters give equal snapshots.
func (s *Snapshot) sort() {
	slices.SortFunc(s.Deployments, func(a, b appsv1.Deployment) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Services, func(a, b corev1.Service) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(s.ConfigMaps, func(a, b corev1.ConfigMap) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(s.ReplicaSets, func(a, b appsv1.ReplicaSet) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(s.Pods, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(s.PodDisruptionBudgets, func(a, b policyv1.PodDisruptionBudget) int {
		return strings.Compare(a.Name, b.Name)
	})
	slices.SortFunc(s.Foreign, func(a, b Foreign) int { return strings.Compare(a.Kind+"/"+a.Name, b.Kind+"/"+b.Name) })
}
