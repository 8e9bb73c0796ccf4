"""Documents of a run folder: whatever they hold, reading ends in a result or in one line."""

import contextlib
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import reparam
from reparam.errors import ReparamError, RunError
from reparam.reports.page import render
from reparam.run.documents import (
    CheckpointFacts,
    Evaluation,
    RunDocument,
    Status,
    StoredSpec,
    WeightsFacts,
    checked,
)
from reparam.run.folder import RunFolder

FIXTURE = Path(__file__).parents[1] / "fixtures" / "runs_of_format_1" / "vae"
DOCUMENTS = ("run.json", "status.json", "evaluation.json")
STORED = {name: json.loads((FIXTURE / name).read_text()) for name in DOCUMENTS}

# What stands where something else is expected.
OTHERS = st.one_of(
    st.sampled_from(
        [
            None,
            True,
            "",
            "x",
            "\udce9",
            "\n",
            0,
            -1,
            10**30,
            2**63,
            0.5,
            -0.0,
            math.nan,
            math.inf,
            1e308,
            [],
            {},
            [[]],
            {"a": 1},
        ]
    ),
    st.recursive(
        st.none() | st.booleans() | st.integers(-999, 999) | st.floats(allow_subnormal=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    ),
)


def places(value: Any, path: tuple = ()) -> list[tuple]:
    """The paths of all values in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in places(one, (*path, key)))]


def changed(document: Any, path: tuple, change: Callable[[Any, Any], None]) -> Any:
    """A copy in which `change(parent, key)` was called for the value at a path."""
    copy = json.loads(json.dumps(document))
    parent = copy
    for key in path[:-1]:
        parent = parent[key]
    change(parent, path[-1])
    return copy


@st.composite
def damaged(draw: st.DrawFn, document: Any) -> Any:
    """A document with one to three values replaced, removed or added."""
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(document)[1:]))
        value = draw(OTHERS)
        how = draw(st.sampled_from(["replace", "remove", "add"]))
        if how == "replace":
            document = changed(document, path, lambda parent, key, value=value: parent.__setitem__(key, value))
        elif how == "remove":
            document = changed(document, path, lambda parent, key: parent.pop(key))
        else:
            document = changed(
                document, path, lambda p, _, v=value: p.append(v) if isinstance(p, list) else p.update(new=v)
            )
        if not document:
            break
    return document


def use(path: Path) -> None:
    """Everything that reads a run, except its data; each ends in a result or in one line."""
    with contextlib.suppress(ReparamError):
        run = reparam.load(path, "cpu")
        run.config.to_json()
        for act in (lambda: run.sample(2), lambda: render(run), run.folder.status, run.folder.evaluation):
            refusal = ""
            try:
                act()
            except ReparamError as error:
                refusal = str(error)
            assert "\n" not in refusal


@pytest.fixture(autouse=True)
def _no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the page, what is read off documents; drawing takes a second."""
    monkeypatch.setattr("reparam.reports.page.FIGURES", {})


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(FIXTURE, tmp_path_factory.mktemp("documents") / "run"))


def fuzzed(name: str, copy: Path, document: Any) -> None:
    path = copy / name
    path.write_text(json.dumps(document))
    try:
        use(copy)
    finally:
        shutil.copy(FIXTURE / name, path)


