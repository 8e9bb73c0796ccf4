"""Bad input ends in one line that names the cause and the remedy, exit code 2, no traceback, and nothing is lost."""

import gzip
import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from refusals import refused

import reparam
from reparam.tensor_files import read_tensors, write_tensors

TRAIN = ("train", "vae", "--epochs", "0.01", "--hidden", "8", "--latent", "2")


def picture(path: Path, size: tuple[int, int] = (32, 32), mode: str = "L", kind: str = "PNG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0]), np.uint8)).convert(mode).save(
        path, kind
    )
    return path


def idx(magic: int, *sizes: int, data: bytes) -> bytes:
    return struct.pack(f">{1 + len(sizes)}I", magic, *sizes) + data


def mnist(folder: Path, **changed: bytes) -> Path:
    """A small, right MNIST folder, with some files' contents changed."""
    files = {
        "train-images-idx3-ubyte": idx(0x803, 60, 28, 28, data=bytes(60 * 784)),
        "train-labels-idx1-ubyte": idx(0x801, 60, data=bytes(range(10)) * 6),
        "t10k-images-idx3-ubyte": idx(0x803, 10, 28, 28, data=bytes(10 * 784)),
        "t10k-labels-idx1-ubyte": idx(0x801, 10, data=bytes(range(10))),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.gz").write_bytes(
            gzip.compress(changed.get(name.split("-idx")[0].replace("-", "_"), content))
        )
    return folder


IDX = {
    "truncated": ({"train_images": idx(0x803, 60, 28, 28, data=bytes(100))}, ["train-images"]),
    "lying header": ({"train_images": idx(0x803, 4_000_000_000, 28, 28, data=bytes(784))}, ["train-images"]),
    "trailing bytes": ({"train_images": idx(0x803, 60, 28, 28, data=bytes(60 * 784 + 5))}, ["train-images"]),
    "wrong magic": ({"train_images": idx(0x9999, 60, 28, 28, data=bytes(60 * 784))}, ["train-images"]),
    "label count": ({"train_labels": idx(0x801, 59, data=bytes(59))}, ["59", "60"]),
    "label range": ({"train_labels": idx(0x801, 60, data=bytes([200]) * 60)}, ["200"]),
    "empty": ({"train_images": b""}, ["train-images"]),
}


@pytest.mark.parametrize("case", IDX)
def test_malformed_idx(case: str, command: Callable, tmp_path: Path) -> None:
    changed, words = IDX[case]
    refused(
        command(*TRAIN, "--data", f"mnist:{mnist(tmp_path / 'mnist', **changed)}", "--out", tmp_path / "run"), *words
    )
    assert not (tmp_path / "run").exists()


def test_idx_that_is_no_gzip(command: Callable, tmp_path: Path) -> None:
    folder = mnist(tmp_path / "mnist")
    (folder / "train-images-idx3-ubyte.gz").write_text("not gzip")
    refused(command(*TRAIN, "--data", f"mnist:{folder}"), "train-images")


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def png(size: int = 32) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (size, size), 7).save(buffer, "PNG")
    return buffer.getvalue()


def _some(folder: Path) -> None:
    for i in range(5):
        picture(folder / f"good-{i}.png")


def _text_as_png(folder: Path) -> list[str]:
    _some(folder / "a")
    (folder / "a" / "2.png").write_text("hello")
    return ["2.png"]


def _truncated_jpeg(folder: Path) -> list[str]:
    _some(folder / "a")
    good = picture(folder / "a" / "1.jpg", (64, 64), "RGB", "JPEG")
    (folder / "a" / "2.jpg").write_bytes(good.read_bytes()[:300])
    return ["2.jpg"]


def _tiny(folder: Path) -> list[str]:
    for i in range(5):
        picture(folder / f"{i}.png", (1, 1))
    return ["1"]


def _huge(folder: Path) -> list[str]:
    _some(folder)
    Image.new("1", (9000, 9000)).save(folder / "2.png")
    return ["2.png", "9000"]


def _empty(folder: Path) -> list[str]:
    folder.mkdir(parents=True)
    return [str(folder)]


