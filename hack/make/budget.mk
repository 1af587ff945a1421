# The planner of internal/budget.

BUDGET_CHECKS ?= 50000

.PHONY: test-budget
test-budget: ## Test the planner at length: BUDGET_CHECKS random histories per property.
	go test ./internal/budget/... -timeout 60m -rapid.checks=$(BUDGET_CHECKS)

.PHONY: bench-budget
bench-budget: ## Measure the planner, allocations included.
	go test ./internal/budget/... -run '^$$' -bench .
