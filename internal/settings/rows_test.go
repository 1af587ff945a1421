// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/testutil"
)

// told is what a tier of a resource is told, which the test expects to fit.
func told(t *testing.T, mb *v1alpha1.MemoryBudget, tier *v1alpha1.Tier, facts Facts) Tier {
	t.Helper()
	got, err := ForTier(mb, tier, facts)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// value is the value of a variable; "" where it has none, "(unset)" where it is not there.
func value(tier Tier, name string) string {
	v := find(tier.Env, name)
	switch {
	case v == nil:
		return "(unset)"
	case v.ValueFrom != nil && v.ValueFrom.SecretKeyRef != nil:
		return "secret " + v.ValueFrom.SecretKeyRef.Name + "/" + v.ValueFrom.SecretKeyRef.Key
	case v.ValueFrom != nil && v.ValueFrom.FieldRef != nil:
		return "field " + v.ValueFrom.FieldRef.FieldPath
	}
	return v.Value
}

func checkEnv(t *testing.T, tier Tier, want map[string]string) {
	t.Helper()
	for name, expected := range want {
		if got := value(tier, name); got != expected {
			t.Errorf("%s = %q, want %q", name, got, expected)
		}
	}
}

// TestGuideRows: each row of the memory guide, in the variable or setting by which it takes effect.
func TestGuideRows(t *testing.T) {
	example := testutil.MakeExample("shop", "default").Obj()
	webTier, workerTier, mlTier := &example.Spec.Tiers[0], &example.Spec.Tiers[1], &example.Spec.Tiers[2]
	tests := map[string]struct {
		tier *v1alpha1.Tier
		want map[string]string
	}{
		"prefetch 4 -> 1": {workerTier, map[string]string{
			"CELERY_WORKER_PREFETCH_MULTIPLIER": "1",
			"MEMORYBUDGET_CELERY":               `{"task_acks_late":true,"worker_disable_prefetch":true,"worker_prefetch_multiplier":1}`,
		}},
		"500 tasks per child":  {workerTier, map[string]string{"CELERY_WORKER_MAX_TASKS_PER_CHILD": "500"}},
		"max memory per child": {workerTier, map[string]string{"CELERY_WORKER_MAX_MEMORY_PER_CHILD": "239911"}},
		"concurrency, and a pool that the application cannot undo": {workerTier, map[string]string{
			"CELERY_WORKER_CONCURRENCY": "2", "CELERY_WORKER_POOL": "processes",
		}},
		"gunicorn's file by absolute path": {webTier, map[string]string{
			"GUNICORN_CMD_ARGS": "--config /memorybudget/lib/memorybudget/gunicorn_conf.py",
		}},
		"separate queues": {workerTier, map[string]string{"CELERY_WORKER_QUEUES": "celery,emails"}},
		"ML queue":        {mlTier, map[string]string{"CELERY_WORKER_QUEUES": "ml"}},
		"settings overlay": {webTier, map[string]string{
			"DJANGO_SETTINGS_MODULE": "memorybudget.settings",
			"MEMORYBUDGET_SETTINGS":  "/memorybudget/lib/memorybudget/settings.json",
			"PYTHONPATH":             "/memorybudget/lib",
			"PGCONNECT_TIMEOUT":      "10",
			"MEMORYBUDGET_POD_IP":    "field status.podIP",
			"MEMORYBUDGET_TIER":      "web",
			"MEMORYBUDGET_RUNTIME":   "gunicorn",
		}},
		"publishers route too": {webTier, map[string]string{
			"CELERY_LOADER": "memorybudget.loader:Loader", "CELERY_BROKER_URL": "secret bunoraa-broker/url",
		}},
		"models are cached": {mlTier, map[string]string{"HF_HOME": "/models/huggingface", "TORCH_HOME": "/models/torch"}},
		"threads follow the CPU limit": {mlTier, map[string]string{
			"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMEXPR_NUM_THREADS": "1",
			"PYTHON_CPU_COUNT": "1", "TOKENIZERS_PARALLELISM": "false",
		}},
		"malloc": {mlTier, map[string]string{"MALLOC_ARENA_MAX": "2", "MALLOC_TRIM_THRESHOLD_": "131072"}},
		"solo pool": {mlTier, map[string]string{
			"CELERY_WORKER_POOL": "solo", "CELERY_WORKER_CONCURRENCY": "1",
			"CELERY_WORKER_MAX_TASKS_PER_CHILD": "(unset)", "CELERY_WORKER_MAX_MEMORY_PER_CHILD": "(unset)",
		}},
		"heartbeat instead of ping": {workerTier, map[string]string{
			"CELERY_WORKER_INCLUDE": "memorybudget.hooks", "MEMORYBUDGET_HEARTBEAT": HeartbeatFile,
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) { checkEnv(t, told(t, example, tc.tier, Facts{}), tc.want) })
	}
}

func TestGunicornConfig(t *testing.T) {
	defaults := `{"application":"core.wsgi","config":"","graceful_timeout":22,"loglevel":"warning",` +
		`"max_requests":1000,"max_requests_jitter":100,"max_rss_bytes":191983779,"port":8000,"preload_app":false,"rss_share_bytes":225863269,` +
		`"threads":2,"timeout":30,"worker_class":"gthread","workers":2}`
	tests := map[string]struct {
		option func(*v1alpha1.Gunicorn)
		want   []string
	}{
		"the guide's values are the defaults": {func(*v1alpha1.Gunicorn) {}, []string{defaults}},
		"sync stays sync: one thread":         {func(g *v1alpha1.Gunicorn) { g.WorkerClass = "sync" }, []string{`"threads":1`, `"worker_class":"sync"`}},
		"an event loop has no threads":        {func(g *v1alpha1.Gunicorn) { g.WorkerClass = "gevent" }, []string{`"threads":1`, `"worker_class":"gevent"`}},
		"no recycling by count":               {func(g *v1alpha1.Gunicorn) { g.MaxRequests = new(int32(0)) }, []string{`"max_requests":0,"max_requests_jitter":0`}},
		"jitter follows":                      {func(g *v1alpha1.Gunicorn) { g.MaxRequests = new(int32(50)) }, []string{`"max_requests":50,"max_requests_jitter":5`}},
		"what is stated": {func(g *v1alpha1.Gunicorn) {
			g.Port, g.TimeoutSeconds, g.LogLevel, g.Config, g.MaxRequestsJitter = new(int32(9000)), new(int32(60)), "info", "conf.py", new(int32(7))
		}, []string{`"port":9000`, `"timeout":60`, `"loglevel":"info"`, `"config":"conf.py"`, `"max_requests_jitter":7`}},
		"a dollar is a dollar": {func(g *v1alpha1.Gunicorn) { g.Application = `a:b("$(HOME)")` }, []string{`"a:b(\"$$(HOME)\")"`}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			mb, tier := web("512Mi", tc.option)
			got := value(told(t, mb, tier, Facts{}), "MEMORYBUDGET_GUNICORN")
			for _, want := range tc.want {
				if !strings.Contains(got, want) {
					t.Errorf("MEMORYBUDGET_GUNICORN = %s, want %s in it", got, want)
				}
			}
			if !json.Valid([]byte(got)) {
				t.Error("not JSON")
			}
		})
	}
}

