"""Data flows one way: which part may import which, and what loading a part may bring with it."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {"simipu": "simipu", "pipelines": "simipu.pipelines", "cli": "simipu.cli"}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


class Layer(NamedTuple):
    """What the modules of one part may import besides themselves and the standard library."""

    ours: str
    others: str


LAYERS = {
    "errors": Layer("", ""),
    "records": Layer("errors", "numpy"),
    "geometry": Layer("errors records", "numpy"),
    "correspond": Layer("errors records geometry", "numpy"),
    "store": Layer("errors records", "numpy zarr numcodecs google_crc32c PIL"),
    "data": Layer("errors records geometry store", "numpy torch torchvision PIL"),
    "models": Layer("errors", "torch timm spconv"),
    "losses": Layer("errors", "torch"),
    "methods": Layer(
        "errors models losses data", "torch numpy scipy"
    ),  # data: for the type of a batch
    "evaluate": Layer("errors records geometry store data methods models", "numpy torch"),
    "train": Layer(
        "errors records store data methods models losses evaluate", "numpy torch tqdm yaml wandb"
    ),
    "export": Layer("errors store data methods models train", "torch timm torchvision safetensors"),
    "viz": Layer(
        "errors records geometry store data models methods",
        "numpy PIL matplotlib open3d torch viser",
    ),
    "pipelines": Layer(
        "errors records geometry correspond store",
        "numpy PIL dask distributed tqdm pyarrow nuscenes google google_crc32c open3d "
        "waymo_open_dataset",
    ),
    "cli": Layer(
        "errors records geometry correspond store data models losses methods train export "
        "evaluate viz pipelines",
        "click tqdm",
    ),
}
LAZY_NAMES = {"open_store": "store", "Store": "store"}  # of simipu/__init__.py
ONLY_IN = {("pipelines", "open3d"): "simipu.pipelines.synthetic"}
STRANGERS = ("simipu.pipelines.sources", "simipu.pipelines.synthetic")


def imported_names(source: str, module: str, *, is_package: bool = False) -> Iterator[str]:
    """Full names of all that a module imports, at its top or inside functions."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "simipu":
            yield f"simipu.{node.attr}"


def forbidden_imports(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """The imports of a module that its layer does not allow."""
    own = module.split(".")[1]
    layer = LAYERS[own]
    return [
        name
        for name in imported_names(source, module, is_package=is_package)
        if not _is_allowed(name, own, layer)
        or not f"{module}.".startswith(f"{ONLY_IN.get((own, name.partition('.')[0]), module)}.")
        or any(
            f"{module}.".startswith(f"{one}.") and f"{name}.".startswith(f"{other}.")
            for one, other in (STRANGERS, STRANGERS[::-1])
        )
    ]


def _is_allowed(name: str, own: str, layer: Layer) -> bool:
    top, _, rest = name.partition(".")
    if top != "simipu":
        return top in sys.stdlib_module_names or top in layer.others.split()
    part = rest.partition(".")[0]
    return LAZY_NAMES.get(part, part) in {"", "__version__", own, *layer.ours.split()}


def modules() -> dict[str, Path]:
    """Every module of the package and its file; rglob does not follow simipu/{pipelines,cli}."""
    found = {}
    for folder, package in FOLDERS.items():
        for file in sorted((ROOT / folder).rglob("*.py")):
            inside = file.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join((package, *inside)).removesuffix(".__init__")] = file
    return found


MODULES = modules()


@pytest.mark.parametrize("module", [name for name in MODULES if name != "simipu"])
def test_imports_follow_the_direction_of_the_data(module):
    file = MODULES[module]
    is_package = file.name == "__init__.py"
    assert forbidden_imports(file.read_text(), module, is_package=is_package) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("simipu.records", "import zarr"),
        ("simipu.geometry.camera", "import torch"),
        ("simipu.geometry.camera", "from simipu.store import reader"),
        ("simipu.correspond.compute", "from simipu import open_store"),
        ("simipu.correspond.compute", "import simipu\n\nsimipu.open_store('a.zarr')"),
        ("simipu.store.reader", "from simipu.data.dataset import Frames"),
        ("simipu.store.reader", "import torch"),
        ("simipu.data.dataset", "import zarr.codecs"),
        ("simipu.data.dataset", "from simipu.train import trainer"),
        ("simipu.models.image", "from simipu.store import reader"),
        ("simipu.losses.infonce", "import numpy"),
        ("simipu.viz.overlay", "from simipu.cli import viz"),
        ("simipu.pipelines.convert", "import torch"),
        ("simipu.pipelines.convert", "def convert():\n    from torch import nn"),
        ("simipu.pipelines.convert", "from simipu.data import dataset"),
        ("simipu.pipelines.convert", "from simipu.cli import prep"),
        ("simipu.pipelines.sources.waymo", "from ..synthetic import world"),
        ("simipu.pipelines.sources.waymo", "from simipu.pipelines import synthetic"),
        ("simipu.pipelines.synthetic.kitti", "from simipu.pipelines.sources import base"),
        ("simipu.pipelines.convert", "import open3d"),
        ("simipu.pipelines.sources.waymo", "def read():\n    from open3d import geometry"),
        ("simipu.cli.prep", "import zarr"),
    ],
)
def test_a_forbidden_import_is_found(module, source):
    assert forbidden_imports(source, module)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("simipu.geometry.camera", "import math\nimport numpy as np"),
        ("simipu.store.reader", "import zarr\nfrom simipu.records import Frame"),
        ("simipu.pipelines.plan", "import simipu\n\nVERSION = simipu.__version__"),
        ("simipu.pipelines.sources.kitti", "from .base import Source\nfrom ..plan import plan"),
        ("simipu.pipelines.synthetic.caster", "def cast():\n    import open3d as o3d"),
        ("simipu.cli.viz", "import click\nfrom simipu import open_store"),
    ],
)
def test_an_allowed_import_is_let_pass(module, source):
    assert forbidden_imports(source, module) == []


def test_every_package_is_listed_for_installation():
    packages = {name for name, file in MODULES.items() if file.name == "__init__.py"}
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == packages


def loaded_by(statement: str) -> set[str]:
    """Names of the top-level modules in memory after a statement in a fresh interpreter."""
    code = f"import json, sys\ntry:\n    {statement}\nexcept SystemExit:\n    pass\n"
    code += "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(result.stdout.splitlines()[-1]))


def test_importing_simipu_loads_nothing_heavy():
    assert not loaded_by("import simipu") & {"numpy", "torch", "zarr", "dask", "PIL", "click"}


def test_opening_a_store_does_not_need_torch_zarr_or_dask():
    loaded = loaded_by("from simipu import open_store")
    assert "numpy" in loaded
    assert not loaded & {"torch", "zarr", "dask"}


@pytest.mark.parametrize("entry", sorted(PYPROJECT["project"]["scripts"].values()))
def test_help_loads_nothing_heavy(entry):
    module, _, function = entry.partition(":")
    loaded = loaded_by(f"from {module} import {function}; {function}(['--help'])")
    assert "click" in loaded
    assert not loaded & {"numpy", "torch", "zarr", "dask", "PIL"}
