// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"fmt"
	"slices"
	"strings"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// The model servers. What is set here is taken from the documentation of each server, and for
// TorchServe from its launcher's source too; none of the presets was run, for want of their images.
// The files of a server stand in the pod template and reach the container as a volume, so that nobody
// who may write ConfigMaps can change them.

// Ports that the servers document.
const (
	tritonPort        = 8000
	tritonGRPCPort    = 8001
	tritonMetricsPort = 8002
	servingPort       = 8501
	servingGRPCPort   = 8500
	torchPort         = 8080
	torchMetricsPort  = 8082
	torchManagePort   = 8081
)

// server runs a model server, one process per pod.
func (b *builder) server() error {
	preset := map[v1alpha1.ServerPreset]func(){
		v1alpha1.PresetTriton:            b.triton,
		v1alpha1.PresetTensorFlowServing: b.tensorFlowServing,
		v1alpha1.PresetTorchServe:        b.torchServe,
		v1alpha1.PresetCustom:            b.custom,
	}[b.tier.Server.Preset]
	if preset == nil {
		return &SettingError{Field: field(b.tier, "server.preset"), Message: "must be Triton, TensorFlowServing, TorchServe or Custom"}
	}
	b.out.Termination.PreStop = min(5, b.out.Termination.GracePeriod/6)
	b.env.addThreads(CPUThreads(b.tier))
	preset()
	b.out.Args = append(b.out.Args, b.tier.Server.Args...)
	return nil
}

// serverPort is the port of a server's HTTP interface.
func serverPort(s *v1alpha1.Server) int32 {
	documented := map[v1alpha1.ServerPreset]int32{
		v1alpha1.PresetTriton:            tritonPort,
		v1alpha1.PresetTensorFlowServing: servingPort,
		v1alpha1.PresetTorchServe:        torchPort,
	}[s.Preset]
	return valueOr(s.Port, documented)
}

// serverPorts are the ports of a server, the HTTP interface first. TorchServe's interface for
// management is not among them.
func serverPorts(s *v1alpha1.Server) []Port {
	return distinct(serverPort(s), map[v1alpha1.ServerPreset][]Port{
		v1alpha1.PresetTriton:            {{Name: "grpc", Number: tritonGRPCPort}, {Name: "metrics", Number: tritonMetricsPort}},
		v1alpha1.PresetTensorFlowServing: {{Name: "grpc", Number: servingGRPCPort}},
		v1alpha1.PresetTorchServe:        {{Name: "metrics", Number: torchMetricsPort}},
	}[s.Preset])
}

// model is the model's name and path; the path has a default.
func model(s *v1alpha1.Server, path string) (string, string) {
	if s.Model == nil {
		return "", path
	}
	return s.Model.Name, textOr(s.Model.Path, path)
}

// delay is how long a request waits for others, in milliseconds.
func delay(b *v1alpha1.Batching) int32 { return valueOr(b.MaxDelayMilliseconds, 100) }

// triton is NVIDIA's Triton Inference Server. Not run here.
//
// Only the model of the spec is loaded (--model-control-mode=explicit), whatever else the repository
// holds. Batching belongs to the config.pbtxt of each model; from outside there is only
// --backend-config=default-max-batch-size, which turns the dynamic batcher on for models whose
// configuration Triton completes by itself (ONNX Runtime; TensorRT keeps the size in the model). The
// delay cannot be set from outside.
func (b *builder) triton() {
	s := b.tier.Server
	port := serverPort(s)
	ports := serverPorts(s)
	name, path := model(s, ModelsDirectory)
	b.out.Command = []string{"tritonserver"}
	b.out.Args = []string{
		"--model-repository=" + Escape(path),
		"--model-control-mode=explicit",
		"--load-model=" + name,
		fmt.Sprintf("--http-port=%d", port),
		fmt.Sprintf("--grpc-port=%d", ports[1].Number),
		fmt.Sprintf("--metrics-port=%d", ports[2].Number),
		fmt.Sprintf("--exit-timeout-secs=%d", max(1, b.out.Termination.GracePeriod-b.out.Termination.PreStop-2)),
	}
	if s.Batching != nil {
		b.out.Args = append(b.out.Args, fmt.Sprintf("--backend-config=default-max-batch-size=%d", valueOr(s.Batching.MaxBatchSize, 1)))
		b.notApplied("server.batching.maxBatchSize", "Triton takes it from outside only for models without "+
			"max_batch_size in their config.pbtxt whose configuration it completes by itself; for others set max_batch_size there")
		b.notApplied("server.batching.maxDelayMilliseconds", fmt.Sprintf("Triton reads the delay only from the model's own "+
			"config.pbtxt: add dynamic_batching { max_queue_delay_microseconds: %d } there", int64(delay(s.Batching))*1000))
	}
	b.out.Probes = httpProbes(textOr(s.HealthPath, "/v2/health/ready"), port)
	if s.HealthPath == "" {
		b.out.Probes.Liveness.Path = "/v2/health/live"
	}
}

