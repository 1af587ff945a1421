// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/memorybudget/memorybudget/test/localcluster"
	"github.com/memorybudget/memorybudget/test/testrbac"
)

// mostSecrets is how many different Secrets the policy can check one by one.
const mostSecrets = 16

const plainMemoryBudget = `
apiVersion: memorybudget.dev/v1alpha1
kind: MemoryBudget
metadata: {name: bunoraa}
spec:
  memory: 2Gi
  application: {image: "app:1"}
  tiers:
  - {name: web, role: Web, memory: {perPod: 128Mi}, gunicorn: {application: "core.wsgi:application"}}
  - {name: worker, role: Worker, memory: {perPod: 128Mi}, process: {}}
`

// memoryBudget names no Secret; set adds to its spec, as alternating paths and values in YAML.
func memoryBudget(set ...func(spec map[string]any)) *unstructured.Unstructured {
	object := map[string]any{}
	if err := yaml.Unmarshal([]byte(plainMemoryBudget), &object); err != nil {
		panic(err) // The text is a constant.
	}
	for _, s := range set {
		s(object["spec"].(map[string]any))
	}
	return &unstructured.Unstructured{Object: object}
}

// application and tier add fields, given in YAML, to the part of the spec that they are named for.
func application(fields string) func(map[string]any) {
	return func(spec map[string]any) { add(spec["application"], fields) }
}

func tier(fields string) func(map[string]any) {
	return func(spec map[string]any) { add(spec["tiers"].([]any)[1], fields) }
}

func top(fields string) func(map[string]any) {
	return func(spec map[string]any) { add(spec, fields) }
}

func add(to any, fields string) {
	target := to.(map[string]any)
	if err := yaml.Unmarshal([]byte(fields), &target); err != nil {
		panic(err) // The texts are constants.
	}
}

var (
	writes      = rbacv1.PolicyRule{APIGroups: []string{"memorybudget.dev"}, Resources: []string{"memorybudgets"}, Verbs: []string{"create", "update", "patch", "delete", "get"}}
	deploys     = rbacv1.PolicyRule{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"create"}}
	readsAll    = rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}}
	listsAll    = rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"list", "watch"}}
	readsListed = rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: slices.Concat(names(mostSecrets+1), longNames(mostSecrets), []string{"mine"}), Verbs: []string{"get"}}
)

// names are those of n different Secrets.
func names(n int) []string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("secret-%d", i))
	}
	return list
}

// longNames are as long as names of Secrets can be.
func longNames(n int) []string {
	list := names(n)
	for i := range list {
		list[i] += strings.Repeat("x", 253-len(list[i]))
	}
	return list
}

// testAuthors checks who may write which MemoryBudget.
func testAuthors(t *testing.T, cluster *localcluster.Cluster) {
	admin := cluster.RESTConfig()
	allow(t, admin, "writer", writes)
	allow(t, admin, "deployer", writes, deploys)
	allow(t, admin, "lister", writes, deploys, listsAll)
	allow(t, admin, "owner", writes, deploys, readsListed)
	allow(t, admin, "reader", writes, deploys, readsAll)
	t.Run("Create", func(t *testing.T) { testCreate(t, admin) })
	t.Run("EachSecret", func(t *testing.T) { testEachSecret(t, admin) })
	t.Run("ManySecrets", func(t *testing.T) { testManySecrets(t, admin) })
	t.Run("Update", func(t *testing.T) { testUpdate(t, admin) })
	t.Run("Roles", func(t *testing.T) { testPeopleRoles(t, admin) })
}

// create asks the API server to create an object as a user, and leaves nothing.
func create(t *testing.T, admin *rest.Config, user string, object *unstructured.Unstructured) error {
	t.Helper()
	options := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	_, err := memoryBudgets(as(admin, user)).Create(t.Context(), object, options)
	return err
}

func notReadable(user, secret string) string {
	return deniedBy("authors", fmt.Sprintf("spec names the Secret %s, which %s may not get in namespace %s", secret, user, namespace))
}

func notDeployable(user string) string {
	return deniedBy("authors", "a MemoryBudget becomes Deployments, so whoever writes one must be allowed to create them: "+
		user+" may not create deployments.apps in namespace "+namespace)
}

