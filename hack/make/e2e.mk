##@ End to end

# The images that the cluster's nodes have or can pull. A kind cluster of our own gets them by kind-load.
E2E_OPERATOR_IMAGE ?= $(IMG)
E2E_SHOP_IMAGE     ?= bunoraa:dev
E2E_SERVICES_IMAGE ?= bunoraa-services:dev
# The shop with a newer Celery, made by `RELEASE=sid examples/bunoraa/image.sh shop FILE`; without it only one is tried.
E2E_NEW_SHOP_IMAGE ?=
# Which proofs: the pattern of go test -run.
E2E_RUN ?= .

# With KUBECONFIG=... on the command line the proofs run there, otherwise on a kind cluster that goes with them.
E2E_KUBECONFIG = $(if $(filter command,$(firstword $(origin KUBECONFIG))),$(abspath $(KUBECONFIG)),)

.PHONY: test-e2e
test-e2e: $(HELM) $(GOTESTSUM) ## Prove on a real cluster what is promised: a kind cluster of its own, or KUBECONFIG=... (KEEP=1 leaves kind up).
	@E2E_KUBECONFIG=$(E2E_KUBECONFIG) KEEP=$(KEEP) \
		MEMORYBUDGET_E2E_OPERATOR_IMAGE=$(E2E_OPERATOR_IMAGE) MEMORYBUDGET_E2E_SHOP_IMAGE=$(E2E_SHOP_IMAGE) \
		MEMORYBUDGET_E2E_SERVICES_IMAGE=$(E2E_SERVICES_IMAGE) MEMORYBUDGET_E2E_NEW_SHOP_IMAGE=$(E2E_NEW_SHOP_IMAGE) \
		MEMORYBUDGET_TOOLS_BIN=$(TOOLS_BIN) hack/test-e2e.sh '$(E2E_RUN)'
