// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package offline

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/config/crd"
)

const valid = `
apiVersion: memorybudget.dev/v1alpha1
kind: MemoryBudget
metadata: {name: shop}
spec:
  memory: 1Gi
  application: {image: shop}
  tiers:
  - {name: web, role: Web, memory: {perPod: 0.5Gi}, gunicorn: {application: core}}
`

func TestDecode(t *testing.T) {
	mb, err := Decode([]byte(valid), "eu")
	if err != nil {
		t.Fatal(err)
	}
	if mb.Name != "shop" || mb.Namespace != "eu" {
		t.Errorf("it is %s/%s", mb.Namespace, mb.Name)
	}
	if mb.Spec.Policy != v1alpha1.PolicyEnforce {
		t.Errorf("policy %q: no default", mb.Spec.Policy)
	}
	if got := mb.Spec.Tiers[0].Memory.PerPod.Value(); got != 512<<20 {
		t.Errorf("perPod is %d", got)
	}
}

func TestDecodeKeepsNamespace(t *testing.T) {
	mb, err := Decode([]byte(strings.Replace(valid, "name: shop", "name: shop, namespace: us", 1)), "eu")
	if err != nil {
		t.Fatal(err)
	}
	if mb.Namespace != "us" {
		t.Errorf("namespace %s", mb.Namespace)
	}
}

// TestDecodeRefuses has the kinds of error; test/integration/api has every rule, beside a real API server.
func TestDecodeRefuses(t *testing.T) {
	tests := map[string]struct {
		old, new string
		want     []string
	}{
		"a broken rule": {
			old: "0.5Gi", new: "2Gi",
			want: []string{"spec.tiers: Invalid value: tier web: a pod of 2Gi (memory.perPod) does not fit the 1Gi of spec.memory: lower perPod or raise spec.memory"},
		},
		"two broken rules": {
			old: "0.5Gi}, gunicorn: {application: core", new: "1500m}, gunicorn: {application: core, port: 80",
			want: []string{
				"spec.tiers[0].gunicorn.port: Invalid value: 80: spec.tiers[0].gunicorn.port in body should be greater than or equal to 1024",
				`spec.tiers[0].memory.perPod: Invalid value: "1500m": must be a whole number of bytes, such as 512Mi; the suffix m means thousandths of a byte`,
			},
		},
		"a missing field": {
			old: "memory: 1Gi", new: "reserve: 0",
			want: []string{
				"spec.memory: Required value",
				"<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
			},
		},
		"unknown fields": {
			old: "{application: core}", new: "{application: core, worker: 2}, replica: {min: 1}",
			want: []string{`unknown field "spec.tiers[0].gunicorn.worker"`, `unknown field "spec.tiers[0].replica"`},
		},
		"a field twice": {
			old: "memory: 1Gi", new: "memory: 1Gi\n  memory: 2Gi",
			want: []string{"yaml: unmarshal errors:\n  line 7: key \"memory\" already set in map"},
		},
		"another kind": {
			old: "kind: MemoryBudget", new: "kind: Deployment",
			want: []string{`it is Deployment in version "memorybudget.dev/v1alpha1", not MemoryBudget in version "memorybudget.dev/v1alpha1"`},
		},
		"no kind": {
			old: "kind: MemoryBudget", new: "",
			want: []string{`it is of no kind in version "memorybudget.dev/v1alpha1", not MemoryBudget in version "memorybudget.dev/v1alpha1"`},
		},
		"metadata of another type": {
			old: "{name: shop}", new: "{name: shop, labels: [a]}",
			want: []string{`MemoryBudget in version "v1alpha1" cannot be handled as a MemoryBudget: json: cannot unmarshal array into Go struct field ObjectMeta.labels of type map[string]string`},
		},
		"a name that the API server chooses": {
			old: "{name: shop}", new: "{generateName: shop-}",
			want: []string{"metadata.name: Required value: with generateName the API server chooses the name: give the name that is meant"},
		},
		"no name": {
			old: "{name: shop}", new: "{}",
			want: []string{
				"metadata.name: Required value: name or generateName is required",
				"<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Decode([]byte(strings.Replace(valid, tc.old, tc.new, 1)), "eu")
			if err == nil {
				t.Fatal("accepted")
			}
			if diff := cmp.Diff(tc.want, Problems(err)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeRefusesText(t *testing.T) {
	for _, text := range []string{"", "a", "[a]", "\t", "{"} {
		if _, err := Decode([]byte(text), "eu"); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

// TestErrors: callers can tell errors apart.
func TestErrors(t *testing.T) {
	_, err := Decode([]byte(strings.Replace(valid, "1Gi", "1", 1)), "eu")
	if !apierrors.IsInvalid(err) {
		t.Errorf("a broken rule is %T", err)
	}
	_, err = Decode([]byte(strings.Replace(valid, "memory: 1Gi", "memory: 1Gi\n  a: b", 1)), "eu")
	if _, ok := errors.AsType[*UnknownFieldsError](err); !ok {
		t.Errorf("an unknown field is %T", err)
	}
	if want := `MemoryBudget in version "v1alpha1" cannot be handled as a MemoryBudget: strict decoding error: unknown field "spec.a"`; err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
}

func TestNewRefuses(t *testing.T) {
	tests := map[string]string{
		"text":         "a",
		"no versions":  "spec: {versions: []}",
		"a bad schema": strings.Replace(string(crd.MemoryBudgets), "x-kubernetes-int-or-string: true", "x-kubernetes-int-or-string: true\n                  type: string", 1),
	}
	for name, definition := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := New([]byte(definition)); err == nil {
				t.Error("accepted")
			}
		})
	}
}
