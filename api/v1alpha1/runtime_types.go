// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import "k8s.io/apimachinery/pkg/api/resource"

// Gunicorn runs a WSGI or ASGI application under gunicorn.
//
// +kubebuilder:validation:XValidation:rule="!has(self.maxRequests) || self.maxRequests != 0 || !has(self.maxRequestsJitter) || self.maxRequestsJitter == 0",fieldPath=".maxRequestsJitter",reason="FieldValueForbidden",message="has no effect, since maxRequests is 0: leave it out"
// +kubebuilder:validation:XValidation:rule="!has(self.threads) || self.threads == 1 || !has(self.workerClass) || self.workerClass != 'sync'",fieldPath=".threads",reason="FieldValueForbidden",message="gunicorn runs sync with more than one thread as gthread: leave threads out, or set workerClass to gthread"
// +kubebuilder:validation:XValidation:rule="!has(self.threads) || self.threads == 1 || !has(self.workerClass) || !(self.workerClass in ['gevent', 'eventlet', 'tornado', 'uvicorn.workers.UvicornWorker', 'uvicorn_worker.UvicornWorker'])",fieldPath=".threads",reason="FieldValueForbidden",message="has no effect with this workerClass: leave it out, or set workerClass to gthread"
type Gunicorn struct {
	// application is gunicorn's application, such as core.wsgi:application.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z_][A-Za-z0-9_]*([.][A-Za-z_][A-Za-z0-9_]*)*(:[A-Za-z_][A-Za-z0-9_.]*([(].*[)])?)?$')",message="must be a Python module and the application in it, such as core.wsgi:application"
	Application string `json:"application,omitempty"`

	// config is the application's own gunicorn configuration file, relative to the image's working
	// directory or absolute. It is loaded first; what this resource says wins. gunicorn.conf.py is
	// found without it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Config string `json:"config,omitempty"`

	// workers is the number of worker processes. Computed from the memory of a pod where left out.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	Workers *int32 `json:"workers,omitempty"`

	// threads of each worker process. Defaults to 2, and to 1 for a workerClass that has no threads.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	Threads *int32 `json:"threads,omitempty"`

	// workerClass is gunicorn's worker class. Defaults to gthread.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z_][A-Za-z0-9_]*([.][A-Za-z_][A-Za-z0-9_]*)*$')",message="must be the name of a worker class, such as gthread"
	WorkerClass string `json:"workerClass,omitempty"`

	// maxRequests is how many requests a worker serves before it is replaced. 0 turns it off.
	// Defaults to 1000.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000000
	MaxRequests *int32 `json:"maxRequests,omitempty"`

	// maxRequestsJitter is the most that is added to maxRequests at random, so that workers are not
	// replaced at once. Defaults to a tenth of maxRequests.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000000
	MaxRequestsJitter *int32 `json:"maxRequestsJitter,omitempty"`

	// timeoutSeconds is how long a worker may be silent before it is killed, in seconds. Defaults to 30.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3600
	TimeoutSeconds *int32 `json:"timeoutSeconds,omitempty"`

	// logLevel of gunicorn's error log. Defaults to warning.
	// +optional
	// +kubebuilder:validation:Enum=debug;info;warning;error;critical
	LogLevel string `json:"logLevel,omitempty"`

	// preload loads the application before the worker processes are forked, to share memory.
	// Defaults to Disabled: threads that a library started before the fork do not survive it.
	// +optional
	// +kubebuilder:validation:Enum=Enabled;Disabled
	Preload string `json:"preload,omitempty"`

	// port that gunicorn listens on. Defaults to 8000.
	// +optional
	// +kubebuilder:validation:Minimum=1024
	// +kubebuilder:validation:Maximum=65535
	Port *int32 `json:"port,omitempty"`

	// healthPath is the path of the HTTP probes: it must answer 2xx or 3xx. Defaults to /healthz.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^/[!-~]*$')",message="must be a path that starts with / and has no spaces, such as /healthz"
	HealthPath string `json:"healthPath,omitempty"`
}

// Pool is a pool of a Celery worker.
// +kubebuilder:validation:Enum=Processes;Solo;Threads
type Pool string

const (
	// PoolProcesses is Celery's prefork pool.
	PoolProcesses Pool = "Processes"
	// PoolSolo runs one task at a time in the worker's main process.
	PoolSolo Pool = "Solo"
	// PoolThreads runs tasks in threads of the worker's main process.
	PoolThreads Pool = "Threads"
)

