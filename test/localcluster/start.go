// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"context"
	"errors"
	"strings"

	"k8s.io/client-go/kubernetes"
)

// portAttempts is how often a start is repeated when another program took a port that had been free.
const portAttempts = 3

// startOrStop brings the cluster up; on failure it ends what runs. Logs of a failed start stay where the directory does.
func (c *Cluster) startOrStop(ctx context.Context, options Options) error {
	ctx, cancel := context.WithTimeout(ctx, options.StartTimeout)
	defer cancel()
	err := c.bringUp(ctx, options)
	if err != nil {
		return errors.Join(err, c.Stop())
	}
	if options.Detached {
		// Closing gives the lock back; nothing was written that could be lost.
		_ = c.held.Close()
		c.held = nil
	}
	return nil
}

// bringUp starts the programs and waits for each condition in turn.
func (c *Cluster) bringUp(ctx context.Context, options Options) error {
	client, err := c.startServer(ctx, options)
	if err != nil {
		return err
	}
	if !options.ControllerManager {
		return nil
	}
	c.say("Waiting for the controller manager")
	if err := c.await(ctx, "the default service account", ControllerManager, podsAdmitted(client)); err != nil {
		return err
	}
	return c.addNodes(ctx, client, options)
}

// addNodes registers the nodes that are asked for and waits until pods can run on them.
func (c *Cluster) addNodes(ctx context.Context, client kubernetes.Interface, options Options) error {
	if options.Nodes == 0 {
		return nil
	}
	c.say("Waiting for %d simulated nodes", options.Nodes)
	err := c.await(ctx, "the API server to take nodes", APIServer, func(ctx context.Context) error {
		return createNodes(ctx, client, options.Nodes, options.NodeCapacity)
	})
	if err != nil {
		return err
	}
	return c.await(ctx, "the simulated nodes", Kwok, nodesReady(client, options.Nodes))
}

// startServer starts all programs and waits for the API server, on other ports when the first ones were taken meanwhile.
func (c *Cluster) startServer(ctx context.Context, options Options) (kubernetes.Interface, error) {
	for attempt := 1; ; attempt++ {
		client, err := c.tryServer(ctx, options)
		if err == nil || attempt == portAttempts || !c.portTaken(err) {
			return client, err
		}
		c.say("A port was taken meanwhile: trying others")
		if err := c.stopProcesses(); err != nil {
			return nil, err
		}
	}
}

// tryServer starts all programs with new keys on free ports and waits for the API server.
func (c *Cluster) tryServer(ctx context.Context, options Options) (kubernetes.Interface, error) {
	if err := erase(c.dir); err != nil {
		return nil, err
	}
	l, err := c.newLauncher(options)
	if err != nil {
		return nil, err
	}
	if err := c.writeFiles(options.Audit); err != nil {
		return nil, err
	}
	c.say("Starting %s", strings.Join(options.programs(), ", "))
	for _, process := range []Process{l.etcd(), l.apiServer()} {
		if err := c.Run(process); err != nil {
			return nil, err
		}
	}
	client, err := clientFor(c.admin)
	if err != nil {
		return nil, err
	}
	c.say("Waiting for the API server at %s", c.server)
	if err := c.await(ctx, "the API server", APIServer, serverReady(client)); err != nil {
		return nil, err
	}
	return client, c.runClients(l, options)
}

// runClients starts the programs that talk to the API server.
func (c *Cluster) runClients(l launcher, options Options) error {
	commands := map[string]Process{
		ControllerManager: l.controllerManager(),
		Scheduler:         l.scheduler(),
		Kwok:              l.kwok(),
	}
	for _, name := range options.programs() {
		command, ok := commands[name]
		if !ok {
			continue
		}
		if err := c.Run(command); err != nil {
			return err
		}
	}
	return nil
}

// newLauncher chooses ports and forgets what an earlier attempt started.
func (c *Cluster) newLauncher(options Options) (launcher, error) {
	l := launcher{dir: c.dir, bin: options.Bin, audit: options.Audit, extra: options.ExtraArgs}
	var err error
	if l.etcdPort, err = freePort(); err != nil {
		return l, err
	}
	if l.serverPort, err = freePort(); err != nil {
		return l, err
	}
	c.server = l.serverURL()
	c.state = state{Server: c.server, Detached: options.Detached}
	return l, nil
}

// writeFiles stores everything that the programs read: keys, kubeconfig files, stages, the audit policy.
func (c *Cluster) writeFiles(audit bool) error {
	var err error
	if c.authority, err = newAuthority(c.dir); err != nil {
		return err
	}
	if err := c.authority.writeServerKeys(c.dir); err != nil {
		return err
	}
	if c.admin, err = c.UserConfig("admin", mastersGroup); err != nil {
		return err
	}
	if err := c.writeKubeconfigs(); err != nil {
		return err
	}
	if audit {
		if err := writeAuditPolicy(c.dir); err != nil {
			return err
		}
	}
	return writeStages(c.dir)
}

// writeKubeconfigs gives each program its own identity, the one that Kubernetes' default roles are bound to.
func (c *Cluster) writeKubeconfigs() error {
	for _, file := range []struct {
		path, user string
		groups     []string
	}{
		{c.KubeconfigPath(), "admin", []string{mastersGroup}},
		{kubeconfigPath(c.dir, ControllerManager), "system:kube-controller-manager", nil},
		{kubeconfigPath(c.dir, Scheduler), "system:kube-scheduler", nil},
		{kubeconfigPath(c.dir, Kwok), "kwok", []string{mastersGroup}},
	} {
		if err := c.writeKubeconfig(file.path, file.user, file.groups...); err != nil {
			return err
		}
	}
	return nil
}

// portTaken reports whether a program ended because its port was in use.
func (c *Cluster) portTaken(err error) bool {
	return errors.Is(err, errEnded) && strings.Contains(err.Error(), "address already in use")
}
