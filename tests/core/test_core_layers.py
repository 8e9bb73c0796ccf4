"""The layout holds: imports point up the list, and the front is quick."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import reparam

SOURCE = Path(reparam.__file__).parent

# Each may import those before it. Names with a dot are single modules that stand apart from their package.
LAYERS = [
    "errors", "batch", "files", "importing", "distributions", "plane", "networks", "conditionals", "objectives", "models", "data",
    "directions", "augmentation", "config", "runs", "generation", "compression", "training", "evaluation", "reports", "trained",
    "api", "reproduce", "cli", "testing",
]  # fmt: skip


def modules() -> list[Path]:
    return sorted(
        path for path in SOURCE.rglob("*.py") if path.parent != SOURCE or path.stem not in ("__init__", "__main__")
    )


def layer(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def _imports(tree: ast.AST) -> set[str]:
    """Modules imported at run time; those for type checkers alone close no circle."""
    found = set()
    guarded = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and isinstance(branch.test, ast.Name) and branch.test.id == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names if node.module == "reparam"}
    return {name for name in found if name.startswith("reparam.")}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_up_the_list(path: Path) -> None:
    here = layer(path)
    assert here in LAYERS, f"{here} is not in the list: place it"
    for name in _imports(ast.parse(path.read_text())):
        target = name.split(".")[1]
        if target not in LAYERS:
            continue  # a name of the front module, e.g. __version__
        assert LAYERS.index(target) <= LAYERS.index(here), f"{here} imports {name}, which stands below it"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_module_is_longer_than_500_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 500


def test_help_is_answered_before_torch_is_loaded() -> None:
    code = """
import sys
sys.argv = ["reparam", "--help"]
try:
    import reparam.cli
    reparam.cli.main()
except SystemExit:
    pass
assert not {"torch", "pydantic", "numpy"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "train" in done.stdout


def test_names_of_the_front_can_be_imported() -> None:
    for name in reparam.__all__:
        assert getattr(reparam, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = reparam.nothing
