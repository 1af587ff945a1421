##@ Local control plane

# A Kubernetes control plane on this machine: no root, no Docker, no downloaded binary.

CONTROLPLANE_BIN ?= $(CURDIR)/build/controlplane/bin
LOCAL_DIR        ?= $(CURDIR)/build/demo
LOCAL_NODES      ?= 3

LOCALCLUSTER = MEMORYBUDGET_CONTROLPLANE_BIN=$(CONTROLPLANE_BIN) go run ./hack/localcluster

.PHONY: control-plane
control-plane: ## Build etcd, the Kubernetes control plane, kubectl and kwok from Go modules (7 minutes the first time).
	@hack/build-controlplane.sh $(CONTROLPLANE_BIN)

.PHONY: local-up
local-up: control-plane ## Start a local control plane with simulated nodes; it keeps running.
	@$(LOCALCLUSTER) up --dir $(LOCAL_DIR) --nodes $(LOCAL_NODES)

.PHONY: local-down
local-down: ## Stop everything that local-up started.
	@$(LOCALCLUSTER) down --dir $(LOCAL_DIR)

.PHONY: local-status
local-status: ## Show what of the local control plane runs.
	@$(LOCALCLUSTER) status --dir $(LOCAL_DIR)
