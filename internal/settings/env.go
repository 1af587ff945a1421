// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// Directories in the containers.
const (
	// HomeDirectory is the operator's; nobody else may mount there.
	HomeDirectory = "/memorybudget"
	// SourceDirectory is where the verify container finds the files of the ConfigMap.
	SourceDirectory = "/memorybudget/source"
	// LibraryDirectory is on PYTHONPATH; PackageDirectory in it has the checked copy of the files.
	LibraryDirectory = "/memorybudget/lib"
	PackageDirectory = "/memorybudget/lib/memorybudget"
	// RunDirectory is writable: heartbeat file and beat's schedule.
	RunDirectory = "/memorybudget/run"
	// HeartbeatFile is touched by a Celery worker while it is alive.
	HeartbeatFile = "/memorybudget/run/heartbeat"
	// FilesDirectory has the files of a model server.
	FilesDirectory = "/memorybudget/server"
	// ModelsDirectory is where modelCache is mounted.
	ModelsDirectory = "/models"
)

const pythonPath = "PYTHONPATH"

// ownPrefix is the prefix of the operator's own variables.
const ownPrefix = "MEMORYBUDGET_"

// VerifyTimeout is the one of the operator's own variables that users may set: how long verify.py
// waits for the application's import, in seconds. VerifyTimeoutSeconds is its default.
const (
	VerifyTimeout        = "MEMORYBUDGET_VERIFY_TIMEOUT"
	VerifyTimeoutSeconds = 120
)

// env is the environment of a container while it is put together: first the operator's variables,
// so that the user's may refer to them, then the user's.
type env struct {
	vars []corev1.EnvVar
	has  map[string]bool
}

func newEnv() *env { return &env{has: map[string]bool{}} }

// set adds a literal value. A dollar sign in it is escaped: it is not a reference.
func (e *env) set(name, value string) {
	e.add(corev1.EnvVar{Name: name, Value: Escape(value)})
}

func (e *env) setInt(name string, value int64) { e.set(name, strconv.FormatInt(value, 10)) }

// add adds a variable as it is. The first of a name stays.
func (e *env) add(v corev1.EnvVar) {
	if e.has[v.Name] {
		return
	}
	e.has[v.Name] = true
	e.vars = append(e.vars, v)
}

// Escape keeps Kubernetes from reading $(NAME) in a text as a reference.
func Escape(text string) string { return strings.ReplaceAll(text, "$", "$$") }

// UserEnv is the user's own environment: the application's, in its order, each entry that the tier
// has too replaced in place (so that what refers to it still comes after it), then the tier's others.
func UserEnv(mb *v1alpha1.MemoryBudget, tier *v1alpha1.Tier) []corev1.EnvVar {
	ofTier := map[string]corev1.EnvVar{}
	for _, v := range tier.Env {
		ofTier[v.Name] = v
	}
	merged := newEnv()
	for _, v := range mb.Spec.Application.Env {
		if own, ok := ofTier[v.Name]; ok {
			v = own
		}
		merged.add(v)
	}
	for _, v := range tier.Env {
		merged.add(v)
	}
	return merged.vars
}

// addUser adds the user's variables that the operator has not set. In Python tiers it leaves out
// those with the operator's prefix, and PYTHONPATH, which addPythonPath joins.
func (e *env) addUser(vars []corev1.EnvVar, overlay bool) {
	if overlay {
		e.has[pythonPath] = true
	}
	for _, v := range vars {
		if overlay && strings.HasPrefix(v.Name, ownPrefix) && v.Name != VerifyTimeout {
			continue
		}
		e.add(v)
	}
}

// addPythonPath puts the library directory in front of the user's PYTHONPATH, wherever that comes
// from: a literal, a reference (by way of a variable of ours), or perhaps a source in envFrom, which
// Kubernetes substitutes where it is there and leaves as a directory that does not exist where it is
// not. One that only the image sets is replaced: it cannot be seen from here.
func (e *env) addPythonPath(user []corev1.EnvVar, envFrom bool) {
	path := LibraryDirectory
	own := find(user, pythonPath)
	switch {
	case own != nil && own.ValueFrom != nil:
		e.add(corev1.EnvVar{Name: "MEMORYBUDGET_USER_PYTHONPATH", ValueFrom: own.ValueFrom})
		path += ":$(MEMORYBUDGET_USER_PYTHONPATH)"
	case own != nil && own.Value != "":
		path += ":" + own.Value
	case own == nil && envFrom:
		path += ":$(" + pythonPath + ")"
	}
	e.vars = append(e.vars, corev1.EnvVar{Name: pythonPath, Value: path})
}

