// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// temporaryPattern names the directories of clusters without one of their own.
const temporaryPattern = "memorybudget-cluster-*"

// state is what a later command must know about a cluster. It is on disk before the next program starts.
type state struct {
	Server    string     `json:"server"`
	Detached  bool       `json:"detached"`
	Processes []*running `json:"processes"`
}

func statePath(dir string) string { return filepath.Join(dir, "cluster.json") }

// kubeconfigPath names the kubeconfig file of one of the cluster's programs.
func kubeconfigPath(dir, program string) string { return pkiPath(dir, program+".kubeconfig") }

// save replaces the state on disk in one step.
func (s state) save(dir string) error {
	content, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the cluster's state: %w", err)
	}
	temporary := statePath(dir) + ".new"
	if err := os.WriteFile(temporary, content, 0o600); err != nil {
		return fmt.Errorf("writing the cluster's state: %w", err)
	}
	if err := os.Rename(temporary, statePath(dir)); err != nil {
		return fmt.Errorf("writing the cluster's state: %w", err)
	}
	return nil
}

// loadState reads the state; the error is fs.ErrNotExist where there is no cluster.
func loadState(dir string) (state, error) {
	var s state
	content, err := os.ReadFile(statePath(dir))
	if err != nil {
		return s, fmt.Errorf("no cluster in %s: %w", dir, err)
	}
	if err := json.Unmarshal(content, &s); err != nil {
		return s, fmt.Errorf("reading %s: %w", statePath(dir), err)
	}
	return s, nil
}

// erase removes everything of a cluster but its logs; the state goes first, so that what it names is complete or absent.
func erase(dir string) error {
	paths := []string{
		statePath(dir), filepath.Join(dir, "etcd"), pkiPath(dir, ""), filepath.Join(dir, "kubeconfig"),
		stagesPath(dir), auditPolicyPath(dir),
	}
	var errs []error
	for _, path := range paths {
		errs = append(errs, os.RemoveAll(path))
	}
	return errors.Join(errs...)
}

// lock takes the directory for this process, which the kernel ends with the process. It returns an error at once when
// another process has it.
func lock(dir string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("another process is starting or stopping the cluster in %s: %w", dir, err)
	}
	return file, nil
}

// prepareDir returns the absolute path of the directory, made if need be, and takes its lock.
func prepareDir(dir string) (string, *os.File, error) {
	if dir == "" {
		return temporaryDir()
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return "", nil, fmt.Errorf("finding %s: %w", dir, err)
	}
	if err := os.MkdirAll(absolute, 0o700); err != nil {
		return "", nil, fmt.Errorf("making the cluster's directory: %w", err)
	}
	held, err := lock(absolute)
	return absolute, held, err
}

// temporaryDir makes a directory for a cluster of this process, and removes those of processes that were killed.
func temporaryDir() (string, *os.File, error) {
	left, err := filepath.Glob(filepath.Join(os.TempDir(), temporaryPattern))
	if err != nil {
		return "", nil, fmt.Errorf("listing temporary directories: %w", err)
	}
	for _, dir := range left {
		removeAbandoned(dir)
	}
	dir, err := os.MkdirTemp("", temporaryPattern)
	if err != nil {
		return "", nil, fmt.Errorf("making a temporary directory: %w", err)
	}
	held, err := lock(dir)
	return dir, held, err
}

// exists reports whether there is something at path.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// removeAbandoned removes a temporary directory that had an owner and has none now. One that was made this instant has
// no lock file yet and stays.
func removeAbandoned(dir string) {
	if !exists(filepath.Join(dir, "lock")) {
		return
	}
	held, err := lock(dir)
	if err != nil {
		return
	}
	_ = os.RemoveAll(dir)
	_ = held.Close()
}
