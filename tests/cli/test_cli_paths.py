"""`~` in paths that the shell has left as they are: home folders, and nothing is made for a user who is not known."""

from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from refusals import refused

import reparam
from experiments.command import reproduce
from reparam.cli.group import cli
from reparam.cli.options import UserPath
from reparam.errors import ConfigError

NOBODY = "~no-such-user/x"
SMALL = {"data": "digits", "hidden": (8,), "latent": 2, "epochs": 0.01, "pictures": 0, "device": "cpu"}
TYPED = tuple(word for name, value in SMALL.items() for word in (f"--{name}", "8" if name == "hidden" else str(value)))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.mark.parametrize(
    "words",
    [
        ("train", "vae", *TYPED, "--out", NOBODY),
        ("train", "vae", *TYPED, "--init-from", NOBODY),
        ("train", "vae", *TYPED, "--augment", NOBODY),
        ("train", "vae", "--data", f"folder:{NOBODY}"),
        ("train", "vae", "--data", NOBODY),
        ("resume", NOBODY),
        ("relocate", NOBODY, "x"),
        ("evaluate", NOBODY),
        ("compare", NOBODY, NOBODY, "--out", "x.html"),
        ("sample", "run", "--out", f"{NOBODY}.png"),
        ("segment", "run", NOBODY, "--out", "x"),
        ("decompress", "run", NOBODY, "--out", "x"),
        ("complete", "run", NOBODY, "--out", "x.png"),
        ("data", "shard", NOBODY, "--out", "x"),
        ("data", "get", "mnist", "--data-root", NOBODY),
        ("reproduce", "structures", "--dry-run", "--out", NOBODY),
    ],
    ids=lambda words: " ".join(word for word in words if word not in TYPED),
)
def test_a_user_who_is_not_known(words: tuple[str, ...], command: Callable, here: Path) -> None:
    refused(command(*words), "'~no-such-user/x", "names a home folder that is not known: write the path in full")
    assert not list(here.iterdir())


def parameters(command: click.Command) -> Iterator[click.Parameter]:
    if isinstance(command, click.Group) and command.name != "train":  # whose options are texts
        for one in command.commands.values():
            yield from parameters(one)
    else:
        yield from command.get_params(click.Context(command))


def test_every_path_of_every_command_is_read_in_one_way() -> None:
    found = [one for command in (cli, reproduce) for one in parameters(command) if isinstance(one.type, click.Path)]
    assert len(found) > 20
    assert all(isinstance(one.type, UserPath) for one in found)


def test_home_and_a_folder_that_has_such_a_name(command: Callable, here: Path) -> None:
    """The shell leaves `--out=~/run` as it is."""
    assert command("train", "vae", *TYPED, "--out=~/run").code == 0
    run = here / "home" / "run"
    assert (run / "weights.safetensors").is_file()

    run.rename(here / "~run")
    assert [path.name for path in here.iterdir() if path.name != "home"] == ["~run"]
    refused(command("evaluate", "~run"), "write the path in full, or './~run'")
    assert command("evaluate", "./~run", "--metrics", "mse").code == 0
    assert (here / "~run" / "evaluation.json").is_file()
    assert command("train", "vae", *TYPED, "--init-from", "./~run", "--out", "./~more/a").code == 0
    assert reparam.load("./~more/a").config.training.init_from == str(here / "~run")


def test_from_python(here: Path) -> None:
    for refuse in (
        lambda: reparam.train("vae", **SMALL, out=NOBODY),
        lambda: reparam.load(NOBODY),
        lambda: reparam.resume(NOBODY),
        lambda: reparam.evaluate(NOBODY),
        lambda: reparam.relocate(NOBODY, here),
    ):
        with pytest.raises(ConfigError, match="names a home folder that is not known"):
            refuse()
    assert not list(here.iterdir())
