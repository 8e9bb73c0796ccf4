"""The command. A thin layer over `reparam.api`; options of `train` are read off the families' dataclasses.

Next to nothing is imported here: signals are heard before the commands, and click, are.
"""

import signal
from pathlib import Path
from typing import TYPE_CHECKING

from reparam.errors import ReparamError, memory_watched, suggest
from reparam.terminal import SIGNALLED, Ended, end_signals_raised, flush_streams, open_streams, say

if TYPE_CHECKING:
    import click

LONGEST = 1000  # characters of an error's line: file names and values may be of any length
USER_ERROR = 2


def main(command: "click.Command | None" = None, name: str = "reparam") -> None:
    """Runs a command, by default the whole group; every error of the user's is one line on stderr and exit code 2, an
    interruption 128 and the signal's number."""
    try:
        with end_signals_raised():
            open_streams()
            code = _run(command, name)
    except KeyboardInterrupt:
        code = _interrupted(signal.SIGINT)
    except Ended as error:
        code = _interrupted(error.number)
    flush_streams()
    raise SystemExit(code)


def _run(command: "click.Command | None", name: str) -> int:
    try:
        Path.cwd()  # libraries end the process where there is none
    except FileNotFoundError:
        return _fail("the current folder has been removed: change to another one")

    import click

    from reparam.cli.group import cli

    try:
        with memory_watched("for this command", "work on fewer or smaller images at once, or with a smaller model"):
            return (command or cli).main(prog_name=name, standalone_mode=False) or 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0
        return code if code > SIGNALLED else 0  # 1: click's, of help whose reader has gone
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.ctx.get_help() if error.ctx else "")
        return USER_ERROR
    except click.NoSuchOption as error:
        known = [name for one in error.ctx.command.get_params(error.ctx) for name in one.opts] if error.ctx else []
        hint = f" (see '{error.ctx.command_path} --help')" if error.ctx else ""
        return _fail(f"No such option '{error.option_name}'{suggest(error.option_name, known)}{hint}")
    except click.UsageError as error:
        hint = f" (see '{error.ctx.command_path} --help')" if error.ctx else ""
        return _fail(error.format_message().rstrip(".") + hint)
    except (ReparamError, click.ClickException) as error:
        return _fail(error.format_message() if isinstance(error, click.ClickException) else str(error))
    except click.Abort:  # click's, of Ctrl-C
        return _interrupted(signal.SIGINT)
    except OSError as error:
        from reparam.files import why_refused

        return _fail(why_refused(error))


def _interrupted(number: int) -> int:
    say("interrupted")
    return SIGNALLED + number


def _fail(message: str) -> int:
    line = " ".join(message.split())
    if len(line) > LONGEST:
        line = f"{line[: LONGEST // 2]} ... {line[-LONGEST // 3 :]}"  # the remedy is at the end
    say(f"error: {line}")
    return USER_ERROR