def _one_image(folder: Path) -> list[str]:
    picture(folder / "1.png")
    return ["1"]


FOLDERS = {f.__name__: f for f in (_text_as_png, _truncated_jpeg, _tiny, _huge, _empty, _one_image)}


@pytest.mark.parametrize("case", FOLDERS)
def test_malformed_folders(case: str, command: Callable, tmp_path: Path) -> None:
    words = FOLDERS[case](tmp_path / "pictures")
    refused(command(*TRAIN, "--data", f"folder:{tmp_path / 'pictures'}", "--out", tmp_path / "run"), *words)
    assert not (tmp_path / "run").exists()


ZIPS = {
    "path traversal": {"../evil.png": png(), "a/1.png": png()},
    "absolute path": {"/evil.png": png(), "a/1.png": png()},
    "bomb": {"a/1.png": bytes(300 * 1024 * 1024)},
}


@pytest.mark.parametrize("case", ZIPS)
def test_malformed_zips(case: str, command: Callable, tmp_path: Path) -> None:
    path = make_zip(tmp_path / "x.zip", ZIPS[case])
    refused(command(*TRAIN, "--data", f"folder:{path}", "--out", tmp_path / "run"), "x.zip")
    assert not list(tmp_path.parent.glob("evil*"))


def test_a_zip_that_is_none(command: Callable, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04 nothing")
    refused(command(*TRAIN, "--data", f"folder:{tmp_path / 'x.zip'}"), "x.zip")


RNG = np.random.default_rng(0)
GOOD = RNG.random((20, 8, 8), dtype=np.float32)
ARRAYS = {
    "NaN pixels": ({"images": np.where(RNG.random(GOOD.shape) < 0.1, np.nan, GOOD)}, ["NaN"]),
    "infinite pixels": ({"images": np.where(RNG.random(GOOD.shape) < 0.1, np.inf, GOOD)}, []),
    "objects": ({"images": np.array([{"a": 1}] * 20, dtype=object)}, ["object"]),
    "one dimension": ({"images": GOOD.ravel()}, []),
    "too few labels": ({"images": GOOD, "labels": np.zeros(19, int)}, ["19", "20"]),
    "fractional labels": ({"images": GOOD, "labels": np.full(20, 0.5)}, ["label"]),
    "no images": ({"stuff": GOOD}, ["images"]),
    "empty": ({"images": GOOD[:0]}, []),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_malformed_arrays(case: str, command: Callable, tmp_path: Path) -> None:
    arrays, words = ARRAYS[case]
    np.savez(tmp_path / "x.npz", **arrays)  # type: ignore[arg-type]
    refused(command(*TRAIN, "--data", f"array:{tmp_path / 'x.npz'}", "--out", tmp_path / "run"), *words)
    assert not (tmp_path / "run").exists()


OPTIONS = {
    "unknown option": ([*TRAIN, "--data", "digits", "--latnt", "3"], ["--latent"]),
    "ill-typed option": ([*TRAIN[:4], "--data", "digits", "--latent", "many"], ["latent", "integer"]),
    "out of range": ([*TRAIN, "--data", "digits", "--batch-size", "0"], ["batch_size"]),
    "task of another model": ([*TRAIN, "--data", "digits", "--task", "denoising"], ["denoising", "dae"]),
    "too large for memory": (
        [*TRAIN[:4], "--data", "digits", "--hidden", "8", "--latent", "999999999"],
        ["26,000,00", "416 GB", "smaller --latent"],
    ),
    "too many draws for memory": (
        [*TRAIN, "--data", "digits", "--samples", "1000000000"],
        ["not enough memory to train", "smaller --samples or --batch-size"],
    ),
    "more than can be counted": ([*TRAIN[:4], "--data", "digits", "--latent", "1" + "0" * 20], ["'latent'", "too large"]),
    "more than float32 holds": ([*TRAIN, "--data", "digits", "--beta", "1e308"], ["'beta'", "too large"]),
    "seldom logged": ([*TRAIN, "--data", "digits", "--log-every", "1000000000"], ["'log_every'", "1000000"]),
    "shapes alone": ([*TRAIN, "--data", "digits", "--device", "meta"], ["device 'meta'", "choose cpu, cuda"]),
    "no seed": (["sample", "/no/such/run", "--seed", "1" + "0" * 20, "--out", "x.png"], ["--seed", "not in the range"]),
    "a negative index": (["reconstruct", "/no/such/run", "--index", "-1", "--out", "x.png"], ["--index"]),
    "a budget that is no number": (["compress", "/no/such/run", "--bytes", "nan", "--out", "x"], ["--bytes", "finite"]),
    "endless epochs": ([*TRAIN[:2], "--data", "digits", "--epochs", "1e18"], ["epochs"]),
    "endless validation": ([*TRAIN, "--data", "digits", "--validate-every", "1e-9"], ["validate_every"]),
    "a callable that makes no data": ([*TRAIN, "--data", "os:getcwd"], ["os:getcwd"]),
    "no data": ([*TRAIN], ["--data"]),
    "unknown data": ([*TRAIN, "--data", "minst"], ["mnist"]),
    "unknown model": (["train", "vea", "--data", "digits"], ["did you mean 'vae'"]),
    "unknown recipe": (["train", "vae", "--data", "digits", "--recipe", "note"], ["did you mean 'notes'"]),
    "unknown command": (["evalute", "x"], ["evaluate"]),
    "missing path": ([*TRAIN, "--data", "folder:/no/such/folder"], ["/no/such/folder"]),
    "no such device": ([*TRAIN, "--data", "digits", "--device", "cuda:9"], ["cuda:9"]),
    "experiment misspelt": (["reproduce", "structure"], ["did you mean 'structures'"]),
    "best of a game": (["train", "gan", "--data", "digits", "--width", "4", "--keep", "best"], ["keep 'best'"]),
    "patience in a game": (["train", "gan", "--data", "digits", "--width", "4", "--patience", "3"], ["patience"]),
    "placed after the end": (
        ["train", "gmvae", "--data", "digits", "--place-after", "3", "--epochs", "2"],
        ["place-after is 3 epochs", "training ends after 2"],
    ),
    "placed on too few": (
        ["train", "gmvae", "--data", "digits", "--place-after", "1", "--epochs", "2", "--components", "5000"],
        ["5,000 training images", "has 1,197", "--components"],
    ),
    "no cell named": (["reproduce", "structures", "--cells", ""], ["--cells"]),
    "results into a file": (["reproduce", "structures", "--fast", "--out", "/dev/null"], ["/dev/null"]),
    "no such cell": (["reproduce", "structures", "--cells", "x"], ["no cell 'x'", "structure-1-seed0"]),
    "no run": (["evaluate", "/no/such/run"], ["/no/such/run"]),
    "no run to start from": ([*TRAIN, "--data", "digits", "--init-from", "/no/such/run"], ["/no/such/run"]),
    "classifier without labels": (["train", "classifier", "--data", "array:UNLABELLED"], ["labels"]),
    "clash of options": ([*TRAIN, "--data", "digits", "--k", "5", "--beta", "2"], ["beta"]),
}  # fmt: skip


@pytest.mark.parametrize("case", OPTIONS)
def test_wrong_options(case: str, command: Callable, tmp_path: Path) -> None:
    words, expected = OPTIONS[case]
    np.save(tmp_path / "x.npy", GOOD)
    words = [str(word).replace("UNLABELLED", str(tmp_path / "x.npy")) for word in words]
    if words[0] == "train":
        words += ["--out", str(tmp_path / "run")]
    refused(command(*words), *expected)
    assert not (tmp_path / "run").exists()


def _missing_key(run: Path) -> None:
    tensors, metadata = read_tensors(run / "weights.safetensors")
    tensors.pop(next(iter(tensors)))
    write_tensors(run / "weights.safetensors", tensors, metadata)


def _truncated_weights(run: Path) -> None:
    path = run / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _half_written_document(run: Path) -> None:
    path = run / "run.json"
    path.write_text(path.read_text()[:100])


def _newer_format(run: Path) -> None:
    path = run / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))


