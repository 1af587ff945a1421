// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

// Package manager builds the operator from its flags: the scheme, a cache that holds only what is
// ours, leader election, probes, metrics, and the controller.
package manager

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	ctrlmanager "sigs.k8s.io/controller-runtime/pkg/manager"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/controllers"
	"github.com/memorybudget/memorybudget/internal/observe"
	"github.com/memorybudget/memorybudget/internal/recording"
	"github.com/memorybudget/memorybudget/internal/signals"
)

// leaseName is the name of the leader election's lease.
const leaseName = "memorybudget-leader"

// Run starts the operator with the flags in args and returns when ctx ends. The version is told to
// the log and to the API server.
func Run(ctx context.Context, args []string, version string) error {
	options, err := Parse(args)
	if err != nil {
		return err
	}
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&options.Log)))
	restConfig, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding a cluster: %w", err)
	}
	restConfig.UserAgent, options.Version = "memorybudget/"+version, version
	mgr, err := New(restConfig, options)
	if err != nil {
		return err
	}
	ctrl.Log.Info("Starting", "version", version)
	return mgr.Start(ctx)
}

// New builds the operator for a cluster.
func New(restConfig *rest.Config, options Options) (ctrl.Manager, error) {
	restConfig = rest.CopyConfig(restConfig)
	restConfig.QPS, restConfig.Burst = -1, 0
	if options.KubeAPIQPS > 0 {
		restConfig.QPS, restConfig.Burst = float32(options.KubeAPIQPS), options.KubeAPIBurst
	}
	mgr, err := ctrl.NewManager(restConfig, managerOptions(options))
	if err != nil {
		return nil, fmt.Errorf("building the manager: %w", err)
	}
	if err := addProbes(mgr); err != nil {
		return nil, err
	}
	brokers := signals.New(brokerOptions(mgr, restConfig, options))
	recorder, err := addRecorder(mgr, options)
	if err != nil {
		return nil, err
	}
	usage := signals.NewUsage(signals.UsageOptions{
		Client: mgr.GetAPIReader(), Namespaces: options.WatchNamespaces, Log: mgr.GetLogger().WithName("usage"),
		Interval: options.UsageInterval,
	})
	metrics, err := signals.NewMetrics(metricsOptions(mgr, restConfig, options))
	if err != nil {
		return nil, fmt.Errorf("setting up readings of metrics: %w", err)
	}
	if err := controllers.New(mgr, brokers, usage, metrics, recorder).SetupWithManager(mgr); err != nil {
		return nil, fmt.Errorf("setting up the controller: %w", err)
	}
	for _, readings := range []ctrlmanager.Runnable{brokers, usage, metrics} {
		if err := mgr.Add(readings); err != nil {
			return nil, fmt.Errorf("adding readings: %w", err)
		}
	}
	return mgr, nil
}

// addRecorder makes what records decisions, nil where they are not to be recorded.
func addRecorder(mgr ctrl.Manager, options Options) (*recording.Recorder, error) {
	if options.RecordSnapshots == "" {
		return nil, nil
	}
	recorder := recording.New(recording.Options{
		Dir: options.RecordSnapshots, Bytes: options.RecordBytes, Operator: options.Version, Clock: clock.RealClock{},
		Log: mgr.GetLogger().WithName("recording"),
	})
	// A process has one, unless it runs the operator several times, as tests do.
	err := ctrlmetrics.Registry.Register(recorder)
	if already := (prometheus.AlreadyRegisteredError{}); err != nil && !errors.As(err, &already) {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	if err := mgr.Add(recorder); err != nil {
		return nil, fmt.Errorf("adding the recording: %w", err)
	}
	return recorder, nil
}

func brokerOptions(mgr ctrl.Manager, restConfig *rest.Config, options Options) signals.Options {
	return signals.Options{
		Secrets: mgr.GetAPIReader(), Guard: guardOf(restConfig, options), Log: mgr.GetLogger().WithName("brokers"),
		Interval: options.BrokerInterval,
	}
}

func metricsOptions(mgr ctrl.Manager, restConfig *rest.Config, options Options) signals.MetricsOptions {
	return signals.MetricsOptions{
		Config: restConfig, Secrets: mgr.GetAPIReader(), Guard: guardOf(restConfig, options),
		Log: mgr.GetLogger().WithName("readings"), Interval: options.UsageInterval,
	}
}

// guardOf keeps the operator from talking to the API server as if it were a broker or a Prometheus.
func guardOf(restConfig *rest.Config, options Options) signals.Guard {
	if options.BrokerGuard != nil {
		return options.BrokerGuard
	}
	var hosts []string
	if server, _, err := rest.DefaultServerUrlFor(restConfig); err == nil {
		hosts = append(hosts, server.Hostname())
	}
	if host := os.Getenv("KUBERNETES_SERVICE_HOST"); host != "" {
		hosts = append(hosts, host)
	}
	return signals.NewGuard(hosts...)
}

// Scheme holds the types that the operator reads and writes.
func Scheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, metricsv1beta1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err) // Only possible if two types of one build claim the same kind.
		}
	}
	return scheme
}

