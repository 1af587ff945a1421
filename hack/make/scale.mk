##@ Test

# The operator as a process of its own, on a local control plane that is started and stopped, with real Redis servers.
SCALE_RESOURCES ?= 1000
SCALE_FLAGS     ?=
SCALE = MEMORYBUDGET_CONTROLPLANE_BIN=$(CONTROLPLANE_BIN) $(BIN)/scale -operator $(BIN)/scale-operator

.PHONY: scale-programs
scale-programs: control-plane brokers-env
	@CGO_ENABLED=0 go build -ldflags "-s -w" -o $(BIN)/scale-operator ./test/scale/operator
	@go build -o $(BIN)/scale ./test/scale

.PHONY: bench-scale
bench-scale: scale-programs ## Measure SCALE_RESOURCES resources on 20 brokers, beside a client that only writes.
	$(SCALE) -resources $(SCALE_RESOURCES) $(SCALE_FLAGS) settle

.PHONY: bench-latency
bench-latency: scale-programs ## Measure the time from a task to the write that it brings, at two poll intervals.
	$(SCALE) -controllers=false -interval 1s -steps 60 $(SCALE_FLAGS) latency
	$(SCALE) -controllers=false -steps 20 $(SCALE_FLAGS) latency

.PHONY: bench-brokers
bench-brokers: scale-programs ## Measure what brokers that hang, refuse or answer nonsense do to the resources of others.
	$(SCALE) -controllers=false $(SCALE_FLAGS) brokers
