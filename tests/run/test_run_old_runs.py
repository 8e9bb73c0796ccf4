"""Runs of earlier versions open, resume and load for ever.

`fixtures/runs_of_format_1` holds tiny runs on scikit-learn's digits that version 0.1.0 wrote, some interrupted on the way;
`expected.json` says where each stands, how it ends and what its model can do. `fixtures/weight_names.json` has the names and
shapes of the weights of every family and network. Neither is ever made anew.
"""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import reparam
from reparam.data.tasks import with_condition
from reparam.models import MODELS, Spec
from reparam.run.config import resolve

FIXTURES = Path(__file__).parents[1] / "fixtures"
EXPECTED: dict[str, dict[str, Any]] = json.loads((FIXTURES / "runs_of_format_1" / "expected.json").read_text())
WEIGHTS: list[dict[str, Any]] = json.loads((FIXTURES / "weight_names.json").read_text())


@pytest.mark.parametrize("name", EXPECTED)
def test_a_run_of_format_1_opens_and_resumes(name: str, tmp_path: Path) -> None:
    expected, path = EXPECTED[name], tmp_path / name
    shutil.copytree(FIXTURES / "runs_of_format_1" / name, path)
    assert json.loads((path / "status.json").read_text())["step"] == expected["stood_at"]
    run = reparam.resume(path)
    status = json.loads((path / "status.json").read_text())
    assert (status["state"], status["step"]) == ("finished", expected["steps"])
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    terms = [line["terms"] for line in lines if line["phase"] == "train"][-1]
    # At most 13 steps on another processor: sums of some thousand float32 values in another order, each good to 1e-7, and Adam
    # divides by gradients that may themselves be small.
    assert terms == pytest.approx(expected["last_terms"], rel=1e-3, abs=1e-4)
    # Abilities may be added later, none may be lost.
    assert run.model.abilities >= set(expected["abilities"])


@pytest.mark.parametrize("number", range(len(WEIGHTS)))
def test_weights_keep_their_names_and_shapes(number: int) -> None:
    case = WEIGHTS[number]
    # Not through `resolve`, which refuses options of parts that are not chosen: stored configurations have all of them.
    family, own = MODELS[case["model"]], dict(case["options"])
    task = resolve(family.name, task=own.pop("task")).task if "task" in own else resolve(family.name).task
    spec = with_condition(Spec(tuple(case["shape"]), 10, case["map_values"]), task)
    options = dataclasses.replace(
        family.options(), **own
    )  # what a stored run does not name has the default of its field
    found = family.build(options, spec).state_dict()
    assert {name: list(value.shape) for name, value in found.items()} == case["weights"]
