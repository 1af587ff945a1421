// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/internal/settings"
)

// input is the part of a resource that the pod template of one tier depends on: what the user wrote,
// with the application's part merged under the tier's, and no default, version or measurement of ours.
type input struct {
	Name, Namespace  string
	Gated            bool
	Tier             v1alpha1.Tier
	Pod              v1alpha1.Pod
	ImagePullPolicy  string
	ImagePullSecrets []v1alpha1.LocalReference
	Overlay          *overlayInput
	Servers          []serverInput
}

// overlayInput is what the Python tiers depend on besides.
type overlayInput struct {
	Verification v1alpha1.Verification
	Django       *v1alpha1.Django
	Database     *v1alpha1.Database
	Cache        *v1alpha1.Cache
	Celery       *v1alpha1.CeleryApp
	Broker       *v1alpha1.Broker
	Routes       []routeInput
}

// routeInput is what one tier adds to the routes of all publishers.
type routeInput struct {
	Tier, Queue string
	Tasks       []string
}

// serverInput is what the URL of a server tier is made of.
type serverInput struct {
	Tier   string
	Preset v1alpha1.ServerPreset
	Port   *int32
}

// InputHash names the part of the resource that the pod template of a tier depends on: it is the same
// as long as that part means the same. The order of tiers and of map keys, how quantities are spelled,
// replicas, scaling, weights, the budget, and parts of the application that the tier overrides do not count. It
// is empty for a tier that is not in the resource.
func InputHash(mb *v1alpha1.MemoryBudget, tierName string) string {
	tier := tierOf(mb, tierName)
	if tier == nil {
		return ""
	}
	in := inputOf(mb, tier.DeepCopy())
	canonical(reflect.ValueOf(&in))
	data, err := json.Marshal(in)
	if err != nil {
		panic(err) // an API type that has no JSON could not have been read either
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// inputOf fills in from a tier that it may change and keep.
func inputOf(mb *v1alpha1.MemoryBudget, tier *v1alpha1.Tier) input {
	app := mb.Spec.Application.DeepCopy()
	in := input{
		Name:             mb.Name,
		Namespace:        mb.Namespace,
		Gated:            IsGated(tier),
		Pod:              mergedPod(app.Pod, tier.Pod),
		ImagePullPolicy:  string(app.ImagePullPolicy),
		ImagePullSecrets: app.ImagePullSecrets,
		Servers:          serverInputs(mb, tier),
	}
	if settings.HasOverlay(tier) {
		in.Overlay = overlayInputOf(mb, app)
	}
	tier.Image = first(tier.Image, app.Image)
	tier.Env = settings.UserEnv(mb, tier)
	tier.EnvFrom = append(app.EnvFrom, tier.EnvFrom...)
	tier.Weight, tier.Enforcement, tier.Replicas, tier.Scaling, tier.Pod = nil, "", nil, nil, nil
	in.Tier = *tier
	return in
}

func overlayInputOf(mb *v1alpha1.MemoryBudget, app *v1alpha1.Application) *overlayInput {
	out := &overlayInput{
		Verification: mb.Spec.Verification,
		Django:       app.Django,
		Celery:       app.Celery,
		Broker:       publishedBroker(mb.Spec.Broker),
	}
	if app.Django != nil {
		out.Database, out.Cache = mb.Spec.Database, mb.Spec.Cache
	}
	if app.Celery != nil {
		out.Routes = routeInputs(mb)
	}
	return out
}

// publishedBroker is what the application learns of the broker.
func publishedBroker(broker *v1alpha1.Broker) *v1alpha1.Broker {
	if broker == nil || broker.RabbitMQ == nil {
		return broker
	}
	broker = broker.DeepCopy()
	broker.RabbitMQ.ManagementURLFrom = nil
	return broker
}

func routeInputs(mb *v1alpha1.MemoryBudget) []routeInput {
	var routes []routeInput
	for i := range mb.Spec.Tiers {
		tier := &mb.Spec.Tiers[i]
		if tier.Celery != nil && len(tier.Celery.Tasks) > 0 && len(tier.Celery.Queues) > 0 {
			routes = append(routes, routeInput{Tier: tier.Name, Queue: tier.Celery.Queues[0], Tasks: tier.Celery.Tasks})
		}
	}
	slices.SortFunc(routes, func(a, b routeInput) int { return strings.Compare(a.Tier, b.Tier) })
	return routes
}

func serverInputs(mb *v1alpha1.MemoryBudget, but *v1alpha1.Tier) []serverInput {
	var servers []serverInput
	for i := range mb.Spec.Tiers {
		if tier := &mb.Spec.Tiers[i]; tier.Server != nil && tier.Name != but.Name {
			servers = append(servers, serverInput{Tier: tier.Name, Preset: tier.Server.Preset, Port: tier.Server.Port})
		}
	}
	slices.SortFunc(servers, func(a, b serverInput) int { return strings.Compare(a.Tier, b.Tier) })
	return servers
}

var quantityType = reflect.TypeFor[resource.Quantity]()

// canonical gives every quantity in a value the one spelling of its number, in place.
func canonical(v reflect.Value) {
	switch kind := v.Kind(); {
	case kind == reflect.Pointer:
		if !v.IsNil() {
			canonical(v.Elem())
		}
	case kind == reflect.Slice:
		for i := range v.Len() {
			canonical(v.Index(i))
		}
	case kind == reflect.Struct && v.Type() == quantityType:
		v.Set(reflect.ValueOf(spelled(v.Interface().(resource.Quantity))))
	case kind == reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				canonical(v.Field(i))
			}
		}
	}
}

// spelled is a quantity in decimal notation without a trailing zero.
func spelled(q resource.Quantity) resource.Quantity {
	decimal, err := resource.ParseQuantity(q.AsDec().String())
	if err != nil {
		return q
	}
	return decimal
}
