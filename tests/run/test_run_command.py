"""Commands that can be typed as they stand."""

import shlex

import pytest

from reparam.run.command import own_command

WORDS = ["train", "vae", "--data", "folder:my pictures", "--out", "it's"]


@pytest.mark.parametrize("program", ["reparam", "/env/bin/reparam", "/env/lib/reparam/__main__.py", "reparam.exe"])
def test_the_command_that_a_run_records_can_be_typed(program: str) -> None:
    line = own_command([program, *WORDS])
    assert line.startswith("reparam train vae --data 'folder:my pictures' ")
    assert shlex.split(line) == ["reparam", *WORDS]


def test_of_another_program_its_own_words_are_recorded() -> None:
    assert own_command(["my scripts/train.py", "a b"]) == "'my scripts/train.py' 'a b'"
    assert own_command(["/other/__main__.py"]) == "/other/__main__.py"
