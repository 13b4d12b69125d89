.DEFAULT_GOAL := help
.PHONY: help run clean check check-newest remake lint types imports proto-check fast-tests slow-tests test ci simulate soak model fuzz bench dist docs site screenshots swagger-ui generate proto proto-release lock chaos upgrade overload game-day release \
	manifests images sbom push deploy project project-teardown test-cloud

PYTHON ?= python3
# The newest version that the tests were run with; requires-python is the oldest. Compiled dependencies have wheels for
# 3.14 as well.
PYTHON_NEWEST ?= python3.13
REGISTRY ?= localhost/saga
TAG ?= dev
SWAGGER_UI ?= 5.35.0
SWAGGER_UI_SHA512 ?= U06rpMtW9V3XPGOBeamTUSr0Z09jMX4IJuANpE/EZbAhw0G8CgwrzU4YmXkn/h0wCDNsXdGarTNNHC3sU8yVUQ==
MERMAID ?= 12.3.0
MERMAID_SHA512 ?= 4113TdXeLAsMruJ79OpFL5O8+LTFXhQqZ260rF3tgUmiNAtRm4Uume04I+65PRN6yZ69J4f8rVYWW8zRk65UYw==
FAST_SUITES := kit/tests client/tests tests/unit tests/contract tests/service tests/golden
CPU_SUITES := tests/simulation tests/model
# A process for each CPU, with emulators of its own.
WORKERS := -n auto --dist
LAST_RELEASE = $(notdir $(lastword $(sort $(wildcard tests/compatibility/[0-9]*))))
VENV := .venv
BIN := $(VENV)/bin
# A virtual environment works only where it was made: the scripts of a copy run the original's code. Empty if it
# is missing, was moved or copied with the checkout, or has lost its Python.
HERE := $(shell [ -x $(BIN)/python ] && grep -sF ' $(abspath $(VENV))' $(VENV)/pyvenv.cfg)

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

# BACKEND, PORT, REPLICAS and AUTH reach sagactl through its environment, from make's command line too.
# `exec` leaves no shell in between, so that sagactl receives a SIGTERM to make. If sagactl exits
# with 1, make exits with 2; after Ctrl-C it ends by that signal, once all processes have stopped.
run: $(VENV)/.run ## Run the whole suite until Ctrl-C: [BACKEND=auto|emulators|embedded] [PORT=8080] [REPLICAS=1] [AUTH=1]
	@exec $(BIN)/sagactl up --die-with-parent

clean: ## Remove .run/: the embedded backend's data, and the logs
	@if [ "$(HERE)" ] && [ -x $(BIN)/sagactl ]; then exec $(BIN)/sagactl clean; else rm -rf .run; fi

check: ## Lint, types, import contracts, protos, fast tests: for every commit; prints the seconds it took
	@started=$$(date +%s) && $(MAKE) --no-print-directory lint types imports proto-check fast-tests && \
		echo "make check: $$(($$(date +%s) - started)) s"

check-newest: ## Run the fast tests with the newest supported Python, if it is installed: [PYTHON_NEWEST=python3.13]
	@if $(PYTHON_NEWEST) -c '' 2>/dev/null; then started=$$(date +%s) && \
		$(MAKE) --no-print-directory fast-tests VENV=$(VENV)/newest PYTHON=$(PYTHON_NEWEST) && \
		echo "make check-newest: $$(($$(date +%s) - started)) s"; \
	else echo "make check-newest: skipped, there is no $(PYTHON_NEWEST)"; fi

fast-tests: $(VENV)/.dev
	$(BIN)/python -m pytest -q $(WORKERS) loadscope -m "not emulators" $(FAST_SUITES)

slow-tests: $(VENV)/.dev
	$(BIN)/python -m pytest -q $(WORKERS) loadscope -m emulators $(FAST_SUITES)
	$(BIN)/python -m pytest -q $(WORKERS) worksteal $(CPU_SUITES)
	$(BIN)/python -m pytest -q $(WORKERS) loadscope -m "not alone" $(addprefix --ignore=,$(FAST_SUITES) $(CPU_SUITES)) tests
	$(BIN)/python -m pytest -q -m alone tests

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m tests.language

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