SETTINGS = settings(
    max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_damaged_document_is_a_result_or_one_line(name: str, copy: Path) -> None:
    @SETTINGS
    @given(damaged(STORED[name]))
    def check(document: Any) -> None:
        fuzzed(name, copy, document)

    check()


@pytest.mark.slow
@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_value_of_a_document_replaced_by_each_kind(name: str, copy: Path) -> None:
    kinds = [None, True, "x", -1, 10**30, 0.5, math.nan, [], {}]
    for path in places(STORED[name])[1:]:
        fuzzed(name, copy, changed(STORED[name], path, lambda parent, key: parent.pop(key)))
        for value in kinds:
            fuzzed(name, copy, changed(STORED[name], path, lambda parent, key, v=value: parent.__setitem__(key, v)))


BROKEN = {
    "many digits": b'{"step": ' + b"9" * 5000 + b"}",
    "deep": b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
    "deeper than anything written": b'{"a":' * 60 + b"1" + b"}" * 60,
    "no text": b"\xff\xfe\x00",
    "empty": b"",
    "a list": b"[1]",
    "two documents": b"{}{}",
}


@pytest.mark.parametrize("name", [*DOCUMENTS, "metrics.jsonl"])
@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_document_is_one_line(case: str, name: str, copy: Path) -> None:
    kept = (copy / name).read_bytes()
    (copy / name).write_bytes(BROKEN[case] + b"\n")
    folder = RunFolder(copy)
    read = {"run.json": folder.parts, "status.json": folder.status, "evaluation.json": folder.evaluation}
    if case == "empty" and name == "metrics.jsonl":
        assert folder.metrics() == []
    else:
        with pytest.raises(RunError, match=name) as caught:
            read.get(name, folder.metrics)()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400 + len(str(copy))
    use(copy)
    (copy / name).write_bytes(kept)


@pytest.mark.parametrize("name", [*DOCUMENTS, "metrics.jsonl"])
def test_a_huge_file_is_not_read(name: str, copy: Path) -> None:
    kept = (copy / name).read_bytes()
    with (copy / name).open("wb") as file:
        file.truncate(3 << 30)  # takes no room on the disk
    folder = RunFolder(copy)
    read = {"run.json": folder.parts, "status.json": folder.status, "evaluation.json": folder.evaluation}
    with pytest.raises(RunError, match="3,221,225,472 bytes"):
        read.get(name, folder.metrics)()
    (copy / name).write_bytes(kept)


WRONG: dict[str, tuple[str, tuple, Any, str]] = {
    "shape in words": ("run.json", ("spec", "image_shape"), "abc", "has 'abc' as 'spec.image_shape'"),
    "too flat": ("run.json", ("spec", "image_shape"), [1, 7, 9], "spec.image_shape.1"),
    "a billion pixels": ("run.json", ("spec", "image_shape", 1), 10**9, "spec.image_shape.1"),
    "no fingerprint": ("run.json", ("data", "fingerprint"), None, "data.fingerprint"),
    "options in a list": ("run.json", ("config", "training"), [], "'training' of the configuration holds no options"),
    "a recipe that is a number": ("run.json", ("config", "recipe"), 3, "a recipe is named by text, not by 3"),
    "batches that do not divide": ("run.json", ("config", "training", "accumulate"), 3, "does not divide"),
    "a step below 0": ("status.json", ("step",), -1, "has -1 as 'step'"),
    "endless epochs": ("status.json", ("epoch",), math.inf, "as 'epoch'"),
    "a state that there is not": ("status.json", ("state",), "done", "has 'done' as 'state'"),
    "a metric that is a number": ("evaluation.json", ("metrics",), {"elbo": 3}, "has 3 as 'metrics.elbo'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_error_names_file_and_entry(case: str, copy: Path) -> None:
    name, path, value, words = WRONG[case]
    (copy / name).write_text(json.dumps(changed(STORED[name], path, lambda p, key: p.__setitem__(key, value))))
    folder = RunFolder(copy)
    read = {"run.json": folder.parts, "status.json": folder.status, "evaluation.json": folder.evaluation}
    with pytest.raises(RunError) as caught:
        read[name]()
    shutil.copy(FIXTURE / name, copy / name)
    assert str(copy / name) in str(caught.value)
    assert words in str(caught.value)


def test_entries_that_a_record_does_not_name_are_left_alone() -> None:
    assert checked(Status, {**STORED["status.json"], "mood": "good"}, "", "").step == 19
    assert checked(RunDocument, {**STORED["run.json"], "host": [1]}, "", "").spec.classes == 10
    old = {"metrics": {"nll": {"value": math.nan, "stderr": None, "n": 3, "unit": "nats"}}, "later": 1}
    assert checked(Evaluation, old, "", "").metrics == {}  # of a version that wrote what is no number
    assert checked(Evaluation, {}, "", "") == Evaluation()


def test_a_damaged_line_of_metrics_is_named_and_one_cut_short_is_left_out(copy: Path) -> None:
    kept = (copy / "metrics.jsonl").read_text()
    lines = kept.splitlines(keepends=True)
    (copy / "metrics.jsonl").write_text("".join(lines[:2]) + lines[2][:10])
    assert [line.step for line in RunFolder(copy).metrics()] == [2, 4]
    (copy / "metrics.jsonl").write_text(lines[0] + '{"step": "x"}\n')
    with pytest.raises(RunError, match=r"metrics.jsonl, line 2, has 'x' as 'step'"):
        RunFolder(copy).metrics()
    (copy / "metrics.jsonl").write_text(kept)


def test_options_of_figures_are_plain_values_that_can_be_written_again() -> None:
    options = {"samples": 5, "occlusion": 0.5, "split": "test", "flag": True, "none": None}
    found = checked(Evaluation, {"options": {"psnr": options}}, "evaluation.json", "measure again").options["psnr"]
    assert found == options
    assert [type(value) for value in found.values()] == [type(value) for value in options.values()]
    with pytest.raises(RunError, match="evaluation.json"):
        checked(Evaluation, {"options": {"psnr": {"occlusion": float("-inf")}}}, "evaluation.json", "measure again")


CHECKPOINT = {
    "format": 1,
    "step": 3,
    "best": 0.5,
    "stale": 0,
    "seconds": 2.5,
    "stateful": {"0": [0]},
    "metrics_bytes": 9,
}
NUMBERS = {
    WeightsFacts: {"format": 1, "kept": "last", "step": 3, "epoch": 1.5},
    CheckpointFacts: CHECKPOINT,
    StoredSpec: {"image_shape": [1, 8, 8], "classes": 1, "map_values": 1},
}


def at(document: Any, path: tuple) -> Any:
    for key in path:
        document = document[key]
    return document


@pytest.mark.parametrize("kind", NUMBERS, ids=lambda kind: kind.__name__)
def test_what_is_like_a_number_is_none(kind: type) -> None:
    """To Python, true is 1 and 1000.0 is 1000; no version of Reparam has written either for a whole number."""
    document = NUMBERS[kind]
    checked(kind, document, "weights", "restore it")
    for place in places(document):
        number = at(document, place)
        if isinstance(number, int | float):
            for other in (True, str(number), *([float(number)] if isinstance(number, int) else [])):
                there = changed(document, place, lambda parent, key, other=other: parent.__setitem__(key, other))
                with pytest.raises(RunError, match="which should be a valid (integer|number): restore it"):
                    checked(kind, there, "weights", "restore it")
