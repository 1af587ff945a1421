// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package localcluster

import (
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/util/cert"
)

func TestFailedStartSaysWhyAndLeavesNothing(t *testing.T) {
	tests := map[string]struct {
		etcd         string
		timeout      time.Duration
		wantErrors   []string
		wantAttempts int
	}{
		"a program ends": {
			etcd:         "echo attempt >> attempts; echo no space left; exit 1",
			wantErrors:   []string{"waiting for the API server", "etcd ended", "no space left", "logs/etcd.log"},
			wantAttempts: 1,
		},
		"the port is taken every time": {
			etcd:         "echo attempt >> attempts; echo bind: address already in use; exit 1",
			wantErrors:   []string{"etcd ended", "address already in use"},
			wantAttempts: portAttempts,
		},
		"nobody answers": {
			etcd:         "echo attempt >> attempts; exec sleep 600",
			timeout:      time.Second,
			wantErrors:   []string{"waiting for the API server", "deadline exceeded", "connection refused", "logs/kube-apiserver.log", "starting slowly"},
			wantAttempts: 1,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := Start(context.Background(), Options{
				Dir:          dir,
				Bin:          fakeBinaries(t, map[string]string{Etcd: tc.etcd, APIServer: "echo $$ >> servers; echo starting slowly; exec sleep 600"}),
				StartTimeout: tc.timeout,
			})
			if err == nil {
				t.Fatal("want an error")
			}
			for _, want := range tc.wantErrors {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error lacks %q: %v", want, err)
				}
			}
			requireAttempts(t, dir, tc.wantAttempts)
			requireNoProcessIn(t, dir)
			if err := Stop(dir, nil); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("want no cluster to be found, got %v", err)
			}
		})
	}
}

// requireAttempts fails the test unless the fake etcd was started so many times.
func requireAttempts(t *testing.T, dir string, want int) {
	t.Helper()
	attempts, err := os.ReadFile(filepath.Join(dir, "attempts"))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(attempts), "attempt"); got != want {
		t.Errorf("want %d attempts, got %d", want, got)
	}
}

// processesIn lists the processes whose working directory is dir, which is so for every program of a cluster.
func processesIn(t *testing.T, dir string) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(links, func(link string) bool {
		cwd, err := os.Readlink(link)
		return err != nil || strings.TrimSuffix(cwd, " (deleted)") != dir
	})
}

// requireNoProcessIn fails the test when a process stays in dir.
func requireNoProcessIn(t *testing.T, dir string) {
	t.Helper()
	waitFor(t, "the end of all processes in "+dir, func() bool { return len(processesIn(t, dir)) == 0 })
}

func TestExtraArgumentsComeLast(t *testing.T) {
	l := launcher{dir: "/d", bin: "/b", extra: map[string][]string{Kwok: {"--v=4"}}}
	got := l.kwok()
	if got.Path != "/b/kwok" || got.Args[len(got.Args)-1] != "--v=4" {
		t.Errorf("got %+v", got)
	}
	if args := l.etcd().Args; slices.Contains(args, "--v=4") {
		t.Errorf("another program got the arguments: %v", args)
	}
}

func TestClusterWithoutItsKeysCanStillBeStopped(t *testing.T) {
	dir := t.TempDir()
	process, err := start(shell(Etcd, "exec sleep 600"), dir, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := (state{Detached: true, Processes: []*running{process}}).save(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("want an error that does not deny the cluster, got %v", err)
	}
	if err := Stop(dir, nil); err != nil {
		t.Fatal(err)
	}
	requireNoProcessIn(t, dir)
}

func TestStartNamesMissingBinaries(t *testing.T) {
	_, err := Start(context.Background(), Options{Bin: fakeBinaries(t, map[string]string{Etcd: "", APIServer: ""}), ControllerManager: true, Scheduler: true})
	if err == nil || !strings.Contains(err.Error(), "lacks kube-controller-manager, kube-scheduler: run `make control-plane`") {
		t.Errorf("got %v", err)
	}
}

func TestTwoClustersNeverShareADirectory(t *testing.T) {
	dir := t.TempDir()
	held, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Close() }()
	_, err = Start(context.Background(), Options{Dir: dir, Bin: fakeBinaries(t, map[string]string{Etcd: "", APIServer: ""})})
	if err == nil || !strings.Contains(err.Error(), "another process is starting or stopping the cluster in "+dir) {
		t.Errorf("got %v", err)
	}
}

func TestTemporaryDirectoriesOfKilledProcessesAreRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	abandoned, heldA, err := temporaryDir()
	if err != nil {
		t.Fatal(err)
	}
	inUse, heldB, err := temporaryDir()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = heldB.Close() }()
	if _, err := os.Stat(abandoned); err != nil {
		t.Fatalf("a directory in use was removed: %v", err)
	}
	if err := heldA.Close(); err != nil {
		t.Fatal(err)
	}
	_, heldC, err := temporaryDir()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = heldC.Close() }()
	if _, err := os.Stat(abandoned); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an abandoned directory is left: %v", err)
	}
	if _, err := os.Stat(inUse); err != nil {
		t.Errorf("a directory in use was removed: %v", err)
	}
}

func TestAuthoritySurvivesLoading(t *testing.T) {
	dir := t.TempDir()
	made, err := newAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := loadAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := loaded.client("jane", "team-a", "team-b")
	if err != nil {
		t.Fatal(err)
	}
	certificates, err := cert.ParseCertsPEM(pair.certificate)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(made.certificate)
	if _, err := certificates[0].Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Errorf("the certificate is not one of the cluster's: %v", err)
	}
	subject := certificates[0].Subject
	if subject.CommonName != "jane" || strings.Join(subject.Organization, ",") != "team-a,team-b" {
		t.Errorf("got subject %v", subject)
	}
	info, err := os.Stat(pkiPath(dir, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode is %v", info.Mode())
	}
}
