"""The layout holds: imports point up the list, and the front is quick."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import reparam

SOURCE = Path(reparam.__file__).parent

# The one list of layers, lowest first: a module imports from its own layer and from those before it. Imports for type checkers
# and imports inside functions count like any other.
LAYERS = [
    "version", "errors", "importing", "files", "tensor_files", "terminal", "progress", "distributions", "core", "data",
    "networks", "conditionals", "objectives", "models", "latent", "run", "training", "metrics", "evaluation", "reports",
    "session", "adoption", "trial", "api", "testing", "cli",
]  # fmt: skip


def name_of(path: Path) -> str:
    """The module's dotted name; a package's is that of its folder."""
    parts = ("reparam", *path.relative_to(SOURCE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


# The front, `reparam/__init__.py` and `__main__.py`, names what users import and is imported by nobody.
MODULES = {name_of(path): path for path in sorted(SOURCE.rglob("*.py")) if path.parent != SOURCE or path.stem[0] != "_"}


def imports(path: Path) -> set[str]:
    """The modules of Reparam that a file names in an import, wherever it stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in whole}
    return {name for name in found if name.split(".")[0] == "reparam"}


def layer(name: str) -> int:
    return LAYERS.index(name.split(".")[1])


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_up_the_list(name: str) -> None:
    for other in imports(MODULES[name]):
        assert other in MODULES, f"{name} imports from {other}, which is the front or does not exist"
        assert layer(other) <= layer(name), f"{name} imports {other}, which comes after it in the list"


def test_no_module_imports_itself_by_a_detour() -> None:
    """Packages' own `__init__.py` only gather names, and are left out."""
    plain = {name: path for name, path in MODULES.items() if path.stem != "__init__"}
    todo = {name: imports(path) & plain.keys() - {name} for name, path in plain.items()}
    while free := [name for name, needs in todo.items() if not needs & todo.keys()]:
        for name in free:
            del todo[name]
    assert not todo, f"in a circle, or importing one that is: {sorted(todo)}"


@pytest.mark.parametrize("name", MODULES)
def test_no_module_is_longer_than_400_lines(name: str) -> None:
    assert len(MODULES[name].read_text().splitlines()) <= 400


@pytest.mark.parametrize("name", sorted(MODULES.keys() - {"reparam.files"}))
def test_json_is_written_in_one_place(name: str) -> None:
    """`files.json_text`, which refuses NaN."""
    assert "json.dump" not in MODULES[name].read_text()


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