func TestPreloadHasOneThread(t *testing.T) {
	mb, tier := web("1Gi", func(g *v1alpha1.Gunicorn) { g.Preload = preloadEnabled })
	tier.CPU = testutil.MakeTier("x", v1alpha1.RoleWeb).CPU("", "4").Obj().CPU
	checkEnv(t, told(t, mb, tier, Facts{}), map[string]string{"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHON_CPU_COUNT": "4"})
}

func TestCPUThreads(t *testing.T) {
	tests := map[string]struct {
		request, limit string
		want           int32
	}{
		"no limit":    {"4", "", 1},
		"a fraction":  {"", "250m", 1},
		"one":         {"", "1", 1},
		"rounded up":  {"", "1500m", 2},
		"many":        {"", "16", 16},
		"nobody's":    {"", "1000000000", 1024},
		"request too": {"1", "3", 3},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tier := testutil.MakeTier("x", v1alpha1.RoleML).CPU(tc.request, tc.limit).Obj()
			if got := CPUThreads(&tier); got != tc.want {
				t.Errorf("CPUThreads() = %d, want %d", got, tc.want)
			}
		})
	}
}

func TestCelerySettings(t *testing.T) {
	early := func(c *v1alpha1.Celery) { c.Acks = v1alpha1.AcksEarly }
	requeue := func(c *v1alpha1.Celery) { c.Drain = v1alpha1.DrainRequeue }
	solo := func(option func(*v1alpha1.Celery)) func(*v1alpha1.Celery) {
		return func(c *v1alpha1.Celery) { option(c); c.Pool = v1alpha1.PoolSolo }
	}
	tests := map[string]struct {
		option     func(*v1alpha1.Celery)
		rabbitmq   bool
		celery     string
		grace      int64
		want       string
		wantSignal string
		wantNotes  int
	}{
		"late, Redis, not measured": {func(*v1alpha1.Celery) {}, false, "", 0, `{"task_acks_late":true,"worker_disable_prefetch":true,"worker_prefetch_multiplier":1}`, "", 0},
		"Celery 5.6":                {func(*v1alpha1.Celery) {}, false, "5.6.3", 0, `{"task_acks_late":true,"worker_disable_prefetch":true,"worker_prefetch_multiplier":1}`, "", 0},
		"Celery 5.5 does not know":  {func(*v1alpha1.Celery) {}, false, "5.5.3", 0, `{"task_acks_late":true,"worker_prefetch_multiplier":1}`, "", 0},
		"RabbitMQ does not know":    {func(*v1alpha1.Celery) {}, true, "5.6.3", 0, `{"task_acks_late":true,"worker_prefetch_multiplier":1}`, "", 0},
		"early acks":                {early, false, "5.6.3", 0, `{"task_acks_late":false,"worker_prefetch_multiplier":1}`, "", 0},
		"requeue":                   {requeue, true, "5.5.0", 0, `{"task_acks_late":true,"worker_prefetch_multiplier":1,"worker_soft_shutdown_timeout":285}`, "SIGQUIT", 0},
		"requeue, not measured":     {requeue, true, "", 60, `{"task_acks_late":true,"worker_prefetch_multiplier":1,"worker_soft_shutdown_timeout":45}`, "SIGQUIT", 0},
		"requeue at once":           {requeue, true, "5.5.0", 12, `{"task_acks_late":true,"worker_prefetch_multiplier":1}`, "SIGQUIT", 0},
		"5.4 would lose the tasks":  {requeue, true, "5.4.0", 0, `{"task_acks_late":true,"worker_prefetch_multiplier":1}`, "", 1},
		"Solo cannot":               {solo(requeue), true, "5.5.0", 0, `{"task_acks_late":true,"worker_prefetch_multiplier":1}`, "", 0},
		"a version that is none":    {requeue, true, "main", 0, `{"task_acks_late":true,"worker_prefetch_multiplier":1,"worker_soft_shutdown_timeout":285}`, "SIGQUIT", 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			mb, tier := worker("512Mi", tc.option)
			if tc.rabbitmq {
				mb.Spec.Broker = testutil.MakeMemoryBudget("x", "y").RabbitMQ("r", "u").Obj().Spec.Broker
			}
			if tc.grace > 0 {
				tier.Pod = &v1alpha1.Pod{TerminationGracePeriodSeconds: &tc.grace}
			}
			got := told(t, mb, tier, Facts{Celery: tc.celery})
			checkEnv(t, got, map[string]string{"MEMORYBUDGET_CELERY": tc.want, "REMAP_SIGTERM": tc.wantSignal})
			if len(got.NotApplied) != tc.wantNotes {
				t.Errorf("not applied: %v", got.NotApplied)
			}
			if s := got.Termination.SoftShutdown; s > 0 && s+10 >= got.Termination.GracePeriod {
				t.Errorf("a soft shutdown of %d s in a grace period of %d s", s, got.Termination.GracePeriod)
			}
		})
	}
}

