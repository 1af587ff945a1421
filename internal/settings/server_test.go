// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/testutil"
)

func TestServerPresets(t *testing.T) {
	batching := func(s *v1alpha1.Server) {
		s.Batching = &v1alpha1.Batching{MaxBatchSize: new(int32(8)), MaxDelayMilliseconds: new(int32(20))}
	}
	tests := map[string]struct {
		preset        v1alpha1.ServerPreset
		option        func(*v1alpha1.Server)
		wantCommand   string
		wantPorts     []Port
		wantFiles     map[string]string
		wantReady     string
		wantNotDone   int
		wantThreadEnv string
	}{
		"Triton": {
			v1alpha1.PresetTriton, func(*v1alpha1.Server) {},
			"tritonserver --model-repository=/models --model-control-mode=explicit --load-model=model --http-port=8000 --grpc-port=8001 --metrics-port=8002 --exit-timeout-secs=23",
			[]Port{{"http", 8000}, {"grpc", 8001}, {"metrics", 8002}}, nil, "/v2/health/ready", 0, "2",
		},
		"Triton on a port that another interface would have, with batching": {
			v1alpha1.PresetTriton, func(s *v1alpha1.Server) { batching(s); s.Port = new(int32(8001)) },
			"tritonserver --model-repository=/models --model-control-mode=explicit --load-model=model --http-port=8001 --grpc-port=8002 --metrics-port=8003 --exit-timeout-secs=23 --backend-config=default-max-batch-size=8",
			[]Port{{"http", 8001}, {"grpc", 8002}, {"metrics", 8003}}, nil, "/v2/health/ready", 2, "2",
		},
		"TensorFlow Serving": {
			v1alpha1.PresetTensorFlowServing, batching,
			"tensorflow_model_server --port=8500 --rest_api_port=8501 --model_name=model --model_base_path=/models/model --tensorflow_session_parallelism=2 --enable_batching=true --batching_parameters_file=/memorybudget/server/batching.pbtxt",
			[]Port{{"http", 8501}, {"grpc", 8500}},
			map[string]string{"batching.pbtxt": "max_batch_size { value: 8 }\nbatch_timeout_micros { value: 20000 }\nnum_batch_threads { value: 2 }\n"},
			"/v1/models/model", 0, "2",
		},
		"TorchServe": {
			v1alpha1.PresetTorchServe, batching,
			"torchserve --start --foreground --no-config-snapshots --ts-config=/memorybudget/server/config.properties",
			[]Port{{"http", 8080}, {"metrics", 8082}},
			map[string]string{"config.properties": strings.Join([]string{
				"inference_address=http://0.0.0.0:8080", "management_address=http://127.0.0.1:8081", "metrics_address=http://0.0.0.0:8082",
				"disable_token_authorization=true", "enable_envvars_config=false", "install_py_dep_per_model=false", "default_workers_per_model=1",
				"model_store=/models", "load_models=model=model.mar",
				`models={"model":{"1.0":{"batchSize":8,"defaultVersion":true,"marName":"model.mar","maxBatchDelay":20,"maxWorkers":1,"minWorkers":1}}}`, "",
			}, "\n")},
			"/ping", 1, "2",
		},
		"Custom": {
			v1alpha1.PresetCustom, func(s *v1alpha1.Server) {
				s.Command, s.Args, s.Port = []string{"serve", "$(X)"}, []string{"--more"}, new(int32(9000))
			},
			"serve $(X) --more", []Port{{"http", 9000}}, nil, "", 0, "2",
		},
		"arguments are added": {
			v1alpha1.PresetTensorFlowServing, func(s *v1alpha1.Server) {
				s.Args, s.Model.Path = []string{"--enable_model_warmup"}, "/srv/$x"
			},
			"tensorflow_model_server --port=8500 --rest_api_port=8501 --model_name=model --model_base_path=/srv/$$x --tensorflow_session_parallelism=2 --enable_model_warmup",
			[]Port{{"http", 8501}, {"grpc", 8500}}, nil, "/v1/models/model", 0, "2",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			mb := testutil.MakeMemoryBudget("shop", "default").Tier(
				testutil.MakeTier("model", v1alpha1.RoleML).CPU("", "1500m").Server(tc.preset, tc.option).Obj()).Obj()
			got := told(t, mb, &mb.Spec.Tiers[0], Facts{})
			if diff := cmp.Diff(tc.wantCommand, strings.Join(append(got.Command, got.Args...), " ")); diff != "" {
				t.Errorf("command (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantPorts, got.Ports); diff != "" {
				t.Errorf("ports (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantFiles, got.Files); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if got.Probes.Readiness.Path != tc.wantReady || len(got.NotApplied) != tc.wantNotDone || got.Overlay {
				t.Errorf("readiness %q, not applied %v, overlay %v", got.Probes.Readiness.Path, got.NotApplied, got.Overlay)
			}
			checkEnv(t, got, map[string]string{"OMP_NUM_THREADS": tc.wantThreadEnv, "PYTHONPATH": "(unset)"})
		})
	}
}

// TestTorchServeInAReadOnlyImage: it writes where it may, and is stopped by its own command, since its launcher takes no
// SIGTERM.
func TestTorchServeInAReadOnlyImage(t *testing.T) {
	mb := testutil.MakeMemoryBudget("shop", "default").Tier(testutil.MakeTier("model", v1alpha1.RoleML).
		Env("TEMP", "/home/model-server/tmp").Server(v1alpha1.PresetTorchServe).Obj()).Obj()
	got := told(t, mb, &mb.Spec.Tiers[0], Facts{})
	checkEnv(t, got, map[string]string{"TEMP": "/tmp", "LOG_LOCATION": "/tmp/logs", "METRICS_LOCATION": "/tmp/logs"})
	if diff := cmp.Diff([]string{"torchserve", "--stop"}, got.Termination.Stop); diff != "" {
		t.Errorf("stopped by (-want +got):\n%s", diff)
	}
}

// TestTorchServeManagementPort: the interface that can load code stays inside the pod, on a port of its own.
func TestTorchServeManagementPort(t *testing.T) {
	mb := testutil.MakeMemoryBudget("shop", "default").Tier(testutil.MakeTier("model", v1alpha1.RoleML).
		Server(v1alpha1.PresetTorchServe, func(s *v1alpha1.Server) { s.Port = new(int32(8081)) }).Obj()).Obj()
	got := told(t, mb, &mb.Spec.Tiers[0], Facts{})
	if !strings.Contains(got.Files["config.properties"], "management_address=http://127.0.0.1:8083\n") {
		t.Errorf("config.properties:\n%s", got.Files["config.properties"])
	}
}

func TestProcess(t *testing.T) {
	tests := map[string]struct {
		option      func(*v1alpha1.Process)
		wantKind    ProbeKind
		wantOverlay bool
		wantEnv     map[string]string
	}{
		"nothing asks it": {func(*v1alpha1.Process) {}, ProbeNone, false, map[string]string{"PYTHONPATH": "/own", "MALLOC_ARENA_MAX": "(unset)"}},
		"a port":          {func(p *v1alpha1.Process) { p.Port = new(int32(9000)) }, ProbeTCP, false, nil},
		"a path": {func(p *v1alpha1.Process) { p.Port, p.HealthPath = new(int32(9000)), "/up" }, ProbeHTTP, false,
			map[string]string{"MEMORYBUDGET_HEALTH_PATH": "(unset)"}},
		"managed": {func(p *v1alpha1.Process) {
			p.Settings, p.Port, p.HealthPath = v1alpha1.ProcessSettingsManaged, new(int32(9000)), "/up"
		}, ProbeHTTP, true, map[string]string{
			"PYTHONPATH": "/memorybudget/lib:/own", "MEMORYBUDGET_RUNTIME": "process", "MEMORYBUDGET_HEALTH_PATH": "/up",
			"CELERY_BROKER_URL": "secret bunoraa-broker/url", "BROKER_URL": "(unset)", "MALLOC_ARENA_MAX": "2",
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			mb := testutil.MakeExample("shop", "default").Tier(testutil.MakeTier("proc", v1alpha1.RoleWorker).
				Env("PYTHONPATH", "/own").Process("run", "$(X)").ProcessOptions(tc.option).Obj()).Obj()
			got := told(t, mb, &mb.Spec.Tiers[4], Facts{})
			if got.Probes.Readiness.Kind != tc.wantKind || got.Overlay != tc.wantOverlay || got.Command[1] != "$(X)" {
				t.Errorf("probe %q, overlay %v, command %v", got.Probes.Readiness.Kind, got.Overlay, got.Command)
			}
			checkEnv(t, got, tc.wantEnv)
		})
	}
}

func TestBeat(t *testing.T) {
	mb := testutil.MakeExample("shop", "default").Obj()
	mb.Spec.Tiers[3].Beat.Scheduler = "x:Y"
	got := told(t, mb, &mb.Spec.Tiers[3], Facts{})
	want := "python3 -m memorybudget.celery_command -A core beat --pidfile= --schedule=/memorybudget/run/beat-schedule --loglevel=WARNING --scheduler=x:Y"
	if diff := cmp.Diff(want, strings.Join(got.Command, " ")); diff != "" {
		t.Errorf("command (-want +got):\n%s", diff)
	}
	checkEnv(t, got, map[string]string{"BROKER_URL": "secret bunoraa-broker/url", "CELERY_WORKER_POOL": "(unset)", "MEMORYBUDGET_RUNTIME": "beat",
		"CELERY_BEAT_DETACH": "", "LOADER": "", "MEMORYBUDGET_HEARTBEAT": "(unset)"})
	if got.Probes != (Probes{}) {
		t.Errorf("probes %+v", got.Probes)
	}
	_, err := ForTier(mb, &mb.Spec.Tiers[3], Facts{BaselineBytes: 200 << 20})
	checkTooSmall(t, err, "TierTooSmall", "289Mi")
}

func TestForTierRefuses(t *testing.T) {
	tests := map[string]struct {
		change func(*v1alpha1.MemoryBudget)
		want   string
	}{
		"no runtime":    {func(mb *v1alpha1.MemoryBudget) { mb.Spec.Tiers[1].Celery = nil }, "spec.tiers[worker]: has no runtime"},
		"no Celery app": {func(mb *v1alpha1.MemoryBudget) { mb.Spec.Application.Celery = nil }, "spec.application.celery: required"},
		"unknown preset": {func(mb *v1alpha1.MemoryBudget) {
			mb.Spec.Tiers[1].Celery, mb.Spec.Tiers[1].Server = nil, &v1alpha1.Server{Preset: "X"}
		}, "server.preset: must be"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			mb := testutil.MakeExample("shop", "default").Obj()
			tc.change(mb)
			if _, err := ForTier(mb, &mb.Spec.Tiers[1], Facts{}); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want one with %q", err, tc.want)
			}
		})
	}
}
