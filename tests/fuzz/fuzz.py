"""Coverage-guided fuzzing of everything that reads data: `python tests/fuzz/fuzz.py PARSER --seconds 600`.

Allowed is data, or a ReparamError of one line, within a GiB and ten seconds. An input for which it is otherwise is left in --out,
with what happened; make it a test of a few bytes, and mend its kind. Needs the extra `fuzz`. Not part of the default run.
"""

import argparse
import io
import os
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import NoReturn

import atheris

# Atheris keeps what instrumented code compares: of large masks gigabytes, until nothing can be allocated.
with atheris.instrument_imports(include=["reparam"], exclude=["reparam.data.sources.pairs"]):
    from seeds import REPAIRS, SEEDS, TEXTUAL, WHOSE, WORDS, renumbered

    from reparam.data import DataOptions, load
    from reparam.data.io import pictures
    from reparam.data.io.idx import read_idx
    from reparam.data.io.npy import read_npy
    from reparam.data.io.picture_files import check_whole
    from reparam.data.io.tar import read_tar
    from reparam.data.options import ImageOptions
    from reparam.data.sources import celeba, cifar, parts, shards
    from reparam.data.sources.pairs import stored_values
    from reparam.errors import ReparamError
    from reparam.latent.compression import restored

GIB = 2**30
SECONDS = 10.0
LONGEST = 40_000  # bytes of an input
FOLDER = Path(tempfile.mkdtemp(prefix="reparam-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))


class Memory:
    """A folder of files in memory."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.where, self.names, self._files = "memory", tuple(files), files

    def size(self, name: str) -> int:
        return len(self._files[name])

    def open(self, name: str) -> io.BytesIO:
        return io.BytesIO(self._files[name])


def file(name: str, data: bytes) -> Path:
    path = FOLDER / name
    path.write_bytes(data)
    return path


def npy(data: bytes) -> None:
    read_npy(data, "memory", "x")
    load(f"array:{file('a.npy', data)}")


def npz(data: bytes) -> None:
    load(f"array:{file('a.npz', data)}")


def zip_(data: bytes) -> None:
    load(f"folder:{file('z.zip', data)}")


def tar(data: bytes) -> None:
    read_tar(io.BytesIO(data), ("a", "b"))


def idx(data: bytes) -> None:
    path = file("x.gz" if data[:1] == b"1" else "x", data[1:])
    attempt(lambda: read_idx(path, 1))
    attempt(lambda: read_idx(path, 3))


def lists(data: bytes) -> None:
    first, _, second = data.partition(b"\f")
    one, other = file("one.txt", first), file("other.txt", second)
    names = [f"{name}.jpg" for name in "ab"]
    attempt(lambda: celeba._read_labels(one, names, ()))
    attempt(lambda: celeba._read_labels(one, names, ("Male",)))
    attempt(lambda: celeba._read_partition(other))
    files = parts._Files(Memory({"images.txt": first, "train_test_split.txt": second}), "get it")  # type: ignore[arg-type]
    attempt(lambda: parts._by_number(files, "images.txt"))
    attempt(lambda: parts._people(files, "images.txt"))


def batches(data: bytes) -> None:
    half = len(data) // 7
    files = dict(zip(cifar._BINARY, (data[i * half : (i + 1) * half] for i in range(6)), strict=True))
    cifar._from_binary({**files, cifar._TEST: data[5 * half :]}, Path("memory"), ImageOptions())


def picture(data: bytes) -> None:
    tree = Memory({"x.png": data})
    pictures.measure(tree, tree.names)  # type: ignore[arg-type]
    for options in (ImageOptions(), ImageOptions(colour="grey", crop="none")):
        pictures.decode(tree, tree.names, (8, 8), options)  # type: ignore[arg-type]
    pictures.decode_maps(tree, tree.names, (8, 8), ImageOptions(), stored_values)  # type: ignore[arg-type]
    for kind in ("PNG", "GIF"):
        try:
            check_whole(io.BytesIO(data), kind)
        except ValueError:
            continue


def rpz(data: bytes) -> None:
    restored(data, WHOSE, 784)


def of_shards(data: bytes) -> None:
    kind, rest = data[:1], data[1:]
    if kind == b"0":
        file("images-00000.array_record", b"")
        file(shards.LABELS, SEEDS["shards"][1][1:])
        file(shards.INDEX, rest)
        load(f"shards:{FOLDER}")
    elif kind == b"1":
        shards._labels(file(shards.LABELS, rest))
    else:
        reader = shards.ShardReader(FOLDER, [shards._File("x.array_record", 1, 1)], (3, 9, 10), "")
        reader._file = lambda number: SimpleNamespace(read=lambda places: [rest])  # type: ignore[method-assign]
        reader.read(0)


def attempt(read: Callable[[], object]) -> None:
    """One of several parsers of the same bytes, each of which may refuse them."""
    try:
        read()
    except ReparamError as error:
        check_error(error)


PARSERS: dict[str, Callable[[bytes], None]] = {
    "npy": npy, "npz": npz, "zip": zip_, "tar": tar, "idx": idx, "lists": lists, "cifar": batches, "rpz": rpz,
    "shards": of_shards,
    "png": picture, "jpeg": picture, "gif": picture, "tiff": picture, "webp": picture, "bitmap": picture,
}  # fmt: skip


def held(what: str) -> int:
    """Bytes of memory, now (VmRSS) or at most (VmHWM)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) * 1024


class WrongError(Exception):
    """What is not allowed beside other exceptions."""


def check_error(error: ReparamError) -> None:
    if len(str(error).splitlines()) != 1:
        raise WrongError(f"an error of several lines: {error!s}")
    cause: BaseException | None = error
    while cause := cause and cause.__cause__:
        if isinstance(cause, MemoryError) and "parser" not in str(
            cause
        ):  # Python's own parser has such an error for depth
            raise WrongError(f"memory: {error}")


def main() -> NoReturn:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parser", choices=PARSERS)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--out", type=Path, default=Path("fuzz-found"), help="where inputs go that are read wrongly")
    parser.add_argument("--replay", type=Path, help="read this one input, and end")
    asked = parser.parse_args()
    parse, repair, out = PARSERS[asked.parser], REPAIRS.get(asked.parser), asked.out
    options = DataOptions()  # builds its validators, which would count as the first input's time
    if asked.replay:
        try:
            parse(asked.replay.read_bytes())
        except ReparamError as error:
            check_error(error)
            print(error)
        sys.exit()
    out.mkdir(parents=True, exist_ok=True)
    for seed in SEEDS[asked.parser]:
        attempt(lambda seed=seed: parse(seed))  # and what they import is imported
    limit = SimpleNamespace(base=held("VmRSS"))
    vast = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(
        resource.RLIMIT_AS, (vast + 3 * GIB, resource.RLIM_INFINITY)
    )  # threads take address space as well

    def one(data: bytes) -> None:
        began = time.process_time()
        try:
            attempt(lambda: parse(data))
            spent = time.process_time() - began
            if spent > SECONDS:
                raise WrongError(f"{spent:.1f} seconds")
            if held("VmHWM") - limit.base > GIB:  # of all inputs so far: this one is read again, for its own
                before = held("VmRSS")
                Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
                attempt(lambda: parse(data))
                if (own := held("VmHWM") - before) > GIB:
                    raise WrongError(f"{own / GIB:.2f} GiB")
                limit.base = held("VmRSS")
        except Exception:
            (out / f"{asked.parser}.txt").write_text(traceback.format_exc())
            raise

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        textual = asked.parser in TEXTUAL and seed % 3
        changed = renumbered(data, Random(seed)) if textual else atheris.Mutate(data, most)
        return (repair(changed) if repair and seed % 4 else changed)[:most]

    corpus = FOLDER / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(SEEDS[asked.parser]):
        (corpus / f"seed-{number}").write_bytes(seed)
    words = FOLDER / "words"
    words.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in word.encode()) + '"\n' for word in WORDS))
    arguments = [
        f"-dict={words}",
        f"-max_total_time={asked.seconds}", f"-max_len={LONGEST}", "-timeout=60", "-rss_limit_mb=0",
        f"-artifact_prefix={out}/{asked.parser}-", "-print_final_stats=1", "-close_fd_mask=3",
    ]  # fmt: skip
    custom = {"custom_mutator": mutate} if repair or asked.parser in TEXTUAL else {}
    atheris.Setup([sys.argv[0], *arguments, str(corpus)], one, **custom)
    assert options
    atheris.Fuzz()
    sys.exit()


if __name__ == "__main__":
    main()
