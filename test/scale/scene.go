// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/memorybudget/memorybudget/internal/manager"
	"github.com/memorybudget/memorybudget/test/localcluster"
	"github.com/memorybudget/memorybudget/test/testrbac"
)

// patience bounds each wait.
const patience = 2 * time.Minute

// password is that of all brokers.
const password = "scale"

// scene is a control plane with brokers and at most one operator.
type scene struct {
	*settings
	cluster  *localcluster.Cluster
	admin    client.WithWatch
	brokers  []*redis.Client
	operator *operator
}

// open starts a control plane. Whoever calls it must close it.
func open(ctx context.Context, s *settings, brokers int) (*scene, error) {
	path, err := filepath.Abs(s.program)
	if err != nil {
		return nil, err
	}
	s.program = path
	cluster, err := localcluster.Start(ctx, localcluster.Options{
		ControllerManager: s.controllers, Audit: true, StartTimeout: 10 * time.Minute,
	})
	if err != nil {
		return nil, err
	}
	sc := &scene{settings: s, cluster: cluster}
	if err := sc.prepare(ctx, brokers); err != nil {
		return nil, errors.Join(err, sc.close())
	}
	return sc, nil
}

func (s *scene) prepare(ctx context.Context, brokers int) error {
	if err := testrbac.Install(ctx, s.cluster.RESTConfig()); err != nil {
		return err
	}
	var err error
	if s.admin, err = client.NewWithWatch(s.cluster.RESTConfig(), client.Options{Scheme: manager.Scheme()}); err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	for i := range brokers {
		if err := s.startBroker(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// close ends everything.
func (s *scene) close() error {
	for _, broker := range s.brokers {
		_ = broker.Close()
	}
	return s.cluster.Stop()
}

func (s *scene) startBroker(ctx context.Context, i int) error {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return fmt.Errorf("redis-server is not installed (hack/brokers-env.sh installs it): %w", err)
	}
	port := strconv.Itoa(freePort())
	err = s.cluster.Run(localcluster.Process{Name: fmt.Sprintf("redis-%d", i), Path: path, Args: []string{
		"--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--requirepass", password,
	}})
	if err != nil {
		return err
	}
	broker := redis.NewClient(&redis.Options{
		Addr: net.JoinHostPort("127.0.0.1", port), Password: password, DisableIdentity: true, PoolSize: 1,
	})
	s.brokers = append(s.brokers, broker)
	return await(ctx, "Redis", func(ctx context.Context) error { return broker.Ping(ctx).Err() })
}

// freePort is one that nobody listened on a moment ago, below those of outgoing connections.
func freePort() int {
	for {
		port := 10000 + rand.IntN(10000)
		if listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			_ = listener.Close()
			return port
		}
	}
}

func await(ctx context.Context, what string, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if sleep(ctx, 50*time.Millisecond) != nil {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// namespace makes one with the Secrets of all brokers, which the operator may read there.
func (s *scene) namespace(ctx context.Context, name string) error {
	if err := s.admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
		return err
	}
	for i, broker := range s.brokers {
		if err := s.secret(ctx, name, brokerName(i), broker.Options().Addr, password); err != nil {
			return err
		}
	}
	objects, err := testrbac.Kustomize(filepath.Join(testrbac.Root(), "config", "broker-secrets"))
	if err != nil {
		return err
	}
	for _, object := range objects {
		object.SetNamespace(name)
	}
	return testrbac.Apply(ctx, s.cluster.RESTConfig(), objects)
}

func brokerName(i int) string { return fmt.Sprintf("broker-%d", i) }

func (s *scene) secret(ctx context.Context, namespace, name, address, secret string) error {
	return s.admin.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		StringData: map[string]string{"url": "redis://:" + secret + "@" + address + "/0"},
	})
}

// startOperator runs the operator for one namespace, as the service account that it ships with.
func (s *scene) startOperator(ctx context.Context, namespace string) error {
	kubeconfig, err := s.cluster.Kubeconfig(testrbac.Username,
		"system:serviceaccounts", "system:serviceaccounts:"+testrbac.Namespace, "system:authenticated")
	if err != nil {
		return err
	}
	path := filepath.Join(s.cluster.Dir(), "operator.kubeconfig")
	if err := os.WriteFile(path, kubeconfig, 0o600); err != nil {
		return err
	}
	listen := net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort()))
	err = s.cluster.Run(localcluster.Process{
		Name: "operator", Path: s.program,
		Args: []string{
			"-listen", listen, "-interval", s.interval.String(), "--", "--metrics-bind-address=0", "--health-probe-bind-address=0",
			"--leader-election-namespace=" + testrbac.Namespace, "--watch-namespaces=" + namespace,
			"--max-concurrent-reconciles=" + strconv.Itoa(s.workers),
		},
		Env: []string{"KUBECONFIG=" + path, "GOMEMLIMIT=" + s.memoryLimit},
	})
	if err != nil {
		return err
	}
	s.operator = &operator{pid: s.cluster.Processes()["operator"], url: "http://" + listen}
	return await(ctx, "the operator", func(ctx context.Context) error { _, err := s.operator.metrics(ctx); return err })
}
