# Everything a maintainer or CI does; CI calls only these targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
UV ?= $(shell command -v uv 2>/dev/null || echo build/uv/bin/uv)
RUN = $(UV) run --frozen --
# A toolchain that hack/go-ready had to install comes first.
export UV_PYTHON_DOWNLOADS := never
export PATH := $(CURDIR)/build/go/bin:$(PATH)
LAUNCHER_SOURCES = $(wildcard sandbox-image/launcher/*.go sandbox-image/launcher/*.s sandbox-image/launcher/go.*)
INSTALLER_SOURCES = $(wildcard sandbox-image/launcher/installer/*.go sandbox-image/launcher/go.*)

.PHONY: help setup generate verify lint test coverage test-python test-launcher launcher image cluster cluster-down e2e attacks campaign faults bench bench-memory bench-flood captures demo fuzz cheats real-projects audit audit-online sbom clean

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

setup: .venv/ready launcher ## Install what the other targets need (apt as root: bubblewrap, git, fonts, Chromium)
	@hack/system-packages bubblewrap git fonts-dejavu-core fonts-unifont
	@hack/browser-ready
	@hack/prometheus-ready

.venv/ready: pyproject.toml uv.lock $(if $(filter build/uv/bin/uv,$(UV)),build/uv/bin/uv)
	@$(UV) sync --frozen --quiet
	@touch $@

build/uv/bin/uv:
	@hack/system-packages python3-venv
	@python3 -m venv build/uv && build/uv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r hack/uv.txt

GO_BUILD = CGO_ENABLED=0 go build -trimpath -ldflags "-s -w"
launcher: build/launcher build/installer ## Build the launcher and the installer
build/launcher: $(LAUNCHER_SOURCES)
	@hack/go-ready
	@mkdir -p build
	cd sandbox-image/launcher && $(GO_BUILD) -o ../../build/launcher .
build/installer: $(INSTALLER_SOURCES)
	@hack/go-ready
	@mkdir -p build
	cd sandbox-image/launcher && $(GO_BUILD) -o ../../build/installer ./installer

EXPORT = $(UV) export --quiet --frozen --no-emit-project --no-annotate --no-header --only-group

generate: .venv/ready ## Write crds/, docs/reference/, the chart's table of values and the images' requirements anew
	$(RUN) python -m axiom.api.generating
	$(RUN) python -m axiom.monitoring.generating
	$(RUN) python hack/chart_values.py
	$(EXPORT) sandbox -o sandbox-image/requirements.txt
	$(EXPORT) verifier -o sandbox-image/verifier/requirements.txt
	$(EXPORT) control-plane -o operator/requirements.txt

verify: .venv/ready ## Check that generated files are current and locks hold
	$(RUN) python -m axiom.api.generating --check
	$(RUN) python -m axiom.monitoring.generating --check
	$(RUN) python hack/chart_values.py --check
	$(UV) lock --check
	cd sandbox-image/launcher && go mod verify && test -z "$$(gofmt -l .)"

lint: .venv/ready ## ruff, mypy --strict, import-linter, go vet, staticcheck
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports
	cd sandbox-image/launcher && go vet ./... && go tool staticcheck ./...

test: setup test-launcher test-python ## Unit and sandbox tests; no cluster; under 5 minutes

test-launcher:
	cd sandbox-image/launcher && go test ./...

COVERED = $(if $(AXIOM_CI)$(COVERAGE),--cov --cov-report=term:skip-covered --cov-fail-under=85)
test-python:
	$(RUN) pytest tests -m "not e2e and not cheats$(if $(AXIOM_CI)$(COVERAGE),, and not thorough)" -n 4 --dist worksteal $(COVERED)

coverage: setup ## All Python tests, also the thorough ones, and that they reach 85% of lines and branches: what CI runs; it takes twice the time
	$(MAKE) test-python COVERAGE=1

image: .venv/ready launcher ## Build the images with buildah: see sandbox-image/README.md
	$(RUN) python -m e2e.support.images

cluster: ## Start the hermetic Kubernetes (built from packages the first time), or what E2E_CLUSTER says: e2e/README.md
	python3 -m e2e.cluster up

cluster-down: ## Remove the hermetic Kubernetes
	python3 -m e2e.cluster down

e2e: setup cluster ## End-to-end tests on the hermetic cluster, with the real Codex
	@command -v npm >/dev/null || hack/system-packages npm
	$(RUN) pytest e2e -m e2e

campaign: setup cluster ## The long forms of the end-to-end tests: many kills, outages of a minute
	$(RUN) pytest e2e -m campaign
	E2E_EVERY_STORY=1 $(RUN) pytest e2e/test_agents_cluster.py -m e2e

attacks: setup cluster ## Every attack on sandboxes, in its long form: half a minute of each starvation, 200 tasks with a canary key
	$(RUN) pytest -m "e2e or campaign" e2e/test_attacks.py e2e/test_attacks_local.py e2e/test_starving.py \
		e2e/test_starving_local.py e2e/test_hostile_agents.py e2e/test_canary.py

faults: setup ## The long forms of the tests of faults: 10,000 kills, every truncation, flipped bit and failing call (hours; AXIOM_FAULTS_PART=2/8: the second of eight parts, the same whenever it is run)
	AXIOM_FAULTS=long AXIOM_FAULTS_KILLS=10000 $(RUN) pytest tests/faults tests/axiom_sandbox/ledger tests/axiom/retaining tests/axiom/storage \
		tests/axiom_sandbox/supervising/test_checkpoint_crashes.py tests/axiom_sandbox/snapshots/test_states.py

bench: setup ## Measure, and write docs/benchmarks.md (about 15 minutes, on the hermetic cluster)
	$(RUN) python -m bench

bench-memory: setup ## What operator and gateway keep in memory after 500 tasks (about 20 minutes)
	$(RUN) python -m bench --only memory

bench-flood: setup ## An agent that writes 10 GB to its terminal (about 10 minutes)
	$(RUN) python -m bench --only long-flood

captures: .venv/ready ## Record anew what the real CLIs say (needs npm and Node): tests/captures/README.md
	$(RUN) python -m tests.captures
	$(RUN) python -m tests.captures --older
	$(RUN) python -m tests.captures.terminals
	$(RUN) python -m tests.captures.screens
	$(RUN) python -m tests.captures.screens --older

cheats: setup ## Every cheat and every honest solution on every task, in real clean rooms: about an hour and a half
	$(RUN) pytest tests -m cheats -n 2
	for language in python node jest go; do $(RUN) python -m tests.cheats --language $$language --record || exit 1; done
	$(RUN) python -m bench --only cheats

real-projects: setup ## Right and wrong solutions and cheats on real projects from the package registry: about 20 minutes
	$(RUN) python -m tests.real_projects

demo: setup ## A real task on this machine: a scripted agent in a sandbox, a verdict from evidence
	@hack/demo

fuzz: .venv/ready ## The egress proxy with a million generated hostnames, 20,000 of them through its server
	AXIOM_FUZZ_SEED=$${AXIOM_FUZZ_SEED:-$$RANDOM} AXIOM_FUZZ_COUNT=1000000 AXIOM_FUZZ_SOCKETS=20000 \
		$(RUN) pytest tests/axiom/egress -k generated_hostname

AUDIT = build/audit/bin
build/audit/ready: hack/audit.txt $(if $(filter build/uv/bin/uv,$(UV)),build/uv/bin/uv)
	@$(UV) venv --quiet --clear build/audit && $(UV) pip install --quiet --python $(AUDIT)/python --require-hashes -r hack/audit.txt
	@touch $@

# What gosec is told to leave, and why: system calls need unsafe pointers and numbers of other widths (G103, G115); a
# launcher starts what it is told, and opens paths of /proc and of its arguments (G204, G304), in a sandbox's own folders,
# which others of the pod must read (G301, G306).
GOSEC_LEFT = G103,G115,G204,G301,G304,G306
audit: build/audit/ready ## Scanners over Python, CI, Go and the chart; nothing but packages is fetched
	$(AUDIT)/bandit --quiet --recursive -ll --configfile pyproject.toml operator/axiom sandbox-image/axiom_sandbox
	$(AUDIT)/zizmor --quiet --offline .github
	cd sandbox-image/launcher && go vet ./... && go tool staticcheck ./...
	cd sandbox-image/launcher && go run github.com/securego/gosec/v2/cmd/gosec@v2.22.4 -quiet -exclude=$(GOSEC_LEFT) ./...
	hack/audit-chart

audit-online: build/audit/ready ## Known vulnerabilities of what is locked; asks the advisory databases
	for file in operator/requirements.txt sandbox-image/requirements.txt sandbox-image/verifier/requirements.txt; do \
		$(AUDIT)/pip-audit --disable-pip --require-hashes --strict --requirement $$file || exit 1; done
	cd sandbox-image/launcher && go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...
	for agent in sandbox-image/agents/*/ sandbox-image/verifier/jest/; do (cd $$agent && npm audit --package-lock-only --omit=dev) || exit 1; done

sbom: build/audit/ready launcher ## CycloneDX lists of what the images hold, in build/sbom; of Debian's packages: hack/sbom_deb.py
	@mkdir -p build/sbom
	$(AUDIT)/cyclonedx-py requirements operator/requirements.txt --output-file build/sbom/control-plane.json
	$(AUDIT)/cyclonedx-py requirements sandbox-image/requirements.txt --output-file build/sbom/sandbox.json
	$(AUDIT)/cyclonedx-py requirements sandbox-image/verifier/requirements.txt --output-file build/sbom/verifier.json
	$(AUDIT)/python hack/sbom_go.py build/launcher build/installer > build/sbom/launcher.json

clean: ## Remove what was built here
	rm -rf build .venv dist
