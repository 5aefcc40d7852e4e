# `make demo` and `make test` set up all they need; everything lands inside this folder.

.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
INSTALLED := $(VENV)/.installed
INSTALLING := $(VENV)/.installing

DEMO := demo
# Processes that run the tests; each file's tests stay in one.
JOBS ?= 2
# Those that need nothing but the samples, and minutes.
BENCHMARKS := correspondences occlusion occlusion_bound synthetic store_read loader many_frames nuscenes_speed \
  waymo waymo_conversion waymo_plan waymo_visibility validate train_step point_encoders
# What Open3D links against, by Debian's names.
SYSTEM_LIBRARIES := libgl1 libgomp1 libusb-1.0-0

.PHONY: help
help:
	@echo "make demo    make a synthetic world, convert it, train on it and draw a picture, into ./$(DEMO)"
	@echo "make test    lint, types, tests, and the wheel as a user installs it"
	@echo "make lint    ruff and mypy only"
	@echo "make bench   the benchmarks of tests/benchmarks that take minutes"
	@echo "make clean   remove what these targets made, except $(VENV)"

# Every command goes on where it was stopped, and so does this. Of the six scenes, one frame a
# second each, the last two are not trained on.
.PHONY: demo
demo: $(INSTALLED)
	$(BIN)/simipu-prep synthetic --layout kitti --out $(DEMO)/kitti --scenes 6 --frames 16 --seed 0
	$(BIN)/simipu-prep kitti --root $(DEMO)/kitti --out $(DEMO)/kitti.zarr
	$(BIN)/simipu-train $(DEMO)/kitti.zarr --out $(DEMO)/run --resume --image-backbone resnet18 \
	  --steps 150 --batch-size 4 --points 1024 --lr 0.002 --eval-every 75 \
	  --frames 0:64 --eval-frames 64:96
	$(BIN)/simipu-viz $(DEMO)/kitti.zarr --frame 80 --out $(DEMO)/overlay.png
	@echo
	@echo "$(DEMO)/kitti        the world, in KITTI's layout, with its exact truth in truth/"
	@echo "$(DEMO)/kitti.zarr   the store: frames and correspondences"
	@echo "$(DEMO)/run          weights, settings and log"
	@echo "$(DEMO)/overlay.png  what the training learns from, on a street that it never saw"
	@echo
	@echo "Next, the same on your own data:"
	@echo "  $(BIN)/simipu-prep kitti-raw --root /data/kitti_raw --out raw.zarr"

.PHONY: test
test: lint
	$(PY) -m pytest --numprocesses $(JOBS) --dist loadfile

.PHONY: lint
lint: $(INSTALLED)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

.PHONY: bench
bench: $(INSTALLED)
	@export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1; \
	for name in $(BENCHMARKS); do \
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
	@# Its requirements contradict everybody else's; only its protobuf messages are used.
	$(PY) -m pip install --no-deps waymo-open-dataset-tf-2-12-0==1.6.7
	@$(PY) -c 'import open3d' 2> /dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	    echo "Installing the system libraries that Open3D needs: $(SYSTEM_LIBRARIES)"; \
	    apt-get update -qq && apt-get install -y -qq $(SYSTEM_LIBRARIES); \
	  else \
	    echo "Open3D needs system libraries. Install them, then run make again:" >&2; \
	    echo "  sudo apt-get install $(SYSTEM_LIBRARIES)" >&2; exit 1; \
	  fi; }
	@$(PY) -c 'import open3d'
	@rm $(INSTALLING) && touch $@
