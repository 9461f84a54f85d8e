# Everything a fresh machine needs is Python 3.11 or newer, make and a package registry.
PYTHON ?= python3
VENV ?= .venv
# make setup ACCELERATOR=tpu (or cuda) adds that chip's runtime.
ACCELERATOR ?=
# What make tpu-check compiles for: a TPU generation and its shape.
TOPOLOGY ?= v5e:2x2
# What make gpu-proof compiles for, of those that `imagine doctor --gpu` knows.
CARDS ?= h100 a100 l4 rtx3060 h100x8
# What make gpu-check runs with: a Python that has jax for CUDA, and PyTorch if there is to be a comparison.
GPU_PYTHON ?= python3
# Side by side: one more than the cores of a small machine, for many tests wait for a process.
WORKERS ?= 3
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check --quiet
LOCK_OPTIONS = --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--fork-strategy fewest --custom-compile-command "make lock" --upgrade
LOCK = requirements$(if $(ACCELERATOR),-$(ACCELERATOR)).lock
# What more than one machine needs.
SCALE = --extra postgres --extra s3 --extra ray

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev setup-scale demo test test-scale kill-test lint audit check tpu-check gpu-proof gpu-check lock messages lookalikes oracle legacy goldens doodle doodle-check

help: ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(VENV)/.python: # a virtual environment, and a clear word if the Python is too old
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "imagine-bot needs Python 3.11 or newer: make setup PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed$(ACCELERATOR): $(VENV)/.python $(LOCK) pyproject.toml
	$(PIP) install --require-hashes -r $(LOCK)
	$(PIP) install --no-deps --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed$(ACCELERATOR) requirements-dev.lock
	$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

setup: $(VENV)/.installed$(ACCELERATOR) ## make .venv with .venv/bin/imagine

setup-dev: $(VENV)/.installed-dev ## the same with the test and lint tools

demo: setup ## the playground: a channel in your browser, the real bot behind it
	$(VENV)/bin/imagine playground --demo

test: setup-dev ## all tests
	# tests/conftest.py says what goes to one worker, and in which order.
	$(VENV)/bin/python -m pytest --numprocesses $(WORKERS) --no-loadscope-reorder

$(VENV)/.installed-scale: $(VENV)/.installed$(ACCELERATOR) requirements-scale.lock
	$(PIP) install --require-hashes -r requirements-scale.lock
	@touch $@

setup-scale: $(VENV)/.installed-scale ## the same with what PostgreSQL, object stores and Ray need

$(VENV)/.installed-scale-dev: $(VENV)/.installed-dev requirements-scale-dev.lock
	$(PIP) install --require-hashes -r requirements-scale-dev.lock
	@touch $@

test-scale: $(VENV)/.installed-scale-dev ## what more than one machine needs; wants Debian's postgresql and pgbouncer
	$(VENV)/bin/python -m pytest -m scale --numprocesses $(WORKERS) --no-loadscope-reorder
	# And what any ledger must do, over PostgreSQL.
	TEST_DATABASE=postgres $(VENV)/bin/python -m pytest --numprocesses $(WORKERS) --no-loadscope-reorder \
		tests/bot/core tests/bot/ledgers/test_book.py tests/bot/operations/test_housekeeping.py \
		tests/bot/homes/discord/test_running.py

kill-test: setup-dev ## kill the bot 500 times while people ask and press, and count broken promises (a quarter of an hour)
	$(VENV)/bin/python -m tests.bot.killing.rounds --rounds 500

lint: setup-dev # lint, formatting, types, the arrows of ARCHITECTURE.md
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

audit: setup-dev ## known holes in what is pinned; without a network a warning
	# Secrets in tracked files are looked for by tests/release/test_audit.py.
	$(VENV)/bin/python -m tests.release.holes

check: lint audit test ## lint, formatting, types, the map's arrows, known holes, then all tests

tpu-check: ## compile SDXL for TPU v5e-4 without one, and say what it will cost (minutes)
	@$(MAKE) --no-print-directory setup ACCELERATOR=tpu VENV=.venv-tpu
	.venv-tpu/bin/imagine doctor --tpu $(TOPOLOGY)

gpu-proof: ## compile SDXL for GPUs without one, and say what it will cost (a minute a card)
	@$(MAKE) --no-print-directory setup ACCELERATOR=cuda VENV=.venv-cuda
	@failed=0; for card in $(CARDS); do .venv-cuda/bin/imagine doctor --gpu $$card || failed=1; done; exit $$failed

gpu-check: ## on an NVIDIA card: is the engine right, and how fast beside PyTorch (at most nine minutes)
	@PYTHONPATH=.:training $(GPU_PYTHON) -m benchmarks.gpu_check

lock: ## pin every dependency anew (needs uv)
	# The chips' locks follow the plain one, so that both can stand in one environment.
	for extra in "" tpu cuda; do \
		uv pip compile pyproject.toml $${extra:+--extra $$extra} $(LOCK_OPTIONS) \
			$${extra:+--constraint requirements.lock} \
			--output-file requirements$${extra:+-$$extra}.lock || exit; \
	done
	uv pip compile pyproject.toml $(SCALE) $(LOCK_OPTIONS) \
		--constraint requirements.lock --output-file requirements-scale.lock
	uv pip compile pyproject.toml --group test --group check $(LOCK_OPTIONS) \
		--constraint requirements-scale.lock --output-file requirements-dev.lock
	uv pip compile pyproject.toml $(SCALE) --group test --group check --group scale $(LOCK_OPTIONS) \
		--constraint requirements-dev.lock --output-file requirements-scale-dev.lock

messages: setup ## bring what is to be translated up to what the source says
	$(VENV)/bin/python -m bot.languages.messages

lookalikes: setup # make the filter's table of look-alikes of CONFUSABLES=confusables.txt, Unicode's
	$(VENV)/bin/python -m bot.moderation.lookalike_table $(CONFUSABLES)

oracle: .oracle/.installed ## a second environment, with PyTorch diffusers

.oracle/.installed: pyproject.toml
	$(PYTHON) -m venv .oracle
	.oracle/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	.oracle/bin/python -m pip install --quiet --group oracle
	@touch $@

legacy: .legacy/.installed ## a third one, with the Flax pipeline that ours replaces

.legacy/.installed: pyproject.toml
	$(PYTHON) -m venv .legacy
	.legacy/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	.legacy/bin/python -m pip install --quiet --group legacy
	@touch $@

goldens: oracle ## make tests/goldens anew from PyTorch diffusers
	.oracle/bin/python tests/oracle/make_goldens.py
	.oracle/bin/python tests/oracle/checks.py
	.oracle/bin/python tests/oracle/doodle.py

doodle: oracle setup ## train the embedded model anew (75 minutes on two cores; goes on after a stop)
	.oracle/bin/python training/train.py .training
	.oracle/bin/python tests/oracle/doodle.py
	$(VENV)/bin/python training/preview_colours.py
	$(VENV)/bin/python training/contact_sheet.py
	@$(MAKE) --no-print-directory doodle-check

doodle-check: oracle setup ## train its picture check anew (12 minutes on two cores)
	@mkdir -p .training
	$(VENV)/bin/python training/judged.py .training/judged.npz
	.oracle/bin/python training/picture_check.py .training/judged.npz
