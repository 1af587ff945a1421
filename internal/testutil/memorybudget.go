// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package testutil

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
)

// MemoryBudgetWrapper builds a MemoryBudget.
type MemoryBudgetWrapper struct{ v1alpha1.MemoryBudget }

// MakeMemoryBudget starts a MemoryBudget with a memory of 2Gi, an image and no tiers.
func MakeMemoryBudget(name, namespace string) *MemoryBudgetWrapper {
	return &MemoryBudgetWrapper{v1alpha1.MemoryBudget{
		TypeMeta: metav1.TypeMeta{
			APIVersion: v1alpha1.SchemeGroupVersion.String(),
			Kind:       "MemoryBudget",
		},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: v1alpha1.MemoryBudgetSpec{
			Memory:      resource.MustParse("2Gi"),
			Application: v1alpha1.Application{Image: "registry.example/shop:1"},
		},
	}}
}

// Obj returns the MemoryBudget.
func (w *MemoryBudgetWrapper) Obj() *v1alpha1.MemoryBudget { return &w.MemoryBudget }

// Clone returns a builder that goes on from here without changing this one.
func (w *MemoryBudgetWrapper) Clone() *MemoryBudgetWrapper {
	return &MemoryBudgetWrapper{*w.DeepCopy()}
}

// UID sets the UID, as the API server would.
func (w *MemoryBudgetWrapper) UID(uid string) *MemoryBudgetWrapper {
	w.ObjectMeta.UID = types.UID(uid)
	return w
}

// Generation sets the generation, as the API server would.
func (w *MemoryBudgetWrapper) Generation(generation int64) *MemoryBudgetWrapper {
	w.ObjectMeta.Generation = generation
	return w
}

// Memory sets the budget.
func (w *MemoryBudgetWrapper) Memory(quantity string) *MemoryBudgetWrapper {
	w.Spec.Memory = resource.MustParse(quantity)
	return w
}

// Reserve sets the reserve: Auto, a percentage or a quantity.
func (w *MemoryBudgetWrapper) Reserve(reserve string) *MemoryBudgetWrapper {
	w.Spec.Reserve = new(v1alpha1.Reserve(reserve))
	return w
}

// Policy sets the policy.
func (w *MemoryBudgetWrapper) Policy(policy v1alpha1.Policy) *MemoryBudgetWrapper {
	w.Spec.Policy = policy
	return w
}

// Pause sets the pause.
func (w *MemoryBudgetWrapper) Pause(pause v1alpha1.Pause) *MemoryBudgetWrapper {
	w.Spec.Pause = pause
	return w
}

// Verification sets the verification.
func (w *MemoryBudgetWrapper) Verification(verification v1alpha1.Verification) *MemoryBudgetWrapper {
	w.Spec.Verification = verification
	return w
}

// Image sets the image of the application.
func (w *MemoryBudgetWrapper) Image(image string) *MemoryBudgetWrapper {
	w.Spec.Application.Image = image
	return w
}

// Env adds a variable to the application.
func (w *MemoryBudgetWrapper) Env(name, value string) *MemoryBudgetWrapper {
	w.Spec.Application.Env = append(w.Spec.Application.Env, corev1.EnvVar{Name: name, Value: value})
	return w
}

// Django makes the application a Django project, with the defaults of the API server.
func (w *MemoryBudgetWrapper) Django(settingsModule string) *MemoryBudgetWrapper {
	w.Spec.Application.Django = &v1alpha1.Django{
		SettingsModule: settingsModule,
		Debug:          v1alpha1.SwitchDisabled,
		LogLevel:       "WARNING",
	}
	return w
}

// CeleryApp names the Celery app of the application.
func (w *MemoryBudgetWrapper) CeleryApp(app string) *MemoryBudgetWrapper {
	w.Spec.Application.Celery = &v1alpha1.CeleryApp{App: app}
	return w
}

// Pod sets what the pods of all tiers get.
func (w *MemoryBudgetWrapper) Pod(pod *v1alpha1.Pod) *MemoryBudgetWrapper {
	w.Spec.Application.Pod = pod
	return w
}

// Redis makes the broker a Redis whose URL is a key of a Secret.
func (w *MemoryBudgetWrapper) Redis(secret, key string) *MemoryBudgetWrapper {
	w.Spec.Broker = &v1alpha1.Broker{Redis: &v1alpha1.RedisBroker{URLFrom: urlFrom(secret, key)}}
	return w
}

// RabbitMQ makes the broker a RabbitMQ whose URL is a key of a Secret.
func (w *MemoryBudgetWrapper) RabbitMQ(secret, key string) *MemoryBudgetWrapper {
	w.Spec.Broker = &v1alpha1.Broker{RabbitMQ: &v1alpha1.RabbitMQBroker{URLFrom: urlFrom(secret, key)}}
	return w
}

func urlFrom(secret, key string) v1alpha1.URLSource {
	return v1alpha1.URLSource{SecretKeyRef: v1alpha1.SecretKeyReference{Name: secret, Key: key}}
}

// Database sets the database connections, in seconds.
func (w *MemoryBudgetWrapper) Database(maxAge, connectTimeout int32) *MemoryBudgetWrapper {
	w.Spec.Database = &v1alpha1.Database{ConnMaxAgeSeconds: &maxAge, ConnectTimeoutSeconds: &connectTimeout}
	return w
}

// Cache sets the connections of the cache and their timeout in seconds.
func (w *MemoryBudgetWrapper) Cache(maxConnections, timeout int32) *MemoryBudgetWrapper {
	w.Spec.Cache = &v1alpha1.Cache{MaxConnections: &maxConnections, SocketTimeoutSeconds: &timeout}
	return w
}

// Tier adds tiers.
func (w *MemoryBudgetWrapper) Tier(tiers ...v1alpha1.Tier) *MemoryBudgetWrapper {
	w.Spec.Tiers = append(w.Spec.Tiers, tiers...)
	return w
}

// Condition adds a condition to the status.
func (w *MemoryBudgetWrapper) Condition(condition metav1.Condition) *MemoryBudgetWrapper {
	w.Status.Conditions = append(w.Status.Conditions, condition)
	return w
}