// TestTraps: variables by which a user, or an image's tradition, would undo what the resource states. What has to be
// undone by a value of ours also wins over envFrom.
func TestTraps(t *testing.T) {
	tests := map[string]struct{ name, given, want string }{
		"a scheduler in every pod":        {"CELERY_WORKER_BEAT", "1", ""},
		"a worker in the background":      {"CELERY_WORKER_DETACH", "1", ""},
		"queues emptied at every start":   {"CELERY_WORKER_PURGE", "true", ""},
		"more processes than fit":         {"CELERY_WORKER_AUTOSCALE", "10,2", ""},
		"a queue that nobody serves":      {"CELERY_WORKER_EXCLUDE_QUEUES", "emails", ""},
		"another name than the pod's":     {"CELERY_WORKER_HOSTNAME", "w1", ""},
		"no heartbeats":                   {"CELERY_WORKER_WITHOUT_HEARTBEAT", "1", ""},
		"the pool of the settings":        {"CELERY_WORKER_POOL", "prefork", "processes"},
		"CPUs of the node":                {"CELERY_WORKER_CONCURRENCY", "64", "2"},
		"an immediate end":                {"REMAP_SIGTERM", "SIGQUIT", ""},
		"another loader":                  {"CELERY_LOADER", "x:y", "memorybudget.loader:Loader"},
		"another loader for the command":  {"LOADER", "x:y", ""},
		"another broker":                  {"CELERY_BROKER_URL", "redis://x", "secret bunoraa-broker/url"},
		"another broker for the command":  {"BROKER_URL", "redis://x", "secret bunoraa-broker/url"},
		"another broker to read from":     {"CELERY_BROKER_READ_URL", "redis://x", ""},
		"another broker to write to":      {"CELERY_BROKER_WRITE_URL", "redis://x", ""},
		"a pool class":                    {"CELERY_CUSTOM_WORKER_POOL", "x:y", ""},
		"the settings module":             {"DJANGO_SETTINGS_MODULE", "core.settings", "memorybudget.settings"},
		"a variable of ours":              {"MEMORYBUDGET_SETTINGS", "/x", "/memorybudget/lib/memorybudget/settings.json"},
		"a variable that could be ours":   {"MEMORYBUDGET_TERMINATION_LOG", "/x", "(unset)"},
		"the one of ours that is tunable": {"MEMORYBUDGET_VERIFY_TIMEOUT", "300", "300"},
		"modules of the user's too":       {"CELERY_WORKER_INCLUDE", "a,b", "memorybudget.hooks,a,b"},
		"an app that -A makes harmless":   {"APP", "nonsense", "nonsense"},
		"results are the user's":          {"CELERY_RESULT_BACKEND", "redis://x", "redis://x"},
		"time limits are the user's":      {"CELERY_WORKER_TIME_LIMIT", "60", "60"},
		"anything else":                   {"FOO", "$(BAR)", "$(BAR)"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			mb := testutil.MakeExample("shop", "default").Env(tc.name, tc.given).Obj()
			checkEnv(t, told(t, mb, &mb.Spec.Tiers[1], Facts{}), map[string]string{tc.name: tc.want})
		})
	}
}

