"""What --data can name."""

import sys
import typing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import reparam.data
from reparam.data import DATASETS, DataOptions, Dataset, get, load
from reparam.data.loading import _root
from reparam.errors import DataError
from reparam.importing import Origin

MODULE = """
import torch
from reparam.data import Dataset, Images, load

def blobs(options):
    side = options.size or 8
    part = Images(torch.zeros(4, 1, side, side, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64))
    return Dataset("ignored", part, part, part, ("blob",))

def wrong(options):
    return 3

number = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of a user's own in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "own_data_module.py").write_text(MODULE)
    (tmp_path / "own_broken_module.py").write_text("import a_library_that_is_not_there\n")
    yield "own_data_module"
    sys.modules.pop("own_data_module", None)


def test_a_callable_of_ones_own(module):
    data = load(f"{module}:blobs", DataOptions(size=16))
    assert isinstance(data, Dataset)
    assert data.name == f"{module}:blobs"
    assert data.shape == (1, 16, 16)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("own_data_module:blob", "did you mean 'blobs'"),
        ("own_data_module:number", "number' is no callable"),
        ("own_data_module:wrong", "returned int"),
        ("own_broken_module:blobs", "a_library_that_is_not_there"),
        ("foldr:pictures", "did you mean 'folder'"),
        ("no.such.module:NAME", "no module 'no.such.module'"),
    ],
)
@pytest.mark.usefixtures("module")
def test_import_paths_that_do_not_lead_to_data(spec, words, refused):
    with refused(words):
        load(spec)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("mnits", "did you mean 'mnist'"),
        ("mnits:/some/where", "did you mean 'mnist'"),
        ("", "known are mnist"),
        (":", "known are mnist"),
        ("folder", "--data folder:PATH"),
        ("folder:", "--data folder:PATH"),
        ("array", "--data array:FILE"),
        ("digits:/x", "has no files"),
        ("mnist:", "no path after"),
        ("mnist:/no/such/place", "does not exist"),
    ],
)
def test_specs_that_name_nothing(spec, words, refused):
    with refused(words):
        load(spec)


def test_a_bare_path_is_recognised(tmp_path, refused):
    np.save(tmp_path / "a.npy", np.zeros(3))
    with refused(f"--data array:{tmp_path / 'a.npy'}"):
        load(str(tmp_path / "a.npy"))
    with refused(f"--data folder:{tmp_path}"):
        load(str(tmp_path))


@pytest.mark.parametrize(
    ("spec", "options", "words"),
    [
        ("digits", {"attributes": ("Male",)}, "--attributes is for celeba: leave it out for digits"),
        ("digits", {"split_sizes": (9, 3, 3)}, "--split-sizes is for folder, pairs, weizmann-horses: leave"),
        ("shards:x", {"split_seed": 1}, "leave it out for shards"),
        ("folder:x", {"ignore": 0}, "--ignore is for pairs, weizmann-horses"),
        ("pairs:x", {"stream": True}, "--stream is for folder, array"),
        ("pairs:x", {"workers": 5}, "--workers is for folder, shards"),
        ("folder:x", {"workers": 5}, "--workers is for images on disk: add --stream"),
        ("pairs:x", {"damaged": "skip"}, "--damaged is for folder, shards"),
    ],
)
def test_options_of_other_sources_are_refused(spec, options, words, refused):
    with refused(words):
        load(spec, DataOptions(**options))


def test_a_row_names_the_options_that_its_loader_reads():
    for name, source in DATASETS.items():
        assert typing.get_type_hints(source.load)["options"] is source.options, name


def test_relative_paths_become_absolute(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", np.zeros((5, 8, 8), np.uint8))
    monkeypatch.chdir(tmp_path)
    assert load("array:a.npy").name == f"array:{tmp_path / 'a.npy'}"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load("array:~/a.npy").name == f"array:{tmp_path / 'a.npy'}"


def test_where_named_sets_lie(tmp_path, monkeypatch):
    monkeypatch.delenv("REPARAM_DATA", raising=False)
    monkeypatch.delenv("REPARAM_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert _root(DataOptions()) == tmp_path / "cache" / "reparam" / "data"
    monkeypatch.setenv("REPARAM_DATA", str(tmp_path / "env"))
    assert _root(DataOptions()) == tmp_path / "env"
    assert _root(DataOptions(data_root=str(tmp_path / "option"))) == tmp_path / "option"


def test_celeba_says_how_to_obtain_it(tmp_path, refused):
    options = DataOptions(data_root=str(tmp_path))
    for call in (load, get):
        with refused("get img_align_celeba.zip", f"put it into {tmp_path / 'celeba'} or give --data celeba:DIR"):
            call("celeba", options)


def test_get_is_for_what_can_be_downloaded(refused):
    with refused("did you mean 'mnist'"):
        get("mnits")
    with refused("comes with scikit-learn"):
        get("digits")
    with refused("--data folder:PATH"):
        get("folder")


def test_one_line_adds_a_data_set(monkeypatch):
    digits = DATASETS["digits"]
    monkeypatch.setitem(DATASETS, "more-digits", replace(digits, summary="the same"))
    assert load("more-digits").name == "more-digits"


def test_the_table_is_told(tmp_path):
    for name, source in DATASETS.items():
        assert source.summary, name
        assert source.licence, name
        assert source.path in ("named", "given", "none")
        assert source.downloads == (name in ("mnist", "fashion-mnist", "cifar10"))


def test_the_package_gives_its_names_and_no_others():
    assert all(getattr(reparam.data, name) is not None for name in reparam.data.__all__)
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        reparam.data.lod  # noqa: B018


def test_errors_of_the_system_are_said_in_one_line(tmp_path, monkeypatch, refused):
    def fails(path, options):
        raise PermissionError(13, "Permission denied", str(path / "x"))

    monkeypatch.setitem(DATASETS, "array", replace(DATASETS["array"], load=fails))
    with refused("not allowed to read"):
        load(f"array:{tmp_path}")


def test_what_a_run_names_is_not_downloaded(tmp_path: Path) -> None:
    """Its own words on it: the set may be fetched by the user."""
    options = DataOptions(data_root=str(tmp_path))
    with pytest.raises(
        DataError, match=f"not downloaded unasked: 'reparam data get mnist --data-root {tmp_path}' does it"
    ):
        load("mnist", options, origin=Origin(run="run.json"))
    assert not list(tmp_path.iterdir())