proto-check: $(VENV)/.dev ## Lint the protos, find breaking changes, compare the generated code
	$(BIN)/buf lint
	$(BIN)/buf breaking --against proto/released.binpb
	rm -rf build/proto && mkdir -p build/proto
	$(call protoc,build/proto)
	diff -r -x __pycache__ build/proto/rpc rpc

test: $(VENV)/.dev ## Run every test suite; without gcloud or chromium, skip what needs emulators or a browser
	$(BIN)/python -m pytest

ci: check check-newest $(VENV)/.checkov slow-tests simulate chaos upgrade game-day ## Exactly what CI runs
	$(MAKE) upgrade FROM=future BACKEND=embedded
	$(MAKE) bench QUICK=1

simulate: $(VENV)/.dev ## Run sagas on virtual time with faults of every kind: [SAGAS=10000] [SEED=1] [WORLD=seed of another world] [JOBS=number of CPUs]
	$(BIN)/python -m tests.simulation --sagas $(or $(SAGAS),10000) --seed $(or $(SEED),1) \
		$(if $(WORLD),--world $(WORLD)) $(if $(JOBS),--jobs $(JOBS))

soak: $(VENV)/.dev ## Simulate new seeds for hours, keep those that fail, count what was done: [HOURS=1] [SAGAS=1000000] [JOBS=2] [SEED=1]
	$(BIN)/python -m tests.simulation.soak --hours $(or $(HOURS),1) $(if $(SAGAS),--sagas $(SAGAS)) \
		$(if $(JOBS),--jobs $(JOBS)) $(if $(SEED),--seed $(SEED))

model: $(VENV)/.dev ## Explore every reachable state of an order, by the services' own code: [RUNNING=2]
	$(BIN)/python -m tests.model --running $(or $(RUNNING),2)

fuzz: $(VENV)/.dev ## Test the gateway against its OpenAPI document, every RPC against random input: [EXAMPLES=400] [SEED=1]
	FUZZ_EXAMPLES=$(or $(EXAMPLES),400) FUZZ_SEED=$(or $(SEED),1) $(BIN)/python -m pytest tests/fuzz -o timeout=3600

# Without this, gRPC's fork handlers log a line for each process that is started.
chaos: $(VENV)/.dev ## Kill processes and let emulators fail under load: [KILLS=30] [SEED=1] [CALM=1: recovery times] [MIXED=1]
	GRPC_ENABLE_FORK_SUPPORT=0 $(BIN)/python -m tests.chaos --kills $(or $(KILLS),30) --seed $(or $(SEED),1) \
		$(if $(CALM),--calm) $(if $(MIXED),--mixed $(or $(FROM),$(LAST_RELEASE)))

upgrade: $(VENV)/.dev ## Replace a release by this version under load, back, and again: [FROM=release|future] [BACKEND=emulators] [SEED=1]
	GRPC_ENABLE_FORK_SUPPORT=0 $(BIN)/python -m tests.chaos --upgrade $(or $(FROM),$(LAST_RELEASE)) \
		--backend $(or $(BACKEND),emulators) --seed $(or $(SEED),1)

overload: $(VENV)/.dev ## Apply ten times the load that saturates the suite: [SECONDS=20] [SEED=1] [BACKEND=embedded]
	GRPC_ENABLE_FORK_SUPPORT=0 $(BIN)/python -m tests.chaos --overload $(or $(SECONDS),20) --seed $(or $(SEED),1) \
		--backend $(or $(BACKEND),embedded)

game-day: $(VENV)/.dev ## Perform the experiments of docs/game-day.md, here, on a running suite or on a cluster: [EXPERIMENT="pod-killed …"] [DURATION=seconds] [BACKEND=embedded] [RUNNING=1 | GATEWAY=URL]
	GRPC_ENABLE_FORK_SUPPORT=0 $(BIN)/python -m tests.chaos.game_day $(EXPERIMENT) $(if $(DURATION),--seconds $(DURATION)) \
		--backend $(or $(BACKEND),embedded) --seed $(or $(SEED),1) $(if $(GATEWAY),--gateway $(GATEWAY)) $(if $(RUNNING),--running)

