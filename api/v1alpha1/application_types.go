// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import corev1 "k8s.io/api/core/v1"

// Application is what the tiers of a MemoryBudget share. A tier may override image, env and envFrom.
//
// +kubebuilder:validation:XValidation:rule="!has(self.pod) || !has(self.pod.volumeMounts) || self.pod.volumeMounts.all(m, has(self.pod.volumes) && self.pod.volumes.exists(v, v.name == m.name))",fieldPath=".pod.volumeMounts",message="each entry must name a volume of application.pod.volumes"
type Application struct {
	// image is the container image of the application. Required unless every tier has its own.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^[!-~]+$')",message="must be an image reference without spaces, such as registry.example/shop:1.4"
	Image string `json:"image,omitempty"`

	// imagePullPolicy is when the kubelet pulls the image. Kubernetes' own default where left out.
	// +optional
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	ImagePullPolicy corev1.PullPolicy `json:"imagePullPolicy,omitempty"`

	// imagePullSecrets are Secrets of this namespace with credentials for the registry.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	ImagePullSecrets []LocalReference `json:"imagePullSecrets,omitempty"`

	// env is set in the containers of all tiers. A variable that the operator computes wins over
	// one of the same name here, but PYTHONPATH given here is kept behind the operator's own entry.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=128
	// +kubebuilder:validation:items:XValidation:rule="self.name.matches('^[-._a-zA-Z][-._a-zA-Z0-9]*$')",fieldPath=".name",message="must consist of letters, digits, _, - and ., and not start with a digit"
	// +kubebuilder:validation:items:XValidation:rule="!self.name.startsWith('MEMORYBUDGET_') || self.name == 'MEMORYBUDGET_VERIFY_TIMEOUT'",fieldPath=".name",message="names that start with MEMORYBUDGET_ are the operator's; only MEMORYBUDGET_VERIFY_TIMEOUT can be set"
	// +kubebuilder:validation:items:XValidation:rule="!has(self.valueFrom) || !has(self.value) || self.value.size() == 0",fieldPath=".valueFrom",reason="FieldValueForbidden",message="give value or valueFrom, not both"
	// +kubebuilder:validation:items:XValidation:rule="!has(self.valueFrom) || [has(self.valueFrom.fieldRef), has(self.valueFrom.resourceFieldRef), has(self.valueFrom.configMapKeyRef), has(self.valueFrom.secretKeyRef)].filter(s, s).size() == 1",fieldPath=".valueFrom",message="exactly one of fieldRef, resourceFieldRef, configMapKeyRef and secretKeyRef must be set"
	// +kubebuilder:validation:items:XValidation:rule="!has(self.valueFrom) || !has(self.valueFrom.configMapKeyRef) || (has(self.valueFrom.configMapKeyRef.name) && self.valueFrom.configMapKeyRef.name.size() > 0)",fieldPath=".valueFrom.configMapKeyRef.name",reason="FieldValueRequired",message="name the object that the value is taken from"
	// +kubebuilder:validation:items:XValidation:rule="!has(self.valueFrom) || !has(self.valueFrom.secretKeyRef) || (has(self.valueFrom.secretKeyRef.name) && self.valueFrom.secretKeyRef.name.size() > 0)",fieldPath=".valueFrom.secretKeyRef.name",reason="FieldValueRequired",message="name the object that the value is taken from"
	Env []corev1.EnvVar `json:"env,omitempty"`

	// envFrom takes variables from ConfigMaps and Secrets of this namespace for all tiers.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:XValidation:rule="has(self.configMapRef) != has(self.secretRef)",message="exactly one of configMapRef and secretRef must be set"
	// +kubebuilder:validation:items:XValidation:rule="!has(self.configMapRef) || (has(self.configMapRef.name) && self.configMapRef.name.size() > 0)",fieldPath=".configMapRef.name",reason="FieldValueRequired",message="name the object that the variables are taken from"
	// +kubebuilder:validation:items:XValidation:rule="!has(self.secretRef) || (has(self.secretRef.name) && self.secretRef.name.size() > 0)",fieldPath=".secretRef.name",reason="FieldValueRequired",message="name the object that the variables are taken from"
	// +kubebuilder:validation:items:XValidation:rule="!has(self.configMapRef) || !has(self.configMapRef.name) || self.configMapRef.name.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$')",fieldPath=".configMapRef.name",message="must consist of lower-case letters, digits, - and ., and each part between dots must start and end with a letter or digit"
	// +kubebuilder:validation:items:XValidation:rule="!has(self.secretRef) || !has(self.secretRef.name) || self.secretRef.name.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?$')",fieldPath=".secretRef.name",message="must consist of lower-case letters, digits, - and ., and each part between dots must start and end with a letter or digit"
	// +kubebuilder:validation:items:XValidation:rule="!has(self.prefix) || self.prefix.matches('^[ -<>-~]*$')",fieldPath=".prefix",message="must consist of printable ASCII characters other than ="
	EnvFrom []corev1.EnvFromSource `json:"envFrom,omitempty"`

	// django is set where the application is a Django project: its settings are then adapted.
	// +optional
	Django *Django `json:"django,omitempty"`

	// celery is set where the application has a Celery app.
	// +optional
	Celery *CeleryApp `json:"celery,omitempty"`

	// pod is what the pods of all tiers get besides what the operator makes. A tier may add to it.
	// +optional
	Pod *Pod `json:"pod,omitempty"`
}

