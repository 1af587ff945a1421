##@ kubectl plugin

.PHONY: kubectl-plugin
kubectl-plugin: ## Build the kubectl plugin into build/bin: put that on PATH, then `kubectl memorybudget`.
	@echo "Building the kubectl plugin"
	@$(GO_BUILD) -o $(BIN)/kubectl-memorybudget ./cmd/kubectl-memorybudget
	@install -m 0755 hack/kubectl_complete-memorybudget $(BIN)/kubectl_complete-memorybudget