// TestNoBrokerStated: without spec.broker, which broker the web tier reads from is the application's business.
func TestNoBrokerStated(t *testing.T) {
	mb := testutil.MakeExample("shop", "default").Env("CELERY_BROKER_READ_URL", "redis://x").Obj()
	mb.Spec.Broker = nil
	checkEnv(t, told(t, mb, &mb.Spec.Tiers[0], Facts{}), map[string]string{
		"CELERY_BROKER_READ_URL": "redis://x", "CELERY_BROKER_WRITE_URL": "(unset)", "CELERY_BROKER_URL": "(unset)",
	})
}

func TestTermination(t *testing.T) {
	for grace := int64(1); grace < 700; grace++ {
		mb, tier := web("512Mi")
		tier.Pod = &v1alpha1.Pod{TerminationGracePeriodSeconds: &grace}
		got := told(t, mb, tier, Facts{}).Termination
		if got.GracePeriod != grace || got.PreStop+got.Graceful >= grace && grace > 1 || got.PreStop < 0 || got.Graceful < 0 {
			t.Errorf("grace %d: %+v", grace, got)
		}
	}
	tests := map[string]struct {
		application, tier *int64
		celery            bool
		want              int64
	}{
		"gunicorn":    {nil, nil, false, 30},
		"celery":      {nil, nil, true, 300},
		"application": {new(int64(77)), nil, true, 77},
		"tier":        {new(int64(77)), new(int64(99)), true, 99},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			mb, tier := web("512Mi")
			if tc.celery {
				mb, tier = worker("512Mi")
			}
			mb.Spec.Application.Pod = &v1alpha1.Pod{TerminationGracePeriodSeconds: tc.application}
			tier.Pod = &v1alpha1.Pod{TerminationGracePeriodSeconds: tc.tier}
			if got := told(t, mb, tier, Facts{}).Termination.GracePeriod; got != tc.want {
				t.Errorf("grace period %d, want %d", got, tc.want)
			}
		})
	}
}