def _unknown_option(run: Path) -> None:
    path = run / "run.json"
    document = json.loads(path.read_text())
    document["config"]["options"]["latnt"] = 3
    path.write_text(json.dumps(document))


def _change_spec(run: Path, change: Callable[[dict], object]) -> None:
    document = json.loads((run / "run.json").read_text())
    change(document["spec"])
    (run / "run.json").write_text(json.dumps(document))


def _no_shape(run: Path) -> None:
    _change_spec(run, lambda spec: spec.pop("image_shape"))


def _flat_shape(run: Path) -> None:
    _change_spec(run, lambda spec: spec.update(image_shape=[1, 8]))


def _shape_in_words(run: Path) -> None:
    _change_spec(run, lambda spec: spec.update(image_shape="abc"))


def _no_class_count(run: Path) -> None:
    _change_spec(run, lambda spec: spec.pop("classes"))


def _no_weights(run: Path) -> None:
    (run / "weights.safetensors").unlink()


DAMAGE = (_missing_key, _truncated_weights, _half_written_document, _newer_format, _unknown_option)
DAMAGE += (_no_shape, _flat_shape, _shape_in_words, _no_class_count, _no_weights)
RUNS = {f.__name__: f for f in DAMAGE}


@pytest.mark.parametrize("case", RUNS)
def test_damaged_runs(case: str, command: Callable, run: Path) -> None:
    RUNS[case](run)
    before = sorted(path.name for path in run.iterdir())
    refused(command("sample", run, "--out", run / "samples.png"), str(run))
    assert sorted(path.name for path in run.iterdir()) == before


