// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/testutil"
	"github.com/memorybudget/memorybudget/internal/validation"
	"github.com/memorybudget/memorybudget/internal/validation/offline"
)

// accepted are edits of the full example that are right, most of them at the edge of a rule.
var accepted = map[string][]edit{
	"nothing changed":                           nil,
	"name of 42 characters":                     {{"metadata.name", "abcdefghijklmnopqrstuvwxyz-abcdefghijklmno"}},
	"floors and reserve as large as the budget": {{"spec.reserve", "1088Mi"}},
	"reserve Auto counts nothing":               {{"spec.reserve", "Auto"}, {"spec.memory", "960Mi"}},
	"reserve 100% without floors":               {{"spec.reserve", "100%"}, {"spec.tiers", "[{name: w, role: Worker, memory: {perPod: 1Gi}, replicas: {min: 0}, process: {}}]"}},
	"reserve as a number beyond 32 bits":        {{"spec.memory", "16Gi"}, {"spec.reserve", "3221225472"}},
	"no reserve":                                {{"spec.reserve", ""}},
	"the same queue names as tasks":             {{"spec.tiers[ml].celery.tasks", "[celery]"}},
	"RabbitMQ with a management API":            {{"spec.broker", "{rabbitmq: {urlFrom: {secretKeyRef: {name: mq, key: url}}, managementURLFrom: {secretKeyRef: {name: mq, key: management}}}}"}, {"spec.tiers[worker].scaling", ""}, {"spec.tiers[bot].scaling", ""}},
	"RabbitMQ":                                  {{"spec.broker", "{rabbitmq: {urlFrom: {secretKeyRef: {name: mq, key: url}}}}"}, {"spec.tiers[worker].scaling", ""}, {"spec.tiers[bot].scaling", ""}},
	"no broker where nothing needs one":         {{"spec.broker", ""}, {"spec.application.celery", ""}, {"spec.tiers[worker]", ""}, {"spec.tiers[ml]", ""}, {"spec.tiers[beat]", ""}, {"spec.tiers[bot].scaling", ""}},
	"no shared image where all have one":        {{"spec.application.image", ""}, {"spec.tiers[worker].image", "a"}, {"spec.tiers[ml].image", "a"}, {"spec.tiers[beat].image", "a"}, {"spec.tiers[bot].image", "a"}},
	"no Django":                                 {{"spec.application.django", ""}, {"spec.database", ""}, {"spec.cache", ""}},
	"min, desired and max alike":                {{"spec.tiers[worker].replicas", "{min: 1, desired: 1, max: 1}"}},
	"max alone":                                 {{"spec.tiers[ml].replicas", "{max: 3}"}, {"spec.tiers[worker]", ""}},
	"scaling that says nothing":                 {{"spec.tiers[worker].scaling", "{}"}},
	"scaling of a web tier by default":          {{"spec.tiers[web].scaling", "{}"}},
	"utilization of the CPU limit":              {{"spec.tiers[web].cpu", "{limit: 1}"}},
	"CPU without a request":                     {{"spec.tiers[web].cpu", ""}, {"spec.tiers[web].scaling.metrics", "[{resource: {name: cpu, targetAverageValue: 250m}}]"}},
	"to zero by a queue, and by memory":         {{"spec.tiers[worker].scaling.metrics", "[{queue: {}}, {resource: {name: memory, targetAverageUtilization: 80}}]"}},
	"scaling by the default target":             {{"spec.tiers[worker].scaling", "{metrics: [{queue: {}}]}"}},
	"scaling without min and desired":           {{"spec.tiers[worker].replicas", "{max: 8}"}, {"spec.tiers[ml].memory.perPod", "64Mi"}},
	"scaling of RabbitMQ":                       {{"spec.broker", "{rabbitmq: {urlFrom: {secretKeyRef: {name: mq, key: url}}, managementURLFrom: {secretKeyRef: {name: mq, key: management}}}}"}, {"spec.tiers[worker].scaling", "{metrics: [{queue: {targetDepthPerProcess: 2}}]}"}, {"spec.tiers[bot].scaling", ""}},
	"to zero by a stream":                       {{"spec.tiers[bot].replicas", "{min: 0, max: 4}"}, {"spec.tiers[bot].scaling.metrics", "[{redisStream: {stream: 'a{b}:c', consumerGroup: g}}]"}},
	"a list and what pods use":                  {{"spec.tiers[bot].replicas", "{min: 0, max: 4}"}, {"spec.tiers[bot].scaling.metrics", "[{redisList: {list: l}}, {resource: {name: memory, targetAverageUtilization: 80}}]"}},
	"scaling in one direction":                  {{"spec.tiers[worker].scaling.behavior", "{scaleDown: {selectPolicy: Disabled}}"}},
	"behavior that says nothing":                {{"spec.tiers[worker].scaling.behavior", "{scaleUp: {}, scaleDown: {}}"}},
	"no tolerance, and all of it":               {{"spec.tiers[worker].scaling.behavior", "{scaleUp: {tolerance: 0}, scaleDown: {tolerance: 1}}"}},
	"tolerances in other spellings":             {{"spec.tiers[worker].scaling.behavior", "{scaleUp: {tolerance: '0.05'}, scaleDown: {tolerance: '5e-2'}}"}},
	"recycling with the default pool":           {{"spec.tiers[worker].celery.pool", ""}},
	"concurrency 1 with Solo":                   {{"spec.tiers[ml].celery.concurrency", "1"}},
	"requeue":                                   {{"spec.tiers[worker].celery.drain", "Requeue"}},
	"requeue with the default pool":             {{"spec.tiers[worker].celery.drain", "Requeue"}, {"spec.tiers[worker].celery.pool", ""}},
	"a Custom server":                           {{"spec.tiers[model].server", "{preset: Custom, command: [serve], port: 8080}"}, {"spec.tiers[model].image", ""}},
	"TorchServe":                                {{"spec.tiers[model].server", "{preset: TorchServe, model: {name: m}}"}},
	"TensorFlow Serving":                        {{"spec.tiers[model].server", "{preset: TensorFlowServing, model: {name: m}}"}},
	"a web process":                             {{"spec.tiers[bot].role", "Web"}},
	"a process that is its image's":             {{"spec.tiers[bot].process", "{}"}},
	"a gevent web tier with one thread":         {{"spec.tiers[web].gunicorn.workerClass", "gevent"}, {"spec.tiers[web].gunicorn.threads", "1"}},
	"a mount in place of /tmp":                  {{"spec.tiers[web].pod.volumeMounts[0].mountPath", "/tmp"}},
	"the variable of the operator to set":       {{"spec.application.env", "[{name: MEMORYBUDGET_VERIFY_TIMEOUT, value: '300'}]"}, {"spec.tiers[bot].env", "[{name: MEMORYBUDGET_VERIFY_TIMEOUT, value: '600'}]"}},
	"a sync web tier with one thread":           {{"spec.tiers[web].gunicorn.workerClass", "sync"}, {"spec.tiers[web].gunicorn.threads", "1"}},
	"empty lists":                               {{"spec.application.env", "[]"}, {"spec.application.envFrom", "[]"}, {"spec.tiers[web].pod.labels", "{}"}},
}

