##@ Tools

# Tools, each built from a Go module of its own (hack/tools/NAME), at the version that its go.sum pins. Nothing is
# installed outside of build/bin. Recipes that need a tool depend on its variable: `lint: $(GOLANGCI_LINT)`.

TOOLS_BIN ?= $(CURDIR)/build/bin

CONTROLLER_GEN  := $(TOOLS_BIN)/controller-gen
GOLANGCI_LINT   := $(TOOLS_BIN)/golangci-lint
KUBE_API_LINTER := $(TOOLS_BIN)/golangci-lint-kube-api-linter
KUSTOMIZE       := $(TOOLS_BIN)/kustomize
HELM            := $(TOOLS_BIN)/helm
GOTESTSUM       := $(TOOLS_BIN)/gotestsum

TOOLS := $(CONTROLLER_GEN) $(GOLANGCI_LINT) $(KUBE_API_LINTER) $(KUSTOMIZE) $(HELM) $(GOTESTSUM)

# build-tool MODULE PACKAGE builds the target's file from hack/tools/MODULE; the date is set because the script leaves
# alone what is up to date by content.
build-tool = hack/build-binaries.sh hack/tools/$(1) $(TOOLS_BIN) $(notdir $@)=$(2) && touch $@

.PHONY: tools
tools: $(TOOLS) ## Build every tool into build/bin.

$(CONTROLLER_GEN): hack/tools/controller-gen/go.mod hack/tools/controller-gen/go.sum hack/build-binaries.sh
	@$(call build-tool,controller-gen,sigs.k8s.io/controller-tools/cmd/controller-gen)

$(GOLANGCI_LINT): hack/tools/golangci-lint/go.mod hack/tools/golangci-lint/go.sum hack/build-binaries.sh
	@$(call build-tool,golangci-lint,github.com/golangci/golangci-lint/v2/cmd/golangci-lint)

$(KUBE_API_LINTER): hack/tools/kube-api-linter/go.mod hack/tools/kube-api-linter/go.sum hack/build-binaries.sh
	@$(call build-tool,kube-api-linter,sigs.k8s.io/kube-api-linter/cmd/golangci-lint-kube-api-linter)

$(KUSTOMIZE): hack/tools/kustomize/go.mod hack/tools/kustomize/go.sum hack/build-binaries.sh
	@$(call build-tool,kustomize,sigs.k8s.io/kustomize/kustomize/v5)

$(HELM): hack/tools/helm/go.mod hack/tools/helm/go.sum hack/build-binaries.sh
	@$(call build-tool,helm,helm.sh/helm/v4/cmd/helm)

$(GOTESTSUM): hack/tools/gotestsum/go.mod hack/tools/gotestsum/go.sum hack/build-binaries.sh
	@$(call build-tool,gotestsum,gotest.tools/gotestsum)