def cut_off(run: Path) -> None:
    """As a kill behind the last checkpoint leaves it: what has ended is left as it is."""
    path = run / "status.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "state": "running"}))


def test_the_remedy_for_lost_weights_is_one_that_works(command: Callable, run: Path) -> None:
    """Those of a run that ended may be in its checkpoint; what was cut off goes on (see `test_cli_remedies`)."""
    _no_weights(run)
    refused(command("sample", run, "--out", run / "samples.png"), "writes them again, from its checkpoint")
    cut_off(run)
    refused(command("sample", run, "--out", run / "samples.png"), "no weights: continue it with 'reparam resume")


def test_a_damaged_evaluation_is_named(command: Callable, run: Path) -> None:
    (run / "evaluation.json").write_text('{"metrics": {"elbo": 3}}')
    refused(
        command("evaluate", run, "--metrics", "kl"),
        "evaluation.json has 3 as 'metrics.elbo', which should be an object: delete it and measure again",
    )


def test_a_checkpoint_with_a_missing_key(command: Callable, run: Path) -> None:
    cut_off(run)
    tensors, metadata = read_tensors(run / "checkpoint.safetensors")
    tensors.pop("optimiser.model.0.exp_avg")
    write_tensors(run / "checkpoint.safetensors", tensors, metadata)
    refused(command("resume", run), "optimiser.model.0.exp_avg")


def test_resume_refuses_other_data(command: Callable, run: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=(GOOD * 255).astype(np.uint8), labels=np.arange(20) % 10)
    path = run / "run.json"
    document = json.loads(path.read_text())
    document["config"]["data"]["data"] = f"array:{tmp_path / 'x.npz'}"
    path.write_text(json.dumps(document))
    cut_off(run)
    refused(command("resume", run), "is not what")


@pytest.mark.parametrize(
    ("fact", "words"),
    [({"processes": 2}, ("begun by 2 processes", "not 1")), ({"device": "cuda"}, ("begun on 'cuda'", "--init-from"))],
)
def test_resume_elsewhere_is_refused_also_before_the_first_checkpoint(
    command: Callable, run: Path, fact: dict, words: tuple[str, ...]
) -> None:
    path = run / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fact}))
    assert command("resume", run).code == 0  # it has ended: there is nothing to continue
    cut_off(run)
    (run / "checkpoint.safetensors").unlink()
    refused(command("resume", run), *words)