func TestPythonPath(t *testing.T) {
	config := corev1.EnvFromSource{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "c"}}}
	ref := &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "c"}, Key: "k"}}
	tests := map[string]struct {
		own     *corev1.EnvVar
		envFrom []corev1.EnvFromSource
		want    string
	}{
		"none":             {nil, nil, "/memorybudget/lib"},
		"a literal":        {&corev1.EnvVar{Name: "PYTHONPATH", Value: "/srv:$(X)"}, nil, "/memorybudget/lib:/srv:$(X)"},
		"an empty one":     {&corev1.EnvVar{Name: "PYTHONPATH"}, nil, "/memorybudget/lib"},
		"a reference":      {&corev1.EnvVar{Name: "PYTHONPATH", ValueFrom: ref}, nil, "/memorybudget/lib:$(MEMORYBUDGET_USER_PYTHONPATH)"},
		"perhaps a source": {nil, []corev1.EnvFromSource{config}, "/memorybudget/lib:$(PYTHONPATH)"},
		"not from a source": {&corev1.EnvVar{Name: "PYTHONPATH", Value: "/srv"}, []corev1.EnvFromSource{config},
			"/memorybudget/lib:/srv"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			mb, tier := web("512Mi")
			if tc.own != nil {
				tier.Env = []corev1.EnvVar{*tc.own}
			}
			tier.EnvFrom = tc.envFrom
			got := told(t, mb, tier, Facts{})
			checkEnv(t, got, map[string]string{"PYTHONPATH": tc.want})
			if last := got.Env[len(got.Env)-1].Name; last != "PYTHONPATH" {
				t.Errorf("the last variable is %s, so that PYTHONPATH may refer to one that is not defined yet", last)
			}
		})
	}
}

func TestUserEnv(t *testing.T) {
	mb, tier := web("512Mi")
	mb.Spec.Application.Env = []corev1.EnvVar{{Name: "HOST", Value: "a"}, {Name: "URL", Value: "x://$(HOST)"}, {Name: "C", Value: "1"}}
	tier.Env = []corev1.EnvVar{{Name: "D", Value: "2"}, {Name: "HOST", Value: "b"}}
	want := []corev1.EnvVar{{Name: "HOST", Value: "b"}, {Name: "URL", Value: "x://$(HOST)"}, {Name: "C", Value: "1"}, {Name: "D", Value: "2"}}
	if diff := cmp.Diff(want, UserEnv(mb, tier)); diff != "" {
		t.Errorf("UserEnv (-want +got):\n%s", diff)
	}
	names := map[string]bool{}
	for _, v := range told(t, mb, tier, Facts{}).Env {
		if names[v.Name] {
			t.Errorf("%s is there twice, which server-side apply refuses", v.Name)
		}
		names[v.Name] = true
	}
}

func TestModelServerURLs(t *testing.T) {
	mb := testutil.MakeExample("shop", "prod").Tier(
		testutil.MakeTier("z-model", v1alpha1.RoleML).Server(v1alpha1.PresetTriton).Obj(),
		testutil.MakeTier("a-model", v1alpha1.RoleML).Server(v1alpha1.PresetTensorFlowServing).Obj(),
	).Obj()
	first, last := "http://shop-a-model.prod.svc:8501", "http://shop-z-model.prod.svc:8000"
	tests := map[string]struct {
		tier int
		want map[string]string
	}{
		"another tier": {0, map[string]string{"ML_SERVICE_URL": first, "ML_SERVICE_URL_A_MODEL": first, "ML_SERVICE_URL_Z_MODEL": last}},
		"the first":    {5, map[string]string{"ML_SERVICE_URL": last, "ML_SERVICE_URL_A_MODEL": "(unset)", "ML_SERVICE_URL_Z_MODEL": last}},
		"the second":   {4, map[string]string{"ML_SERVICE_URL": first, "ML_SERVICE_URL_Z_MODEL": "(unset)"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) { checkEnv(t, told(t, mb, &mb.Spec.Tiers[tc.tier], Facts{}), tc.want) })
	}
}
