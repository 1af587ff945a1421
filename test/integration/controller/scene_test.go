// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/manager"
	"github.com/memorybudget/memorybudget/test/ledger"
	"github.com/memorybudget/memorybudget/test/testrbac"
)

const (
	// patience bounds each wait for something that must happen. After a jump of the demand, going to zero takes 75 seconds.
	patience = 3 * time.Minute
	// interval is how often a condition is looked at.
	interval = 40 * time.Millisecond
	// quietPeriod is how long nothing may happen where nothing must.
	quietPeriod = 1500 * time.Millisecond
	// timersPeriod is longer than anything that the operator does by the clock in a settled resource.
	timersPeriod = 35 * time.Second
)

// eventually looks at a condition until it holds.
func eventually(t *testing.T, what string, check func(context.Context) error) {
	t.Helper()
	within(t, patience, what, check)
}

func within(t *testing.T, limit time.Duration, what string, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	last := errors.New("never looked")
	for {
		if err := check(ctx); err == nil {
			return
		} else if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waiting for %s: %v", what, last)
		case <-ticker.C:
		}
	}
}

// scene is a namespace with at most one operator that acts in it. When the test ends, its history is judged.
type scene struct {
	t         *testing.T
	namespace string
	recorder  *ledger.Recorder
	operator  *operator
	taps      []*tap
	foreign   []ledger.Span
	// edited is the version of the latest edit of the resource, or of what was put back since: a status before it does not count.
	edited uint64
	// refusals are the resources whose writes the API server is expected to refuse.
	refusals []string
}

// newScene makes a namespace that enforces the Pod Security standard "restricted".
func newScene(t *testing.T) *scene {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "t-", Labels: map[string]string{
			"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "latest",
		},
	}}
	if err := admin.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.IgnoreNotFound(admin.Delete(context.Background(), namespace)); err != nil {
			t.Error(err)
		}
	})
	s := &scene{t: t, namespace: namespace.Name}
	if err := s.record(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.leave)
	return s
}

// record watches the namespace until the test ends.
func (s *scene) record() (err error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	if s.recorder, err = ledger.Record(ctx, admin, s.namespace); err == nil {
		s.t.Cleanup(s.recorder.Stop)
	}
	return err
}

// history is everything that happened so far.
func (s *scene) history() []ledger.Change {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	all, err := s.recorder.CatchUp(ctx)
	if err != nil {
		s.t.Fatalf("waiting for the recorder to catch up: %v", err)
	}
	return all
}

// leave ends the operator.
func (s *scene) leave() {
	if s.operator != nil {
		s.operator.stop()
	}
	if s.t.Failed() {
		s.t.Log(s.report())
	}
}

// verdict judges everything so far. Every test ends with it.
func (s *scene) verdict() {
	s.t.Helper()
	history := s.history()
	j := judge{t: s.t, ours: writesByVersion(s.taps), foreign: s.foreign}
	j.within(history)
	j.told(history)
	j.behaved(s.taps, s.namespace, s.refusals)
}

// report lists what the operator wrote.
func (s *scene) report() string {
	var text strings.Builder
	for i, tap := range s.taps {
		for _, q := range tap.all(kindWrite) {
			fmt.Fprintf(&text, "operator %d write %d: %s -> %d (version %s) %s\n", i+1, q.number, &q, q.code, q.resourceVersion, q.message)
		}
	}
	return text.String()
}

// operator is one process's worth of the operator, run in this one.
type operator struct {
	t      *testing.T
	tap    *tap
	cancel context.CancelFunc
	done   chan error
}

// start runs an operator for the scene's namespace, as the service account that it ships with.
func (s *scene) start(f fault) *operator {
	s.t.Helper()
	s.operator = s.startOperator(f, manager.Options{WatchNamespaces: []string{s.namespace}})
	return s.operator
}