// TestAccepted: the API server, the offline validation and the controller's own accept what is right, and Go reads it.
func TestAccepted(t *testing.T) {
	for name, edits := range accepted {
		t.Run(name, func(t *testing.T) {
			object := example(edits)
			if err := create(t.Context(), object); err != nil {
				t.Fatalf("the API server: %v", err)
			}
			if errs := validation.Validate(decode(t, object)); len(errs) > 0 {
				t.Errorf("the controller's validation: %v", errs)
			}
		})
	}
}

// decode reads an object as the API server would, offline.
func decode(t *testing.T, object *unstructured.Unstructured) *v1alpha1.MemoryBudget {
	t.Helper()
	data, err := object.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	mb, err := offline.Decode(data, namespace)
	if err != nil {
		t.Fatalf("offline validation: %v", err)
	}
	return mb
}

// TestBuilders: what the builders of tests make is valid.
func TestBuilders(t *testing.T) {
	mails := testutil.MakeTier("mails", v1alpha1.RoleWorker).Memory("64Mi").Replicas(0, 0, 4).Celery("mails").ScalesByQueue(5).Obj()
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(testutil.MakeExample("shop", namespace).Tier(mails).Obj())
	if err != nil {
		t.Fatal(err)
	}
	unstructured.RemoveNestedField(object, "status")
	if err := create(t.Context(), &unstructured.Unstructured{Object: object}); err != nil {
		t.Error(err)
	}
}

