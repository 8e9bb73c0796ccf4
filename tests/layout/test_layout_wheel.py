"""The source distribution holds the experiments; the wheel that is built from it does not, and works outside a checkout."""

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _run(*words: object, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip("the build backend cannot be fetched here")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    backend = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    _run("pip", "install", "--quiet", "--target", folder / "backend", *backend)
    _run("hatchling", "build", "--target", "sdist", "--directory", folder, PYTHONPATH=str(folder / "backend"))
    return next(folder.glob("reparam-*.tar.gz"))


@pytest.fixture(scope="module")
def wheel(sdist: Path) -> Path:
    _run("pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", sdist.parent, sdist)
    return next(sdist.parent.glob("reparam-*.whl"))


def _files(folder: Path, pattern: str) -> set[str]:
    """Names of a folder's files, from the folder that it is in."""
    return {
        str(path.relative_to(folder.parent))
        for path in folder.rglob(pattern)
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_source_distribution_holds_package_and_experiments(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert held >= _files(ROOT / "src", "*.py") | _files(ROOT / "experiments", "*.py")


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    held = {name for name in names if ".dist-info/" not in name}
    assert held == _files(ROOT / "src" / "reparam", "*")
    assert "reparam/py.typed" in held
    assert any(name.endswith(".j2") for name in held)


def test_its_command_works_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """Installed beside, not over, this environment's dependencies: the wheel's files are the only `reparam` on the path."""
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    code = f"""
import sys
sys.path.insert(0, {str(site)!r})
import reparam
assert reparam.__file__.startswith({str(site)!r}), reparam.__file__
from reparam.cli import main
sys.argv = ["reparam", *sys.argv[1:]]
main()
"""
    run = tmp_path / "run"
    for words in (
        ["train", "vae", "--data", "digits", "--epochs", "1", "--hidden", "8", "--latent", "2", "--out", str(run)],
        ["evaluate", str(run), "--metrics", "elbo,mse"],
        ["report", str(run)],
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
    assert (run / "report.html").stat().st_size > 10_000