// Acks says when a task is acknowledged.
// +kubebuilder:validation:Enum=Late;Early
type Acks string

const (
	// AcksLate acknowledges a task after it has run.
	AcksLate Acks = "Late"
	// AcksEarly acknowledges a task before it runs.
	AcksEarly Acks = "Early"
)

// Drain says what happens to running tasks when a pod stops.
// +kubebuilder:validation:Enum=Finish;Requeue
type Drain string

const (
	// DrainFinish waits for running tasks, up to the termination grace period.
	DrainFinish Drain = "Finish"
	// DrainRequeue waits a while, then puts running tasks back into their queue. Celery 5.5 or later,
	// with the pool Processes.
	DrainRequeue Drain = "Requeue"
)

// Celery runs a Celery worker.
//
// +kubebuilder:validation:XValidation:rule="!has(self.pool) || self.pool == 'Processes' || !has(self.maxTasksPerChild)",fieldPath=".maxTasksPerChild",reason="FieldValueForbidden",message="only the pool Processes replaces its children: leave maxTasksPerChild out, or set pool to Processes"
// +kubebuilder:validation:XValidation:rule="!has(self.pool) || self.pool == 'Processes' || !has(self.maxMemoryPerChild)",fieldPath=".maxMemoryPerChild",reason="FieldValueForbidden",message="only the pool Processes replaces its children: leave maxMemoryPerChild out, or set pool to Processes"
// +kubebuilder:validation:XValidation:rule="!has(self.pool) || self.pool != 'Solo' || !has(self.concurrency) || self.concurrency == 1",fieldPath=".concurrency",message="must be 1 or left out, since the pool Solo runs one task at a time"
// +kubebuilder:validation:XValidation:rule="!has(self.drain) || self.drain != 'Requeue' || !has(self.acks) || self.acks == 'Late'",fieldPath=".drain",message="must be Finish, since acks is Early: a task that was acknowledged before it ran cannot be requeued"
// +kubebuilder:validation:XValidation:rule="!has(self.drain) || self.drain != 'Requeue' || !has(self.pool) || self.pool == 'Processes'",fieldPath=".drain",message="must be Finish, or pool Processes: with Solo and Threads, Celery cannot give a running task back"
type Celery struct {
	// queues that the tier consumes. Each queue is owned by exactly one tier. Tasks in `tasks` are
	// routed to the first.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[A-Za-z0-9_.:-]+$')",message="must consist of letters, digits and the characters _ . : -"
	Queues []string `json:"queues,omitempty"`

	// tasks are names or patterns (with * and ?) of tasks that are routed to the tier's first queue
	// wherever they are published.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:XValidation:rule="self.matches('^[A-Za-z0-9_.*?:-]+$')",message="must be the name of a task, such as shop.tasks.train, in which * and ? stand for any characters"
	Tasks []string `json:"tasks,omitempty"`

	// pool is Processes (Celery's prefork), Solo or Threads. Solo and Threads ignore the time limits
	// of tasks. Defaults to Processes.
	// +optional
	Pool Pool `json:"pool,omitempty"`

	// concurrency is how many tasks a pod runs at a time. Computed from the memory of a pod where left out.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	Concurrency *int32 `json:"concurrency,omitempty"`

	// prefetchMultiplier is how many tasks per process a worker reserves. Defaults to 1.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	PrefetchMultiplier *int32 `json:"prefetchMultiplier,omitempty"`

	// maxTasksPerChild is how many tasks a child process runs before it is replaced. Defaults to 500.
	// Only for the pool Processes.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000000
	MaxTasksPerChild *int32 `json:"maxTasksPerChild,omitempty"`

	// maxMemoryPerChild is the peak memory after which a child process is replaced. Computed from
	// the memory of a pod where left out. Only for the pool Processes.
	// +optional
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self))",message="must be a quantity of bytes, such as 512Mi or 2Gi"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || (!quantity(string(self)).isLessThan(quantity('0')) && !quantity(string(self)).isGreaterThan(quantity('16Ti')) && quantity('0').add(int(quantity(string(self)).asApproximateFloat() + 0.5)).compareTo(quantity(string(self))) != 0) || (!quantity(string(self)).isLessThan(quantity('1Mi')) && !quantity(string(self)).isGreaterThan(quantity('16Ti')))",message="must be at least 1Mi and at most 16Ti"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || !(!quantity(string(self)).isLessThan(quantity('0')) && !quantity(string(self)).isGreaterThan(quantity('16Ti')) && quantity('0').add(int(quantity(string(self)).asApproximateFloat() + 0.5)).compareTo(quantity(string(self))) != 0)",message="must be a whole number of bytes, such as 512Mi",messageExpression="quantity(string(self)).isLessThan(quantity('1Mi')) ? 'must be a whole number of bytes, such as 512Mi; the suffix m means thousandths of a byte' : 'must be a whole number of bytes, such as %dMi'.format([int(quantity(string(self)).asApproximateFloat()) / 1048576])"
	MaxMemoryPerChild *resource.Quantity `json:"maxMemoryPerChild,omitempty"`

	// acks is Late (after a task has run) or Early. Late keeps a task when its pod is lost, not when it
	// raises or its process is killed: then it is acknowledged all the same. A broker delivers a task
	// that is not acknowledged again after a time, even while it runs: Redis after its visibility
	// timeout (an hour unless set otherwise), RabbitMQ after its consumer timeout (half an hour).
	// Defaults to Late.
	// +optional
	Acks Acks `json:"acks,omitempty"`

	// drain is Finish (wait for running tasks) or Requeue (wait a while, then requeue them;
	// Celery 5.5 or later, with the pool Processes). Defaults to Finish.
	// +optional
	Drain Drain `json:"drain,omitempty"`

	// logLevel of the worker. Defaults to WARNING.
	// +optional
	// +kubebuilder:validation:Enum=DEBUG;INFO;WARNING;ERROR;CRITICAL
	LogLevel string `json:"logLevel,omitempty"`
}

