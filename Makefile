# make demo    a day of two hospitals, played over real MLLP
# make test    everything that is checked, on a fresh machine too
# The rest: venv, check (as test, installs nothing), unit (the fast tests), bench, crash, lock.

PYTHON ?= python3.11
BIN := .venv/bin
FRESH := .venv/fresh
WORKERS ?= 2

.PHONY: venv demo test check unit bench crash lock

venv: $(FRESH)

$(FRESH): requirements/dev.txt pyproject.toml
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv || \
	  { echo "Python 3.11 with its venv module is needed (Debian: python3.11-venv)" >&2; exit 1; }
	@echo "Installing into .venv"
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(FRESH)

demo: venv
	$(BIN)/broker demo $(DEMO)

test: venv
	@.ci/packages
	@$(MAKE) --no-print-directory check

check: venv
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/broker check
	$(BIN)/broker test
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup -m "not crash"

unit: venv
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup -m "not slow and not postgres and not crash"

bench: venv
	$(BIN)/broker bench --keep bench/results
	$(BIN)/python bench/worker.py --filled 120000

# Kills at every named point and at random, with a slowed fsync: minutes, not seconds.
crash: venv
	$(BIN)/pytest -m crash

# The locked requirements: hashes of every version, no host names.
lock: venv
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet uv
	build/lock/bin/uv pip compile --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --output-file requirements/run.txt requirements/run.in
	build/lock/bin/uv pip compile --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --output-file requirements/dev.txt requirements/dev.in