func testCreate(t *testing.T, admin *rest.Config) {
	mine, theirs := application(`envFrom: [{secretRef: {name: mine}}]`), tier(`envFrom: [{secretRef: {name: theirs}}]`)
	tests := map[string]struct {
		user   string
		object *unstructured.Unstructured
		want   string
	}{
		"NoRights":               {user: "nobody", object: memoryBudget(), want: `cannot create resource "memorybudgets"`},
		"WithoutDeployments":     {user: "writer", object: memoryBudget(), want: notDeployable("writer")},
		"WithDeployments":        {user: "deployer", object: memoryBudget()},
		"WithAServiceAccount":    {user: "deployer", object: memoryBudget(application(`pod: {serviceAccountName: default}`))},
		"WithoutTheSecret":       {user: "deployer", object: memoryBudget(mine), want: notReadable("deployer", "mine")},
		"ListIsNotGet":           {user: "lister", object: memoryBudget(mine), want: notReadable("lister", "mine")},
		"WithTheSecretByName":    {user: "owner", object: memoryBudget(mine)},
		"WithOneOfTwoSecrets":    {user: "owner", object: memoryBudget(mine, theirs), want: notReadable("owner", "theirs")},
		"WithAllSecrets":         {user: "reader", object: memoryBudget(mine, theirs)},
		"WithoutRightsButSecret": {user: "writer", object: memoryBudget(mine), want: notDeployable("writer")},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) { check(t, create(t, admin, tc.user, tc.object), tc.want) })
	}
}

// secretPlaces are all places of a spec that name Secrets, by their paths in the schema.
var secretPlaces = map[string]func(map[string]any){
	"application.env[].valueFrom.secretKeyRef.name": application(`env: [{name: A, value: a}, {name: B, valueFrom: {secretKeyRef: {name: place, key: k}}}]`),
	"application.envFrom[].secretRef.name":          application(`envFrom: [{configMapRef: {name: c}}, {secretRef: {name: place}}]`),
	"application.imagePullSecrets[].name":           application(`imagePullSecrets: [{name: mine}, {name: place}]`),
	"application.pod.volumes[].secret.name":         application(`pod: {volumes: [{name: a, emptyDir: {}}, {name: b, secret: {name: place}}]}`),
	"tiers[].env[].valueFrom.secretKeyRef.name":     tier(`env: [{name: A, value: a}, {name: B, valueFrom: {secretKeyRef: {name: place, key: k}}}]`),
	"tiers[].envFrom[].secretRef.name":              tier(`envFrom: [{configMapRef: {name: c}}, {secretRef: {name: place, optional: true}}]`),
	"tiers[].pod.volumes[].secret.name":             tier(`pod: {volumes: [{name: a, emptyDir: {}}, {name: b, secret: {name: place}}]}`),
	"broker.redis.urlFrom.secretKeyRef.name":        top(`broker: {redis: {urlFrom: {secretKeyRef: {name: place, key: url}}}}`),
	"broker.rabbitmq.urlFrom.secretKeyRef.name":     top(`broker: {rabbitmq: {urlFrom: {secretKeyRef: {name: place, key: url}}}}`),
	"broker.rabbitmq.managementURLFrom.secretKeyRef.name": top(
		`broker: {rabbitmq: {urlFrom: {secretKeyRef: {name: mine, key: url}}, managementURLFrom: {secretKeyRef: {name: place, key: url}}}}`),
	"tiers[].scaling.metrics[].prometheus.bearerTokenFrom.secretKeyRef.name": tier(
		`{replicas: {min: 0, max: 2}, scaling: {metrics: [{prometheus: {address: "http://prometheus", query: up, targetValue: "1", bearerTokenFrom: {secretKeyRef: {name: place, key: k}}}}]}}`),
	"tiers[].scaling.metrics[].prometheus.caFrom.secretKeyRef.name": tier(
		`{replicas: {min: 0, max: 2}, scaling: {metrics: [{prometheus: {address: "https://prometheus", query: up, targetValue: "1", caFrom: {secretKeyRef: {name: place, key: k}}}}]}}`),
}

// testEachSecret checks that no place where a Secret is named is forgotten.
func testEachSecret(t *testing.T, admin *rest.Config) {
	for place, set := range secretPlaces {
		t.Run(place, func(t *testing.T) {
			check(t, create(t, admin, "owner", memoryBudget(set)), notReadable("owner", "place"))
			check(t, create(t, admin, "reader", memoryBudget(set)), "")
		})
	}
}

