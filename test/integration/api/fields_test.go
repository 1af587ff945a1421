// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Values that fields have in common, right ones and wrong ones.
var (
	objectNames = []string{
		"a", "0", "a.b", "a-b.c--d", longName(253), longName(254),
		"a..b", "a.-b", "a-.b", "a.", ".a", "-a", "a_b", "a b", "a/b",
	}
	prefixes   = []string{"", "A_", "1", "a b", "<~>", " ", "A=", "=", "\u00e9", "a\n", "a\u007f"}
	secretKeys = []string{"a", ".a", "a..b", "-", ".", "..", "..a", "a/b"}
	ids        = []string{"1", "2147483647", "2147483648"}
)

// longName is a DNS name of so many characters.
func longName(length int) string { return strings.Repeat("a.", length)[:length-1] + "a" }

// agreements are fields whose values end up in a Deployment: where they are in the resource, and where in the pods.
var agreements = map[string]struct {
	values []string
	edit   func(value string) edit
	set    func(template *corev1.PodTemplateSpec, value string)
}{
	"serviceAccountName": {objectNames, text("spec.application.pod.serviceAccountName", "%s"), func(p *corev1.PodTemplateSpec, v string) {
		p.Spec.ServiceAccountName = v
	}},
	"priorityClassName": {objectNames, text("spec.tiers[web].pod.priorityClassName", "%s"), func(p *corev1.PodTemplateSpec, v string) {
		p.Spec.PriorityClassName = v
	}},
	"labels": {objectNames, key("spec.application.pod.labels"), func(p *corev1.PodTemplateSpec, v string) {
		p.Labels[v+"/a"] = "a"
	}},
	"annotations": {objectNames, key("spec.application.pod.annotations"), func(p *corev1.PodTemplateSpec, v string) {
		p.Annotations = map[string]string{v + "/a": "a"}
	}},
	"nodeSelector": {objectNames, key("spec.tiers[web].pod.nodeSelector"), func(p *corev1.PodTemplateSpec, v string) {
		p.Spec.NodeSelector = map[string]string{v + "/a": "a"}
	}},
	"envFrom's ConfigMap": {objectNames, text("spec.application.envFrom", "[{configMapRef: {name: %s}}]"), func(p *corev1.PodTemplateSpec, v string) {
		p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: local(v)}}}
	}},
	"envFrom's Secret": {objectNames, text("spec.tiers[web].envFrom", "[{secretRef: {name: %s}}]"), func(p *corev1.PodTemplateSpec, v string) {
		p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: local(v)}}}
	}},
	"envFrom's prefix": {prefixes, text("spec.application.envFrom", "[{prefix: %s, secretRef: {name: a}}]"), func(p *corev1.PodTemplateSpec, v string) {
		p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{Prefix: v, SecretRef: &corev1.SecretEnvSource{LocalObjectReference: local("a")}}}
	}},
	"the broker's key": {secretKeys, text("spec.broker.redis.urlFrom.secretKeyRef.key", "%s"), func(p *corev1.PodTemplateSpec, v string) {
		ref := &corev1.SecretKeySelector{LocalObjectReference: local("a"), Key: v}
		p.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "A", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: ref}}}
	}},
	"runAsUser": {ids, number("spec.application.pod.runAsUser"), func(p *corev1.PodTemplateSpec, v string) {
		p.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: id(v)}
	}},
	"fsGroup": {ids, number("spec.tiers[web].pod.fsGroup"), func(p *corev1.PodTemplateSpec, v string) {
		p.Spec.SecurityContext = &corev1.PodSecurityContext{FSGroup: id(v)}
	}},
}

// text puts a value, quoted, into the format of what stands at a path.
func text(path, format string) func(string) edit {
	return func(value string) edit { return edit{path, fmt.Sprintf(format, strconv.Quote(value))} }
}

// key makes a value the part of a key before the slash.
func key(path string) func(string) edit {
	return func(value string) edit { return edit{path + "[" + value + "/a]", "a"} }
}

// number is a value as it is.
func number(path string) func(string) edit {
	return func(value string) edit { return edit{path, value} }
}

func local(name string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: name} }

func id(value string) *int64 {
	number, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		panic(err)
	}
	return &number
}

// TestFieldsAgreeWithKubernetes: what the API server accepts in a MemoryBudget it accepts in the Deployments that are
// made from it, and what it refuses there it refuses here.
func TestFieldsAgreeWithKubernetes(t *testing.T) {
	for name, tc := range agreements {
		for _, value := range tc.values {
			t.Run(name+"/"+value, func(t *testing.T) {
				ours := create(t.Context(), example([]edit{tc.edit(value)}))
				template := corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "app"}},
					Spec:       corev1.PodSpec{Containers: []corev1.Container{container()}},
				}
				tc.set(&template, value)
				theirs := createDeployment(t, template)
				if (ours == nil) != (theirs == nil) {
					t.Errorf("%q: we say %v, Kubernetes says %v", value, ours, theirs)
				}
			})
		}
	}
}