func find(vars []corev1.EnvVar, name string) *corev1.EnvVar {
	for i := range vars {
		if vars[i].Name == name {
			return &vars[i]
		}
	}
	return nil
}

// addModelServers tells a tier the URLs of the server tiers: ML_SERVICE_URL is the first by name,
// ML_SERVICE_URL_<TIER> each of them. A server tier is not told its own.
func (e *env) addModelServers(mb *v1alpha1.MemoryBudget, tier *v1alpha1.Tier) {
	for _, server := range sortedTiers(mb) {
		if server.Server == nil || server.Name == tier.Name {
			continue
		}
		url := fmt.Sprintf("http://%s-%s.%s.svc:%d", mb.Name, server.Name, mb.Namespace, serverPort(server.Server))
		e.set("ML_SERVICE_URL", url)
		e.set("ML_SERVICE_URL_"+strings.ToUpper(strings.ReplaceAll(server.Name, "-", "_")), url)
	}
}

// addThreads bounds the thread pools of numeric libraries, which otherwise follow the node's CPUs.
// MKL_NUM_THREADS beats OMP_NUM_THREADS in PyTorch; PYTHON_CPU_COUNT acts in Python >= 3.13.
func (e *env) addThreads(threads int32) {
	for _, name := range []string{
		"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS",
	} {
		e.setInt(name, int64(threads))
	}
}

// addMalloc keeps glibc from spreading small blocks over 8 arenas per CPU of the node (a CPU limit
// does not lower that), and from raising the size from which freed memory is given back.
func (e *env) addMalloc() {
	e.set("MALLOC_ARENA_MAX", "2")
	e.set("MALLOC_TRIM_THRESHOLD_", "131072")
}

// addModelCache makes Hugging Face and PyTorch keep downloaded models in the model cache.
func (e *env) addModelCache(tier *v1alpha1.Tier) {
	if tier.ModelCache == nil {
		return
	}
	e.set("HF_HOME", ModelsDirectory+"/huggingface")
	e.set("TORCH_HOME", ModelsDirectory+"/torch")
}

// addBroker gives the broker's URL to everything that publishes or consumes. Celery reads
// CELERY_BROKER_URL itself and prefers it to any setting. With command, BROKER_URL is set too: the
// celery command reads it and would put what it finds there over CELERY_BROKER_URL. The variables for
// reading and for writing, which Celery prefers, are emptied, wherever they come from: it takes that
// for not set, and the resource names one broker.
func (e *env) addBroker(mb *v1alpha1.MemoryBudget, command bool) {
	ref := BrokerSecret(mb.Spec.Broker)
	if ref == nil {
		return
	}
	names := []string{"CELERY_BROKER_URL"}
	if command {
		names = append(names, "BROKER_URL")
	}
	for _, name := range names {
		e.add(corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: ref.Name}, Key: ref.Key,
		}}})
	}
	e.set("CELERY_BROKER_READ_URL", "")
	e.set("CELERY_BROKER_WRITE_URL", "")
}

// BrokerSecret is where the URL of a broker is kept, nil without one.
func BrokerSecret(broker *v1alpha1.Broker) *v1alpha1.SecretKeyReference {
	switch {
	case broker == nil:
		return nil
	case broker.Redis != nil:
		return &broker.Redis.URLFrom.SecretKeyRef
	case broker.RabbitMQ != nil:
		return &broker.RabbitMQ.URLFrom.SecretKeyRef
	}
	return nil
}

// addOverlay is what the Python package needs to know in every tier.
func (e *env) addOverlay(mb *v1alpha1.MemoryBudget, tier *v1alpha1.Tier, runtime Runtime) {
	_, hash := Overlay(mb)
	e.set("MEMORYBUDGET_SETTINGS", PackageDirectory+"/settings.json")
	e.set("MEMORYBUDGET_HASH", hash)
	e.set("MEMORYBUDGET_TIER", tier.Name)
	e.set("MEMORYBUDGET_RUNTIME", string(runtime))
	e.add(corev1.EnvVar{Name: "MEMORYBUDGET_POD_IP", ValueFrom: &corev1.EnvVarSource{
		FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "status.podIP"},
	}})
	if mb.Spec.Application.Django != nil {
		e.set("DJANGO_SETTINGS_MODULE", "memorybudget.settings")
		e.setInt("PGCONNECT_TIMEOUT", int64(connectTimeout(mb)))
	}
	if mb.Spec.Application.Celery != nil {
		e.set("CELERY_LOADER", "memorybudget.loader:Loader")
	}
	if runtime == RuntimeCelery || runtime == RuntimeBeat {
		e.set("LOADER", "") // the celery command would put it over CELERY_LOADER
	}
	e.set("TOKENIZERS_PARALLELISM", "false")
}
