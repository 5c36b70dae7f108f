# All the commands of the project on one page. `make` alone lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
TOOLS  := $(VENV)/.installed-dev
# Tests run in as many processes as there are cores, at most four; each has a database server of its own.
export WORLDS ?= 10000
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

.PHONY: near sweep sizing cluster catch-up replay help setup setup-dev check fix test test-one test-long browser audit vendor screenshots demo broker bench edge detection evaluate waits hostile geofence protected sealing history-map stops start-up pictures schemas lock clean

help:            ## this list
	@grep -E '^[a-z-]+: .*##|^[a-z-]+:  *##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 14

setup: $(STAMP)  ## make the virtual environment from requirements.lock: what the service needs, and nothing else

setup-dev: $(TOOLS) ## the same and what tests, checks and benchmarks need, from requirements-dev.lock

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("emtrack needs Python 3.11 or newer; this is %s. Set PYTHON=… to another." % sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv $(VENV) || { echo "Could not make a virtual environment: on Debian and Ubuntu, 'apt-get install python3-venv' brings what is missing."; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $(STAMP)

$(TOOLS): requirements-dev.lock $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $(TOOLS)

check: setup-dev     ## formatting, lint, types, the arrows between packages
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: setup-dev       ## format the code, and mend what lint can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: check browser broker ## everything that CI runs (pytest last)
	$(PYTEST) -m 'not long'

test-one: setup-dev  ## some tests in one process: make test-one T=tests/test_judge.py, or T=tests/test_x.py::test_y
	@[ -n "$(T)" ] || { echo "Say which: make test-one T=tests/test_judge.py"; exit 1; }
	$(BIN)/python -m pytest '$(T)'

test-long: check browser broker ## the same and the long runs; WORLDS=100000 SEED=7: so many random worlds, and which
	$(PYTEST) $(if $(SEED),--hypothesis-seed=$(SEED))

browser:         ## Debian's Chromium for the tests of the pages; without it they are skipped
	@if [ -x "$${CHROMIUM:-}" ] || command -v chromium >/dev/null; then :; \
	elif ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ]; then \
	  echo "No Chromium here, and only root on Debian or Ubuntu can install it: the tests of the pages will be skipped. CHROMIUM=/path/to/chromium names another."; \
	elif ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } >/dev/null 2>&1; then \
	  echo "Chromium could not be installed (apt-get failed): the tests of the pages will be skipped. CHROMIUM=/path/to/chromium names another."; \
	fi

broker:          ## Debian's Mosquitto for the tests of MQTT; without it they are skipped
	@if command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ]; then :; \
	elif ! command -v apt-get >/dev/null || [ "$$(id -u)" != 0 ]; then \
	  echo "No Mosquitto here, and only root on Debian or Ubuntu can install it: the tests of MQTT will be skipped."; \
	elif ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends mosquitto; } >/dev/null 2>&1; then \
	  echo "Mosquitto could not be installed (apt-get failed): the tests of MQTT will be skipped."; \
	fi

audit: setup     ## known faults of what we depend on, and a list of it (needs the network; outside `make test`)
	@$(PYTHON) -m venv .audit && .audit/bin/pip install --quiet pip-audit cyclonedx-bom
	.audit/bin/cyclonedx-py requirements --output-format JSON --output-file sbom.json requirements.lock
	.audit/bin/pip-audit --require-hashes --disable-pip --requirement requirements.lock
	.audit/bin/pip-audit --require-hashes --disable-pip --requirement requirements-dev.lock

vendor:          ## make emtrack/web/static/vendor anew (needs Node.js and npm)
	cd tools/vendor && npm ci --silent && node build.mjs

screenshots: setup-dev browser ## docs/images anew, out of a demo of its own
	$(BIN)/python tools/screenshots.py

demo: setup      ## everything on this machine, with invented people; Ctrl-C ends it
	@$(BIN)/emtrack demo

bench: setup-dev     ## reports over sockets into findings, beside COPY
	$(BIN)/python -m benchmarks.end_to_end

edge: setup-dev      ## a night at which 30,000 curfews begin with everyone out
	$(BIN)/python -m benchmarks.schedule_edge

detection: setup-dev ## findings beside the truth and a naive baseline, into docs/detection.md
	$(BIN)/python -m benchmarks.detection --write docs/detection.md

geofence: setup-dev  ## the core beside what a user could pick instead, into docs/performance.md
	$(BIN)/python -m benchmarks.geofence --write docs/performance.md

evaluate: setup-dev  ## judging files: from Parquet and from CSV to findings
	$(BIN)/python -m benchmarks.evaluate

sweep: setup-dev     ## a folder of Parquet swept by one process and by several
	$(BIN)/python -m benchmarks.sweep

sizing: setup-dev    ## what a fix and a device cost, times up to a million devices
	$(BIN)/python -m benchmarks.sizing

cluster: setup-dev   ## a gateway, the stream and workers beside one process, on one machine
	$(BIN)/python -m benchmarks.cluster

waits: setup-dev     ## live reports beside what costs much
	$(BIN)/python -m benchmarks.nobody_waits

replay: setup-dev    ## a stored history judged again
	$(BIN)/python -m benchmarks.replay

catch-up: setup-dev  ## a fleet that was out of reach returns while others are live
	$(BIN)/python -m benchmarks.catch_up

hostile: setup-dev   ## live reports beside each attack, into docs/security.md
	$(BIN)/python -m benchmarks.hostile --write docs/security.md

protected: setup-dev ## reports with policies, signatures and the log on, and off, into docs/performance.md
	$(BIN)/python -m benchmarks.protected --write docs/performance.md

sealing: setup-dev   ## what the log costs: a leaf, a proof, and reports with it and without
	$(BIN)/python -m benchmarks.sealing

stops: setup-dev ## detectors of stops beside each other, into docs/stops.md (others where they are installed)
	$(BIN)/python -m benchmarks.stops --write docs/stops.md

history-map: setup-dev browser ## the map of a fortnight in a browser: first picture and frames, into docs/performance.md
	$(BIN)/python -m benchmarks.history_map --write docs/performance.md

start-up: setup-dev  ## how long `emtrack --help` takes, into docs/performance.md
	$(BIN)/python -m benchmarks.start_up --write docs/performance.md

near: setup-dev      ## how often *who was near here* is wrong, on worlds and real tracks, into docs/near.md
	$(BIN)/python -m benchmarks.nearness --write docs/near.md

pictures: setup-dev  ## the pictures of docs/core.md
	$(BIN)/python tools/core_pictures.py

schemas: setup   ## write docs/schemas anew
	@for form in orders report finding; do $(BIN)/emtrack schema $$form > docs/schemas/$$form.schema.json; done
	$(BIN)/emtrack schema api > docs/schemas/openapi.json

lock:            ## pin the newest versions again, those of the service first (needs uv)
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --upgrade -q -o requirements.lock
	uv pip compile pyproject.toml --extra cluster --constraint requirements.lock --universal --python-version 3.11 --generate-hashes --upgrade -q -o requirements-cluster.lock
	uv pip compile pyproject.toml --group dev --constraint requirements.lock --universal --python-version 3.11 --generate-hashes --upgrade -q -o requirements-dev.lock

clean:           ## forget the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
