# A newcomer needs `make demo` and `make test`; both set themselves up. PYTHON picks the interpreter (3.11 or 3.12).
PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := help

.PHONY: help demo demo-seeds demo-losses tables protocols leaks choices short-histories trainings flickr test test-browser faults bench lint docs lock audit clean

help:
	@echo "make demo        set-up, then the whole job on the demo world (about 8 minutes on 2 cores)"
	@echo "You can stop any of these; the same command resumes. Finished runs have records, so a page is made again in seconds."
	@echo "make demo-seeds  three worlds, three models each (about 45 minutes)"
	@echo "make demo-losses one world, each reading of the loss (about 30 minutes)"
	@echo "make tables      Tables 1 and 2, every row, three worlds (2 hours without records, estimated)"
	@echo "make choices     what the paper leaves open, two worlds (2 hours without records, estimated)"
	@echo "make short-histories  accuracy against the size of the memory bank, two worlds (70 minutes, estimated)"
	@echo "make trainings   four models, three trainings on each of three worlds (3 hours without records, estimated)"
	@echo "make protocols   four protocols side by side, two worlds (60 minutes, estimated)"
	@echo "make leaks       what each planted leak is worth, one world (50 minutes, estimated)"
	@echo "make flickr      real photos: FlickrUser.csv to a trained light model and its report (FLICKR=FILE OUT=DIR LIMIT=PHOTOS)"
	@echo ""
	@echo "make test        set-up, then all tests"
	@echo "make test-browser  the study page in Chromium, which must be installed"
	@echo "make faults      damage, kills, signals, full disks and hostile files for 30 minutes (MINUTES=, SEED=), and a table"
	@echo "make bench       the short form of every benchmark, each beside its reference (15 minutes on 2 free cores)"
	@echo "make lint        ruff (linter, formatter) and pyright (types)"
	@echo "make docs        the documentation as a site, in site/"
	@echo "make lock        requirements*.txt from pyproject.toml; needs uv"
	@echo "make audit       licences and known weaknesses of all dependencies, and an SBOM, in build/audit/"
	@echo "make .venv       set-up alone"

.venv: .venv/.installed

# The lock first, then the project itself, which takes what the lock installed.
.venv/.installed: requirements.txt pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)) and 'ipa_jax needs Python 3.11 or 3.12: make PYTHON=python3.12')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

.venv/.light: .venv/.installed requirements-light.txt
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements-light.txt
	touch $@

.venv/.dev: .venv/.installed requirements-dev.txt
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.txt
	touch $@

demo: .venv
	$(BIN)/python -m ipa_jax demo --out=runs/demo

demo-seeds: .venv
	$(BIN)/python -m ipa_jax demo --out=runs/seeds --seeds=0,1,2 --configs=basic,basic_retrieval,full

demo-losses: .venv
	$(BIN)/python -m ipa_jax demo --out=runs/losses --configs=full,ratio_log,ratio_raw,log_likes,concat

tables: .venv
	$(BIN)/python -m ipa_jax tables --out=runs/experiments --records=docs/runs/tables --page=docs/results_demo.md

choices: .venv
	$(BIN)/python -m ipa_jax choices --out=runs/experiments --records=docs/runs/choices --page=docs/choices.md --others docs/runs/tables

short-histories: .venv
	$(BIN)/python -m ipa_jax choices --out=runs/experiments --records=docs/runs/choices --page=docs/choices.md --others docs/runs/tables \
		--short_histories

trainings: .venv
	$(BIN)/python -m ipa_jax choices --out=runs/experiments --records=docs/runs/trainings --page=docs/choices.md --others docs/runs/tables \
		--seeds=0,1,2 --training_seeds=0,1,2

protocols: .venv
	$(BIN)/python -m ipa_jax protocols --out=runs/experiments --records=docs/runs/protocols --page=docs/protocols.md

leaks: .venv
	$(BIN)/python -m ipa_jax protocols --out=runs/experiments --records=docs/runs/protocols --page=docs/evaluation.md --seeds=0 --plants

# What docs/data.md says of FlickrUser, from its CSV file to a report.
FLICKR ?= FlickrUser.csv
OUT ?= runs/flickr
LIMIT ?= 20000
RATE ?= 5
CONFIG ?= light
EXTRACT ?=
TRAIN ?=

flickr: .venv/.light
	$(BIN)/python -m ipa_jax fetch-images $(FLICKR) --to $(OUT)/raw --limit=$(LIMIT) --rate=$(RATE)
	$(BIN)/python -m ipa_jax extract --config=$(CONFIG) --raw=$(OUT)/raw --out=$(OUT)/features $(EXTRACT)
	$(BIN)/python -m ipa_jax build --config=$(CONFIG) --raw=$(OUT)/raw --features=$(OUT)/features --data_dir=$(OUT)/data
	$(BIN)/python -m ipa_jax train --config=$(CONFIG) --workdir=$(OUT)/light --config.data_dir=$(OUT)/data $(TRAIN)
	$(BIN)/python -m ipa_jax evaluate --export=$(OUT)/light/export --data_dir=$(OUT)/data --split=test --json
	$(BIN)/python -m ipa_jax baselines --data_dir=$(OUT)/data --export=$(OUT)/light/export --out=$(OUT)/baselines.json
	$(BIN)/python -m ipa_jax report --workdir $(OUT)/light --data_dir=$(OUT)/data --baselines=$(OUT)/baselines.json

test: .venv/.dev
	$(BIN)/python -m pytest

test-browser: .venv/.dev
	REQUIRE_BROWSER=1 $(BIN)/python -m pytest tests/browser

# docs/reliability.md says what it does. MARKDOWN=FILE keeps the table.
MINUTES ?= 30
SEED ?= 0

faults: .venv/.dev
	$(BIN)/python -m tests.faults --minutes=$(MINUTES) --seed=$(SEED) $(if $(MARKDOWN),--markdown=$(MARKDOWN))

# PyTorch's side needs more: .venv/bin/python -m pip install -e '.[bench]'. BENCH='rank start' runs these alone.
BENCH ?=

bench: .venv/.light
	$(BIN)/python -m benchmarks $(BENCH)

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

docs: .venv/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Keeps the versions that the files hold; LOCK=--upgrade takes the newest that pyproject.toml allows. Needs uv.
# The hashes are of every file that the index has for a version, so they fit every platform.
LOCK ?=
COMPILE := uv pip compile --quiet --universal --fork-strategy fewest --python-version 3.11 --no-annotate --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-package ipa-jax --generate-hashes $(LOCK)

lock:
	$(COMPILE) pyproject.toml --output-file requirements.txt
	$(COMPILE) pyproject.toml --extra dev --constraints requirements.txt --output-file requirements-dev.txt
	sed -n 's/^light = \["\([^"]*\)"\].*/\1/p' pyproject.toml | $(COMPILE) --no-deps --output-file requirements-light.txt -
	$(COMPILE) .ci/audit.in --output-file .ci/requirements-audit.txt

# What is installed and under which licences, and what is known against it. In an environment of its own, because these
# tools are no part of the project.
AUDIT := build/audit

audit: .venv
	$(PYTHON) -m venv $(AUDIT)/.venv
	$(AUDIT)/.venv/bin/python -m pip install --quiet --require-hashes -r .ci/requirements-audit.txt
	$(BIN)/python .ci/audit.py --tools $(AUDIT)/.venv/bin --out $(AUDIT)

clean:
	rm -rf .venv build dist runs site
