# `make demo` and `make test` set up all they need; everything lands inside this folder.

.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
INSTALLING := $(VENV)/.installing

DEMO := demo
SAMPLES := $${SIMIPU_SAMPLE_DATA:-../shared/data}

.PHONY: help
help:
	@echo "make demo    convert, train for a few steps and draw a picture, into ./$(DEMO)"
	@echo "make test    lint, types, tests, and the wheel as a user installs it"
	@echo "make lint    ruff and mypy only"
	@echo "make bench   the benchmarks of tests/benchmarks"
	@echo "make clean   remove what these targets made, except $(VENV)"

# Runs on KITTI_RAW_ROOT, else on the samples, else on streets that are ray-cast here and now.
.PHONY: demo
demo: $(INSTALLED)
	@set -e; root="$${KITTI_RAW_ROOT:-$(SAMPLES)/kitti_raw}"; \
	if [ -z "$${KITTI_RAW_ROOT:-}" ] && [ ! -d "$$root" ]; then \
	  root=$(DEMO)/kitti_raw; \
	  echo "No KITTI data (KITTI_RAW_ROOT is not set): making synthetic streets in $$root"; \
	  if [ ! -d "$$root" ]; then \
	    rm -rf "$$root.partial"; $(PY) tests/kitti_street.py "$$root.partial"; \
	    mv "$$root.partial" "$$root"; \
	  fi; \
	fi; \
	rm -rf $(DEMO)/run; \
	set -x; \
	$(VENV)/bin/simipu-prep kitti-raw --root "$$root" --out $(DEMO)/raw.zarr --limit 20 --overwrite; \
	$(VENV)/bin/simipu-train $(DEMO)/raw.zarr --out $(DEMO)/run --image-backbone resnet18 \
	  --steps 20 --batch-size 4 --frames 0:12 --eval-frames 12:16; \
	$(VENV)/bin/simipu-viz $(DEMO)/raw.zarr --frame 3 --out $(DEMO)/overlay.png
	@echo
	@echo "Done. The store is $(DEMO)/raw.zarr, the weights and the log are in $(DEMO)/run,"
	@echo "and $(DEMO)/overlay.png shows what the training learns from."

.PHONY: test
test: lint
	$(PY) -m pytest

.PHONY: lint
lint: $(INSTALLED)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

.PHONY: bench
bench: $(INSTALLED)
	@export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1; \
	for name in correspondences store_read loader many_frames; do \
	  echo "== $$name"; $(PY) tests/benchmarks/$$name.py; done

.PHONY: clean
clean:
	rm -rf build dist simipu.egg-info $(DEMO) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find simipu pipelines cli tests -name __pycache__ -type d -prune -exec rm -rf {} +

# An installation that was interrupted leaves its marker behind, and is then started afresh.
$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "simipu needs Python 3.11 or newer, and '$(PYTHON)' is not that." >&2; \
	  echo "Install one, then name it: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments: its venv module is missing." >&2; \
	  echo "Install it (Debian, Ubuntu: apt install python3-venv) and try again." >&2; exit 1; }
	@if [ -e $(INSTALLING) ]; then echo "Removing a half-made $(VENV)"; rm -rf $(VENV); fi
	@echo "Installing into $(VENV) (about 6 GB with PyTorch; minutes, the first time)"
	@mkdir -p $(VENV) && touch $(INSTALLING)
	@[ -x $(PY) ] || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --editable '.[dev]'
	@rm $(INSTALLING) && touch $@