// startOperator runs an operator with other options than those of start.
func (s *scene) startOperator(f fault, options manager.Options) *operator {
	s.t.Helper()
	o := &operator{t: s.t, tap: newTap(f), done: make(chan error, 1)}
	s.taps = append(s.taps, o.tap)
	config := jsonConfig(testrbac.OperatorConfig(cluster.RESTConfig()))
	config.Wrap(o.tap.wrap)
	o.run(config, options)
	return o
}

func (o *operator) run(config *rest.Config, options manager.Options) {
	o.t.Helper()
	if options.MetricsBindAddress == "" {
		options.MetricsBindAddress = "0"
	}
	if options.HealthProbeBindAddress == "" {
		options.HealthProbeBindAddress = "0"
	}
	options.MaxConcurrentReconciles = max(options.MaxConcurrentReconciles, 1)
	mgr, err := manager.New(config, options)
	if err != nil {
		o.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	o.cancel = cancel
	go func() { o.done <- mgr.Start(ctx) }()
}

// stop ends an operator the way a signal does.
func (o *operator) stop() {
	o.t.Helper()
	o.cancel()
	select {
	case err := <-o.done:
		o.done <- err
		if err != nil && !o.tap.isDead() {
			o.t.Errorf("the operator ended: %v", err)
		}
	case <-time.After(patience):
		o.t.Error("the operator does not end")
	}
}

// crash ends an operator without letting it finish anything.
func (o *operator) crash() {
	o.t.Helper()
	o.tap.kill()
	o.stop()
}

// restart ends the scene's operator and starts another.
func (s *scene) restart() {
	s.t.Helper()
	s.operator.stop()
	s.start(fault{})
}

// create makes an object in the namespace of the scene.
func (s *scene) create(object client.Object) {
	s.t.Helper()
	object.SetNamespace(s.namespace)
	if err := admin.Create(s.t.Context(), object); err != nil {
		s.t.Fatal(err)
	}
	s.edited = max(s.edited, ledger.VersionOf(object))
}

// get reads an object by name.
func get[T client.Object](s *scene, name string, object T) T {
	s.t.Helper()
	if err := admin.Get(s.t.Context(), client.ObjectKey{Namespace: s.namespace, Name: name}, object); err != nil {
		s.t.Fatal(err)
	}
	return object
}

// exists reports whether there is an object of that name.
func (s *scene) exists(name string, object client.Object) bool {
	s.t.Helper()
	err := admin.Get(s.t.Context(), client.ObjectKey{Namespace: s.namespace, Name: name}, object)
	if client.IgnoreNotFound(err) != nil {
		s.t.Fatal(err)
	}
	return err == nil
}

// edit changes an object until the API server takes it.
func edit[T client.Object](s *scene, name string, object T, change func(T)) {
	s.t.Helper()
	eventually(s.t, "an edit of "+name, func(ctx context.Context) error {
		if err := admin.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, object); err != nil {
			return err
		}
		change(object)
		err := admin.Update(ctx, object)
		if err != nil && !apierrors.IsConflict(err) {
			s.t.Fatal(err)
		}
		return err
	})
}

// update changes the spec of the MemoryBudget.
func (s *scene) update(name string, change func(*v1alpha1.MemoryBudget)) {
	s.t.Helper()
	mb := &v1alpha1.MemoryBudget{}
	edit(s, name, mb, change)
	s.edited = ledger.VersionOf(mb)
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
	if err != nil {
		s.t.Fatal(err)
	}
	return version
}

// list reads all objects of a kind, of one tier unless empty.
func list[T client.ObjectList](s *scene, all T, tier string) T {
	s.t.Helper()
	options := []client.ListOption{client.InNamespace(s.namespace)}
	if tier != "" {
		options = append(options, client.MatchingLabels{v1alpha1.TierLabel: tier})
	}
	if err := admin.List(s.t.Context(), all, options...); err != nil {
		s.t.Fatal(err)
	}
	return all
}
