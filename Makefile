# Vitrine on one machine. The system's Python only makes .venv; all else runs in it.
PYTHON ?= $(shell for p in python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv/bin
LOCAL := $(VENV)/python -m deploy.local

# Without bytecode on disk each of the many processes compiles its libraries again, for seconds.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo loop up down status ingest lineage test test-fast test-deps check static lock bench-index bench-index-10m attack drill-catalogs drill-services

help:  ## list the commands
	@sed -n 's/^\([a-z0-9-]*\):.*##  *\(.*\)/make \1|\2/p' Makefile | column -t -s '|'

setup:  ## check what the machine must bring, make .venv from the lock
	@test -n "$(PYTHON)" || { $(or $(shell command -v python3),false) -m deploy.local.prerequisites \
		|| echo "Python 3.11 is needed; install it and run the command again, with PYTHON=/path/to/python3.11." >&2; exit 1; }
	@$(PYTHON) -m deploy.local.environment

demo: setup  ## everything: services, the demo catalog, its DAGs, a live search
	@$(LOCAL) demo

up: setup  ## start every service that is not running; what dies later comes back by itself
	@$(LOCAL) up

loop: setup  ## on the running demo: train its encoder, promote it in MLflow, and see the search change over
	@$(LOCAL) loop

down:  ## end every process that was started, and only those
	@if [ -x $(VENV)/python ]; then $(LOCAL) down; else echo "nothing was started: there is no .venv"; fi

status: setup  ## what answers, where, and the live releases; fails when a service is not ready
	@$(LOCAL) status

# What a person passes goes to the commands by the environment, unexpanded: neither make nor the shell reads it.
unexport SOURCE DT CATALOG ITEM RELEASE REMOVAL
ingest lineage: export GIVEN_SOURCE := $(value SOURCE)
ingest lineage: export GIVEN_DT := $(value DT)
ingest lineage: export GIVEN_CATALOG := $(value CATALOG)
ingest lineage: export GIVEN_ITEM := $(value ITEM)
ingest: export GIVEN_REMOVAL := $(value REMOVAL)
lineage: export GIVEN_RELEASE := $(value RELEASE)

ingest: setup  ## SOURCE=<folder or s3://prefix> DT=YYYY-MM-DD [CATALOG=<id>] [REMOVAL=meant]: to a live release
	@$(LOCAL) ingest --source "$$GIVEN_SOURCE" --dt "$$GIVEN_DT" $${GIVEN_CATALOG:+--catalog "$$GIVEN_CATALOG"} \
		$${GIVEN_REMOVAL:+--removal "$$GIVEN_REMOVAL"}

lineage: setup  ## ITEM=<item_id> [CATALOG=<id>] [RELEASE=<id>]: from a search result back to its delivery and DAG run
	@$(VENV)/python -m vitrine lineage --item="$$GIVEN_ITEM" --catalog="$${GIVEN_CATALOG:-demo}" $${GIVEN_RELEASE:+--release="$$GIVEN_RELEASE"}

# Much of the suite waits for services: one process more than there are cores, each with services of its own.
TEST_PROCESSES ?= $(shell cores=$$(nproc); echo $$((cores < 7 ? cores + 1 : 8)))
# Threads that wait for each other would burn the core that another process could use.
test test-fast: export OMP_WAIT_POLICY := passive
SIDE_BY_SIDE := -n $(TEST_PROCESSES) --dist loadscope --no-loadscope-reorder
test: setup  ## the whole test suite, on ports and state of its own
	@$(VENV)/python -m pytest $(SIDE_BY_SIDE)

test-fast: setup  ## the tests that need no service, no JVM and no browser, in 90 s
	@$(VENV)/python -m pytest $(SIDE_BY_SIDE) -m "not (services or spark or browser or platform)"

test-deps:  ## install the Debian packages that some tests need (Chromium, Redis)
	@deploy/local/install_test_packages.sh

# The peers, half a GB, are installed to `.bench-venv`, apart from the lock.
BENCH_ROWS ?= 1000000
BENCH_DIMENSION ?= 512
bench-index: setup  ## [BENCH_ROWS=1000000] every index recipe beside hnswlib, usearch and autofaiss: half an hour
	@$(VENV)/python -m benchmarks.index_recipes --rows $(BENCH_ROWS) --dimension $(BENCH_DIMENSION) $(BENCH_OPTIONS)

bench-index-10m: setup  ## ten million vectors built and searched under 12 GB of memory: an hour, 25 GB of disk
	@$(VENV)/python -m benchmarks.index_10m $(BENCH_OPTIONS)

attack: setup  ## [ATTACKS=requests] attack what listens and what reads, with full counts, on ports and state of its own
	@$(VENV)/python -m benchmarks.attacks $(ATTACKS)

drill-catalogs: setup  ## [DRILL_OPTIONS="--catalogs 10"] one encoder promoted to ten catalogs on a private platform: seconds to each release
	@$(VENV)/python -m benchmarks.promotion_drill $(DRILL_OPTIONS)

drill-services: setup  ## kill and suspend every service of a platform of its own under load: 12 minutes
	@$(VENV)/python -m benchmarks.service_drill $(DRILL_OPTIONS)

check: static test  ## everything that a commit must pass: static, then the tests

static: setup  ## ruff, mypy, the generated docs, that all tests can be collected
	$(VENV)/ruff format --check .
	$(VENV)/ruff check .
	$(VENV)/mypy
	$(VENV)/python -m vitrine settings | diff -u docs/settings.md -
	PYTHONPATH=.:plugins $(VENV)/python -m vitrine_airflow.documentation --check
	$(VENV)/python -m tests.docs.code_map --check
	@# Two test modules of one name stop the whole suite, and running either alone does not show it.
	collected=$$($(VENV)/python -m pytest --collect-only --quiet 2>&1) || { echo "$$collected" | tail -30; exit 1; }

lock: setup  ## compile requirements.in to requirements.txt
	@$(VENV)/python -m deploy.local.environment lock