bench: $(VENV)/.dev ## Measure latency, throughput and cost, next to what the backend allows: [BACKEND=emulators] [QUICK=1 | LADDER=1 [RATES="25 50 …"] [RUNG_SECONDS=30] [SEED=1] [ITEM=red]] [RECORD=1: keep in bench/results]
	GRPC_ENABLE_FORK_SUPPORT=0 $(BIN)/python -m bench --backend $(or $(BACKEND),emulators) \
		--scenarios $(if $(QUICK),quick,$(if $(LADDER),ladder,full)) $(if $(RATES),--rates "$(RATES)") \
		$(if $(RUNG_SECONDS),--rung-seconds $(RUNG_SECONDS)) $(if $(SEED),--seed $(SEED)) $(if $(ITEM),--item $(ITEM)) $(if $(RECORD),--record)

release: dist ## Record what the current version writes, with its wheels, for later ones to be compatible with
	$(BIN)/python -m tests.compatibility.record

# The same sources make the same bytes: build environments are the pinned one, times are the commit's.
dist: $(VENV)/.dev ## Build wheels and source distributions of kit, client and suite, each with an SBOM: build/dist
	@rm -rf build/dist && mkdir -p build/dist
	@for each in kit client .; do (cd $$each && SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) \
		$(abspath $(BIN))/hatchling build -d $(abspath build/dist)) || exit 1; done
	@$(BIN)/python -m deploy.wheel_sbom build/dist/sagakit.cdx.json kit/pyproject.toml
	@$(BIN)/python -m deploy.wheel_sbom build/dist/sagaclient.cdx.json client/pyproject.toml
	@$(BIN)/python -m deploy.wheel_sbom build/dist/saga-suite.cdx.json pyproject.toml kit/pyproject.toml client/pyproject.toml

manifests: $(VENV)/.dev $(VENV)/.checkov ## Render the manifests and check them, without a cluster
	$(BIN)/python -m pytest -q tests/deploy --ignore=tests/deploy/test_images.py

images: ## Build every image with docker, podman or buildah: [REGISTRY=localhost/saga] [TAG=dev] [BASE=…]
	@deploy/images build "$(REGISTRY)" "$(TAG)" $(BASE)

sbom: ## Write the SBOM (CycloneDX) of every image into build/sbom: [REGISTRY=localhost/saga] [TAG=dev]
	@deploy/images sbom "$(REGISTRY)" "$(TAG)"

push: ## Push every image: REGISTRY=… TAG=…
	@deploy/images push "$(REGISTRY)" "$(TAG)"

deploy: $(if $(filter gke,$(OVERLAY)),$(VENV)/.run) ## Apply an overlay to kubectl's current cluster: OVERLAY=local|gke [REGISTRY=…] [TAG=dev]; local: [COMPONENTS="load-generator observability"]; gke: PROJECT_ID=… REGION=… DOMAIN=… [EPHEMERAL_PROJECT_ID=…] [DATASTORE_DATABASE=saga]
	@$(if $(filter gke,$(OVERLAY)),$(if $(RENDER),,$(BIN)/python -m deploy.gcp preflight &&)) deploy/k8s/apply "$(OVERLAY)"

project: $(VENV)/.run ## Print the setup of a Google Cloud project: PROJECT_ID=… REGION=… [DOMAIN=…] [EPHEMERAL_PROJECT_ID=…] [DATASTORE_DATABASE=saga]; execute it: EXECUTE=1
	@$(BIN)/python -m deploy.gcp setup

project-teardown: $(VENV)/.run ## Print its removal, except the database; execute it: EXECUTE=1
	@$(BIN)/python -m deploy.gcp teardown

test-cloud: $(VENV)/.dev ## Run the contract suites against a real project, in resources deleted afterwards: PROJECT_ID=… [REGION=…]
	@deploy/gcp/test-cloud

generate: $(VENV)/.dev ## Regenerate manifests, compose.yaml and alarms from the declared services, diagrams and tables of the docs
	$(BIN)/python -m deploy.generate
	$(BIN)/python -m sagactl.diagram
	$(BIN)/python -m sagactl.configuration
	$(BIN)/python docs/site/reasons.py
	$(BIN)/python -m docs.site.events
	$(BIN)/python -m tests.metrics_table

site: $(VENV)/.run $(VENV)/.site build/mermaid/$(MERMAID) ## Build the site of the documentation, build/site; a broken link fails
	mkdir -p build/pages && $(BIN)/python docs/site/commands.py >build/pages/sagactl.md
	NO_MKDOCS_2_WARNING=1 $(VENV)/site/bin/mkdocs build --clean