USES = {
    "no metric named": (["evaluate", "RUN", "--metrics", ","], ["--metrics"]),
    "metric misspelt": (["evaluate", "RUN", "--metrics", "elbow"], ["did you mean 'elbo'"]),
    "index too large": (["reconstruct", "RUN", "--index", "100000", "--out", "x.png"], ["100000"]),
    "odd pairs": (["interpolate", "RUN", "--index", "1", "--out", "x.png"], ["pairs"]),
    "not a png": (["sample", "RUN", "--out", "x.bmp"], [".png"]),
    "two pictures": (["traverse", "RUN", "--directions", "3", "--images", "2", "--out", "x.png"], ["choose one"]),
    "option of another picture": (["traverse", "RUN", "--share", "0.5", "--out", "x.png"], ["--share is for --images"]),
    "unknown ranking": (["traverse", "RUN", "--directions", "3", "--by", "size", "--out", "x.png"], ["posterior"]),
    "dimensions are words": (["traverse", "RUN", "--dimensions", "a,b", "--out", "x.png"], ["0,4,7"]),
    "dimension too large": (["traverse", "RUN", "--dimensions", "77", "--out", "x.png"], ["77"]),
    "zero samples": (["sample", "RUN", "--n", "0", "--out", "x.png"], ["--n"]),
    "run exists": (["train", "vae", "--data", "digits", "--out", "RUN"], ["choose another --out, or remove"]),
}


@pytest.mark.parametrize("case", USES)
def test_wrong_uses_of_a_run(
    case: str, command: Callable, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words, expected = USES[case]
    words = [word.replace("RUN", str(run)) for word in words]
    refused(command(*words), *expected)


def test_what_a_model_cannot_do_is_said(command: Callable, tmp_path: Path) -> None:
    done = command(
        "train", "ae", "--data", "digits", "--epochs", "1", "--hidden", "8", "--latent", "2", "--out", tmp_path / "ae"
    )
    assert done.code == 0, done.err
    refused(command("sample", tmp_path / "ae", "--out", tmp_path / "x.png"), "cannot sample")
    refused(command("evaluate", tmp_path / "ae", "--metrics", "elbo"), "elbo")


def test_divergence_is_one_line_and_keeps_the_run(command: Callable, tmp_path: Path) -> None:
    words = (
        "train",
        "vae",
        "--data",
        "digits",
        "--hidden",
        "8",
        "--epochs",
        "30",
        "--likelihood",
        "gaussian-pixel",
        "--learning-rate",
        "1e18",
    )
    done = command(*words, "--out", tmp_path / "run")
    refused(done, "diverged", "--learning-rate")
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "diverged"


def test_two_processes_cannot_train_one_run(command: Callable, run: Path) -> None:
    cut_off(run)
    with reparam.load(run).folder.locked():
        refused(command("resume", run), "another process is training")
    assert command("resume", run).code == 0


def test_what_a_killed_process_left_half_written_is_swept(command: Callable, run: Path) -> None:
    (run / ".checkpoint.safetensors.abc.partial").write_bytes(b"half")
    cut_off(run)
    assert command("resume", run).code == 0
    assert not list(run.glob(".*.partial"))


@pytest.mark.parametrize("value", ["inf", "nan", "-inf"])
def test_numbers_are_finite(value: str, command: Callable, trained: Path, tmp_path: Path) -> None:
    refused(command("grid", trained, "--extent", value, "--out", tmp_path / "grid.png"), "--extent")
    assert not (tmp_path / "grid.png").exists()


@pytest.mark.parametrize("value", ["9" * 5000, "x" * 5000])
def test_the_line_of_an_error_stays_short(value: str, command: Callable, trained: Path, tmp_path: Path) -> None:
    done = command("sample", trained, "--n", value, "--out", tmp_path / "x.png")
    refused(done, "--n", value[:100], "(see 'reparam sample --help')")
    assert len(done.err) < 1000


@pytest.mark.parametrize(("name", "shown"), [("\x1b[2J.npy", "\\x1b[2J.npy"), ("caf\udce9.npy", "caf\\udce9.npy")])
def test_names_of_files_move_no_cursor(name: str, shown: str, command: Callable, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"text")
    done = command(*TRAIN, "--data", f"array:{tmp_path / name}", "--out", tmp_path / "run")
    refused(done, shown)
    assert done.err.replace("\n", "").isprintable()