// spellings of 1.5 GiB: all are the same quantity.
var spellings = []string{
	"1.5Gi", "1536Mi", "1572864Ki", "1610612736", `"1610612736"`, "1610612736e0", `"1610612736e0"`, `"1610612736E0"`,
	"1610612.736k", "1610612736000m", `"1610612736.000"`, "+1536Mi",
}

// TestSpellings: quantities are compared as quantities, whichever way each of them is written. A pod as large as the
// budget fits it, and leaves no room for a reserve of one byte.
func TestSpellings(t *testing.T) {
	for _, memory := range spellings {
		for _, perPod := range spellings {
			tier := "{name: web, role: Web, memory: {perPod: " + perPod + "}, gunicorn: {application: core}}"
			edits := []edit{{"spec", "{application: {image: a}, reserve: 0}"}, {"spec.memory", memory}, {"spec.tiers", "[" + tier + "]"}}
			if err := create(t.Context(), example(edits)); err != nil {
				t.Errorf("memory %s, perPod %s: %v", memory, perPod, err)
			}
			if err := create(t.Context(), example(append(edits, edit{"spec.reserve", "1"}))); err == nil {
				t.Errorf("memory %s, perPod %s: accepted with a reserve of 1 byte", memory, perPod)
			}
		}
	}
}

// TestSpellingsAreRead: the Go types read every spelling, to the same number.
func TestSpellingsAreRead(t *testing.T) {
	for _, spelling := range spellings {
		mb := decode(t, example([]edit{{"spec.memory", "16Gi"}, {"spec.tiers[ml].memory.perPod", spelling}, {"spec.reserve", spelling}}))
		if got := mb.Spec.Tiers[2].Memory.PerPod.Value(); got != 1536<<20 {
			t.Errorf("perPod %s is read as %d", spelling, got)
		}
		reserve, err := apiresource.ParseQuantity(mb.Spec.Reserve.String())
		if err != nil || reserve.Value() != 1536<<20 {
			t.Errorf("reserve %s is read as %s", spelling, mb.Spec.Reserve)
		}
	}
}

// TestDefaults holds what the API server sets where a resource says nothing, and that offline validation sets the same.
func TestDefaults(t *testing.T) {
	minimal := example([]edit{{"spec", `
memory: 1Gi
application:
  image: a
  django: {settingsModule: core.settings}
  pod:
    volumes: [{name: a, emptyDir: {}}]
    volumeMounts: [{name: a, mountPath: /a}]
tiers: [{name: web, role: Web, memory: {perPod: 512Mi}, gunicorn: {application: core}}]
`}})
	got, err := budgets.Create(t.Context(), minimal, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		t.Fatal(err)
	}
	spec, err := yaml.Marshal(got.Object["spec"])
	if err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "testdata/defaults.golden", string(spec))
	var online v1alpha1.MemoryBudgetSpec
	if err := yaml.UnmarshalStrict(spec, &online); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(mustJSON(t, online), mustJSON(t, decode(t, minimal).Spec)); diff != "" {
		t.Errorf("offline defaults differ (-server +offline):\n%s", diff)
	}
}

func mustJSON(t *testing.T, value any) string {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestNamesAreUnique guards the tables above against a name that hides another.
func TestNamesAreUnique(t *testing.T) {
	groups := []map[string][]edit{budgetCases, quantityCases, applicationCases, tierCases, runtimeCases, podCases}
	want := 2 * (len(envCases) + len(envFromCases))
	for _, group := range groups {
		want += len(group)
	}
	if got := len(slices.Collect(maps.Keys(refused()))); got != want {
		t.Errorf("%d cases have names of their own, want %d", got, want)
	}
}
