# Two commands: `make lab` runs the main job in a virtual classroom, `make test` passes the tests.
# Both install what they need, as root, on Debian 12 or 13.

VENV ?= .venv
PY := $(VENV)/bin/python
MACHINES ?= 2
KEEP ?=
SUMMARY ?=
RESULTS ?=
BENCH ?=
RECIPE ?= education
POINTS ?= 1000
LIVE ?=

.DEFAULT_GOAL := help
.PHONY: help setup packages test-packages bench-packages lab image image-test check types unit \
	test trouble integration web vm faults renewal powercuts rollouts contest bench samples format \
	clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: packages $(VENV)/.ready ## install Debian packages and the virtual environment

packages:
	@sh .ci/packages packages.txt

test-packages:
	@sh .ci/packages tests/packages.txt

bench-packages:
	@sh .ci/packages tests/bench/packages.txt

$(VENV)/.ready: pyproject.toml
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --editable '.[dev]'
	@touch $@

lab: setup ## provision virtual PCs from power-on to verified (MACHINES=4 KEEP=1 SUMMARY=file)
	$(VENV)/bin/provisioner lab --machines $(MACHINES) $(if $(KEEP),--keep) \
		$(if $(SUMMARY),--summary $(SUMMARY))

image: setup ## build a recipe into a signed release (RECIPE=education SUMMARY=image.json)
	$(VENV)/bin/provisioner image build $(RECIPE) $(if $(SUMMARY),--summary $(SUMMARY))

image-test: setup test-packages ## finished images, natively and emulated (SUMMARY=image.json)
	IMAGE_SUMMARY=$(SUMMARY) $(PY) -m pytest --durations=10 tests/vm/test_native_image.py \
		tests/vm/test_native_programs.py tests/vm/test_native_special_needs.py \
		tests/vm/test_school_pc.py

check: $(VENV)/.ready ## lint, types and unit tests
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	@$(MAKE) --no-print-directory --jobs=2 --output-sync types unit

types:
	$(VENV)/bin/mypy

unit:
	$(PY) -m pytest --quiet --numprocesses=2 tests/unit

test: setup test-packages bench-packages check ## everything but the long tests
	$(PY) -m pytest --numprocesses=2 --dist=loadfile --durations=20 -m "not long" \
		tests/integration tests/web
	$(PY) -m pytest --durations=20 -m "not long" tests/vm

trouble: setup test-packages bench-packages ## the long tests: `make lab`, as a newcomer runs it
	$(PY) -m pytest --durations=20 -m long --ignore=tests/vm/faults \
		tests/integration tests/web tests/vm

faults: setup test-packages ## break everything on purpose; a success that is none fails (RESULTS=file)
	RESULTS=$(RESULTS) $(PY) -m pytest tests/vm/faults

renewal: setup test-packages ## a classroom renews itself, in virtual PCs (RESULTS=renewal.json)
	RESULTS=$(RESULTS) $(PY) -m pytest --durations=10 tests/vm/test_renewal.py

powercuts: setup test-packages ## cut an imaging's and a renewal's power (RESULTS=file POINTS=1000)
	$(PY) -W ignore -m tests.powercuts --points $(POINTS) $(if $(LIVE),--live $(LIVE)) \
		$(if $(RESULTS),--results $(RESULTS))

integration web vm: setup test-packages ## one kind of test
	$(PY) -m pytest --durations=10 tests/$@

rollouts: $(VENV)/.ready ## 200 schools and 5,000 machines, one station (RESULTS=file)
	$(PY) -m tests.rollout_sim $(if $(RESULTS),--results $(RESULTS))

contest: setup test-packages ## the contest's day and the reset of a room (RESULTS=contest.json)
	RESULTS=$(abspath $(RESULTS)) $(PY) -m pytest -s tests/vm/test_contest_day.py \
		tests/vm/test_contest_reset.py

samples: $(VENV)/.ready ## make the sample documents of docs/samples again; look at them afterwards
	$(PY) -m tests.paper_factory docs/samples

bench: setup bench-packages ## all benchmarks beside other systems (RESULTS=file BENCH="--only disk")
	$(PY) -W ignore -m tests.bench $(BENCH) $(if $(RESULTS),--results $(RESULTS))

format: $(VENV)/.ready ## bring the code into the house's form
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean: ## remove the virtual environment and what was built in the tree
	rm -rf $(VENV) build
