"""The notebook of the examples runs from its first cell to its last, and what its cells end with shows itself."""

import ast
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib
import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "notebook.ipynb"


@pytest.fixture
def cells() -> list[dict[str, Any]]:
    document = json.loads(NOTEBOOK.read_text("utf-8"))
    assert (document["nbformat"], document["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in document["cells"]}) == len(document["cells"])
    found: list[dict[str, Any]] = document["cells"]
    return found


def test_every_cell_runs(cells: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    matplotlib.use("agg")
    monkeypatch.chdir(tmp_path)
    session = ModuleType("__main__")  # where a model of one's own is found again
    monkeypatch.setitem(sys.modules, "__main__", session)
    names = vars(session)
    shown = []
    for cell in cells:
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, cell["id"], "exec"), names)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), cell["id"], "eval"), names)
            if picture := getattr(value, "_repr_html_", lambda: None)():
                shown.append((cell["id"], picture))
    assert [name for name, _ in shown] == ["train", "samples", "reconstructions", "own-train"]
    assert all("data:image/png" in picture for _, picture in shown)


def test_it_is_kept_without_what_it_printed(cells: list[dict[str, Any]]) -> None:
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in cells)
