// Copyright The MemoryBudget Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/memorybudget/memorybudget/api/v1alpha1"
	"github.com/memorybudget/memorybudget/config/crd"
	"github.com/memorybudget/memorybudget/test/localcluster"
	"github.com/memorybudget/memorybudget/test/testrbac"
)

// What all tests share: an API server with the CustomResourceDefinition, and a directory with the plugin.
var (
	cluster   *localcluster.Cluster
	config    *rest.Config
	pluginDir string
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	if pluginDir, err = os.MkdirTemp("", "memorybudget-plugin-"); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(pluginDir)) }()
	if err := build(ctx); err != nil {
		return 1, err
	}
	if cluster, err = localcluster.Start(ctx, localcluster.Options{}); err != nil {
		return 1, fmt.Errorf("starting an API server: %w", err)
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()
	config = cluster.RESTConfig()
	definition := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict(crd.MemoryBudgets, definition); err != nil {
		return 1, err
	}
	if err := testrbac.Apply(ctx, config, []*unstructured.Unstructured{definition}); err != nil {
		return 1, fmt.Errorf("installing the CustomResourceDefinition: %w", err)
	}
	return m.Run(), nil
}

// build makes the plugin and puts the script for completion beside it.
func build(ctx context.Context) error {
	root := filepath.Join("..", "..", "..")
	command := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(pluginDir, "kubectl-memorybudget"), "./cmd/kubectl-memorybudget")
	command.Dir = root
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("building the plugin: %w\n%s", err, output)
	}
	if err := lookAtSources(ctx, root); err != nil {
		return err
	}
	script, err := os.ReadFile(filepath.Join(root, "hack", "kubectl_complete-memorybudget"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(pluginDir, "kubectl_complete-memorybudget"), script, 0o700)
}

// lookAtSources lets go test know what the plugin is built from: it repeats a test whose files have changed, and takes
// the last result for one whose files have not.
func lookAtSources(ctx context.Context, root string) error {
	command := exec.CommandContext(ctx, "go", "list", "-deps",
		"-f", `{{if .Module}}{{if .Module.Main}}{{range .GoFiles}}{{$.Dir}}/{{.}}{{"\n"}}{{end}}{{end}}{{end}}`, "./cmd/kubectl-memorybudget")
	command.Dir = root
	output, err := command.Output()
	if err != nil {
		return fmt.Errorf("listing what the plugin is built from: %w", err)
	}
	for path := range strings.FieldsSeq(string(output)) {
		if _, err := os.Stat(path); err != nil {
			return err
		}
	}
	return nil
}

// result is what a command did.
type result struct {
	code        int
	out, errOut string
}

// kubectl runs the real kubectl, with full access.
func kubectl(t *testing.T, in string, args ...string) result {
	t.Helper()
	return kubectlWith(t, cluster.KubeconfigPath(), in, args...)
}

func kubectlWith(t *testing.T, kubeconfig, in string, args ...string) result {
	t.Helper()
	bin, err := localcluster.FindBinaries()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), filepath.Join(bin, "kubectl"), args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "HOME="+t.TempDir(),
		"PATH="+strings.Join([]string{pluginDir, bin, os.Getenv("PATH")}, string(os.PathListSeparator)))
	command.Stdin = strings.NewReader(in)
	var out, errOut bytes.Buffer
	command.Stdout, command.Stderr = &out, &errOut
	if err := command.Run(); err != nil && command.ProcessState == nil {
		t.Fatal(err)
	}
	return result{command.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// expect compares a result with what it should be.
func (r result) expect(t *testing.T, code int, out, errOut string) {
	t.Helper()
	if r.code != code || r.out != out || r.errOut != errOut {
		t.Errorf("exit status %d, standard output:\n%s\nstandard error:\n%s\nwant %d,\n%s\nand\n%s", r.code, r.out, r.errOut, code, out, errOut)
	}
}

// namespace makes a namespace with the service account that its pods need.
func namespace(t *testing.T, name string) {
	t.Helper()
	client := kubernetes.NewForConfigOrDie(config)
	if _, err := client.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	if _, err := client.CoreV1().ServiceAccounts(name).Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func budgets(namespace string) dynamic.ResourceInterface {
	return dynamic.NewForConfigOrDie(config).Resource(v1alpha1.SchemeGroupVersion.WithResource("memorybudgets")).Namespace(namespace)
}

const plain = `
apiVersion: memorybudget.dev/v1alpha1
kind: MemoryBudget
metadata: {name: NAME}
spec:
  memory: 2Gi
  application: {image: "app:1"}
  tiers:
  - {name: work, role: Worker, memory: {perPod: 128Mi}, process: {}}
`

// create makes a MemoryBudget.
func create(t *testing.T, namespace, name string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(strings.ReplaceAll(plain, "NAME", name)), object); err != nil {
		t.Fatal(err)
	}
	created, err := budgets(namespace).Create(t.Context(), object, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return created
}
