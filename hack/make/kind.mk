##@ Real cluster

# Two real nodes, with Docker: kind's own image where a registry can be reached, one made from Go modules and Debian
# packages where none can be. docs/kind.md says what it takes.

KIND         := $(TOOLS_BIN)/kind
KIND_CLUSTER ?= memorybudget

KIND_ENV = KIND_CLUSTER=$(KIND_CLUSTER) MEMORYBUDGET_TOOLS_BIN=$(TOOLS_BIN) MEMORYBUDGET_CONTROLPLANE_BIN=$(CONTROLPLANE_BIN)

$(KIND): hack/tools/kind/go.mod hack/tools/kind/go.sum hack/build-binaries.sh
	@$(call build-tool,kind,sigs.k8s.io/kind)

.PHONY: kind-up
kind-up: $(KIND) ## Bring up a kind cluster (KIND_CLUSTER) of two nodes with metrics-server; it keeps running.
	@$(KIND_ENV) hack/kind/up.sh

.PHONY: kind-load
kind-load: operator $(KIND) ## Build the images of the operator (IMG=...) and of the example, and load them into the kind cluster.
	@$(KIND_ENV) hack/kind/images.sh $(IMG) $(BIN)/memorybudget $(VERSION)

.PHONY: kind-down
kind-down: ## Remove the kind cluster and all that kind-up started.
	@$(KIND_ENV) hack/kind/down.sh

.PHONY: test-kind
test-kind: ## Test the programs that the kind cluster is made with; needs no cluster.
	cd hack/kind/programs && GOWORK=off go test ./...
