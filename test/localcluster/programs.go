// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"fmt"
	"path/filepath"
)

const (
	// serviceIPs is the range of cluster addresses, firstServiceIP the one of the service `kubernetes`.
	serviceIPs     = "10.96.0.0/16"
	firstServiceIP = "10.96.0.1"
	// podIPs is the range from which kwok numbers pods.
	podIPs = "10.64.0.1/12"
	// etcdPeer is the address under which etcd would be known to other members.
	etcdPeer = "https://localhost:2380"
)

// controllerRate lifts the controller manager's and the scheduler's own limits (20 requests a second, 5 workers), which
// would otherwise be what a test of many objects measures.
var controllerRate = []string{"--kube-api-qps=2000", "--kube-api-burst=4000"}

// launcher knows what the programs of one cluster are called with.
type launcher struct {
	dir, bin string
	// etcdPort and serverPort are loopback ports.
	etcdPort, serverPort int
	audit                bool
	extra                map[string][]string
}

// process completes a program's command with the caller's own arguments.
func (l launcher) process(name string, args ...string) Process {
	return Process{Name: name, Path: filepath.Join(l.bin, name), Args: append(args, l.extra[name]...)}
}

// key and certificate name files of the cluster's keys.
func (l launcher) key(name string) string         { return pkiPath(l.dir, name+".key") }
func (l launcher) certificate(name string) string { return pkiPath(l.dir, name+".crt") }

// etcdURL is where etcd serves.
func (l launcher) etcdURL() string { return fmt.Sprintf("https://127.0.0.1:%d", l.etcdPort) }

// serverURL is where the API server serves.
func (l launcher) serverURL() string { return fmt.Sprintf("https://127.0.0.1:%d", l.serverPort) }

// etcd keeps no data over a crash of the machine (no fsync): nothing here outlives the cluster. Only holders of the
// cluster's certificates get in, since other users of the machine reach the loopback address as well.
func (l launcher) etcd() Process {
	return l.process(Etcd,
		"--data-dir="+filepath.Join(l.dir, "etcd"),
		"--listen-client-urls="+l.etcdURL(),
		"--advertise-client-urls="+l.etcdURL(),
		// A cluster of one talks to no peer; port 0 keeps it from colliding with another, and the advertised address is never used.
		"--listen-peer-urls=https://127.0.0.1:0",
		"--initial-advertise-peer-urls="+etcdPeer,
		"--initial-cluster=default="+etcdPeer,
		"--cert-file="+l.certificate(Etcd),
		"--key-file="+l.key(Etcd),
		"--trusted-ca-file="+l.certificate("ca"),
		"--client-cert-auth",
		"--peer-cert-file="+l.certificate(Etcd),
		"--peer-key-file="+l.key(Etcd),
		"--peer-trusted-ca-file="+l.certificate("ca"),
		"--peer-client-cert-auth",
		"--enable-grpc-gateway=false",
		"--unsafe-no-fsync",
		"--log-level=warn",
	)
}

// apiServer has the default admission plugins: Pod Security, ValidatingAdmissionPolicy, ServiceAccount and the others.
func (l launcher) apiServer() Process {
	args := []string{
		"--etcd-servers=" + l.etcdURL(),
		"--etcd-cafile=" + l.certificate("ca"),
		"--etcd-certfile=" + l.certificate(APIServer),
		"--etcd-keyfile=" + l.key(APIServer),
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", l.serverPort),
		"--tls-cert-file=" + l.certificate(APIServer),
		"--tls-private-key-file=" + l.key(APIServer),
		"--client-ca-file=" + l.certificate("ca"),
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + l.key("service-account"),
		"--service-account-signing-key-file=" + l.key("service-account"),
		"--service-cluster-ip-range=" + serviceIPs,
		// A loopback address cannot be an endpoint of the service `kubernetes`.
		"--endpoint-reconciler-type=none",
		"--allow-privileged",
		"--profiling=false",
	}
	if l.audit {
		args = append(args, "--audit-policy-file="+auditPolicyPath(l.dir), "--audit-log-path="+auditLogPath(l.dir))
	}
	return l.process(APIServer, args...)
}

// controllerManager runs each controller under its own service account, as kubeadm does.
func (l launcher) controllerManager() Process {
	return l.process(ControllerManager, append([]string{
		"--kubeconfig=" + kubeconfigPath(l.dir, ControllerManager),
		"--use-service-account-credentials",
		"--service-account-private-key-file=" + l.key("service-account"),
		"--root-ca-file=" + l.certificate("ca"),
		"--leader-elect=false",
		"--secure-port=0",
		"--concurrent-deployment-syncs=20",
		"--concurrent-replicaset-syncs=20",
		"--concurrent-endpoint-syncs=10",
		"--concurrent-service-endpoint-syncs=10",
		"--concurrent-gc-syncs=40",
		"--concurrent-namespace-syncs=20",
	}, controllerRate...)...)
}

// scheduler has no lease to wait for: it is alone.
func (l launcher) scheduler() Process {
	return l.process(Scheduler, append([]string{
		"--kubeconfig=" + kubeconfigPath(l.dir, Scheduler),
		"--leader-elect=false",
		"--secure-port=0",
	}, controllerRate...)...)
}

// kwok plays kubelet for every node.
func (l launcher) kwok() Process {
	return l.process(Kwok,
		"--kubeconfig="+kubeconfigPath(l.dir, Kwok),
		"--config="+stagesPath(l.dir),
		"--manage-all-nodes",
		"--cidr="+podIPs,
		"--node-lease-duration-seconds=40",
	)
}
