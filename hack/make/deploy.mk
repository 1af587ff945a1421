##@ Operator: run and deploy

IMAGE := ghcr.io/memorybudget/memorybudget
# The image that deploy, docker-build and build-installer use: that of the release, as in the chart, unless said otherwise.
IMG ?= $(IMAGE):$(shell sed -n 's/^appVersion: *//p' $(CHART)/Chart.yaml)
CONTAINER_TOOL ?= docker
KUBECTL ?= kubectl

INSTALLER ?= dist/install.yaml

CHART := charts/memorybudget
# What the chart takes over from config/, unchanged.
CHART_FILES := config/crd/bases/memorybudget.dev_memorybudgets.yaml \
	config/policy/authors.yaml config/policy/operator_pods.yaml \
	config/prometheus/alerts.yaml config/prometheus/monitor.yaml \
	config/broker-secrets/broker_secrets_role.yaml \
	$(addprefix config/rbac/,role.yaml leader_election_role.yaml metrics_auth_role.yaml metrics_reader_role.yaml editor_role.yaml viewer_role.yaml)

# with-image renders config/default with $(IMG) in place of the published image; config/ stays as it is.
define with-image
@mkdir -p $(BUILD)/deploy && rm -f $(BUILD)/deploy/kustomization.yaml
@cd $(BUILD)/deploy && $(KUSTOMIZE) create --resources ../../config/default && $(KUSTOMIZE) edit set image $(IMAGE)=$(IMG)
endef

# no-memorybudgets ends the recipe while there are MemoryBudgets: they, and all that was made for them, would go too.
no-memorybudgets = hack/no-memorybudgets.sh $(KUBECTL)

.PHONY: run
run: ## Run the operator from here against the current kubeconfig, in which no other one may run.
	@hack/no-operator.sh $(KUBECTL)
	go run . --leader-elect=false --metrics-bind-address=0 $(ARGS)

.PHONY: install
install: $(KUSTOMIZE) ## Install the CRD into the cluster of the current kubeconfig.
	$(KUSTOMIZE) build config/crd | $(KUBECTL) apply --server-side -f -

.PHONY: uninstall
uninstall: $(KUSTOMIZE) ## Remove the CRD. Refuses while there are MemoryBudgets; FORCE=1 removes them too.
	@$(no-memorybudgets)
	$(KUSTOMIZE) build config/crd | $(KUBECTL) delete --ignore-not-found -f -

.PHONY: deploy
deploy: $(KUSTOMIZE) ## Install the operator (IMG=...) with its CRD, roles and policies.
	$(with-image)
	$(KUSTOMIZE) build $(BUILD)/deploy | $(KUBECTL) apply --server-side -f -

.PHONY: undeploy
undeploy: $(KUSTOMIZE) ## Remove what deploy installed. Refuses while there are MemoryBudgets; FORCE=1 removes them too.
	@$(no-memorybudgets)
	$(KUSTOMIZE) build config/default | $(KUBECTL) delete --ignore-not-found -f -

.PHONY: build-installer
build-installer: $(KUSTOMIZE) ## Write dist/install.yaml, one file for `kubectl apply` (IMG=...).
	$(with-image)
	@mkdir -p $(dir $(INSTALLER))
	$(KUSTOMIZE) build $(BUILD)/deploy > $(INSTALLER)

.PHONY: docker-build
docker-build: ## Build the operator's image (IMG=..., CONTAINER_TOOL=podman).
	$(CONTAINER_TOOL) build --build-arg VERSION=$(VERSION) --tag $(IMG) .

##@ Chart

.PHONY: chart-sync
chart-sync: ## Copy the CRD, roles and policies of config/ into the chart, and its values into its README.
	@mkdir -p $(CHART)/files
	cp $(CHART_FILES) $(CHART)/files/
	go run ./hack/chart-values $(CHART)

.PHONY: helm-lint
helm-lint: $(HELM) ## Lint the chart.
	$(HELM) lint --strict $(CHART)
	$(HELM) lint --strict $(CHART) --set 'watchNamespaces={a,b}'
