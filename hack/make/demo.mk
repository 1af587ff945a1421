##@ Demo

.PHONY: demo
demo: local-up operator kubectl-plugin ## Show the main job on a local control plane: no root, no Docker, nothing but Go.
	@MEMORYBUDGET_CONTROLPLANE_BIN=$(CONTROLPLANE_BIN) hack/demo.sh $(LOCAL_DIR) $(BIN) $(CONTROLPLANE_BIN)

.PHONY: demo-down
demo-down: local-down ## Stop everything that the demo started.
