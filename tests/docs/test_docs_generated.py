"""The tables of the documentation are those that the code has now."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_generated_tables_are_up_to_date(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "docs" / "generate.py")
    assert spec
    assert spec.loader
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    generate.main(tmp_path)
    fresh = {path.name: path.read_text("utf-8") for path in tmp_path.glob("*.md")}
    committed = {path.name: path.read_text("utf-8") for path in (ROOT / "docs" / "generated").glob("*.md")}
    old = sorted(name for name in fresh.keys() | committed.keys() if fresh.get(name) != committed.get(name))
    assert not old, f"run 'python docs/generate.py': {', '.join(old)} no longer follow the code"


def test_every_model_has_a_page() -> None:
    from reparam.models import MODELS

    pages = {path.stem for path in (ROOT / "docs" / "models").glob("*.md")}
    assert pages == set(MODELS), "docs/models holds one page a model"


def test_every_metric_is_explained() -> None:
    from reparam.evaluation import METRICS

    page = (ROOT / "docs" / "evaluation.md").read_text("utf-8")
    assert [name for name in METRICS if f"**`{name}`**" not in page and f"`{name}`" not in page] == []


def test_the_page_of_reproductions_is_made_from_the_results() -> None:
    from experiments import CELLS, ExperimentRunner, page

    made = page(ExperimentRunner(ROOT / "docs" / "reproductions", CELLS))
    assert made == (ROOT / "docs" / "reproductions.md").read_text("utf-8"), (
        "run 'reparam reproduce' with --out docs/reproductions"
    )
