# Every target works on a machine with Python 3.11, make and PyPI; none needs Docker or a Google account.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := services/chassis services/ingest services/compressor services/reporter infra/local clients/python
POLICY := .local/policy
AUDIT := .local/audit
SBOM := .local/sbom
# Offline: no results are sent, nothing is downloaded, and a finding ends it with status 1.
CHECKOV = LOG_LEVEL=ERROR timeout 120 $(POLICY)/bin/checkov --config-file infra/.checkov.yaml --skip-download --quiet --compact
STAMP := $(VENV)/.installed
PYTEST = $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile
SECONDS_EACH ?= 60
MINUTES ?= 10
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo up down test test-unit test-contract test-e2e docs postman fuzz mutants soak restore-drill last-release screenshots conformance lint format policy sbom image-check bench bench-batches bench-million bench-peers ci lock clean

help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv and install everything, pinned and hashed

$(STAMP): requirements-dev.txt $(addsuffix /pyproject.toml,$(PACKAGES))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11) and "Pressroom needs Python 3.11 or newer; set PYTHON=")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the pinned requirements (about a minute the first time) ..."
	@$(BIN)/pip install --quiet --require-hashes -r requirements-dev.txt
	@$(BIN)/pip install --quiet --no-deps --no-build-isolation $(addprefix -e ./,$(PACKAGES))
	@touch $@

demo: setup ## Run the whole thing once: sheet in, images compressed, sheet and webhook out
	@$(BIN)/python -m samples.demo

up: setup ## Start the stack in the foreground; Ctrl-C ends it; TRACE=1 shows where the time of each batch goes
	@TRACE_SAMPLE_RATIO=$(if $(TRACE),1,0) $(BIN)/localcloud up --config infra/local/stack.yaml

down: setup ## End a stack that `make up` left behind
	@$(BIN)/localcloud down --config infra/local/stack.yaml

test: setup ## Run the whole test suite
	@$(PYTEST) $(PYTEST_ARGS)

test-unit: setup ## Run the tests of single parts: tests/unit and those of localcloud
	@$(PYTEST) tests/unit infra/local/tests $(PYTEST_ARGS)

test-contract: setup ## Run the tests of what the parts agree on: contracts, deployment, documents
	@$(PYTEST) tests/contract $(PYTEST_ARGS)

test-e2e: setup ## Run the journeys through the whole stack in real processes
	@$(PYTEST) tests/e2e $(PYTEST_ARGS)

docs: setup ## Write what the pages say about the code: limits, settings, reasons, faults, features, threats, floors
	@$(BIN)/python -m docs.generate

screenshots: setup ## Write pictures of every page of the console to .local/screenshots (needs Chromium)
	@cd tests && PYTHONPATH=.. ../$(BIN)/python -m screenshots ../.local/screenshots

postman: setup ## Write a Postman collection of both OpenAPI documents, with the journey of a sheet in its first folder
	@$(BIN)/python -m docs.generate.postman .local/postman/pressroom.postman_collection.json

fuzz: setup ## Fuzz every parser that strangers feed, SECONDS_EACH (60), and both OpenAPI documents
	@$(BIN)/pip install --quiet --require-hashes -r requirements-fuzz.txt
	@for target in sheet slow-sheet image workflow url; do \
	  echo "== $$target"; (cd tests && ../$(BIN)/python -m fuzz $$target $(SECONDS_EACH)) || exit 1; done
	@PRESSROOM_FUZZ_EXAMPLES=500 $(BIN)/python -m pytest tests/e2e/test_openapi.py

mutants: setup ## Change a PACKAGE (chassis, ingest, reporter) in every small way and see whether its tests notice (an hour or two)
	@$(BIN)/pip install --quiet --require-hashes -r requirements-mutants.txt
	@cd tests && ../$(BIN)/python -m mutation $(or $(PACKAGE),chassis) $(MUTANTS_ARGS)

soak: setup ## Load and break the stack for MINUTES (10), then check that nothing is lost, doubled or miscounted
	@$(BIN)/python -m bench.soak --minutes $(MINUTES)

restore-drill: setup ## Dump, destroy and restore the databases in the middle of a batch, and say how long it took
	@$(BIN)/python -m bench.restore_drill

last-release: setup ## Keep this checkout's workflow, contracts and answers as those of the last release (docs/deploy.md)
	@cd tests && PYTHONPATH=.. ../$(BIN)/python -m last_release

conformance: setup ## Run the conformance cases of localcloud and count them by how they are known
	@$(BIN)/python infra/local/tests/harness/conformance_report.py

lint: setup ## Check style, types and the dependency rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/localcloud check workflows/batch.yaml > /dev/null

format: setup ## Format the code
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format --quiet .

$(POLICY)/.installed: requirements-policy.txt
	@$(PYTHON) -m venv $(POLICY)
	@timeout 300 $(POLICY)/bin/pip install --quiet --require-hashes -r requirements-policy.txt
	@touch $@