// named names Secrets in one tier after the other, each of them in all tiers of a round.
func named(secrets []string) func(map[string]any) {
	return func(spec map[string]any) {
		var env []any
		for i, secret := range secrets {
			env = append(env, map[string]any{
				"name":      fmt.Sprintf("V%d", i),
				"valueFrom": map[string]any{"secretKeyRef": map[string]any{"name": secret, "key": "k"}},
			})
		}
		for _, tier := range spec["tiers"].([]any) {
			tier.(map[string]any)["env"] = env
		}
	}
}

// largest is a spec with as many names of Secrets as the API allows, long ones, all different.
func largest(spec map[string]any) { fill(spec, 16*128) }

// longest is as large, but the names repeat.
func longest(spec map[string]any) { fill(spec, mostSecrets) }

func fill(spec map[string]any, different int) {
	secrets := longNames(different)
	var tiers []any
	for i := range 16 {
		var env []any
		for j := range 128 {
			env = append(env, map[string]any{
				"name":      fmt.Sprintf("V%d", j),
				"valueFrom": map[string]any{"secretKeyRef": map[string]any{"name": secrets[(128*i+j)%different], "key": "k"}},
			})
		}
		tiers = append(tiers, map[string]any{
			"name": fmt.Sprintf("t%d", i), "role": "Worker", "memory": map[string]any{"perPod": "16Mi"}, "process": map[string]any{}, "env": env,
		})
	}
	spec["tiers"] = tiers
}

// testManySecrets checks the limit of the policy, and that the largest resource gets an answer and not an error about costs.
func testManySecrets(t *testing.T, admin *rest.Config) {
	tooMany := func(user string) string {
		return deniedBy("authors", fmt.Sprintf("spec names more than %d different Secrets, more than can be checked one by one: name fewer, or let %s get all secrets in namespace %s", mostSecrets, user, namespace))
	}
	tests := map[string]struct {
		user string
		set  func(map[string]any)
		want string
	}{
		"AsManyAsPossible":  {user: "owner", set: named(names(mostSecrets))},
		"TheLastIsChecked":  {user: "owner", set: named(append(names(mostSecrets-1), "theirs")), want: notReadable("owner", "theirs")},
		"OneMore":           {user: "owner", set: named(names(mostSecrets + 1)), want: tooMany("owner")},
		"OneMoreWithAll":    {user: "reader", set: named(names(mostSecrets + 1))},
		"TheLargest":        {user: "deployer", set: largest, want: tooMany("deployer")},
		"TheLongest":        {user: "owner", set: longest},
		"TheLargestWithAll": {user: "reader", set: largest},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) { check(t, create(t, admin, tc.user, memoryBudget(tc.set)), tc.want) })
	}
}

// testUpdate checks that only a change of spec asks for permissions.
func testUpdate(t *testing.T, admin *rest.Config) {
	object, err := memoryBudgets(admin).Create(t.Context(), memoryBudget(application(`envFrom: [{secretRef: {name: mine}}]`)), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	memory := func(o *unstructured.Unstructured) { add(o.Object["spec"], `memory: 3Gi`) }
	label := func(o *unstructured.Unstructured) { o.SetLabels(map[string]string{"team": "a"}) }
	tests := map[string]struct {
		user   string
		change func(*unstructured.Unstructured)
		want   string
	}{
		"LabelWithoutDeployments": {user: "writer", change: label},
		"SpecWithoutDeployments":  {user: "writer", change: memory, want: notDeployable("writer")},
		"SpecWithoutTheSecret":    {user: "deployer", change: memory, want: notReadable("deployer", "mine")},
		"SpecWithTheSecret":       {user: "owner", change: memory},
		"ASecretIsTakenOut": {user: "deployer", change: func(o *unstructured.Unstructured) {
			add(o.Object["spec"], `application: {image: "app:1"}`)
			unstructured.RemoveNestedField(o.Object, "spec", "application", "envFrom")
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			changed := object.DeepCopy()
			tc.change(changed)
			_, err := memoryBudgets(as(admin, tc.user)).Update(t.Context(), changed, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
			check(t, err, tc.want)
		})
	}
	t.Run("StatusByTheOperator", func(t *testing.T) {
		patch := []byte(`{"status": {"observedGeneration": 1}}`)
		_, err := memoryBudgets(testrbac.OperatorConfig(admin)).Patch(t.Context(), object.GetName(), types.MergePatchType, patch, metav1.PatchOptions{}, "status")
		check(t, err, "")
	})
	t.Run("Deletion", func(t *testing.T) {
		check(t, memoryBudgets(as(admin, "writer")).Delete(t.Context(), object.GetName(), metav1.DeleteOptions{}), "")
	})
}
