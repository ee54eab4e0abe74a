# Every target makes .venv first, with uv when it is there, and again only when pyproject.toml changed.
SHELL := /usr/bin/env bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
JOBS ?= 3
CODE := agent_gateway mcp_registry context_mesh a2a policies tests demos

.PHONY: help demo up test check format bench conformance conformance-a2a mesh-report mesh-wire demo-mesh clean

help: ## Say what each target does
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(READY) ## Show the gateway in front of real servers, assert every step, and end
	$(BIN)/python demos/demo.py
	$(BIN)/python demos/hand_off.py

up: $(READY) ## Serve the demo's configuration; print endpoint, token and client lines
	$(BIN)/python demos/demo.py --up

test: $(READY) ## Run every test
	$(BIN)/python -m pytest -n $(JOBS) -q

check: $(READY) ## Lint, format, types, imports, layout and sizes
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_layout.py tests/test_sizes.py tests/test_requirements.py

format: $(READY) ## Put the code in form
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

bench: $(READY) ## Measure the gateway beside a direct client and nginx
	$(BIN)/python demos/bench/run.py

conformance-a2a: $(READY) ## Run A2A's requirements at an agent, with the gateway and without
	.ci/conformance-a2a

conformance: $(READY) ## Run the official MCP suite at every way through the gateway
	.ci/conformance

mesh-report: $(READY) ## Read real API descriptions; say what becomes of each and whether every promise held
	$(BIN)/python demos/mesh_report.py $(SPECS)
	$(BIN)/python -m demos.search_report $(SPECS)

demo-mesh: $(READY) ## An API that somebody else described becomes tools: imported, curated, approved, used
	$(BIN)/python -m demos.mesh_demo

mesh-wire: $(READY) ## Let a mock server of another maker judge our requests (SPECS=… for other descriptions)
	.ci/mesh-wire $(SPECS)

clean: ## Remove what the targets made
	rm -rf $(VENV) .envs .demo .bench dist build .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml .ci/environment
	@.ci/environment $(VENV)
	@touch $@
