"""The command. A thin layer over `reparam.api`; options of `train` are read off the families' dataclasses.

Only click is imported before a command runs, so that `reparam --help` answers at once.
"""

import os
import sys

import click

from reparam.cli import augment, compress, conditional, data, measure, pictures, reproduce, train
from reparam.cli.common import INTERRUPTED, USER_ERROR
from reparam.errors import ReparamError, memory_watched

LONGEST = 1000  # characters of an error's line: file names and values may be of any length


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="reparam")
def cli() -> None:
    """Latent-variable image models: train, measure honestly, look, and use."""


for module in (train, data, measure, pictures, conditional, augment, compress, reproduce):
    for one in module.COMMANDS:
        cli.add_command(one)


def main(command: click.Command = cli, name: str = "reparam") -> None:
    """Runs a command; every error of the user's is one line on stderr and exit code 2, an interruption 130."""
    try:
        with memory_watched("for this command", "work on fewer or smaller images at once, or with a smaller model"):
            code = command.main(prog_name=name, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        code = USER_ERROR
    except click.UsageError as error:
        hint = f" (see '{error.ctx.command_path} --help')" if error.ctx else ""
        code = _fail(error.format_message().rstrip(".") + hint)
    except (ReparamError, click.ClickException) as error:
        code = _fail(error.format_message() if isinstance(error, click.ClickException) else str(error))
    except (KeyboardInterrupt, click.Abort):
        code = INTERRUPTED
        click.echo("interrupted", err=True)
    except BrokenPipeError:
        # The reader of our output has gone; it knows why.
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
        code = 0
    raise SystemExit(code or 0)


def _fail(message: str) -> int:
    line = "".join(_visible(character) for character in " ".join(message.split()))
    if len(line) > LONGEST:
        line = f"{line[: LONGEST // 2]} ... {line[-LONGEST // 3 :]}"  # the remedy is at the end
    click.echo(f"error: {line}", err=True)
    return USER_ERROR


def _visible(character: str) -> str:
    """A file's name can hold what moves a terminal's cursor, and what no encoding writes."""
    return character if character.isprintable() else ascii(character)[1:-1]
