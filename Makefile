# Each target installs what it needs; python3 with venv, git and make are all that must be there.
#   make install TORCH=cpu    torch for a machine without GPU; on Linux the plain one brings gigabytes of CUDA packages
#   make install TORCH=gpu    torch for the GPU's driver; any other word that uv's --torch-backend knows works too
VENV ?= .venv
PYTHON ?= python3
TORCH ?=
export PYTHON TORCH
# Where Python is told not to keep what it compiled, as in most containers, every command would compile torch anew.
export PYTHONDONTWRITEBYTECODE =
# GNU OpenMP's threads wait by spinning: two processes that learn on the same cores would take many times as long.
export GOMP_SPINCOUNT ?= 10000

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev

CHECKOV := $(VENV)/checkov

# In the order of tests/conftest.py, not by the number of tests.
SIDE_BY_SIDE := --numprocesses auto --dist loadgroup --no-loadscope-reorder

.PHONY: run test infra-test images pictures check up down clean install always

run: up
	$(BIN)/loopline samples
	$(BIN)/loopline run

test: $(INSTALLED_DEV)
	$(BIN)/pytest $(SIDE_BY_SIDE) -m "not elsewhere"

infra-test: $(INSTALLED_DEV) $(CHECKOV)/bin/checkov
	$(CHECKOV)/bin/checkov --directory infra --config-file infra/checkov.yaml
	$(BIN)/pytest $(SIDE_BY_SIDE) -m elsewhere
	$(BIN)/pytest tests/infra -m "not elsewhere"

# Apart: it holds versions of what we use back.
$(CHECKOV)/bin/checkov:
	$(PYTHON) -m venv $(CHECKOV)
	$(CHECKOV)/bin/pip install --quiet --disable-pip-version-check "checkov>=3.3,<4"

images: $(INSTALLED)
	.ci/images $(VENV)

pictures: $(INSTALLED_DEV)
	$(BIN)/pytest tests/flows/test_first_day.py --pictures docs/pictures

check: $(INSTALLED_DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

up: $(INSTALLED)
	$(BIN)/loopline up

down:
	test ! -x $(BIN)/loopline || $(BIN)/loopline down

clean: down
	rm -rf .loopline .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -not -path "./$(VENV)/*" -prune -exec rm -rf {} +

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt $(if $(TORCH),always)
	.ci/install $(VENV)
	touch $@

$(INSTALLED_DEV): $(INSTALLED)
	.ci/install $(VENV) --group dev
	touch $@
