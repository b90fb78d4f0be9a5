# `make help` says what there is. Everything runs from a clone; the environment is made on first use.
SHELL := /bin/bash -o pipefail
.DEFAULT_GOAL := help

## The interpreter that the environment is made with, 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
## Options for pip, such as --extra-index-url for PyTorch's CPU wheels.
PIP_OPTIONS ?=

## Which example: pytorch (digits), tensorflow (diabetes) or onnx (filetypes).
MODEL ?= pytorch
## Another seed trains another model: an upgrade.
SEED ?= 1
## KEEP=1 leaves the server of the demo running until Ctrl-C.
KEEP ?=

## Registry to push to and to render manifests for, such as quay.example.com/edge.
REGISTRY ?=
## Base of the step images and the runtime image: any with Python 3.11 or newer.
BASE_IMAGE ?=
## PLAIN_HTTP=1 talks plain http to REGISTRY.
PLAIN_HTTP ?=

## Processes that `make test` runs tests in.
WORKERS ?= 2
## Where `make test` leaves pictures of every page, light and dark, wide and narrow.
SCREENSHOTS ?= build/screenshots

## Which images to build: core onnx pytorch tensorflow runtime, all of them where empty; build for build-runtime-image, api for the APIs.
TARGETS ?=

REGISTRY_OPTIONS = --registry=$(REGISTRY) $(if $(PLAIN_HTTP),--plain-http)
EXTRAS_pytorch := pytorch,serve,api,examples
EXTRAS_tensorflow := tensorflow,serve,api,examples
EXTRAS_onnx := onnx,serve,api,examples
EXTRAS := $(EXTRAS_$(MODEL))
comma := ,
stamp = $(VENV)/.installed-$(subst $(comma),+,$(1))

# A stamp says that its extras are installed; the one of dev stands for all of them.
define install
	@if [ $(call stamp,dev) -nt pyproject.toml ] && [ $(call stamp,dev) -nt constraints.txt ]; then :; else \
	echo "Installing nearedge[$(1)] into $(VENV): a few minutes on first use"; \
	$(BIN)/python -m pip install --disable-pip-version-check $(PIP_OPTIONS) -c constraints.txt -e '.[$(1)]' \
	| { grep --line-buffered -E '^ *(Downloading|Processing|Installing collected)' || true; } | cut -c -100; fi
	@touch $@
endef

help: ## Show this help
	@echo "make TARGET [VARIABLE=value ...]"; echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1|\2/' | column -t -s '|'
	@echo; echo "Variables:"
	@awk '/^## /{text=substr($$0, 4); next} /^[A-Z_]+ \?=/{printf "  %s|%s\n", $$1, text} {text=""}' $(MAKEFILE_LIST) | column -t -s '|'

demo: $(call stamp,$(EXTRAS)) ## Take an example from training to a served, GitOps-managed release
	@$(BIN)/python examples/demo.py --model $(MODEL) --seed $(SEED) $(if $(KEEP),--keep)

test: $(call stamp,dev) ## Run all tests that a machine without a cluster can, but those of test-clients
	NEAREDGE_SCREENSHOTS="$(abspath $(SCREENSHOTS))" $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart=0 \
	--cov --cov-report=term:skip-covered --cov-fail-under=90

test-clients: $(call stamp,dev) ## Run the tests with KServe's clients, in an environment of their own (450 MB)
	$(BIN)/python -m pytest -m clients tests/clients

test-cluster: $(call stamp,dev) ## Run tests/cluster on the cluster of KUBECONFIG, in a namespace of their own: needs Tekton
	@[ -n "$$KUBECONFIG" ] || { echo "make test-cluster: KUBECONFIG is not set; name a cluster with Tekton Pipelines" \
	"1.0 or newer and its administrator's kubeconfig"; exit 2; }
	NEAREDGE_TEST_CLUSTER=1 $(BIN)/python -m pytest tests/cluster

check: $(call stamp,dev) ## Lint, types, generated files and manifests against their schemas
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python hack/generate.py --check
	@if [ -x ../shared/bin/check-manifests ]; then $(BIN)/python ../shared/bin/check-manifests && \
	rendered=$$(mktemp -d) && trap 'rm -rf "$$rendered"' EXIT && $(BIN)/python hack/rendered.py "$$rendered" && \
	$(BIN)/python ../shared/bin/check-manifests "$$rendered"; fi

generate: $(call stamp,dev) ## Write catalog.yaml, README tables and JSON Schemas anew
	$(BIN)/python hack/generate.py

images: $(call stamp,core) ## Build the step images and the runtime base with buildah and push them to REGISTRY
	@$(BIN)/python hack/images.py $(REGISTRY_OPTIONS) $(if $(BASE_IMAGE),--base-image=$(BASE_IMAGE)) $(TARGETS)

examples: $(call stamp,dev) ## Push the runtime base and the examples, as OCI artifacts, to REGISTRY
	@$(BIN)/python hack/examples.py $(REGISTRY_OPTIONS)

install: $(call stamp,core) ## Render Tasks and Pipelines with the images of REGISTRY by digest, for kubectl apply
	@$(BIN)/python hack/install.py $(REGISTRY_OPTIONS)

clean: ## Remove the environment, runs, demos and caches of this folder
	rm -rf $(VENV) .nearedge dist build .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "Python 3.11 or newer is needed, $(PYTHON) is older: make PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) has no venv (on Debian: apt-get install python3-venv)"; exit 2; }

$(VENV)/.installed-%: pyproject.toml constraints.txt | $(BIN)/python
	$(call install,$(subst +,$(comma),$*))

.PHONY: help demo test test-clients test-cluster check generate images examples install clean
