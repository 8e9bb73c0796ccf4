"""Commands and Python in the documentation name only what exists. Commands are parsed, not run; Python is read, not run."""

import ast
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import reparam
from reparam.cli.group import cli
from reparam.data import DATASETS
from reparam.errors import ReparamError
from reparam.evaluation import METRICS
from reparam.run.config import resolve

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))


def fences(text: str, *languages: str) -> Iterator[str]:
    for language, body in re.findall(r"^```(\w+)\n(.*?)^```", text, re.M | re.S):
        if language in languages:
            yield body


def shell_commands(text: str) -> Iterator[tuple[list[str], bool]]:
    """The words of every `reparam ...`, and whether it is a whole command (in a fence) or a mention (in running text)."""
    for body in fences(text, "bash", "sh", "console"):
        for line in body.replace("\\\n", " ").splitlines():
            for command in re.split(r" && | \| |; ", line.removeprefix("$ ")):
                words = [w for w in shlex.split(command, comments=True) if not re.fullmatch(r"[A-Z_]+=.*", w)]
                if words and words[0] == "reparam":
                    yield words[1:], True
    for mention in re.findall(r"`reparam ([^`\n]+)`", text):
        if not re.search(r"[A-Z]|\.\.\.|\|", mention):  # capitals stand for something, dots for the rest
            yield shlex.split(mention), False


def script_commands(source: str) -> Iterator[tuple[list[str], bool]]:
    """The same of the lines in a script's docstring."""
    for line in (ast.get_docstring(ast.parse(source)) or "").splitlines():
        if line.strip().startswith("reparam "):
            yield shlex.split(line)[1:], True


def check(words: list[str]) -> None:
    """Raises where a command, an option or its value does not exist."""
    command: click.Command = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, *words = words
        found = command.get_command(click.Context(command), name)
        assert found is not None, f"there is no command '{name}'"
        command = found
    try:
        context = command.make_context(command.name, list(words))
    except click.exceptions.Exit:
        return  # --help
    values = {name: value for name, value in context.params.items() if value is not None}
    if "recipe" in context.params:
        for own in ("out", "dry_run", "as_json"):
            values.pop(own, None)
        assert command.name
        known_data(resolve(command.name, **values).data.data)
    unknown = [name for name in values.get("metrics", "").split(",") if name and name not in (*METRICS, "all")]
    assert not unknown, f"there is no metric {unknown}"
    if values.get("spec"):
        known_data(values["spec"])


def known_data(spec: str) -> None:
    assert ":" in spec or spec in DATASETS, f"there is no data set '{spec}'"


@pytest.mark.parametrize("page", [*PAGES, *SCRIPTS], ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist(page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT / "examples")  # for models by import path
    text = page.read_text("utf-8")
    for words, whole in script_commands(text) if page.suffix == ".py" else shell_commands(text):
        try:
            check(words)
        except (click.ClickException, ReparamError) as error:
            if not whole and isinstance(error, click.MissingParameter | click.exceptions.NoArgsIsHelpError):
                continue
            message = error.format_message() if isinstance(error, click.ClickException) else str(error)
            pytest.fail(f"{page.name}: reparam {' '.join(words)}: {message}")


def check_python(source: str) -> None:
    """Raises for names of reparam that do not exist, and options of `reparam.train` that do not."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "reparam":
            module = importlib.import_module(node.module or "")
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "reparam":
            assert node.attr in reparam.__all__, f"reparam.{node.attr} does not exist"
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "reparam.train":
            options = {
                k.arg: ast.literal_eval(k.value) for k in node.keywords if k.arg and isinstance(k.value, ast.Constant)
            }
            options.pop("out", None)
            model = ast.literal_eval(node.args[0]) if node.args else "vae"
            resolve(model, **options)


@pytest.mark.parametrize("page", [*PAGES, *SCRIPTS], ids=lambda page: str(page.relative_to(ROOT)))
def test_python_names_exist(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "examples")
    text = page.read_text("utf-8")
    for source in [text] if page.suffix == ".py" else fences(text, "python"):
        check_python(source)


def test_wrong_commands_are_found() -> None:
    """The check itself: what must not pass does not."""
    for wrong in (
        "trian vae --data mnist",
        "train vae --data mnist --latnt 3",
        "train vae --data mnist --latent x",
        "train vae --data mnist --recipe note",
        "train vae --data mnsit",
        "evaluate runs/vae --metrics ebo",
        "sample runs/vae",
    ):
        with pytest.raises((click.ClickException, ReparamError, AssertionError)):
            check(wrong.split())


def test_make_targets_exist() -> None:
    makefile = ROOT / "Makefile"
    if not makefile.exists():
        pytest.skip("no Makefile here")
    targets = set(re.findall(r"^([\w-]+):", makefile.read_text("utf-8"), re.M))
    for page in PAGES:
        text = page.read_text("utf-8")
        named = set(re.findall(r"`make ([a-z-]+)`", text))
        named |= {name for body in fences(text, "bash") for name in re.findall(r"^make ([a-z-]+)", body, re.M)}
        assert named <= targets, f"{page.name} names make targets that do not exist: {named - targets}"


def test_data_set_of_ones_own_in_the_documentation_works() -> None:
    text = (ROOT / "docs" / "extending.md").read_text("utf-8")
    source = next(body for body in fences(text, "python") if "def squares" in body)
    scope: dict = {}
    exec(compile(source, "shapes.py", "exec"), scope)
    dataset = scope["squares"](reparam.data.DataOptions())
    assert dataset.shape == (1, 16, 16)
    assert dataset.fingerprint == scope["squares"](reparam.data.DataOptions()).fingerprint
