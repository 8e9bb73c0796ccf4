# Everything runs in .venv, which `make setup` makes with nothing but Python and pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/demo

.PHONY: demo test check docs bench setup clean

# The first command: train a VAE on all of MNIST, measure it, make its page. Run again, it continues where it stopped.
demo: $(VENV)/.ready
	@if [ -f $(DEMO)/run.json ]; then $(BIN)/reparam resume $(DEMO); \
	else $(BIN)/reparam train vae --data mnist --recipe notes --epochs 20 --out $(DEMO); fi
	$(BIN)/reparam evaluate $(DEMO)
	$(BIN)/reparam report $(DEMO)

# The second: the tests. Real data is used where it lies beside the checkout, and skipped where not.
test: $(VENV)/.ready-dev
	$(BIN)/pytest -n 2

check: $(VENV)/.ready-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(VENV)/.ready-docs
	$(BIN)/python docs/generate.py
	$(BIN)/sphinx-build -W -q docs build/docs
	@echo "docs: build/docs/index.html"

bench: $(VENV)/.ready-bench
	for name in demo throughput residual processes scaling structured augmentation nll precision clusters notes; do \
	$(BIN)/python benchmarks/$$name.py || exit 1; done

setup: $(VENV)/.ready-dev

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "Python 3.11 or newer is needed: make demo PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.ready-%: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$*]'
	@touch $@

clean:
	rm -rf $(VENV) build dist