$(AUDIT)/.installed: requirements-audit.txt
	@$(PYTHON) -m venv $(AUDIT)
	@timeout 300 $(AUDIT)/bin/pip install --quiet --require-hashes -r requirements-audit.txt
	@touch $@

policy: $(POLICY)/.installed $(AUDIT)/.installed ## Scan Terraform and Dockerfiles with checkov, and the requirements for known vulnerabilities
	@$(CHECKOV) --directory infra/terraform --framework terraform
	@$(CHECKOV) --directory services --framework dockerfile
	@$(AUDIT)/bin/python -c 'import urllib.request; urllib.request.urlopen("https://pypi.org/pypi/pip/json", timeout=10)' 2> /dev/null \
	  || { echo "SKIPPED: the requirements were not audited, because pypi.org, which lists known vulnerabilities, cannot be reached"; exit 0; }; \
	  for service in ingest compressor reporter; do echo "== audit of $$service"; \
	    timeout 300 $(AUDIT)/bin/pip-audit --disable-pip --require-hashes --progress-spinner off -r services/$$service/requirements.txt || exit 1; done

# A requirement is a line with its hashes; the same file makes the same bill of materials.
$(SBOM)/%.cdx.json: services/%/requirements.txt $(AUDIT)/.installed
	@mkdir -p $(SBOM)
	@timeout 120 $(AUDIT)/bin/cyclonedx-py requirements $< --output-reproducible --of JSON --output-file $@

sbom: $(foreach service,ingest compressor reporter,$(SBOM)/$(service).cdx.json) ## Write what each image is made of to .local/sbom (CycloneDX)

image-check: setup ## Build the three images with buildah (root) and run them; IMAGE_CHECK_ARGS=--stand-in needs no registry
	@cd tests && ../$(BIN)/python -m contract.image_check $(IMAGE_CHECK_ARGS)

bench-batches: setup ## Run 100 batches over 1, 20 and 2,000 hosts on the real claims and outcomes; BATCHES_ARGS="--images 10000"
	@$(BIN)/python -m bench.simulation $(BATCHES_ARGS)

bench-million: setup ## Measure sheets of 10 thousand, 100 thousand and a million rows from import to report, without pictures
	@PYTHONPATH=tests $(BIN)/python -m bench.million

bench: setup ## Measure codec and stack beside a bare Pillow loop and the seed's way
	@$(BIN)/python -m bench

bench-peers: setup ## Measure the stack beside pyvips, img2dataset, thumbor and, where there is Node, sharp (not in CI); PEERS_ARGS='--only sharp'
	@test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	@.venv-peers/bin/pip install --quiet --require-hashes -r requirements-peers.txt
	@if command -v npm > /dev/null; then npm install --silent --no-save --prefix .local/peers sharp@0.35.5; fi
	@$(BIN)/python -m bench.peers $(PEERS_ARGS)

ci: lint policy sbom test ## What CI runs

lock: ## Resolve the requirements again (needs uv)
	uv pip compile requirements-dev.in --universal --python-version 3.11 --generate-hashes --upgrade --quiet \
	  --custom-compile-command "make lock" --output-file requirements-dev.txt
	echo atheris==3.0.0 | uv pip compile - --universal --python-version 3.11 --generate-hashes --quiet \
	  --custom-compile-command "make lock" --output-file requirements-fuzz.txt
	printf 'cyclonedx-bom\npip-audit\n' | uv pip compile - --universal --python-version 3.11 --generate-hashes --upgrade --quiet \
	  --custom-compile-command "make lock" --output-file requirements-audit.txt
	echo mutmut | uv pip compile - --constraint requirements-dev.txt --universal --python-version 3.11 --generate-hashes \
	  --upgrade --quiet --custom-compile-command "make lock" --output-file requirements-mutants.txt
	echo checkov | uv pip compile - --universal --python-version 3.11 --generate-hashes --upgrade --quiet \
	  --custom-compile-command "make lock" --output-file requirements-policy.txt
	printf 'dataclasses<0.7\nimg2dataset\npyvips[binary]\nthumbor\n' | uv pip compile - --python-version 3.11 --generate-hashes --upgrade --quiet \
	  --custom-compile-command "make lock" --output-file requirements-peers.txt
	for service in ingest compressor reporter; do (cd services/$$service && \
	  uv pip compile requirements.in ../chassis/requirements.in --constraint ../../requirements-dev.txt --universal \
	  --python-version 3.11 --generate-hashes --quiet --custom-compile-command "make lock" --output-file requirements.txt); done
	cd services && uv pip compile build-requirements.in --constraint ../requirements-dev.txt --universal \
	  --python-version 3.11 --generate-hashes --quiet --custom-compile-command "make lock" --output-file build-requirements.txt

clean: ## Remove the virtual environment, local state and caches
	rm -rf $(VENV) .venv-peers .local .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