// Beat runs Celery's scheduler.
type Beat struct {
	// scheduler is the scheduler class, such as django_celery_beat.schedulers:DatabaseScheduler.
	// Celery's own file scheduler where left out.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z_][A-Za-z0-9_]*([.][A-Za-z_][A-Za-z0-9_]*)*(:[A-Za-z_][A-Za-z0-9_.]*)?$')",message="must be a scheduler class, such as django_celery_beat.schedulers:DatabaseScheduler"
	Scheduler string `json:"scheduler,omitempty"`
	// logLevel of the scheduler. Defaults to WARNING.
	// +optional
	// +kubebuilder:validation:Enum=DEBUG;INFO;WARNING;ERROR;CRITICAL
	LogLevel string `json:"logLevel,omitempty"`
}

// ServerPreset is a model server that the operator knows.
// +kubebuilder:validation:Enum=Triton;TensorFlowServing;TorchServe;Custom
type ServerPreset string

const (
	// PresetTriton is NVIDIA's Triton Inference Server. Its image runs as root: set pod.runAsUser.
	PresetTriton ServerPreset = "Triton"
	// PresetTensorFlowServing is TensorFlow Serving. Its image runs as root: set pod.runAsUser.
	PresetTensorFlowServing ServerPreset = "TensorFlowServing"
	// PresetTorchServe is TorchServe, which is no longer maintained. Its image names its user instead of
	// numbering it, so pod.runAsUser has to be set. It listens on IPv4 only.
	PresetTorchServe ServerPreset = "TorchServe"
	// PresetCustom is any other server.
	PresetCustom ServerPreset = "Custom"
)

