# Everything a user or a developer of WorkflowSystem types. `make help` lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DISTRIBUTIONS := libs/workflow-protos libs/workflow-contract libs/service-kit libs/expressions libs/schemas libs/workflow-sdk libs/workflowctl \
	libs/embedded-stack libs/testkit services/workflow-catalog services/execution-orchestrator \
	services/worker services/gateway
PROTOS := $(shell find protos third_party -name '*.proto')
SOURCES := libs services examples benchmarks tests tools
# For the examples, the tests and handlers in this folder; the folders of the user come after it.
export PYTHONPATH := $(CURDIR)$(if $(PYTHONPATH),:$(PYTHONPATH))

.DEFAULT_GOAL := help
.PHONY: help install protos protos-baseline demo up test test-python check conformance polyglot format bench docs lock clean

help:  ## list what can be done
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

demo: install  ## start everything, run a real workflow, watch it live, stop everything
	@$(BIN)/python -m embedded_stack run --quiet -- $(BIN)/python -m examples.code_census.demo

up: install  ## start everything in the foreground; Ctrl-C drains and stops it
	@$(BIN)/python -m embedded_stack up

test: install  ## every test that needs only what pip installs
	@$(BIN)/python -m pytest -q -n 2 --dist loadgroup tests

# An environment of its own for each Python, so that .venv stays as it is.
test-python:  ## the tests of SDK, worker, gateway and service-kit on another Python: make test-python PYTHON=python3.13
	@$(MAKE) -s VENV=build/$(notdir $(PYTHON)) install
	@build/$(notdir $(PYTHON))/bin/python -V
	@build/$(notdir $(PYTHON))/bin/python -m pytest -q -n 2 --dist loadgroup \
		$(foreach part,sdk worker gateway service_kit,tests/unit/$(part) tests/integration/$(part))

check: install  ## lint, format, types, import contracts, protos, their code in other languages
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/buf lint
	@$(BIN)/buf format --diff --exit-code protos
	@$(BIN)/python tools/contract_baseline.py
	@$(MAKE) -s build/languages/checked

build/languages/checked: $(PROTOS) $(wildcard tools/languages/* tools/languages/*/*)
	@$(BIN)/python tools/languages/check.py
	@touch $@

conformance: install  ## test a worker program in any language: make conformance WORKER="command"
	@$(BIN)/python -m tools.conformance "$(WORKER)"

polyglot: build/languages/checked  ## build the worker in Go and test it as any other
	@cd examples/polyglot/go && go build -o $(CURDIR)/build/go-worker .
	@$(BIN)/python -m tools.conformance build/go-worker

bench: install  ## measure; writes build/bench.json
	@$(BIN)/python -m benchmarks

format:  ## format code and protos
	@$(BIN)/ruff check --fix-only -q $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/buf format -w protos

install: $(VENV)/installed $(VENV)/protos  ## make .venv with everything in it

protos: $(VENV)/protos  ## generate the Python code of the contracts

protos-baseline: install  ## guard what was added to the contracts (BREAK=1: see protos/README.md)
	@$(BIN)/python tools/contract_baseline.py take $(if $(BREAK),--break)

$(VENV)/locked: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit("WorkflowSystem needs Python 3.11 or later; say PYTHON=python3.12 make ...") if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || { echo "making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing what requirements.lock names"
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.lock
	@touch $@

$(VENV)/protos: $(VENV)/locked $(PROTOS) libs/workflow-protos/generate.py
	@$(BIN)/python libs/workflow-protos/generate.py
	@touch $@

$(VENV)/installed: $(VENV)/protos $(addsuffix /pyproject.toml,$(DISTRIBUTIONS))
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation $(addprefix -e ,$(DISTRIBUTIONS))
	@touch $@

docs: install  ## write the pages and files that are generated from code and contracts
	@$(BIN)/python -m execution_orchestrator.domain.diagram > docs/state-machine.md
	@$(BIN)/python -m workflow_catalog.domain.diagram > docs/workflow-status.md
	@$(BIN)/python libs/workflow-protos/definition_schema.py

lock:  ## write requirements.lock from requirements.in (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
		requirements.in -o requirements.lock

clean:  ## remove what was made; the data in .data stays
	rm -rf $(VENV) build libs/workflow-protos/src .mypy_cache .ruff_cache .pytest_cache
