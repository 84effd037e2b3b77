# Two commands for a fresh machine (Python 3.11 or newer with venv and pip): `make reproduce` and `make test`.
PYTHON ?= python3
BIN = .venv/bin
NEWEST = .venv-newest
OUT ?= runs/first

.PHONY: reproduce test test-newest lint torture wheel clean

reproduce: .venv/ready
	$(BIN)/python -m experiments.reproduce --out=$(OUT)

test: .venv/ready
	$(BIN)/python -m pytest -n 2 --dist=loadfile -m "not slow"

# The same tests with the newest versions that pyproject.toml allows, in an environment of their own.
test-newest:
	test "$$($(NEWEST)/bin/python -V 2>/dev/null)" = "$$($(PYTHON) -V)" || $(PYTHON) -m venv --clear $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --upgrade --upgrade-strategy=eager --editable '.[test]'
	$(NEWEST)/bin/python -m pip list | grep -E '^(jax|jaxlib|flax|optax|numpy|pandas|scipy) '
	$(NEWEST)/bin/python -m pytest -n 2 --dist=loadfile -m "not slow"

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyrefly check

# Long tests (kills, whole data sets, reference trajectories of hundreds of iterations), and new random examples for
# the property tests, which draw the same ones every time under `make test`.
torture: .venv/ready
	HYPOTHESIS_PROFILE=random $(BIN)/python -m pytest -m "slow or hypothesis"

wheel: .venv/ready
	$(BIN)/python -m build --wheel

# Python 3.11 gets the versions the project is tested with; newer Pythons get the newest that pyproject.toml allows.
.venv/ready: pyproject.toml constraints-py311.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[test]' \
	  $$($(BIN)/python -c 'import sys; print("-c constraints-py311.txt" if sys.version_info[:2] == (3, 11) else "")')
	touch $@

clean:
	rm -rf .venv $(NEWEST) .cache dist
