"""The command. A thin layer over `reparam.api`; options of `train` are read off the families' dataclasses.

Only click is imported before a command runs, so that `reparam --help` answers at once.
"""

from pathlib import Path

import click

from reparam.cli import augment, compress, conditional, data, measure, pictures, reproduce, train
from reparam.cli.common import INTERRUPTED, USER_ERROR
from reparam.errors import ReparamError, memory_watched
from reparam.terminal import Ended, end_signals_raised, flush_streams, open_streams, say

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
    open_streams()
    with end_signals_raised():
        code = _run(command, name)
    flush_streams()
    raise SystemExit(code)


def _run(command: click.Command, name: str) -> int:
    try:
        Path.cwd()  # libraries end the process where there is none
    except FileNotFoundError:
        return _fail("the current folder has been removed: change to another one")
    try:
        with memory_watched("for this command", "work on fewer or smaller images at once, or with a smaller model"):
            return command.main(prog_name=name, standalone_mode=False) or 0
    except SystemExit as error:
        return INTERRUPTED if error.code == INTERRUPTED else 0  # 1: click's, of help whose reader has gone
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.ctx.get_help() if error.ctx else "")
        return USER_ERROR
    except click.UsageError as error:
        hint = f" (see '{error.ctx.command_path} --help')" if error.ctx else ""
        return _fail(error.format_message().rstrip(".") + hint)
    except (ReparamError, click.ClickException) as error:
        return _fail(error.format_message() if isinstance(error, click.ClickException) else str(error))
    except (KeyboardInterrupt, click.Abort):
        say("interrupted")
        return INTERRUPTED
    except Ended as error:
        say("interrupted")
        return 128 + error.number
    except OSError as error:
        from reparam.files import why_refused

        return _fail(why_refused(error))


def _fail(message: str) -> int:
    line = " ".join(message.split())
    if len(line) > LONGEST:
        line = f"{line[: LONGEST // 2]} ... {line[-LONGEST // 3 :]}"  # the remedy is at the end
    say(f"error: {line}")
    return USER_ERROR