// LocalReference names an object in the namespace of the MemoryBudget.
type LocalReference struct {
	// name of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="must consist of lower-case letters, digits, - and ., and each part between dots must start and end with a letter or digit"
	Name string `json:"name,omitempty"`
}

// Switch says whether the operator turns something off or leaves it alone.
// +kubebuilder:validation:Enum=Disabled;Unmanaged
type Switch string

const (
	// SwitchDisabled turns it off.
	SwitchDisabled Switch = "Disabled"
	// SwitchUnmanaged leaves it to the application.
	SwitchUnmanaged Switch = "Unmanaged"
)

// Django says how the settings of a Django project are adapted.
type Django struct {
	// settingsModule is the project's own settings module, such as core.settings.production.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z_][A-Za-z0-9_]*([.][A-Za-z_][A-Za-z0-9_]*)*$')",message="must be a Python module, such as core.settings.production"
	SettingsModule string `json:"settingsModule,omitempty"`

	// disableApps are taken out of INSTALLED_APPS.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	DisableApps []string `json:"disableApps,omitempty"`

	// disableMiddleware is taken out of MIDDLEWARE.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	DisableMiddleware []string `json:"disableMiddleware,omitempty"`

	// debug is Disabled (DEBUG = False) or Unmanaged.
	// +optional
	// +kubebuilder:default=Disabled
	Debug Switch `json:"debug,omitempty"`

	// logLevel is the level of Django's and the root logger.
	// +optional
	// +kubebuilder:default=WARNING
	// +kubebuilder:validation:Enum=DEBUG;INFO;WARNING;ERROR;CRITICAL
	LogLevel string `json:"logLevel,omitempty"`
}

// CeleryApp names the Celery app.
type CeleryApp struct {
	// app is the Celery app as in `celery -A APP`.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z_][A-Za-z0-9_]*([.][A-Za-z_][A-Za-z0-9_]*)*(:[A-Za-z_][A-Za-z0-9_.]*)?$')",message="must be a Python module, with or without an attribute, such as core or core.celery:app"
	App string `json:"app,omitempty"`
}

// Broker is Celery's message broker: exactly one of redis and rabbitmq.
// +kubebuilder:validation:ExactlyOneOf=redis;rabbitmq
type Broker struct {
	// redis is a Redis broker.
	// +optional
	Redis *RedisBroker `json:"redis,omitempty"`
	// rabbitmq is a RabbitMQ broker.
	// +optional
	RabbitMQ *RabbitMQBroker `json:"rabbitmq,omitempty"`
}

// RedisBroker is a Redis broker.
type RedisBroker struct {
	// urlFrom is where the broker's URL (redis:// or rediss://) is kept.
	// +required
	URLFrom URLSource `json:"urlFrom,omitzero"`
}

// RabbitMQBroker is a RabbitMQ broker.
type RabbitMQBroker struct {
	// urlFrom is where the broker's URL (amqp:// or amqps://) is kept.
	// +required
	URLFrom URLSource `json:"urlFrom,omitzero"`

	// managementURLFrom is where the URL (http:// or https://) of the broker's management API is kept. Without user and
	// password in it, those of urlFrom are used, if both have the same host. The operator reads from it which queues tasks
	// wait in and how many; the application does not get it. Without it the condition QueuesOwned is Unknown. Required where a
	// tier has scaling.
	// +optional
	ManagementURLFrom *URLSource `json:"managementURLFrom,omitempty"`
}

// URLSource is where a URL with credentials is kept.
type URLSource struct {
	// secretKeyRef is a key of a Secret in this namespace.
	// +required
	SecretKeyRef SecretKeyReference `json:"secretKeyRef,omitzero"`
}

// SecretKeyReference is a key of a Secret in the namespace of the MemoryBudget.
type SecretKeyReference struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="must consist of lower-case letters, digits, - and ., and each part between dots must start and end with a letter or digit"
	Name string `json:"name,omitempty"`
	// key in the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && !self.startsWith('..')",message="must consist of letters, digits, -, _ and ., and neither be . nor start with .."
	Key string `json:"key,omitempty"`
}

// Database is how Django keeps database connections.
type Database struct {
	// connMaxAgeSeconds is CONN_MAX_AGE: how long a web thread keeps a connection, in seconds.
	// 0 closes it after each request. Not applied where the database has a connection pool.
	// Defaults to 300.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	ConnMaxAgeSeconds *int32 `json:"connMaxAgeSeconds,omitempty"`
	// connectTimeoutSeconds is how long a new connection may take, in seconds. Defaults to 10.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=600
	ConnectTimeoutSeconds *int32 `json:"connectTimeoutSeconds,omitempty"`
}

// Cache bounds the connections of Django's Redis cache.
type Cache struct {
	// maxConnections of each process to the cache. Defaults to 50.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	MaxConnections *int32 `json:"maxConnections,omitempty"`
	// socketTimeoutSeconds is how long connecting and each reply may take, in seconds. Defaults to 5.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=600
	SocketTimeoutSeconds *int32 `json:"socketTimeoutSeconds,omitempty"`
}
