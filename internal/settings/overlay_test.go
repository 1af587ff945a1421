// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/testutil"
)

func TestOverlayFiles(t *testing.T) {
	files, hash := Overlay(testutil.MakeExample("shop", "default").Obj())
	for _, want := range []string{"__init__.py", "settings.py", "loader.py", "celery_command.py", "hooks.py", "gunicorn_conf.py", "verify.py", "probe.py", "settings.json"} {
		if files[want] == "" {
			t.Errorf("no %s", want)
		}
	}
	for name := range files {
		if name == bootstrapFile {
			t.Errorf("%s is none of the package", name)
		}
	}
	if len(hash) != 64 || files.Check() != nil {
		t.Errorf("hash %q, check %v", hash, files.Check())
	}
	if Bootstrap() == "" {
		t.Error("no bootstrap program")
	}
}

func TestOverlaySettings(t *testing.T) {
	tests := map[string]struct {
		mb   *v1alpha1.MemoryBudget
		want string
	}{
		"the guide's values are the defaults": {
			testutil.MakeMemoryBudget("a", "b").Django("core.settings").CeleryApp("core").Obj(),
			`{"version":1,"django":{"settingsModule":"core.settings","disableApps":[],"disableMiddleware":[],"debug":"Disabled","logLevel":"WARNING"},` +
				`"database":{"connMaxAgeSeconds":300,"connectTimeoutSeconds":10},"cache":{"maxConnections":50,"socketTimeoutSeconds":5},` +
				`"celery":{"app":"core","settings":{"worker_eta_task_limit":1000,"worker_proc_alive_timeout":60},"taskRoutes":[]}}`,
		},
		"the broker that is stated is the one to read from and to write to": {
			testutil.MakeMemoryBudget("a", "b").CeleryApp("core").RabbitMQ("mq", "url").Obj(),
			`{"version":1,"celery":{"app":"core","settings":{"broker_read_url":null,"broker_write_url":null,` +
				`"worker_eta_task_limit":1000,"worker_proc_alive_timeout":60},"taskRoutes":[]}}`,
		},
		"neither Django nor Celery": {testutil.MakeMemoryBudget("a", "b").Obj(), `{"version":1}`},
		"what is stated": {
			func() *v1alpha1.MemoryBudget {
				mb := testutil.MakeMemoryBudget("a", "b").Django("s").Database(0, 3).Cache(7, 2).Obj()
				mb.Spec.Application.Django = &v1alpha1.Django{SettingsModule: "s", DisableApps: []string{"x"}, Debug: v1alpha1.SwitchUnmanaged, LogLevel: "ERROR"}
				return mb
			}(),
			`{"version":1,"django":{"settingsModule":"s","disableApps":["x"],"disableMiddleware":[],"debug":"Unmanaged","logLevel":"ERROR"},` +
				`"database":{"connMaxAgeSeconds":0,"connectTimeoutSeconds":3},"cache":{"maxConnections":7,"socketTimeoutSeconds":2}}`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			files, _ := Overlay(tc.mb)
			if diff := cmp.Diff(tc.want, files["settings.json"]); diff != "" {
				t.Errorf("settings.json (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTaskRoutes(t *testing.T) {
	tier := func(name, queue string, tasks ...string) v1alpha1.Tier {
		return testutil.MakeTier(name, v1alpha1.RoleWorker).Celery(queue, queue+"-2").
			CeleryOptions(func(c *v1alpha1.Celery) { c.Tasks = tasks }).Obj()
	}
	mb := testutil.MakeExample("a", "b").Obj()
	mb.Spec.Tiers = []v1alpha1.Tier{
		tier("z", "zq", "shop.*", "shop.ml.train"),
		tier("a", "aq", "shop.ml.*", "shop.ml.train", "mail.?"),
		tier("n", "nq"),
	}
	want := []taskRoute{{"shop.ml.train", "aq"}, {"shop.ml.*", "aq"}, {"mail.?", "aq"}, {"shop.*", "zq"}}
	if diff := cmp.Diff(want, taskRoutes(mb)); diff != "" {
		t.Errorf("taskRoutes (-want +got):\n%s", diff)
	}
	_, before := Overlay(mb)
	slices.Reverse(mb.Spec.Tiers)
	if _, after := Overlay(mb); after != before {
		t.Error("the order of tiers matters")
	}
}

func TestHashes(t *testing.T) {
	files := Files{"b": "2", "a": "1"}
	want := []string{
		"a=6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b",
		"b=d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35",
	}
	if diff := cmp.Diff(want, files.Hashes()); diff != "" {
		t.Errorf("Hashes (-want +got):\n%s", diff)
	}
	tampered, _ := Overlay(testutil.MakeExample("a", "b").Obj())
	tampered = maps.Clone(tampered)
	known := tampered.Hashes()
	tampered["settings.py"] += "\n"
	if slices.Equal(known, tampered.Hashes()) {
		t.Error("a changed file has the sum of the known one")
	}
}

func TestOverlayFitsAConfigMap(t *testing.T) {
	if err := (Files{"a": strings.Repeat("x", int(maxOverlayBytes))}).Check(); err == nil {
		t.Error("too much, and not refused")
	}
	mb := testutil.MakeExample("a", "b").Obj()
	longest := strings.Repeat("x", 253)
	for range 64 {
		mb.Spec.Application.Django.DisableApps = append(mb.Spec.Application.Django.DisableApps, longest)
		mb.Spec.Application.Django.DisableMiddleware = append(mb.Spec.Application.Django.DisableMiddleware, longest)
	}
	mb.Spec.Tiers = nil
	for i := range 16 {
		tier := testutil.MakeTier(string(rune('a'+i)), v1alpha1.RoleWorker).Celery("q").Obj()
		for j := range 64 {
			tier.Celery.Tasks = append(tier.Celery.Tasks, longest[:250]+string(rune('a'+i))+string(rune('a'+j/8))+string(rune('a'+j%8)))
		}
		mb.Spec.Tiers = append(mb.Spec.Tiers, tier)
	}
	if files, _ := Overlay(mb); files.Check() != nil {
		t.Errorf("the largest resource that the API server accepts: %v", files.Check())
	}
}
