"""Files appear whole or not at all, and damaged ones are refused."""

import contextlib
import errno
import hashlib
import json
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from reparam.errors import ConfigError, ReparamError, RunError
from reparam.files import (
    cache_folder,
    file_names,
    new_folder,
    read_json,
    user_path,
    why_not_read,
    write_atomically,
    write_json,
    write_text,
)
from reparam.tensor_files import has_digest, read_tensors, write_tensors


def test_tensors_and_metadata_come_back_equal(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 2), "b": torch.arange(5), "c": torch.zeros((), dtype=torch.uint8)}
    write_tensors(tmp_path / "x.safetensors", tensors, {"step": 3, "best": None})
    found, metadata = read_tensors(tmp_path / "x.safetensors")
    assert metadata == {"step": 3, "best": None}
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) and found[name].dtype == tensors[name].dtype for name in tensors)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"old": 1})

    def full(temporary: Path) -> None:
        temporary.write_text('{"new": ')
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ReparamError, match="no space left on the disk .* free some"):
        write_atomically(path, full)
    assert json.loads(path.read_text()) == {"old": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_a_really_full_disk_is_one_line(tmp_path: Path) -> None:
    """/dev/full fails every write as a full disk does."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")

    def write(temporary: Path) -> None:
        with Path("/dev/full").open("w") as full:
            full.write("x" * 100_000)

    with pytest.raises(ReparamError, match="no space left"):
        write_atomically(tmp_path / "x.json", write)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "free some"), (errno.EDQUOT, "remove files of yours"), (errno.EFBIG, "raise 'ulimit -f'")],
)
@pytest.mark.parametrize("as_text", [False, True])
def test_a_disk_that_takes_no_more_is_told_with_what_helps(
    number: int, remedy: str, as_text: bool, tmp_path: Path
) -> None:
    """safetensors says in its text alone what the system said."""

    def write(_: Path) -> None:
        if as_text:
            raise SafetensorError(f"Error while serializing: I/O error: {os.strerror(number)} (os error {number})")
        raise OSError(number, os.strerror(number))

    path = tmp_path / "x.safetensors"
    with pytest.raises(ReparamError, match=f"{remedy}.* and try again$"):
        write_atomically(path, write)
    path.write_bytes(b"old")
    with pytest.raises(ReparamError, match=f"{remedy}.* and try again; what was written before is intact$"):
        write_atomically(path, write)


def test_tensors_beyond_the_largest_file_leave_the_old_ones(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "x.safetensors"
    write_tensors(path, {"a": torch.ones(3)}, {})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(ReparamError, match="larger than a file may be here: raise 'ulimit -f'"):
            write_tensors(path, {"a": torch.zeros(10_000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert read_tensors(path)[0]["a"].tolist() == [1, 1, 1]


def test_a_file_that_goes_while_it_is_opened_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """safetensors looks at it, and then has torch open it again."""
    path = tmp_path / "x.safetensors"
    write_tensors(path, {"a": torch.ones(3)}, {})

    def gone(path: Path, **_: object) -> None:
        path.unlink()
        torch.UntypedStorage.from_file(str(path), shared=False, nbytes=12)

    monkeypatch.setattr("reparam.tensor_files.safe_open", gone)
    with pytest.raises(RunError, match="x.safetensors does not exist: restore it"):
        read_tensors(path)


@pytest.mark.parametrize("damage", ["truncated", "empty", "foreign", "flipped header"])
def test_damaged_tensor_files_are_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x.safetensors"
    write_tensors(path, {"a": torch.randn(100)}, {})
    data = path.read_bytes()
    if damage == "foreign":
        save_file({"a": torch.zeros(1)}, path)
    else:
        path.write_bytes(
            {"truncated": data[:-40], "empty": b"", "flipped header": data[:3] + b"\xff" + data[4:]}[damage]
        )
    with pytest.raises(RunError, match="damaged|is empty|safetensors file that Reparam has not written"):
        read_tensors(path)


def flipped(path: Path, end: int) -> Iterator[int]:
    """Flips every 7th bit of the first bytes of a file, so every bit of a byte in turn, one at a time; yields its place."""
    data = bytearray(path.read_bytes())
    for bit in range(0, 8 * end, 7):
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        yield bit
        data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


TENSORS = {"a": torch.randn(5, 3), "b": torch.arange(3), "c": torch.zeros((), dtype=torch.bfloat16)}


def test_no_flipped_bit_passes(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_tensors(path, TENSORS, {"step": 3, "kept": "best"})
    for bit in flipped(path, path.stat().st_size):
        with pytest.raises(RunError, match="x.safetensors is"):
            print(bit, read_tensors(path))
    assert read_tensors(path)[1] == {"step": 3, "kept": "best"}
    assert has_digest(path)


def test_a_file_of_an_earlier_version_has_no_digest_and_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file(TENSORS, path, {"reparam": '{"step": 3}'})
    assert read_tensors(path)[1] == {"step": 3}
    assert not has_digest(path)
    for _ in flipped(path, 8 + int.from_bytes(path.read_bytes()[:8], "little")):
        with contextlib.suppress(RunError):  # not all of it can be noticed
            read_tensors(path)


FOREIGN = {
    "a pickle of torch": (lambda path: torch.save({"a": torch.zeros(3)}, path), "torch.save writes pickles"),
    "an old pickle of torch": (
        lambda path: torch.save({"a": torch.zeros(3)}, path, _use_new_zipfile_serialization=False),
        "a pickle, which may run code",
    ),
    "another program's safetensors": (
        lambda path: save_file({"a": torch.zeros(3)}, path, {"format": "pt"}),
        "a safetensors file that Reparam has not written",
    ),
    "a page": (lambda path: path.write_text("<!DOCTYPE html><html>"), "a page of HTML"),
    "a pointer": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
    "an array": (lambda path: path.write_bytes(b"\x93NUMPY\x01\x00" + bytes(100)), "a NumPy array"),
    "nothing": (lambda path: path.write_bytes(b""), "is empty"),
    "a folder": (lambda path: path.mkdir(), "is a folder"),
    "cut short, with a header that begins like a pickle": (lambda path: begun(path, 0x80), "is damaged"),
    "the same of the second byte too": (lambda path: begun(path, 0x480), "is damaged"),
    "cut short, with a header that begins like a page": (lambda path: begun(path, 0x3C), "is damaged"),
    "a byte of a pickle alone": (lambda path: path.write_bytes(b"\x80" + bytes(40)), "is damaged"),
}


def begun(path: Path, length: int) -> None:
    """A safetensors file of which half of the header is there."""
    path.write_bytes(length.to_bytes(8, "little") + b'{"a":'.ljust(length // 2))


@pytest.mark.parametrize("case", FOREIGN)
def test_a_file_of_another_program_is_told_what_it_is(case: str, tmp_path: Path) -> None:
    make, words = FOREIGN[case]
    make(tmp_path / "weights.safetensors")
    with pytest.raises(RunError, match=words):
        read_tensors(tmp_path / "weights.safetensors")


def test_missing_and_malformed_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot read"):
        read_json(tmp_path / "none.json")
    for text in ("{", "[1]", "\xff\xfe"):
        (tmp_path / "x.json").write_text(text, encoding="latin-1")
        with pytest.raises(RunError, match="x.json"):
            read_json(tmp_path / "x.json")


def test_tensors_that_share_memory_are_each_written(tmp_path: Path) -> None:
    table = torch.arange(6.0).reshape(3, 2)
    write_tensors(tmp_path / "w.safetensors", {"a": table, "b": table, "part": table[1:]}, {})
    found, _ = read_tensors(tmp_path / "w.safetensors")
    assert torch.equal(found["a"], table)
    assert torch.equal(found["b"], table)
    assert torch.equal(found["part"], table[1:])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_never_written(tmp_path: Path, value: float) -> None:
    write_json(tmp_path / "x.json", {"value": 1.0})
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", {"value": value})
    with pytest.raises(ValueError, match="JSON"):
        write_tensors(tmp_path / "x.safetensors", {"a": torch.zeros(1)}, {"value": value})
    assert json.loads((tmp_path / "x.json").read_text()) == {"value": 1.0}
    (tmp_path / "old.json").write_text(json.dumps({"value": value}))
    assert repr(read_json(tmp_path / "old.json")["value"]) == repr(value)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.EACCES, "not allowed to read x: change its permissions"),
        (errno.ENOENT, "does not exist"),
        (errno.EISDIR, "is a folder"),
        (errno.ENOTDIR, "part of it is a file"),
        (errno.ELOOP, "links lead in a circle"),
        (errno.ENAMETOOLONG, "name is too long"),
        (errno.EIO, "disk or network drive fails"),
    ],
)
def test_why_a_file_is_not_read_is_told_apart(code: int, words: str) -> None:
    line = why_not_read("x", OSError(code, os.strerror(code)))
    assert words in line
    assert "damaged" not in line
    assert "delete" not in line


def test_what_is_there_and_cannot_be_read_is_not_called_missing_or_damaged(tmp_path: Path) -> None:
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "circle.json").symlink_to(tmp_path / "circle.json")
    (tmp_path / "file").write_text("")
    cases = {"folder.json": "is a folder", "circle.json": "circle", "file/x.json": "is a file", "x" * 300: "too long"}
    for name, words in cases.items():
        for read in (read_json, read_tensors):
            with pytest.raises(RunError, match=words) as caught:
                read(tmp_path / name)
            assert "damaged" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no umask here")
@pytest.mark.parametrize("mask", [0o077, 0o022, 0o007])
def test_files_and_folders_have_the_rights_that_the_umask_leaves(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        write_json(tmp_path / "a" / "b" / "x.json", {})
        write_tensors(tmp_path / "x.safetensors", {"a": torch.zeros(1)}, {})
        with new_folder(tmp_path / "new") as begun:
            write_json(begun / "x.json", {})
    finally:
        os.umask(before)
    found = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert found == {"a": 0o777 & ~mask, "b": 0o777 & ~mask, "new": 0o777 & ~mask, "x.json": 0o666 & ~mask} | {
        "x.safetensors": 0o666 & ~mask
    }


def test_a_name_as_long_as_names_may_be_is_written(tmp_path: Path) -> None:
    for name in ("x" * 255, "é" * 127):
        write_json(tmp_path / name, {})
        assert (tmp_path / name).exists()
    with pytest.raises(ReparamError, match="name is too long"):
        write_json(tmp_path / ("x" * 300), {})


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "full"), ValueError("x")], ids=repr)
def test_a_folder_that_is_not_finished_is_removed(error: BaseException, tmp_path: Path) -> None:
    def fill() -> None:
        with new_folder(tmp_path / "new") as begun:
            (begun / "class").mkdir()
            (begun / "class" / "x").write_text("half")
            raise error

    with pytest.raises(type(error)):
        fill()
    assert not list(tmp_path.iterdir())


def test_a_home_that_is_not_known_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert user_path("~/x") == Path.home() / "x"
    with pytest.raises(ConfigError, match="'~no-such-user/x' names a home folder that is not known"):
        user_path("~no-such-user/x")
    with pytest.raises(ConfigError, match="names a home folder that is not known"):
        user_path("~\0")  # no user can have that name
    monkeypatch.setattr(Path, "expanduser", lambda self: (_ for _ in ()).throw(RuntimeError("no home")))
    for name in ("REPARAM_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="set REPARAM_CACHE"):
        cache_folder()


def test_what_is_itself_named_like_a_home_folder_is_given_with_a_dot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for written in ("./~no-such-user/x", "./~", ".//~/x"):
        path = user_path(written)
        assert path == tmp_path / written
        assert user_path(path) == path  # also where it is given again
    assert user_path("a/~no-such-user") == Path("a/~no-such-user")


# name from data: what it becomes, without the digits that keep it apart (None: it stays)
NAMES: dict[str, str | None] = {
    "7": None, "cat": None, "日本": None, "a b": None, "café": None,
    "../..": "_._", "/abs": "_abs", "a/b": "a_b", "a\\b": "a_b", "": "_", ".": "_", "..": "_", " ": "_", ".git": "_git",
    "a\0b": "a_b", "a\nb": "a_b", "C:x": "C_x", "<b>": "_b_", "dot.": "dot", "CON": "_CON", "nul.txt": "_nul.txt",
    "caf\udce9": "caf_", "x" * 300: "x" * 120, "é" * 300: "é" * 60,
}  # fmt: skip


def test_names_from_data_become_names_of_files(tmp_path: Path) -> None:
    found = dict(zip(NAMES, file_names(NAMES), strict=True))
    for name, expected in NAMES.items():
        digits = f"-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
        assert found[name] == (name if expected is None else expected + digits)
        (tmp_path / found[name]).mkdir()
        assert (tmp_path / found[name]).parent == tmp_path
    assert len(list(tmp_path.iterdir())) == len(NAMES)


@pytest.mark.parametrize(
    "names",
    [("cat", "Cat", "CAT"), ("caf\u00e9", "cafe\u0301"), ("a/b", "a_b", "a\\b"), ("0", "0", "0"), ("", ".", "_")],
)
def test_names_that_become_equal_stay_apart(names: tuple[str, ...]) -> None:
    """On a file system that takes large and small letters, and both ways to write an accent, for the same."""
    found = [unicodedata.normalize("NFD", name).casefold() for name in file_names(names)]
    assert len(set(found)) == len(names)


def test_a_name_that_is_taken_is_not_given_again() -> None:
    first, second = file_names(["Manifest.csv", "x"], taken=["manifest.csv"])
    assert first.startswith("Manifest.csv-")
    assert second == "x"


def test_text_with_what_utf8_cannot_hold_is_written(tmp_path: Path) -> None:
    write_text(tmp_path / "x.csv", "caf\udce9,é\n")
    assert (tmp_path / "x.csv").read_text(encoding="utf-8") == "caf\\udce9,é\n"


@pytest.mark.parametrize("links", ["out", "out.unfinished"])
def test_a_folder_to_fill_is_no_link(tmp_path: Path, links: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / links).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ReparamError, match=links), new_folder(tmp_path / "out") as begun:
        write_text(begun / "x", "")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_place_without_a_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="give a name"):
        write_text(Path(), "text")
    with pytest.raises(ConfigError, match="give a name"), new_folder(Path()):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_in_place_of_tensors_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "weights.safetensors")
    with pytest.raises(RunError, match="is no file"):
        read_tensors(tmp_path / "weights.safetensors")