# The digest is that of the registry: `npm view mermaid@VERSION dist.integrity`.
build/mermaid/$(MERMAID):
	rm -rf build/mermaid && mkdir -p build/mermaid
	npm pack --silent --pack-destination build/mermaid mermaid@$(MERMAID)
	test "$$(openssl dgst -sha512 -binary build/mermaid/*.tgz | base64 -w0)" = "$(MERMAID_SHA512)"
	tar -xzf build/mermaid/*.tgz -C build/mermaid package/dist/mermaid.min.js
	@touch $@

screenshots: $(VENV)/.dev ## Take the pictures in docs/images from a running suite (needs chromium)
	$(BIN)/python -m tests.screenshots docs/images

# The digest is that of the registry: `npm view swagger-ui-dist@VERSION dist.integrity`.
swagger-ui: ## Replace the copy of Swagger UI by that of npm: [SWAGGER_UI=version] [SWAGGER_UI_SHA512=digest]
	rm -rf build/swagger-ui && mkdir -p build/swagger-ui
	npm pack --silent --pack-destination build/swagger-ui swagger-ui-dist@$(SWAGGER_UI)
	test "$$(openssl dgst -sha512 -binary build/swagger-ui/*.tgz | base64 -w0)" = "$(SWAGGER_UI_SHA512)"
	tar -xzf build/swagger-ui/*.tgz -C build/swagger-ui
	cd build/swagger-ui/package && cp LICENSE NOTICE swagger-ui.css swagger-ui-bundle.js \
		swagger-ui-bundle.js.LICENSE.txt $(CURDIR)/services/gateway/swagger_ui/

proto: $(VENV)/.dev ## Generate rpc/ from proto/
	$(call protoc,.)

proto-release: $(VENV)/.dev ## Record the current protos as the release that later ones must not break
	$(BIN)/buf build --exclude-source-info -o proto/released.binpb

lock: $(VENV)/.dev ## Pin the newest versions of all dependencies
	$(BIN)/pip install --quiet --disable-pip-version-check uv
	$(call pin,requirements.txt,$(PACKAGES) $(EXTRAS) --group build)
	$(call pin,requirements-dev.txt,$(PACKAGES) --all-extras --group build --group dev -c requirements.txt)
	$(call pin,tests/deploy/checkov.txt,,tests/deploy/checkov.in)
	$(call pin,docs/site/requirements.txt,,docs/site/requirements.in)

protoc = $(BIN)/python -m grpc_tools.protoc -Irpc=proto \
	--plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
	--python_out=$(1) --mypy_out=quiet:$(1) --grpc_python_out=$(1) --mypy_grpc_out=quiet:$(1) proto/*.proto

PACKAGES := pyproject.toml kit/pyproject.toml client/pyproject.toml
# All but `testing`, which no process of the suite needs.
EXTRAS := --extra auth --extra ctl --extra gcp --extra grpc --extra telemetry
pin = $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command "make lock" $(2) $(3) -o $(1)

$(VENV)/.created: $(if $(HERE),,remake)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	|| { echo "Python 3.11 or later is needed, as \"$(PYTHON)\" or named by PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	|| { echo "Python's venv module is missing: install it (Debian, Ubuntu: python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.locked: $(VENV)/.created requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(VENV)/.run: $(VENV)/.locked pyproject.toml kit/pyproject.toml client/pyproject.toml
	@# The suite of 0.1.0 owns the script sagactl: replaced after the kit was installed, it would take it away.
	@$(BIN)/pip uninstall -qq --disable-pip-version-check --yes saga-suite
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e kit -e client -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.locked requirements-dev.txt | $(VENV)/.run
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

$(VENV)/.checkov: $(VENV)/.created tests/deploy/checkov.txt
	$(PYTHON) -m venv $(VENV)/checkov
	$(VENV)/checkov/bin/pip install --quiet --disable-pip-version-check --require-hashes -r tests/deploy/checkov.txt
	@touch $@

$(VENV)/.site: $(VENV)/.created docs/site/requirements.txt
	$(PYTHON) -m venv $(VENV)/site
	$(VENV)/site/bin/pip install --quiet --disable-pip-version-check --require-hashes -r docs/site/requirements.txt
	@touch $@
