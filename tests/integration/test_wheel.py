"""The package as a user gets it: built, installed elsewhere, and used from outside the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command outside the checkout and return what it prints."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    result = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from the source distribution of a copy of the sources."""
    folder = tmp_path_factory.mktemp("build")
    source = folder / "source"
    source.mkdir()
    for name in ("simipu", "pipelines", "cli"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, source, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """Folder of the scripts of an environment with the wheel, and our dependencies beside it."""
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, with_pip=False, symlinks=True)
    scripts = environment / "bin"
    python = scripts / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", wheel, cwd=scripts)
    packages = run(
        python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=scripts
    )
    # A path in a .pth file is searched, but the .pth files in it are not obeyed: this reuses
    # PyTorch and the rest of the test environment, and leaves out its editable simipu.
    borrowed = sysconfig.get_path("purelib")
    (Path(packages.strip()) / "dependencies.pth").write_text(f"{borrowed}\n")
    return scripts


def test_the_wheel_holds_simipu_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"simipu"}
    modules = {
        f"{package}/{file.relative_to(ROOT / folder).as_posix()}"
        for folder, package in (
            ("simipu", "simipu"), ("pipelines", "simipu/pipelines"), ("cli", "simipu/cli")
        )
        for file in (ROOT / folder).rglob("*.py")
    }  # fmt: skip
    assert modules | {"simipu/py.typed"} == {name for name in names if name.startswith("simipu/")}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_package_is_imported_from_where_it_was_installed(installed, tmp_path):
    code = (
        "import simipu, simipu.pipelines, simipu.cli as cli; print(simipu.__file__, cli.__file__)"
    )
    for file in run(installed / "python", "-c", code, cwd=tmp_path).split():
        assert Path(file).is_relative_to(installed.parent)


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_every_command_has_help_and_version(installed, tmp_path, script):
    assert run(installed / script, "--help", cwd=tmp_path).startswith(f"Usage: {script}")
    assert "0." in run(installed / script, "--version", cwd=tmp_path)


def test_installed_commands_convert_verify_and_draw(installed, raw_root, tmp_path):
    prep, viz = installed / "simipu-prep", installed / "simipu-viz"
    run(prep, "kitti-raw", "--root", raw_root, "--out", "raw.zarr", "--workers", "2", cwd=tmp_path)
    assert json.loads(run(prep, "verify", "raw.zarr", "--json", cwd=tmp_path))["whole"]
    run(viz, "raw.zarr", "--camera", "image_02", "--out", "overlay.png", cwd=tmp_path)
    assert (tmp_path / "overlay.png").read_bytes().startswith(b"\x89PNG")