// Server runs a model server. The other tiers get its URL in ML_SERVICE_URL.
//
// +kubebuilder:validation:XValidation:rule="self.preset == 'Custom' || has(self.model)",fieldPath=".model",reason="FieldValueRequired",message="each preset but Custom needs a model"
// +kubebuilder:validation:XValidation:rule="self.preset != 'Custom' || has(self.command)",fieldPath=".command",reason="FieldValueRequired",message="a Custom server needs a command"
// +kubebuilder:validation:XValidation:rule="self.preset != 'Custom' || has(self.port)",fieldPath=".port",reason="FieldValueRequired",message="a Custom server needs a port"
// +kubebuilder:validation:XValidation:rule="self.preset == 'Custom' || !has(self.command)",fieldPath=".command",reason="FieldValueForbidden",message="only a Custom server has a command of its own: use args to add to a preset's"
// +kubebuilder:validation:XValidation:rule="self.preset != 'Custom' || !has(self.batching)",fieldPath=".batching",reason="FieldValueForbidden",message="the operator does not know how a Custom server batches: say it in args"
// +kubebuilder:validation:XValidation:rule="self.preset != 'TorchServe' || !has(self.port) || self.port != 8081",fieldPath=".port",message="must not be 8081, which is the port of TorchServe's management interface"
type Server struct {
	// preset is Triton, TensorFlowServing, TorchServe (no longer maintained upstream) or Custom. The
	// servers' own images run as root, or as a user that has only a name, and no pod here starts as
	// either: set pod.runAsUser with them. Triton and TorchServe listen on IPv4 only.
	// +required
	Preset ServerPreset `json:"preset,omitempty"`
	// model is what is served. Required unless the preset is Custom.
	// +optional
	Model *Model `json:"model,omitempty"`
	// command of a Custom server. It is not run in a shell.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=4096
	Command []string `json:"command,omitempty"`
	// args are added to the command.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=4096
	Args []string `json:"args,omitempty"`
	// port of the HTTP interface. Defaults to what the server documents: 8000 for Triton, 8501 for
	// TensorFlow Serving, 8080 for TorchServe. Required for Custom.
	// +optional
	// +kubebuilder:validation:Minimum=1024
	// +kubebuilder:validation:Maximum=65535
	Port *int32 `json:"port,omitempty"`
	// healthPath is the path of the HTTP probes. Defaults to what the server documents, and to a
	// check of the port for Custom.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^/[!-~]*$')",message="must be a path that starts with / and has no spaces, such as /healthz"
	HealthPath string `json:"healthPath,omitempty"`
	// batching lets the server answer several requests at once.
	// +optional
	Batching *Batching `json:"batching,omitempty"`
}

// Model is what a model server serves.
type Model struct {
	// name under which the model is served.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$')",message="must consist of letters, digits, _, . and -, and start and end with a letter or digit"
	Name string `json:"name,omitempty"`
	// path of the directory with the model's files in the container, laid out as the server
	// documents: for Triton the model repository, for TensorFlow Serving the model's base path, for
	// TorchServe the model store. Defaults to /models, where modelCache is mounted (and to
	// /models/<name> for TensorFlow Serving).
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^(/[!-~]+)+$')",message="must be an absolute path without spaces, such as /models"
	Path string `json:"path,omitempty"`
}

// Batching lets a model server answer several requests at once.
type Batching struct {
	// maxBatchSize is the most requests in a batch.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4096
	MaxBatchSize *int32 `json:"maxBatchSize,omitempty"`
	// maxDelayMilliseconds is how long a request waits for others, in milliseconds. Defaults to 100.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=60000
	MaxDelayMilliseconds *int32 `json:"maxDelayMilliseconds,omitempty"`
}

// ProcessSettings says whether a process gets the settings of Django and Celery.
// +kubebuilder:validation:Enum=Managed;Unmanaged
type ProcessSettings string

const (
	// ProcessSettingsManaged gives the process the same settings as the other tiers; the image needs python3.
	ProcessSettingsManaged ProcessSettings = "Managed"
	// ProcessSettingsUnmanaged leaves the process alone.
	ProcessSettingsUnmanaged ProcessSettings = "Unmanaged"
)

// Process runs any command.
//
// +kubebuilder:validation:XValidation:rule="!has(self.healthPath) || has(self.port)",fieldPath=".port",reason="FieldValueRequired",message="healthPath needs the port that it is asked on"
type Process struct {
	// command to run. It is not run in a shell. The image's own where left out.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=4096
	Command []string `json:"command,omitempty"`
	// args of the command.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=4096
	Args []string `json:"args,omitempty"`
	// settings is Managed (the settings of Django and Celery reach the process as they reach the
	// other tiers; the image needs python3) or Unmanaged. Defaults to Unmanaged.
	// +optional
	Settings ProcessSettings `json:"settings,omitempty"`
	// port that the process serves HTTP on, if it does.
	// +optional
	// +kubebuilder:validation:Minimum=1024
	// +kubebuilder:validation:Maximum=65535
	Port *int32 `json:"port,omitempty"`
	// healthPath is the path of the HTTP probes. A check of the port where left out.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^/[!-~]*$')",message="must be a path that starts with / and has no spaces, such as /healthz"
	HealthPath string `json:"healthPath,omitempty"`
}