func managerOptions(options Options) ctrl.Options {
	return ctrl.Options{
		Scheme: Scheme(),
		Client: client.Options{FieldOwner: controllers.FieldOwner},
		Cache:  cacheOptions(options.WatchNamespaces),
		Metrics: metricsserver.Options{
			BindAddress:    options.MetricsBindAddress,
			SecureServing:  true,
			FilterProvider: newAccess,
		},
		HealthProbeBindAddress:        options.HealthProbeBindAddress,
		LeaderElection:                options.LeaderElect,
		LeaderElectionID:              leaseName,
		LeaderElectionNamespace:       options.LeaderElectionNamespace,
		LeaderElectionReleaseOnCancel: true,
		Controller: config.Controller{
			EnableWarmup:            new(true),
			MaxConcurrentReconciles: options.MaxConcurrentReconciles,
			// There is one controller. Unique names would only keep a process from running the operator twice, as tests do.
			SkipNameValidation: new(true),
		},
	}
}

// cacheOptions keeps only objects with our label in memory, without what nobody reads.
func cacheOptions(namespaces []string) cache.Options {
	ours, err := labels.NewRequirement(v1alpha1.NameLabel, selection.Exists, nil)
	if err != nil {
		panic(err) // The label is a constant.
	}
	selector := labels.NewSelector().Add(*ours)
	packed := func(strip func(client.Object)) cache.ByObject {
		return cache.ByObject{Label: selector, Transform: packedWithout(strip)}
	}
	nothing := func(client.Object) {}
	options := cache.Options{
		ReaderFailOnMissingInformer: true,
		DefaultTransform:            cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&appsv1.Deployment{}:            packed(nothing),
			&appsv1.ReplicaSet{}:            packed(stripRecord),
			&corev1.Pod{}:                   packed(nothing),
			&corev1.Service{}:               packed(nothing),
			&policyv1.PodDisruptionBudget{}: packed(nothing),
			&corev1.ConfigMap{}:             packed(stripData),
		},
	}
	if len(namespaces) > 0 {
		options.DefaultNamespaces = map[string]cache.Config{}
	}
	for _, namespace := range namespaces {
		options.DefaultNamespaces[namespace] = cache.Config{}
	}
	return options
}

// packedWithout is a transform of the cache that packs objects without a part that nobody reads.
func packedWithout(strip func(client.Object)) toolscache.TransformFunc {
	packer := &observe.Packer{}
	return func(object any) (any, error) {
		if full, ok := object.(client.Object); ok {
			strip(full)
		}
		return packer.Pack(object)
	}
}

// stripData drops the content of ConfigMaps: they are immutable and named by its hash.
func stripData(object client.Object) {
	if configMap, ok := object.(*corev1.ConfigMap); ok {
		configMap.Data, configMap.BinaryData = nil, nil
	}
}

// stripRecord drops the record of the template, which the Deployment controller copies to ReplicaSets and nobody reads there.
func stripRecord(object client.Object) {
	delete(object.GetAnnotations(), v1alpha1.TemplateAnnotation)
}

func addProbes(mgr ctrl.Manager) error {
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("adding the health probe: %w", err)
	}
	if err := mgr.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("adding the readiness probe: %w", err)
	}
	return nil
}