// tensorFlowServing is TensorFlow Serving. Not run here.
//
// Batching is --enable_batching with a file of BatchingParameters in protobuf's text format; as many
// batches run at a time as the pod has CPUs. The REST interface is off unless it is given a port. Its
// model status is the health check that is documented.
func (b *builder) tensorFlowServing() {
	s := b.tier.Server
	port := serverPort(s)
	ports := serverPorts(s)
	name, path := model(s, "")
	threads := CPUThreads(b.tier)
	b.out.Command = []string{"tensorflow_model_server"}
	b.out.Args = []string{
		fmt.Sprintf("--port=%d", ports[1].Number),
		fmt.Sprintf("--rest_api_port=%d", port),
		"--model_name=" + name,
		"--model_base_path=" + Escape(textOr(path, ModelsDirectory+"/"+name)),
		fmt.Sprintf("--tensorflow_session_parallelism=%d", threads),
	}
	if s.Batching != nil {
		b.file("batching.pbtxt", fmt.Sprintf(
			"max_batch_size { value: %d }\nbatch_timeout_micros { value: %d }\nnum_batch_threads { value: %d }\n",
			valueOr(s.Batching.MaxBatchSize, 1), int64(delay(s.Batching))*1000, threads))
		b.out.Args = append(b.out.Args, "--enable_batching=true", "--batching_parameters_file="+FilesDirectory+"/batching.pbtxt")
	}
	b.out.Probes = httpProbes(textOr(s.HealthPath, "/v1/models/"+name), port)
}

// torchServe is TorchServe, which is no longer maintained upstream. Not run here.
//
// Everything is in config.properties. One worker per model instead of one per CPU of the node. The
// interface for management listens inside the pod only; token authorization, which would write keys
// into the read-only file system, is off for the same interface that the other presets leave open.
//
// The launcher makes TEMP the directory for Java's temporary files, and the image names one in its
// read-only file system. It waits for Java as the container's first process and takes no SIGTERM, so
// Java is ended by its own --stop, which finds it by a file in TEMP.
//
// It takes no IPv6 address to listen on: its pattern for addresses has no colon in the host.
func (b *builder) torchServe() {
	s := b.tier.Server
	port := serverPort(s)
	name, path := model(s, ModelsDirectory)
	b.file("config.properties", torchProperties(s, name, path, serverPorts(s)))
	b.out.Command = []string{"torchserve"}
	b.out.Args = []string{"--start", "--foreground", "--no-config-snapshots", "--ts-config=" + FilesDirectory + "/config.properties"}
	b.env.set("TS_CONFIG_FILE", FilesDirectory+"/config.properties")
	b.env.set("LOG_LOCATION", "/tmp/logs")
	b.env.set("METRICS_LOCATION", "/tmp/logs")
	b.env.set("TEMP", "/tmp")
	b.out.Termination.Stop = []string{"torchserve", "--stop"}
	b.out.Probes = httpProbes(textOr(s.HealthPath, "/ping"), port)
	if s.Batching != nil {
		b.notApplied("server.batching", "TorchServe applies it to version 1.0 of the model, which is what torch-model-archiver "+
			"names it unless told otherwise; a model-config.yaml inside the archive wins")
	}
}

func torchProperties(s *v1alpha1.Server, name, path string, ports []Port) string {
	manage := distinct(ports[0].Number, append(ports[1:], Port{Number: torchManagePort}))[2].Number
	lines := []string{
		fmt.Sprintf("inference_address=http://0.0.0.0:%d", ports[0].Number),
		fmt.Sprintf("management_address=http://127.0.0.1:%d", manage),
		fmt.Sprintf("metrics_address=http://0.0.0.0:%d", ports[1].Number),
		"disable_token_authorization=true",
		"enable_envvars_config=false",
		"install_py_dep_per_model=false",
		"default_workers_per_model=1",
		"model_store=" + properties(path),
		"load_models=" + name + "=" + name + ".mar",
	}
	if s.Batching != nil {
		lines = append(lines, "models="+mustJSON(map[string]any{name: map[string]any{"1.0": map[string]any{
			"defaultVersion": true, "marName": name + ".mar", "minWorkers": 1, "maxWorkers": 1,
			"batchSize": valueOr(s.Batching.MaxBatchSize, 1), "maxBatchDelay": delay(s.Batching),
		}}}))
	}
	return strings.Join(lines, "\n") + "\n"
}

// properties escapes a value of a Java properties file.
func properties(value string) string { return strings.ReplaceAll(value, `\`, `\\`) }

// custom is any other server: the command of the spec as it is, references included.
func (b *builder) custom() {
	s := b.tier.Server
	port := serverPort(s)
	b.out.Command = slices.Clone(s.Command)
	b.out.Probes = tcpProbes(port)
	if s.HealthPath != "" {
		b.out.Probes = httpProbes(s.HealthPath, port)
	}
}

// file adds a file under FilesDirectory.
func (b *builder) file(name, content string) {
	if b.out.Files == nil {
		b.out.Files = map[string]string{}
	}
	b.out.Files[name] = content
}

func (b *builder) notApplied(path, reason string) {
	b.out.NotApplied = append(b.out.NotApplied, field(b.tier, path)+": "+reason)
}

// distinct is the HTTP port followed by others, each moved up until it collides with none before it.
func distinct(http int32, others []Port) []Port {
	ports, taken := make([]Port, 0, 1+len(others)), map[int32]bool{http: true}
	ports = append(ports, Port{Name: "http", Number: http})
	for _, port := range others {
		for taken[port.Number] {
			port.Number++
		}
		taken[port.Number] = true
		ports = append(ports, port)
	}
	return ports
}
