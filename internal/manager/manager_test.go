// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package manager

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

func TestParse(t *testing.T) {
	cases := map[string]struct {
		args    []string
		want    func(Options) any
		value   any
		wantErr string
	}{
		"all namespaces by default": {want: func(o Options) any { return len(o.WatchNamespaces) }, value: 0},
		"one of several acts":       {want: func(o Options) any { return o.LeaderElect }, value: true},
		"namespaces with blanks": {
			args: []string{"--watch-namespaces=a, b,"},
			want: func(o Options) any { return o.WatchNamespaces }, value: []string{"a", "b"},
		},
		"no worker": {
			args:    []string{"--max-concurrent-reconciles=0"},
			wantErr: "--max-concurrent-reconciles must be at least 1, not 0",
		},
		"nothing is recorded by default": {want: func(o Options) any { return o.RecordSnapshots }, value: ""},
		"recordings of 128Mi by default": {
			args: []string{"--record-snapshots=/recordings"},
			want: func(o Options) any { return o.RecordBytes }, value: int64(128 << 20),
		},
		"recordings of another size": {
			args: []string{"--record-snapshots-size=1Gi"},
			want: func(o Options) any { return o.RecordBytes }, value: int64(1 << 30),
		},
		"recordings of no size": {
			args:    []string{"--record-snapshots-size=7Mi"},
			wantErr: `invalid value "7Mi" for flag -record-snapshots-size: less than 8Mi`,
		},
		"an argument": {args: []string{"start"}, wantErr: `unexpected argument "start"`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(tc.args)
			if tc.wantErr != "" {
				if err == nil || err.Error() != tc.wantErr {
					t.Fatalf("Parse() error = %v, want %s", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.value, tc.want(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheCacheHoldsOnlyWhatIsOurs(t *testing.T) {
	options := cacheOptions([]string{"shop"})
	if len(options.ByObject) != 6 {
		t.Errorf("%d kinds are selected by label, want all 6", len(options.ByObject))
	}
	for object, selected := range options.ByObject {
		if selected.Label == nil || selected.Label.String() != "memorybudget.dev/name" {
			t.Errorf("%T is cached by %v", object, selected.Label)
		}
	}
	if _, found := options.DefaultNamespaces["shop"]; !found || len(options.DefaultNamespaces) != 1 {
		t.Errorf("watched namespaces are %v", options.DefaultNamespaces)
	}
}

// TestWhatNobodyReadsIsNotCached: the record of the template in ReplicaSets, and the content of ConfigMaps.
func TestWhatNobodyReadsIsNotCached(t *testing.T) {
	cases := map[string]struct {
		strip      func(client.Object)
		full, want client.Object
	}{
		"a ReplicaSet": {
			strip: stripRecord,
			full: &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{
				Annotations: map[string]string{v1alpha1.TemplateAnnotation: "{}", "deployment.kubernetes.io/desired-replicas": "2"},
			}},
			want: &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"deployment.kubernetes.io/desired-replicas": "2"}}},
		},
		"a ConfigMap": {
			strip: stripData,
			full:  &corev1.ConfigMap{Data: map[string]string{"a": "b"}, BinaryData: map[string][]byte{"c": nil}, Immutable: new(true)},
			want:  &corev1.ConfigMap{Immutable: new(true)},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.strip(tc.full)
			if diff := cmp.Diff(tc.want, tc.full); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
