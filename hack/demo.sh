#!/usr/bin/env bash
# The main job, shown on a local control plane: install the resource, run the operator, apply the example, show what
# came of it. Called by `make demo`, which builds what it needs and starts the control plane. Safe to run again.
set -euo pipefail

dir=$1       # directory of the local control plane
bin=$2       # directory with memorybudget and kubectl-memorybudget
kubebin=$3   # directory with kubectl
example=examples/bunoraa/memorybudget.yaml

export KUBECONFIG=$dir/kubeconfig PATH=$bin:$kubebin:$PATH

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() { printf '$ %s\n' "$*"; "$@"; }

# served waits until the API server serves the resource, which it does and tells some time after it has taken the
# CustomResourceDefinition.
served() {
    for _ in $(seq 60); do
        kubectl get memorybudgets --all-namespaces >/dev/null 2>&1 && return
        sleep 1
    done
    kubectl get memorybudgets --all-namespaces >/dev/null
}

say "Installing the CustomResourceDefinition and starting the operator"
kubectl apply --server-side --force-conflicts -f config/crd/bases >/dev/null
served
go run ./hack/localcluster run --dir "$dir" --name memorybudget -- \
    "$bin/memorybudget" --metrics-bind-address=0 --health-probe-bind-address=0 --leader-elect=false

say "Applying $example"
kubectl apply --server-side -f - >/dev/null <<'YAML'
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: v1
kind: Secret
metadata: {name: bunoraa-broker, namespace: shop}
stringData: {url: "redis://redis:6379/0"}
YAML
run kubectl apply -n shop -f "$example"

# state prints the status and the message of Ready once they are about the spec that was applied.
state() {
    kubectl get memorybudget bunoraa -n shop -o go-template='
        {{- range .status.conditions}}{{if and (eq .type "Ready") (eq .observedGeneration $.metadata.generation)}}{{.status}} {{.message}}{{end}}{{end}}'
}

say "Waiting until it is Ready"
for _ in $(seq 90); do
    line=$(state) || line=
    [ "$line" = "${last-none}" ] || printf '  %s\n' "${line:-(no status yet)}"
    last=$line
    case $line in True*) break ;; esac
    sleep 1
done
case $last in True*) ;; *)
    echo "bunoraa is not Ready after 90 seconds; the operator's log is in $dir/logs" >&2
    kubectl get memorybudget,deployment,pod -n shop >&2
    exit 1 ;;
esac

say "What there is"
run kubectl get memorybudget,deployment,service,pod -n shop

say "What each tier wanted and got"
run kubectl memorybudget status bunoraa -n shop

say "How the budget splits (no cluster needed)"
run kubectl memorybudget plan -f "$example"

say "What to try next"
cat <<TEXT
  export KUBECONFIG=$KUBECONFIG PATH=$bin:$kubebin:\$PATH

  Raise the budget, and web gets the second pod that it wants:
    kubectl patch memorybudget bunoraa -n shop --type=merge -p '{"spec":{"memory":"2560Mi"}}'
    kubectl memorybudget status bunoraa -n shop

  Lower it and watch tiers give way, never past it:
    kubectl patch memorybudget bunoraa -n shop --type=merge -p '{"spec":{"memory":"1536Mi"}}'
    kubectl get memorybudget,pod -n shop --watch

  Break the spec and read the error:
    kubectl patch memorybudget bunoraa -n shop --type=merge -p '{"spec":{"memory":"256Mi"}}'

  Scale a tier by hand and see it put back:
    kubectl scale deployment bunoraa-web -n shop --replicas=9
    kubectl get events -n shop --field-selector=reason=ScalerConflict

  Stop everything: make demo-down
TEXT
